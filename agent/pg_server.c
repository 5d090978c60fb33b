// SPDX-License-Identifier: Apache-2.0
#include "agent/pg_server.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/text.h"

#define START_S "50"         // so long pg_ctl waits for the server
#define START_MS 60000
#define ROOM_MIN (32U << 20) // bytes: two WAL segments of the usual size
#define HISTORY_FILE_MAX (PG_HISTORY_MAX * 64)

struct pg_server {
  struct loop *loop;
  struct pg_server_settings settings;
  char log_file[PATH_MAX], config_option[PATH_MAX];
  void (*died)(void *arg);
  void *arg;
  int pidfd; // of the postmaster; -1: none known
  pid_t pid;
  struct loop_io *io;
  off_t log_size; // of log_file, before the last start
};

// ---- files ----

static const char *path_in(const struct pg_server *s, const char *name, char path[static PATH_MAX]) {
  snprintf(path, PATH_MAX, "%s/%s", s->settings.data_directory, name);
  return path;
}

// What root makes in there is the server's all the same.
static void give_away(const struct pg_server *s, int fd) {
  struct stat directory;
  if (geteuid() == 0 && stat(s->settings.data_directory, &directory) == 0 && directory.st_uid != 0 &&
      fchown(fd, directory.st_uid, directory.st_gid) != 0)
    return; // the server will say that it cannot read it
}

static int put(const struct pg_server *s, const char *name, int flags, const char *text) {
  char path[PATH_MAX];
  int fd = open(path_in(s, name, path), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
  if (fd < 0)
    return -errno;
  give_away(s, fd);
  size_t size = strlen(text);
  ssize_t written = size > 0 ? write(fd, text, size) : 0;
  int rc = written == (ssize_t)size ? 0 : written < 0 ? -errno : -ENOSPC;
  close(fd);
  return rc;
}

// Nothing is synced: whoever starts the server next writes it anew.
int pg_server_make_standby(const struct pg_server *s, const char *lines) {
  int rc = put(s, "standby.signal", 0, "");
  return rc != 0 ? rc : put(s, "postgresql.auto.conf", O_APPEND, lines);
}

bool pg_server_is_standby(const struct pg_server *s) {
  return pg_server_has(s, "standby.signal");
}

int pg_server_make_plain(const struct pg_server *s) {
  return pg_server_remove(s, "standby.signal");
}

int pg_server_write(const struct pg_server *s, const char *name, const char *text) {
  return put(s, name, O_TRUNC, text);
}

int pg_server_remove(const struct pg_server *s, const char *name) {
  char path[PATH_MAX];
  return unlink(path_in(s, name, path)) == 0 || errno == ENOENT ? 0 : -errno;
}

bool pg_server_has(const struct pg_server *s, const char *name) {
  char path[PATH_MAX];
  return access(path_in(s, name, path), F_OK) == 0;
}

// 0 at the end of the text; -1: not readable, or larger.
static int get(const struct pg_server *s, const char *name, char *text, size_t size) {
  char path[PATH_MAX];
  int fd = open(path_in(s, name, path), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  ssize_t got = read(fd, text, size);
  close(fd);
  if (got < 0 || (size_t)got == size)
    return -1;
  text[got] = 0;
  return 0;
}

static bool is_segment(const char *name) {
  return strlen(name) == 24 && strspn(name, "0123456789ABCDEF") == 24;
}

bool pg_server_timeline(const struct pg_server *s, uint32_t *timeline) {
  char path[PATH_MAX];
  DIR *d = opendir(path_in(s, "pg_wal", path));
  *timeline = 0;
  for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
    uint32_t of;
    if (is_segment(e->d_name) && sscanf(e->d_name, "%8" SCNx32, &of) == 1 && of > *timeline)
      *timeline = of;
  }
  if (d != NULL)
    closedir(d);
  return *timeline > 0;
}

bool pg_server_history(const struct pg_server *s, uint32_t timeline, struct pg_history *history) {
  char name[40], *text = malloc(HISTORY_FILE_MAX);
  snprintf(name, sizeof name, "pg_wal/%08" PRIX32 ".history", timeline);
  bool good = text != NULL;
  if (good && timeline == 1)
    text[0] = 0;
  else if (good)
    good = get(s, name, text, HISTORY_FILE_MAX) == 0;
  good = good && pg_history_read(history, timeline, text);
  free(text);
  return good;
}

// The control file is written in place, by pg_rewind as by the server.
void pg_server_identity(const struct pg_server *s, char text[static PG_IDENTITY_MAX]) {
  char path[PATH_MAX];
  struct statx at;
  text[0] = 0;
  if (statx(AT_FDCWD, path_in(s, "global/pg_control", path), 0, STATX_INO | STATX_BTIME, &at) != 0)
    return;
  bool born = (at.stx_mask & STATX_BTIME) != 0;
  snprintf(text, PG_IDENTITY_MAX, "%" PRIx64 ".%" PRIx64 ".%" PRIx32, (uint64_t)at.stx_ino,
           born ? (uint64_t)at.stx_btime.tv_sec : 0, born ? at.stx_btime.tv_nsec : 0);
}

static bool full_at(const char *path) {
  struct statvfs at;
  return statvfs(path, &at) == 0 && (uint64_t)at.f_bavail * at.f_frsize < ROOM_MIN;
}

bool pg_server_full(const struct pg_server *s) {
  char path[PATH_MAX];
  return full_at(s->settings.data_directory) || full_at(path_in(s, "pg_wal", path));
}

const char *pg_server_unusable(const struct pg_server *s) {
  struct stat directory;
  if (stat(s->settings.data_directory, &directory) != 0)
    return "broker.options.data_directory: not there, or not readable: run the agent as the server's user or as root";
  if (!pg_server_has(s, "PG_VERSION"))
    return "broker.options.data_directory: no database in it: make one with initdb or pg_basebackup";
  if (geteuid() != 0 && directory.st_uid != geteuid())
    return "broker.options.data_directory: of another user: run the agent as that one, or as root";
  return NULL;
}

// ---- the process ----

static void forget(struct pg_server *s) {
  loop_io_free(s->io);
  s->io = NULL;
  if (s->pidfd >= 0)
    close(s->pidfd);
  s->pidfd = -1;
  s->pid = 0;
}

static void on_death(void *arg, bool readable, bool writable) {
  struct pg_server *s = arg;
  (void)writable;
  if (!readable)
    return;
  forget(s);
  s->died(s->arg);
}

// A process number that was taken by somebody else since works elsewhere, or is of another user.
static bool works_here(const struct pg_server *s, pid_t pid) {
  char link[40], real[PATH_MAX], there[PATH_MAX];
  snprintf(link, sizeof link, "/proc/%d/cwd", (int)pid);
  ssize_t size = readlink(link, there, sizeof there - 1);
  if (size < 0)
    return (errno == EACCES || errno == EPERM) && kill(pid, 0) == 0;
  there[size] = 0;
  return realpath(s->settings.data_directory, real) != NULL && strcmp(real, there) == 0;
}

static void find(struct pg_server *s) {
  char text[1024];
  pid_t pid = get(s, "postmaster.pid", text, sizeof text) == 0 ? (pid_t)atol(text) : 0;
  if (pid <= 1 || !works_here(s, pid))
    return;
  s->pidfd = pidfd_open(pid, 0);
  s->io = s->pidfd >= 0 ? loop_io_new(s->loop, s->pidfd, on_death, s) : NULL;
  if (s->io == NULL || !works_here(s, pid)) {
    forget(s);
    return;
  }
  s->pid = pid;
  loop_io_want(s->io, true, false);
}

bool pg_server_running(struct pg_server *s) {
  if (s->pidfd < 0)
    find(s);
  return s->pidfd >= 0;
}

void pg_server_stop(const struct pg_server *s, enum pg_stop how) {
  static const int signals[] = {[PG_FAST] = SIGINT, [PG_IMMEDIATE] = SIGQUIT, [PG_KILL] = SIGKILL};
  if (s->pidfd >= 0)
    pidfd_send_signal(s->pidfd, signals[how], NULL, 0);
}

// ---- commands ----

void pg_command_add(struct pg_command *c, const char *word) {
  assert(c->count < PG_WORDS_MAX);
  c->word[c->count++] = word;
  c->word[c->count] = NULL;
}

void pg_server_command(const struct pg_server *s, struct pg_command *c, const char *program) {
  struct stat directory;
  c->count = 0;
  if (geteuid() == 0 && stat(s->settings.data_directory, &directory) == 0 && directory.st_uid != 0) {
    snprintf(c->user, sizeof c->user, "--reuid=%u", (unsigned)directory.st_uid);
    snprintf(c->group, sizeof c->group, "--regid=%u", (unsigned)directory.st_gid);
    pg_command_add(c, "setpriv");
    pg_command_add(c, c->user);
    pg_command_add(c, c->group);
    pg_command_add(c, "--init-groups");
    pg_command_add(c, "--");
  } else if (geteuid() != 0) { // what the agent may beyond its user is not for a database
    pg_command_add(c, "setpriv");
    pg_command_add(c, "--ambient-caps=-all");
    pg_command_add(c, "--");
  }
  snprintf(c->program, sizeof c->program, "%s/%s", s->settings.bin_directory, program);
  pg_command_add(c, c->program);
}

int pg_server_start(struct pg_server *s, struct child **child, child_fn *fn, void *arg) {
  struct pg_command c = {.count = 0};
  struct stat log;
  s->log_size = stat(s->log_file, &log) == 0 ? log.st_size : 0;
  if (s->settings.unit[0] != 0) {
    const char *const words[] = {"systemctl", "start", s->settings.unit};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
      pg_command_add(&c, words[i]);
  } else {
    pg_server_command(s, &c, "pg_ctl");
    const char *const words[] = {"start", "-D", s->settings.data_directory, "-s", "-w", "-t", START_S, "-l", s->log_file};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
      pg_command_add(&c, words[i]);
    if (s->settings.config_file[0] != 0) {
      pg_command_add(&c, "-o");
      pg_command_add(&c, s->config_option);
    }
  }
  const struct child_settings settings = {.argv = c.word, .timeout_ms = START_MS};
  return child_run(child, s->loop, &settings, fn, arg);
}

void pg_server_complaint(const struct pg_server *s, char *text, size_t size) {
  char tail[2048];
  text[0] = 0;
  int fd = open(s->log_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return;
  off_t end = lseek(fd, 0, SEEK_END), from = end > (off_t)sizeof tail - 1 ? end - (off_t)sizeof tail + 1 : 0;
  from = from > s->log_size ? from : s->log_size;
  ssize_t got = pread(fd, tail, sizeof tail - 1, from);
  close(fd);
  tail[got > 0 ? got : 0] = 0;
  const char *last = NULL;
  for (const char *at = tail; (at = strstr(at, "FATAL:  ")) != NULL; at++)
    last = at + 8;
  if (last != NULL)
    snprintf(text, size, "%.*s", (int)strcspn(last, "\n"), last);
  text_clean(text, strlen(text));
}

// ---- the module's doors ----

int pg_server_new(struct pg_server **out, struct loop *loop, const struct pg_server_settings *settings,
                  void (*died)(void *arg), void *arg) {
  struct pg_server *s = calloc(1, sizeof *s);
  if (s == NULL)
    return -ENOMEM;
  s->loop = loop;
  s->settings = *settings;
  s->died = died;
  s->arg = arg;
  s->pidfd = -1;
  if (settings->log_file[0] != 0)
    snprintf(s->log_file, sizeof s->log_file, "%s", settings->log_file);
  else
    path_in(s, "startup.log", s->log_file);
  snprintf(s->config_option, sizeof s->config_option, "-c config_file=%s", settings->config_file);
  *out = s;
  return 0;
}

void pg_server_free(struct pg_server *s) {
  if (s == NULL)
    return;
  forget(s);
  free(s);
}
