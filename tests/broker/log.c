// SPDX-License-Identifier: Apache-2.0
#include "tests/broker/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/crc.h"

#define ENTRY_MAX (1U << 20)

struct head {
  uint32_t size, sum; // sum: of everything behind it
  uint64_t epoch, producer, number;
};

struct log {
  int fd, error;
  uint64_t *start; // start[p]: where entry p + 1 begins; start[count]: the end
  size_t count, room, synced;
  char *waiting; // appended, not written yet
  size_t waiting_size, waiting_room;
  uint64_t written; // bytes in the file
  uint64_t epoch;
  char *entry; // the last one read, as in the file
};

/* Of an entry as it lies in the file. */
static uint32_t sum_of(const char *entry, uint32_t size) {
  return crc32c(entry + offsetof(struct head, epoch), sizeof(struct head) - offsetof(struct head, epoch) + size);
}

static bool make_room(void **at, size_t *room, size_t want, size_t each) {
  if (want <= *room)
    return true;
  size_t more = *room < 1024 ? 1024 : *room;
  while (more < want)
    more *= 2;
  void *moved = realloc(*at, more * each);
  if (moved == NULL)
    return false;
  *at = moved;
  *room = more;
  return true;
}

static bool add_start(struct log *l, uint64_t end) {
  void *at = l->start;
  if (!make_room(&at, &l->room, l->count + 2, sizeof *l->start))
    return false;
  l->start = at;
  l->start[++l->count] = end;
  return true;
}

static int read_at(struct log *l, uint64_t start, struct head *head) {
  if (pread(l->fd, head, sizeof *head, (off_t)start) != sizeof *head || head->size > ENTRY_MAX)
    return -EBADMSG;
  ssize_t size = (ssize_t)(sizeof *head + head->size);
  if (pread(l->fd, l->entry, (size_t)size, (off_t)start) != size)
    return -EBADMSG;
  return sum_of(l->entry, head->size) == head->sum ? 0 : -EBADMSG;
}

static int scan(struct log *l) {
  struct head head;
  l->start[0] = l->written = 0;
  while (read_at(l, l->written, &head) == 0) {
    l->written += sizeof head + head.size;
    l->epoch = head.epoch;
    if (!add_start(l, l->written))
      return -ENOMEM;
  }
  l->synced = l->count;
  return ftruncate(l->fd, (off_t)l->written) == 0 && fsync(l->fd) == 0 ? 0 : -errno;
}

int log_open(struct log **out, const char *path) {
  *out = NULL;
  struct log *l = calloc(1, sizeof *l);
  if (l == NULL)
    return -ENOMEM;
  l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  int rc = l->fd < 0 ? -errno : 0;
  l->entry = malloc(sizeof(struct head) + ENTRY_MAX);
  void *at = NULL;
  if (rc == 0 && (l->entry == NULL || !make_room(&at, &l->room, 1, sizeof *l->start)))
    rc = -ENOMEM;
  l->start = at;
  rc = rc != 0 ? rc : scan(l);
  if (rc != 0) {
    log_close(l);
    return rc;
  }
  *out = l;
  return 0;
}

void log_close(struct log *l) {
  if (l == NULL)
    return;
  if (l->fd >= 0)
    close(l->fd);
  free(l->start);
  free(l->waiting);
  free(l->entry);
  free(l);
}

uint64_t log_end(const struct log *l) {
  return l->count;
}
uint64_t log_durable(const struct log *l) {
  return l->synced;
}
uint64_t log_epoch(const struct log *l) {
  return l->epoch;
}

int log_append(struct log *l, const struct log_entry *entry) {
  struct head head = {.size = (uint32_t)entry->size,
                      .epoch = entry->epoch,
                      .producer = entry->producer,
                      .number = entry->number};
  void *at = l->waiting;
  if (l->error != 0)
    return l->error;
  if (entry->size > ENTRY_MAX)
    return -EMSGSIZE;
  if (!make_room(&at, &l->waiting_room, l->waiting_size + sizeof head + entry->size, 1))
    return -ENOMEM;
  l->waiting = at;
  if (!add_start(l, l->start[l->count] + sizeof head + entry->size))
    return -ENOMEM;
  char *to = l->waiting + l->waiting_size;
  memcpy(to, &head, sizeof head);
  memcpy(to + sizeof head, entry->data, entry->size);
  head.sum = sum_of(to, head.size);
  memcpy(to, &head, sizeof head);
  l->waiting_size += sizeof head + entry->size;
  l->epoch = entry->epoch;
  return 0;
}

int log_write(struct log *l) {
  size_t done = 0;
  while (l->error == 0 && done < l->waiting_size) {
    ssize_t n = pwrite(l->fd, l->waiting + done, l->waiting_size - done, (off_t)(l->written + done));
    if (n < 0 && errno != EINTR)
      l->error = -errno; /* a torn entry is cut off when the log is opened again */
    done += n > 0 ? (size_t)n : 0;
  }
  if (l->error == 0) {
    l->written += done;
    l->waiting_size = 0;
  }
  return l->error;
}

/* What the kernel could not write once it may have dropped: no second try. */
int log_sync(struct log *l) {
  if (l->error == 0 && l->synced < l->count && fdatasync(l->fd) != 0)
    l->error = -errno;
  if (l->error == 0)
    l->synced = l->count;
  return l->error;
}

int log_read(struct log *l, uint64_t position, struct log_entry *entry) {
  struct head head;
  if (position == 0 || position > l->count)
    return -ENOENT;
  int rc = log_write(l);
  rc = rc != 0 ? rc : read_at(l, l->start[position - 1], &head);
  if (rc == 0)
    *entry = (struct log_entry){head.epoch, head.producer, head.number, l->entry + sizeof head, head.size};
  return rc;
}

int log_cut(struct log *l, uint64_t position) {
  struct log_entry last = {0};
  int rc = log_write(l);
  if (rc != 0 || position >= l->count)
    return rc;
  if (position > 0 && (rc = log_read(l, position, &last)) != 0)
    return rc;
  if (ftruncate(l->fd, (off_t)l->start[position]) != 0 || fsync(l->fd) != 0)
    return l->error = -errno;
  l->count = l->synced = position;
  l->written = l->start[position];
  l->epoch = last.epoch;
  return 0;
}
