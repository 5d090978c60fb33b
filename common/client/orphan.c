// SPDX-License-Identifier: Apache-2.0
// Orphan files: what a rejoin cuts off, kept for a person to read and replay. Each entry has a checksum of
// its own, so that what stands before a damaged place can still be read.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/crc.h"
#include "common/client/keep.h"
#include "common/client/tanist.h"

#define MAGIC "tanistO2" // its last byte is the version
#define HEAD_SIZE 44     // magic 8, four numbers 32, checksum 4
#define LAST UINT32_MAX  // the length in the last row, whose number is that of the entries
#define BUFFER_SIZE 65536
#define ENTRY_SIZE 44 // four numbers 32, length 4, checksum of the data 4, checksum of all before 4

struct tanist_orphan {
  FILE *file;
  int error;                                // the first that was met while writing
  uint64_t count;                           // entries written or read
  char path[PATH_MAX], temporary[PATH_MAX]; // temporary: while it is being written, else ""
  uint8_t *data;                            // of the entry last read
  size_t room;
  char buffer[BUFFER_SIZE]; // the file's, which stdio would allocate at the first read or write
};

static void discard(struct tanist_orphan *o) {
  if (o->file != NULL)
    fclose(o->file);
  if (o->temporary[0] != 0)
    unlink(o->temporary);
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

/* After an error a part may be missing in the middle: the file can no more become whole. */
static int put(struct tanist_orphan *o, const void *bytes, size_t size) {
  errno = 0;
  if (o->error == 0 && size > 0 && fwrite(bytes, size, 1, o->file) != 1)
    o->error = errno != 0 ? -errno : -EIO;
  return o->error;
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

static int name_it(struct tanist_orphan *o, const char *path) {
  if ((size_t)snprintf(o->path, sizeof o->path, "%s", path) >= sizeof o->path ||
      (size_t)snprintf(o->temporary, sizeof o->temporary, "%s.new", path) >= sizeof o->temporary)
    return o->temporary[0] = 0, -ENAMETOOLONG;
  return 0;
}

static int open_file(struct tanist_orphan *o, const char *path, const char *how) {
  o->file = fopen(path, how);
  if (o->file == NULL)
    return -errno;
  setvbuf(o->file, o->buffer, _IOFBF, sizeof o->buffer);
  return 0;
}

int tanist_orphan_create(struct tanist_orphan **out, const char *path,
                         const struct tanist_orphan_head *head) {
  *out = NULL;
  if (access(path, F_OK) == 0)
    return -EEXIST;
  struct tanist_orphan *o = calloc(1, sizeof *o);
  if (o == NULL)
    return -ENOMEM;
  int rc = name_it(o, path);
  if (rc == 0)
    rc = open_file(o, o->temporary, "we"); /* one left of a crash was never whole */
  if (rc == 0)
    rc = put_head(o, head);
  if (rc != 0) {
    discard(o);
    return rc;
  }
  *out = o;
  return 0;
}

static int put_row(struct tanist_orphan *o, const struct tanist_orphan_entry *entry, uint32_t size) {
  uint8_t bytes[ENTRY_SIZE], *at = bytes;
  bytes_put_u64(&at, entry->epoch);
  bytes_put_u64(&at, entry->position);
  bytes_put_u64(&at, entry->producer);
  bytes_put_u64(&at, entry->number);
  bytes_put_u32(&at, size);
  bytes_put_u32(&at, crc32c(entry->data, entry->size));
  seal_bytes(bytes, at);
  return put(o, bytes, sizeof bytes);
}

int tanist_orphan_write(struct tanist_orphan *o, const struct tanist_orphan_entry *entry) {
  if (entry->size > TANIST_ORPHAN_ENTRY_MAX)
    return -EMSGSIZE;
  int rc = put_row(o, entry, (uint32_t)entry->size);
  if (rc == 0)
    rc = put(o, entry->data, entry->size);
  o->count += rc == 0;
  return rc;
}

int tanist_orphan_finish(struct tanist_orphan *o) {
  int rc = put_row(o, &(struct tanist_orphan_entry){.number = o->count}, LAST);
  if (rc == 0)
    rc = fflush(o->file) == 0 && fsync(fileno(o->file)) == 0 ? 0 : -errno;
  if (rc == 0 && link(o->temporary, o->path) != 0) /* link, not rename: never over another one */
    rc = -errno;
  if (rc == 0)
    rc = keep_name(o->path);
  discard(o);
  return rc;
}

// ---- reading ----

static bool whole(const uint8_t *bytes, size_t size) {
  const uint8_t *at = bytes + size - 4;
  return bytes_get_u32(&at) == crc32c(bytes, size - 4);
}

/* O_NONBLOCK: whatever lies there, it must not hang us. */
static int open_to_read(struct tanist_orphan *o, const char *path) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return -errno;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (o->file = fdopen(fd, "r")) == NULL) {
    close(fd);
    return -EBADMSG;
  }
  setvbuf(o->file, o->buffer, _IOFBF, sizeof o->buffer);
  o->room = (size_t)st.st_size < TANIST_ORPHAN_ENTRY_MAX ? (size_t)st.st_size : TANIST_ORPHAN_ENTRY_MAX;
  o->data = malloc(o->room > 0 ? o->room : 1); /* no entry is larger than the file */
  return o->data != NULL ? 0 : -ENOMEM;
}

static int get_head(struct tanist_orphan *o, struct tanist_orphan_head *head) {
  uint8_t bytes[HEAD_SIZE];
  size_t got = fread(bytes, 1, sizeof bytes, o->file), name = sizeof MAGIC - 2;
  if (got < sizeof MAGIC - 1 || memcmp(bytes, MAGIC, name) != 0)
    return -EBADMSG;
  if (bytes[name] != MAGIC[name])
    return -EPROTONOSUPPORT;
  if (got < sizeof bytes || !whole(bytes, sizeof bytes))
    return -EBADMSG;
  const uint8_t *at = bytes + 8;
  head->epoch = bytes_get_u64(&at);
  head->position = bytes_get_u64(&at);
  head->master_epoch = bytes_get_u64(&at);
  head->wall_ms = (int64_t)bytes_get_u64(&at);
  return 0;
}

int tanist_orphan_open(struct tanist_orphan **out, const char *path, struct tanist_orphan_head *head) {
  *out = NULL;
  struct tanist_orphan *o = calloc(1, sizeof *o);
  if (o == NULL)
    return -ENOMEM;
  int rc = open_to_read(o, path);
  if (rc == 0)
    rc = get_head(o, head);
  if (rc != 0) {
    discard(o);
    return rc;
  }
  *out = o;
  return 0;
}

static int get_data(struct tanist_orphan *o, size_t size) {
  if (size > o->room)
    return -EBADMSG;
  return size == 0 || fread(o->data, size, 1, o->file) == 1 ? 0 : -EBADMSG;
}

/* A row, and the checksum of its data. */
static int get_row(struct tanist_orphan *o, struct tanist_orphan_entry *entry, uint32_t *crc) {
  uint8_t bytes[ENTRY_SIZE];
  const uint8_t *at = bytes;
  if (fread(bytes, sizeof bytes, 1, o->file) != 1 || !whole(bytes, sizeof bytes))
    return -EBADMSG;
  entry->epoch = bytes_get_u64(&at);
  entry->position = bytes_get_u64(&at);
  entry->producer = bytes_get_u64(&at);
  entry->number = bytes_get_u64(&at);
  entry->size = bytes_get_u32(&at);
  *crc = bytes_get_u32(&at);
  return 0;
}

int tanist_orphan_next(struct tanist_orphan *o, struct tanist_orphan_entry *entry) {
  uint32_t crc;
  int rc = o->error != 0 ? o->error : get_row(o, entry, &crc);
  if (rc == 0 && entry->size == LAST) {
    fseek(o->file, -ENTRY_SIZE, SEEK_CUR); /* the end is there to be found again */
    return entry->number == o->count ? 0 : -EBADMSG;
  }
  if (rc == 0)
    rc = get_data(o, entry->size);
  if (rc == 0 && crc32c(o->data, entry->size) != crc)
    rc = -EBADMSG;
  if (rc != 0)
    return o->error = rc; /* what follows cannot be told from what was in between */
  entry->data = o->data;
  o->count++;
  return 1;
}
