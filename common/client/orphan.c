// SPDX-License-Identifier: Apache-2.0
// Orphan files: what a rejoin cuts off, kept for a person to read and replay. Each entry has a checksum of
// its own, so that what stands before a damaged place can still be read.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/crc.h"
#include "common/client/tanist.h"

#define MAGIC "tanistO1"
#define HEAD_SIZE 44  // magic 8, four numbers 32, checksum 4
#define ENTRY_SIZE 44 // four numbers 32, length 4, checksum of the data 4, checksum of all before 4

struct tanist_orphan {
  FILE *file;
  char *path, *temporary; // temporary: while it is being written, else NULL
  uint8_t *data;          // of the entry last read
  size_t room;
};

static void discard(struct tanist_orphan *o) {
  if (o->file != NULL)
    fclose(o->file);
  if (o->temporary != NULL)
    unlink(o->temporary);
  free(o->temporary);
  free(o->path);
  free(o->data);
  free(o);
}

void tanist_orphan_close(struct tanist_orphan *o) {
  if (o != NULL)
    discard(o);
}

static void seal_bytes(uint8_t *bytes, uint8_t *at) {
  bytes_put_u32(&at, crc32c(bytes, (size_t)(at - bytes)));
}

static int put(struct tanist_orphan *o, const void *bytes, size_t size) {
  return size == 0 || fwrite(bytes, size, 1, o->file) == 1 ? 0 : errno != 0 ? -errno : -EIO;
}

static int put_head(struct tanist_orphan *o, const struct tanist_orphan_head *head) {
  uint8_t bytes[HEAD_SIZE], *at = bytes + 8;
  memcpy(bytes, MAGIC, 8);
  bytes_put_u64(&at, head->epoch);
  bytes_put_u64(&at, head->position);
  bytes_put_u64(&at, head->master_epoch);
  bytes_put_u64(&at, (uint64_t)head->wall_ms);
  seal_bytes(bytes, at);
  return put(o, bytes, sizeof bytes);
}

int tanist_orphan_create(struct tanist_orphan **out, const char *path,
                         const struct tanist_orphan_head *head) {
  *out = NULL;
  if (access(path, F_OK) == 0)
    return -EEXIST;
  struct tanist_orphan *o = calloc(1, sizeof *o);
  if (o == NULL)
    return -ENOMEM;
  o->path = strdup(path);
  if (o->path == NULL || asprintf(&o->temporary, "%s.new", path) < 0) {
    o->temporary = NULL;
    discard(o);
    return -ENOMEM;
  }
  o->file = fopen(o->temporary, "we"); /* one left of a crash was never whole */
  int rc = o->file == NULL ? -errno : put_head(o, head);
  if (rc != 0) {
    discard(o);
    return rc;
  }
  *out = o;
  return 0;
}

int tanist_orphan_write(struct tanist_orphan *o, const struct tanist_orphan_entry *entry) {
  uint8_t bytes[ENTRY_SIZE], *at = bytes;
  if (entry->size > TANIST_ORPHAN_ENTRY_MAX)
    return -EMSGSIZE;
  bytes_put_u64(&at, entry->epoch);
  bytes_put_u64(&at, entry->position);
  bytes_put_u64(&at, entry->producer);
  bytes_put_u64(&at, entry->number);
  bytes_put_u32(&at, (uint32_t)entry->size);
  bytes_put_u32(&at, crc32c(entry->data, entry->size));
  seal_bytes(bytes, at);
  int rc = put(o, bytes, sizeof bytes);
  return rc != 0 ? rc : put(o, entry->data, entry->size);
}

static int sync_directory(const char *path) {
  char *copy = strdup(path);
  if (copy == NULL)
    return -ENOMEM;
  char *slash = strrchr(copy, '/');
  if (slash != NULL)
    slash[slash == copy ? 1 : 0] = 0;
  FILE *directory = fopen(slash != NULL ? copy : ".", "re");
  int rc = directory == NULL ? -errno : fsync(fileno(directory)) == 0 ? 0 : -errno;
  if (directory != NULL)
    fclose(directory);
  free(copy);
  return rc;
}

int tanist_orphan_finish(struct tanist_orphan *o) {
  int rc = fflush(o->file) == 0 && fsync(fileno(o->file)) == 0 ? 0 : -errno;
  if (rc == 0 && link(o->temporary, o->path) != 0) /* link, not rename: never over another one */
    rc = -errno;
  if (rc == 0)
    rc = sync_directory(o->path);
  discard(o);
  return rc;
}

// ---- reading ----

static bool whole(const uint8_t *bytes, size_t size) {
  const uint8_t *at = bytes + size - 4;
  return bytes_get_u32(&at) == crc32c(bytes, size - 4);
}

int tanist_orphan_open(struct tanist_orphan **out, const char *path, struct tanist_orphan_head *head) {
  uint8_t bytes[HEAD_SIZE];
  *out = NULL;
  struct tanist_orphan *o = calloc(1, sizeof *o);
  if (o == NULL)
    return -ENOMEM;
  o->file = fopen(path, "re");
  int rc = o->file == NULL ? -errno : 0;
  if (rc == 0 && (fread(bytes, sizeof bytes, 1, o->file) != 1 || memcmp(bytes, MAGIC, 8) != 0 ||
                  !whole(bytes, sizeof bytes)))
    rc = -EBADMSG;
  if (rc != 0) {
    discard(o);
    return rc;
  }
  const uint8_t *at = bytes + 8;
  head->epoch = bytes_get_u64(&at);
  head->position = bytes_get_u64(&at);
  head->master_epoch = bytes_get_u64(&at);
  head->wall_ms = (int64_t)bytes_get_u64(&at);
  *out = o;
  return 0;
}

static int get_data(struct tanist_orphan *o, size_t size) {
  if (size > o->room) {
    uint8_t *more = realloc(o->data, size);
    if (more == NULL)
      return -ENOMEM;
    o->data = more;
    o->room = size;
  }
  return size == 0 || fread(o->data, size, 1, o->file) == 1 ? 0 : -EBADMSG;
}

int tanist_orphan_next(struct tanist_orphan *o, struct tanist_orphan_entry *entry) {
  uint8_t bytes[ENTRY_SIZE];
  size_t got = fread(bytes, 1, sizeof bytes, o->file);
  if (got == 0 && feof(o->file))
    return 0;
  if (got != sizeof bytes || !whole(bytes, sizeof bytes))
    return -EBADMSG;
  const uint8_t *at = bytes;
  entry->epoch = bytes_get_u64(&at);
  entry->position = bytes_get_u64(&at);
  entry->producer = bytes_get_u64(&at);
  entry->number = bytes_get_u64(&at);
  entry->size = bytes_get_u32(&at);
  uint32_t crc = bytes_get_u32(&at);
  int rc = entry->size > TANIST_ORPHAN_ENTRY_MAX ? -EBADMSG : get_data(o, entry->size);
  if (rc != 0)
    return rc;
  entry->data = o->data;
  return crc32c(o->data, entry->size) == crc ? 1 : -EBADMSG;
}
