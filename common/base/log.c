// SPDX-License-Identifier: Apache-2.0
#include "common/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/text.h"

#define LINE_MAX_BYTES 1024 // well under PIPE_BUF: a line is written whole or not at all

static struct {
  char program[32];
  enum log_level level;
  bool journal;
  unsigned lost; // lines that stderr had no room for
} log_state = {.program = "tanist", .level = LOG_INFO};

static const char *const level_name[] = {[LOG_ERROR] = "error",
                                         [LOG_WARNING] = "warning",
                                         [LOG_NOTICE] = "notice",
                                         [LOG_INFO] = "info",
                                         [LOG_DEBUG] = "debug"};

static bool stderr_is_journal(void) {
  const char *text = getenv("JOURNAL_STREAM"); // "st_dev:st_ino"
  unsigned long long device, inode;
  struct stat st;
  if (text == NULL || sscanf(text, "%llu:%llu", &device, &inode) != 2 || fstat(STDERR_FILENO, &st) != 0)
    return false;
  return st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *program) {
  snprintf(log_state.program, sizeof log_state.program, "%s", program);
  log_state.journal = stderr_is_journal();
  log_state.level = LOG_INFO;
  const char *wanted = getenv("TANIST_LOG");
  for (unsigned level = LOG_ERROR; wanted != NULL && level <= LOG_DEBUG; level++)
    if (strcmp(wanted, level_name[level]) == 0)
      log_state.level = (enum log_level)level;
}

// What comes before the text; the journal has time and program by itself.
static size_t put_prefix(char *line, size_t size, enum log_level level) {
  if (log_state.journal)
    return (size_t)snprintf(line, size, "<%d>", level);
  struct timespec now;
  struct tm local;
  char date[32], zone[8];
  clock_gettime(CLOCK_REALTIME, &now);
  localtime_r(&now.tv_sec, &local);
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &local);
  strftime(zone, sizeof zone, "%z", &local);
  return (size_t)snprintf(line, size, "%s.%03d%s %s: %s: ", date, (int)(now.tv_nsec / 1000000), zone,
                          log_state.program, level_name[level]);
}

// A stderr that nobody reads must not stop an agent: what finds no room is counted, not waited for.
static bool put_line(const char *line, size_t length) {
  struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
  return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0 &&
         write(STDERR_FILENO, line, length) == (ssize_t)length;
}

__attribute__((format(printf, 2, 0))) static bool put(enum log_level level, const char *format,
                                                      va_list arguments) {
  char line[LINE_MAX_BYTES + 1];
  size_t prefix = put_prefix(line, sizeof line, level);
  int wanted = vsnprintf(line + prefix, sizeof line - prefix, format, arguments);
  size_t length = prefix + (wanted < 0 ? 0 : (size_t)wanted);
  if (length >= sizeof line) { // keep room for the line's end
    length = sizeof line - 1;
    memcpy(line + length - 3, "...", 3);
  }
  text_clean(line + prefix, length - prefix);
  line[length] = '\n';
  return put_line(line, length + 1);
}

__attribute__((format(printf, 2, 3))) static bool say(enum log_level level, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  bool done = put(level, format, arguments);
  va_end(arguments);
  return done;
}

void log_line(enum log_level level, const char *format, ...) {
  if (level > log_state.level)
    return;
  int saved = errno; // whoever logs a failure may still want its number
  if (log_state.lost > 0 &&
      say(LOG_WARNING, "%u lines of this log were lost: nobody read them", log_state.lost))
    log_state.lost = 0;
  va_list arguments;
  va_start(arguments, format);
  if (!put(level, format, arguments))
    log_state.lost++;
  va_end(arguments);
  errno = saved;
}
