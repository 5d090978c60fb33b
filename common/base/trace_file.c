// SPDX-License-Identifier: Apache-2.0
#include "common/base/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_MAX ((ACTIONS_MAX + 2) * (TRACE_LINE_MAX + 3)) // an event, its actions, and what comes before it

struct trace_file {
  int fd;
  struct instant base;
  bool cut;      // the file ends in the middle of a line
  uint64_t lost; // steps, since the last that was written
  char text[STEP_MAX];
};

/* A SIGKILL may have cut the last line of the run before. */
static bool ends_in_a_line(const char *path) {
  char last = '\n';
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool read_it = fd >= 0 && lseek(fd, -1, SEEK_END) >= 0 && read(fd, &last, 1) == 1;
  if (fd >= 0)
    close(fd);
  return read_it && last != '\n';
}

/* What must stand before the next line. Returns its length. */
static size_t put_mark(struct trace_file *file) {
  size_t length = (size_t)snprintf(file->text, sizeof file->text, "%s", file->cut ? TRACE_CUT "\n" : "");
  if (file->lost > 0)
    length += (size_t)snprintf(file->text + length, sizeof file->text - length, TRACE_LOST " %" PRIu64 "\n",
                               file->lost);
  return length;
}

static int put(struct trace_file *file, size_t length) {
  ssize_t written = write(file->fd, file->text, length);
  int rc = written < 0 ? -errno : 0;
  if (written == (ssize_t)length) {
    file->cut = false;
    file->lost = 0;
    return 0;
  }
  if (written > 0)
    file->cut = file->text[written - 1] != '\n';
  file->lost++;
  return rc == 0 ? -ENOSPC : rc;
}

static int append(struct trace_file **out, const char *path, struct instant base, const char *first) {
  struct trace_file *file = calloc(1, sizeof *file);
  *out = NULL;
  if (file == NULL)
    return -ENOMEM;
  file->base = base;
  file->cut = ends_in_a_line(path);
  file->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  int rc = file->fd < 0 ? -errno : 0;
  if (rc == 0) {
    size_t length = put_mark(file);
    length += (size_t)snprintf(file->text + length, TRACE_LINE_MAX, "%s\n", first);
    rc = put(file, length);
  }
  if (rc == 0)
    *out = file;
  else
    trace_file_close(file);
  return rc;
}

int trace_file_open(struct trace_file **out, const char *path, const struct trace_start *start) {
  char line[TRACE_LINE_MAX];
  trace_start(line, sizeof line, start);
  return append(out, path, start->base, line);
}

int trace_file_resume(struct trace_file **out, const char *path, struct instant base, struct instant now) {
  char line[TRACE_LINE_MAX];
  snprintf(line, sizeof line, TRACE_RESUMED " %" PRId64, now.us - base.us);
  return append(out, path, base, line);
}

void trace_file_step(struct trace_file *file, const struct event *event, const struct actions *actions) {
  size_t length = put_mark(file);
  length += trace_event(file->text + length, TRACE_LINE_MAX, file->base, event);
  file->text[length++] = '\n';
  length += trace_actions(file->text + length, sizeof file->text - length, file->base, actions);
  put(file, length);
}

void trace_file_close(struct trace_file *file) {
  if (file == NULL)
    return;
  if (file->fd >= 0)
    close(file->fd);
  free(file);
}
