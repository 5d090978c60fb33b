// SPDX-License-Identifier: Apache-2.0
#include "common/base/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/json.h"

#define PATH_MAX_BYTES 512
#define START "{\"serial\":" // of each line, for a serial to be found without parsing

// What is above was not written here: JSON's numbers end, and `next` must not wrap.
#define SERIAL_MAX (UINT64_C(1) << 62)

struct ledger {
  char path[PATH_MAX_BYTES], old[PATH_MAX_BYTES + 2];
  int fd;
  int error;
  bool torn; // the file ends in the middle of a line that could not be taken back
  size_t file_size, damaged;
  uint64_t next;
  size_t max, used, owed; // bytes of `text`; the last `owed` are not in the file yet
  char text[];
};

// ---- in memory ----

/* 0: no serial there. */
static uint64_t serial_of(const char *line, size_t length) {
  size_t start = sizeof START - 1;
  uint64_t serial = 0;
  if (length <= start || memcmp(line, START, start) != 0)
    return 0;
  for (size_t i = start; i < length && line[i] >= '0' && line[i] <= '9'; i++) {
    serial = serial * 10 + (uint64_t)(line[i] - '0');
    if (serial >= SERIAL_MAX)
      return 0;
  }
  return serial;
}

/* The oldest go, a quarter at a time, so that not every line moves all others. */
static void make_room(struct ledger *l, size_t length) {
  if (l->used + length + 1 <= l->max)
    return;
  size_t drop = l->max / 4 < l->used ? l->max / 4 : l->used;
  const char *end = drop < l->used ? memchr(l->text + drop, '\n', l->used - drop) : NULL;
  drop = end != NULL ? (size_t)(end - l->text) + 1 : l->used;
  memmove(l->text, l->text + drop, l->used - drop);
  l->used -= drop;
  l->owed = l->owed < l->used ? l->owed : l->used;
}

static void append(struct ledger *l, const char *line, size_t length) {
  make_room(l, length);
  memcpy(l->text + l->used, line, length);
  l->text[l->used + length] = '\n';
  l->used += length + 1;
}

// ---- from the files ----

static int open_regular(const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640); /* a FIFO must not hang us */
  if (fd < 0)
    return -errno;
  struct stat st;
  int rc = fstat(fd, &st) != 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EBADMSG;
  if (rc == 0)
    return fd;
  close(fd);
  return rc;
}

static void take(struct ledger *l, const char *line, size_t length) {
  uint64_t serial = serial_of(line, length);
  struct json *json = serial >= l->next && length < l->max / 4 ? json_parse(line, length, NULL, 0) : NULL;
  if (json == NULL) {
    l->damaged++;
    return;
  }
  json_free(json);
  append(l, line, length);
  l->next = serial + 1;
}

static void take_all(struct ledger *l, const char *text, size_t size) {
  while (size > 0) {
    const char *end = memchr(text, '\n', size);
    size_t length = end != NULL ? (size_t)(end - text) : size;
    if (length > 0) /* torn by a crash it may lack nothing but its end: then its serial is used up */
      take(l, text, length);
    length += end != NULL;
    text += length;
    size -= length;
  }
}

/* 0 or a negative errno; *torn: its last line has no end. Of a file that is too long, the end. */
static int read_file(struct ledger *l, const char *path, size_t *size, bool *torn) {
  int fd = open_regular(path, O_RDONLY);
  if (fd < 0)
    return fd;
  char *text = malloc(l->max);
  off_t end = lseek(fd, 0, SEEK_END);
  off_t from = end > (off_t)l->max ? end - (off_t)l->max : 0;
  ssize_t got = text != NULL && end >= 0 ? pread(fd, text, l->max, from) : -1;
  int rc = got >= 0 ? 0 : text == NULL ? -ENOMEM : -errno;
  close(fd);
  if (got > 0) {
    take_all(l, text, (size_t)got);
    *torn = text[got - 1] != '\n';
  }
  *size = end > 0 ? (size_t)end : 0;
  free(text);
  return rc;
}

static void load(struct ledger *l) {
  size_t size = 0;
  bool torn = false;
  int old = read_file(l, l->old, &size, &torn);
  size = 0;
  torn = false;
  int rc = read_file(l, l->path, &size, &torn);
  l->file_size = size;
  l->torn = torn;
  l->error = rc != 0 && rc != -ENOENT ? -rc : old != 0 && old != -ENOENT ? -old : 0;
}

struct ledger *ledger_open(const char *directory, const char *name, size_t bytes_max) {
  struct ledger *l = calloc(1, sizeof *l + bytes_max);
  if (l == NULL)
    return NULL;
  snprintf(l->path, sizeof l->path, "%s/%s", directory, name);
  snprintf(l->old, sizeof l->old, "%s.1", l->path);
  l->fd = -1;
  l->max = bytes_max;
  l->next = 1;
  load(l);
  return l;
}

void ledger_close(struct ledger *l) {
  if (l == NULL)
    return;
  if (l->fd >= 0)
    close(l->fd);
  free(l);
}

// ---- to the file ----

/* Half of the bound each, so that there is always a half to look back on. Where the old one cannot be put
   aside it is emptied: bounded it stays. */
static void rotate(struct ledger *l) {
  if (l->file_size == 0 || l->file_size + l->owed <= l->max / 2)
    return;
  if (rename(l->path, l->old) == 0) {
    if (l->fd >= 0)
      close(l->fd);
    l->fd = -1;
  } else if (l->file_size + l->owed <= l->max || l->fd < 0 || ftruncate(l->fd, 0) != 0) {
    return;
  }
  l->file_size = 0;
  l->torn = false;
}

static int open_file(struct ledger *l) {
  if (l->fd >= 0)
    return 0;
  int fd = open_regular(l->path, O_WRONLY | O_APPEND | O_CREAT);
  if (fd < 0)
    return fd;
  l->fd = fd;
  off_t end = lseek(fd, 0, SEEK_END);
  l->file_size = end > 0 ? (size_t)end : 0;
  return 0;
}

/* What is written in part is taken back, else a line's end is put before the next. */
static int write_owed(struct ledger *l) {
  if (l->torn && write(l->fd, "\n", 1) != 1)
    return errno != 0 ? -errno : -EIO;
  l->torn = false;
  const char *from = l->text + l->used - l->owed;
  ssize_t done = write(l->fd, from, l->owed);
  if (done == (ssize_t)l->owed) {
    l->file_size += l->owed;
    l->owed = 0;
    /* begins the way to the disk and does not wait for it */
    (void)sync_file_range(l->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return 0;
  }
  int rc = done < 0 ? -errno : -ENOSPC;
  if (done > 0 && ftruncate(l->fd, (off_t)l->file_size) != 0) {
    l->torn = true;
    l->file_size += (size_t)done;
  }
  return rc;
}

static int flush(struct ledger *l) {
  rotate(l);
  int rc = open_file(l);
  return rc != 0 ? rc : write_owed(l);
}

int ledger_add(struct ledger *l, const char *line, size_t length) {
  if (length >= l->max / 4)
    return -EMSGSIZE;
  append(l, line, length);
  l->next++;
  l->owed += length + 1;
  l->error = -flush(l);
  return -l->error;
}

// ---- looking ----

uint64_t ledger_next_serial(const struct ledger *l) {
  return l->next;
}

static struct ledger_line line_at(const struct ledger *l, const char *at) {
  const char *end = l->text + l->used;
  const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
  if (stop == NULL)
    return (struct ledger_line){0};
  size_t length = (size_t)(stop - at);
  return (struct ledger_line){.text = at, .length = length, .serial = serial_of(at, length)};
}

struct ledger_line ledger_following(const struct ledger *l, const struct ledger_line *line) {
  return line_at(l, line->text + line->length + 1);
}

struct ledger_line ledger_after(const struct ledger *l, uint64_t after) {
  struct ledger_line line = line_at(l, l->text);
  while (line.length > 0 && line.serial <= after)
    line = ledger_following(l, &line);
  return line;
}

int ledger_error(const struct ledger *l) {
  return l->error;
}
size_t ledger_damaged(const struct ledger *l) {
  return l->damaged;
}
const char *ledger_path(const struct ledger *l) {
  return l->path;
}
