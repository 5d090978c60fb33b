// SPDX-License-Identifier: Apache-2.0
// A producer's outbox: a ring of records in a mapped file. Offsets only grow; a place in the ring is the
// offset modulo its size. A record is written whole, with its checksum, before `end` counts it in; after a
// crash of the machine, when pages may have reached the disk in any order, the row is cut at the first record
// that is not whole, or that is of an earlier round.
//
// After such a crash nobody knows which numbers were sent: one that is given again would be dropped as
// doubled, one that is left out would be a gap for ever. So what is put from then on is of a new producer,
// while what is left keeps the one under which it may have been sent.
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
#include "common/client/keep.h"
#include "common/client/layout.h"

#define MAGIC 0x3278626f74616e74U // "tnatobx2": its last byte is the version
#define VERSION_BITS 56
#define CAPACITY_MIN 4096
#define ALIGN(n) (((n) + 7) & ~(size_t)7)

struct ring {
  uint64_t magic, size; // of the whole file
  uint64_t producer;
  uint64_t begin, end;        // the oldest record not acknowledged; behind the newest
  uint64_t number;            // of the newest record ever put
  char boot_id[PAGE_BOOT_ID]; // in which `producer` was drawn
  uint8_t record[];
};

struct record {
  uint64_t number;    // 0: nothing up to the ring's end
  uint32_t size, crc; // of its offset and all of it but `acked`
  uint64_t producer, acked;
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

static uint32_t checksum(const struct record *r, uint64_t offset) {
  uint64_t part[4] = {offset, r->number, r->producer, r->size};
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
  return sizeof *r + r->size <= left && offset + length(r) <= o->ring->end && r->crc == checksum(r, offset);
}

static int to_disk(const struct tanist_outbox *o) {
  return o->fd < 0 || msync(o->ring, o->mapped, MS_SYNC) == 0 ? 0 : -errno;
}

/* Without a boot to tell by, each opening may follow a crash. */
static int draw_producer(struct tanist_outbox *o) {
  struct ring *ring = o->ring;
  if (getrandom(&ring->producer, sizeof ring->producer, 0) != sizeof ring->producer)
    return -EIO;
  if (page_boot_id(ring->boot_id) != 0)
    memset(ring->boot_id, 0, sizeof ring->boot_id);
  return to_disk(o);
}

static bool same_boot(const struct ring *ring) {
  char boot_id[PAGE_BOOT_ID];
  return page_boot_id(boot_id) == 0 && memcmp(boot_id, ring->boot_id, sizeof boot_id) == 0;
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
  bool cut = ring->end != offset;
  ring->end = offset;
  ring->number = newest > ring->number ? newest : ring->number;
  forget(o);
  return cut || !same_boot(ring) ? draw_producer(o) : 0;
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
  o->ring->size = capacity;
  int rc = draw_producer(o);
  if (rc != 0)
    return rc;
  o->ring->magic = MAGIC; /* last: one without it was never used */
  return to_disk(o);
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
  if (st.st_size == 0) {
    int rc = -posix_fallocate(o->fd, 0, (off_t)*capacity);
    return rc != 0 ? rc : keep_name(path);
  }
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
  if (o->ring->magic != MAGIC)
    return (o->ring->magic ^ MAGIC) << (64 - VERSION_BITS) == 0 ? -EPROTONOSUPPORT : -EBADMSG;
  return o->ring->size == capacity ? recover(o) : -EBADMSG;
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
  r->producer = ring->producer;
  r->acked = 0;
  memcpy(r->data, data, size);
  r->crc = checksum(r, offset);
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
    *message = (struct tanist_message){
        .producer = r->producer, .number = r->number, .data = r->data, .size = r->size};
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
  return to_disk(o);
}

size_t tanist_outbox_count(const struct tanist_outbox *o) {
  return o->count;
}
