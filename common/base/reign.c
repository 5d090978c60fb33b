// SPDX-License-Identifier: Apache-2.0
// Two slots in a mapped file: one is whole while the other is being written, and a single word says which. Whatever
// a killed process had stored is seen by the next one; what it had not is the older slot, of a step whose actions
// were all performed.
#include "common/base/reign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/crc.h"

#define BOOT_ID_MAX 40
#define MAGIC 0x316e676965727474U // "ttreign1"

/* Of the headers that lay a core out; the Makefile counts it from their text, so that it cannot be forgotten. */
#ifndef CORE_LAYOUT
#error "CORE_LAYOUT comes from the Makefile"
#endif

struct head {
  uint64_t magic, layout, size, cluster, self;
  char boot_id[BOOT_ID_MAX];
};

struct slot {
  uint32_t crc; // of all that follows
  uint32_t spare;
  struct instant base;
  char broker[REIGN_BROKER_MAX];
  struct core core;
};

struct file {
  struct head head;
  _Atomic uint64_t current; // 0: no reign; else the slot is its lowest bit
  struct slot slot[2];
};

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a killed process leaves the word whole");

struct reign {
  struct file *file;
  int fd;
  bool found; // the file was of this boot and program when it was opened
  uint64_t current;
  char broker[REIGN_BROKER_MAX];
};

static uint32_t sum(const struct slot *slot) {
  const size_t from = offsetof(struct slot, spare);
  return crc32c((const char *)slot + from, sizeof *slot - from);
}

static const struct slot *slot_of(const struct reign *reign) {
  return &reign->file->slot[reign->current & 1];
}

static bool whole(const struct reign *reign) {
  return reign->found && reign->current != 0 && sum(slot_of(reign)) == slot_of(reign)->crc;
}

// Whoever may write there may write the core; so it must be this user's alone.
static int open_file(struct reign *reign, const char *path) {
  struct stat st;
  reign->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (reign->fd < 0 || fstat(reign->fd, &st) != 0)
    return -errno;
  if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
    return -EPERM;
  if (flock(reign->fd, LOCK_EX | LOCK_NB) != 0)
    return errno == EWOULDBLOCK ? -EBUSY : -errno;
  if (st.st_size == sizeof(struct file))
    return 0;
  return ftruncate(reign->fd, 0) == 0 && ftruncate(reign->fd, sizeof(struct file)) == 0 ? 0 : -errno;
}

static int map(struct reign *reign, uint64_t cluster, unsigned self) {
  struct head head = {.magic = MAGIC, .layout = CORE_LAYOUT, .size = sizeof(struct core), .cluster = cluster, .self = self};
  snprintf(head.boot_id, sizeof head.boot_id, "%s", clock_boot_id());
  // now: behind a full file system lies SIGBUS
  int rc = posix_fallocate(reign->fd, 0, sizeof(struct file));
  if (rc != 0)
    return -rc;
  void *at = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, reign->fd, 0);
  if (at == MAP_FAILED)
    return -errno;
  reign->file = at;
  reign->found = head.boot_id[0] != 0 && memcmp(&reign->file->head, &head, sizeof head) == 0;
  if (reign->found)
    return 0;
  atomic_store(&reign->file->current, 0);
  reign->file->head = head;
  return 0;
}

int reign_open(struct reign **out, const char *path, uint64_t cluster, unsigned self) {
  struct reign *reign = calloc(1, sizeof *reign);
  *out = NULL;
  if (reign == NULL)
    return -ENOMEM;
  reign->fd = -1;
  int rc = open_file(reign, path);
  if (rc == 0)
    rc = map(reign, cluster, self);
  if (rc != 0) {
    reign_close(reign);
    return rc;
  }
  reign->current = atomic_load(&reign->file->current);
  if (whole(reign))
    memcpy(reign->broker, slot_of(reign)->broker, sizeof reign->broker);
  *out = reign;
  return 0;
}

bool reign_read(const struct reign *reign, struct core *core, struct instant *base, char *broker) {
  const struct slot *slot = slot_of(reign);
  if (!whole(reign))
    return false;
  *core = slot->core;
  *base = slot->base;
  memcpy(broker, reign->broker, REIGN_BROKER_MAX);
  broker[REIGN_BROKER_MAX - 1] = 0; /* a checksum keeps damage out, not a text that is none */
  return true;
}

static void show(struct reign *reign, uint64_t current) {
  reign->current = current;
  atomic_store(&reign->file->current, current);
}

void reign_keep(struct reign *reign, const struct core *core, struct instant base) {
  uint64_t next = reign->current + 1 == 0 ? 2 : reign->current + 1;
  struct slot *slot = &reign->file->slot[next & 1];
  slot->core = *core;
  slot->base = base;
  memcpy(slot->broker, reign->broker, sizeof slot->broker);
  slot->crc = sum(slot);
  show(reign, next);
}

void reign_forget(struct reign *reign) {
  if (reign->current != 0)
    show(reign, 0);
}

void reign_broker(struct reign *reign, const char *incarnation) {
  if (strncmp(reign->broker, incarnation, sizeof reign->broker) == 0)
    return;
  struct slot *slot = &reign->file->slot[(reign->current + 1) & 1];
  memset(reign->broker, 0, sizeof reign->broker);
  snprintf(reign->broker, sizeof reign->broker, "%s", incarnation);
  if (reign->current == 0)
    return;
  *slot = *slot_of(reign);
  memcpy(slot->broker, reign->broker, sizeof slot->broker);
  slot->crc = sum(slot);
  show(reign, reign->current + 1);
}

void reign_close(struct reign *reign) {
  if (reign == NULL)
    return;
  if (reign->file != NULL)
    munmap(reign->file, sizeof *reign->file);
  if (reign->fd >= 0)
    close(reign->fd);
  free(reign);
}
