// SPDX-License-Identifier: Apache-2.0
// A producer's outbox: a ring of records in a mapped file. Offsets only grow; a place in the ring is the
// offset modulo its size. A record is written whole, with its checksum, before `end` counts it in; after a
// crash of the machine, when pages may have reached the disk in any order, the row is cut at the first record
// that is not whole.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/crc.h"
#include "common/client/tanist.h"

#define MAGIC 0x3178626f74616e74U // "tnatobx1"
#define CAPACITY_MIN 4096
#define ALIGN(n) (((n) + 7) & ~(size_t)7)

struct ring {
  uint64_t magic, size; // of the whole file
  uint64_t producer;
  uint64_t begin, end; // the oldest record not acknowledged; behind the newest
  uint64_t number;     // of the newest record ever put
  uint8_t record[];
};

struct record {
  uint64_t number;    // 0: nothing up to the ring's end
  uint32_t size, crc; // of number, size and data
  uint64_t acked;
  uint8_t data[];
};

struct tanist_outbox {
  int fd;
  struct ring *ring;
  size_t mapped; // bytes
  size_t room;   // of the ring's records
  uint64_t next; // offset of the next to hand out
  size_t count;
};

static struct record *at(const struct tanist_outbox *o, uint64_t offset) {
  return (struct record *)(void *)(o->ring->record + offset % o->room);
}

static uint32_t checksum(const struct record *r) {
  uint32_t part[3] = {(uint32_t)r->number, (uint32_t)(r->number >> 32), r->size};
  return crc32c(part, sizeof part) ^ crc32c(r->data, r->size);
}

static size_t length(const struct record *r) {
  return ALIGN(sizeof *r + r->size);
}

/* The offset of the record at or after this one: past what was left free before the ring's end. */
static uint64_t skip(const struct tanist_outbox *o, uint64_t offset) {
  size_t left = o->room - offset % o->room;
  return left < sizeof(struct record) || at(o, offset)->number == 0 ? offset + left : offset;
}

static void forget(struct tanist_outbox *o) {
  struct ring *ring = o->ring;
  while (ring->begin < ring->end) {
    uint64_t offset = skip(o, ring->begin);
    if (offset >= ring->end || !at(o, offset)->acked) {
      ring->begin = offset < ring->end ? offset : ring->end;
      return;
    }
    ring->begin = offset + length(at(o, offset));
  }
}

static bool whole(const struct tanist_outbox *o, uint64_t offset) {
  const struct record *r = at(o, offset);
  size_t left = o->room - offset % o->room;
  return sizeof *r + r->size <= left && offset + length(r) <= o->ring->end && r->crc == checksum(r);
}

/* What is there, after whatever has happened. */
static int recover(struct tanist_outbox *o) {
  struct ring *ring = o->ring;
  if (ring->begin > ring->end || ring->end - ring->begin > o->room || ring->begin % 8 || ring->end % 8)
    return -EBADMSG;
  uint64_t offset = ring->begin, newest = 0;
  while (offset < ring->end) {
    uint64_t record = skip(o, offset);
    if (record >= ring->end || !whole(o, record))
      break;
    newest = at(o, record)->number;
    o->count += !at(o, record)->acked;
    offset = record + length(at(o, record));
  }
  ring->end = offset;
  ring->number = newest > ring->number ? newest : ring->number;
  forget(o);
  return 0;
}

static int map(struct tanist_outbox *o, size_t capacity) {
  int flags = o->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void *memory = mmap(NULL, capacity, PROT_READ | PROT_WRITE, flags, o->fd, 0);
  if (memory == MAP_FAILED)
    return -errno;
  o->ring = memory;
  o->mapped = capacity;
  o->room = (capacity - sizeof *o->ring) & ~(size_t)7;
  return 0;
}

static int found(struct tanist_outbox *o, size_t capacity) {
  struct ring *ring = o->ring;
  if (getrandom(&ring->producer, sizeof ring->producer, 0) != sizeof ring->producer)
    return -EIO;
  ring->size = capacity;
  if (o->fd >= 0 && msync(ring, capacity, MS_SYNC) != 0)
    return -errno;
  ring->magic = MAGIC; /* last: one without it was never used */
  return o->fd >= 0 && msync(ring, capacity, MS_SYNC) != 0 ? -errno : 0;
}

/* The file, locked, with room for all of it on the disk: a page that could not be written later would kill
 * us. */
static int open_file(struct tanist_outbox *o, const char *path, size_t *capacity) {
  struct stat st;
  o->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (o->fd < 0)
    return -errno;
  if (flock(o->fd, LOCK_EX | LOCK_NB) != 0)
    return errno == EWOULDBLOCK ? -EBUSY : -errno;
  if (fstat(o->fd, &st) != 0)
    return -errno;
  if (st.st_size == 0)
    return -posix_fallocate(o->fd, 0, (off_t)*capacity);
  if (st.st_size < CAPACITY_MIN)
    return -EBADMSG;
  *capacity = (size_t)st.st_size; /* the one it was made with */
  return 0;
}

static int open_all(struct tanist_outbox *o, const char *path, size_t capacity) {
  int rc = path != NULL ? open_file(o, path, &capacity) : 0;
  if (rc == 0)
    rc = map(o, capacity);
  if (rc != 0)
    return rc;
  if (o->ring->magic == 0 && o->ring->end == 0)
    return found(o, capacity);
  return o->ring->magic == MAGIC && o->ring->size == capacity ? recover(o) : -EBADMSG;
}

int tanist_outbox_open(struct tanist_outbox **out, const char *path, size_t capacity) {
  *out = NULL;
  if (capacity < CAPACITY_MIN)
    return -EINVAL;
  struct tanist_outbox *o = calloc(1, sizeof *o);
  if (o == NULL)
    return -ENOMEM;
  o->fd = -1;
  int rc = open_all(o, path, (capacity + 4095) & ~(size_t)4095);
  if (rc != 0) {
    tanist_outbox_close(o);
    return rc;
  }
  tanist_outbox_rewind(o);
  *out = o;
  return 0;
}

void tanist_outbox_close(struct tanist_outbox *o) {
  if (o == NULL)
    return;
  if (o->ring != NULL)
    munmap(o->ring, o->mapped);
  if (o->fd >= 0)
    close(o->fd);
  free(o);
}

uint64_t tanist_outbox_producer(const struct tanist_outbox *o) {
  return o->ring->producer;
}

int tanist_outbox_put(struct tanist_outbox *o, const void *data, size_t size, uint64_t *number) {
  struct ring *ring = o->ring;
  if (size > o->room / 4)
    return -EMSGSIZE;
  size_t need = ALIGN(sizeof(struct record) + size), left = o->room - ring->end % o->room;
  uint64_t offset = need <= left ? ring->end : ring->end + left;
  if (offset + need - ring->begin > o->room)
    return -ENOSPC;
  if (offset != ring->end && left >= sizeof(struct record))
    at(o, ring->end)->number = 0;
  struct record *r = at(o, offset);
  r->number = ring->number + 1;
  r->size = (uint32_t)size;
  r->acked = 0;
  memcpy(r->data, data, size);
  r->crc = checksum(r);
  __atomic_signal_fence(__ATOMIC_RELEASE); /* a crash of the process sees stores in this order */
  ring->end = offset + need;
  *number = ++ring->number;
  o->count++;
  return 0;
}

int tanist_outbox_next(struct tanist_outbox *o, struct tanist_message *message) {
  while (o->next < o->ring->end) {
    uint64_t offset = skip(o, o->next);
    const struct record *r = at(o, offset);
    o->next = offset + length(r);
    if (r->acked)
      continue;
    *message = (struct tanist_message){.number = r->number, .data = r->data, .size = r->size};
    return 1;
  }
  return 0;
}

void tanist_outbox_rewind(struct tanist_outbox *o) {
  o->next = o->ring->begin;
}

int tanist_outbox_acked(struct tanist_outbox *o, uint64_t number) {
  for (uint64_t offset = o->ring->begin; offset < o->ring->end;) {
    offset = skip(o, offset);
    struct record *r = at(o, offset);
    if (r->number == number && !r->acked) {
      r->acked = 1;
      o->count--;
      forget(o);
      if (o->next < o->ring->begin)
        o->next = o->ring->begin;
      return 0;
    }
    if (r->number > number)
      break;
    offset += length(r);
  }
  return -ENOENT;
}

int tanist_outbox_sync(struct tanist_outbox *o) {
  return o->fd < 0 || msync(o->ring, o->mapped, MS_SYNC) == 0 ? 0 : -errno;
}

size_t tanist_outbox_count(const struct tanist_outbox *o) {
  return o->count;
}
