// SPDX-License-Identifier: Apache-2.0
#include "common/base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

#define CHUNK 16384     // read at once
#define CHUNKS_AT_END 8 // more than a pipe holds: what grandchildren go on writing is not ours

struct stream {
  struct child_output *output;
  char *text;
  size_t max;
  struct loop_io *io;
  int fd; // -1: closed
};

struct child {
  struct loop *loop;
  struct loop_timer *timer;
  struct loop_io *io; // on pidfd: readable once it has ended
  pid_t pid;
  int pidfd;
  struct stream out, err;
  struct instant started;
  child_fn *fn; // NULL: reported, or cancelled
  void *arg;
  struct child_result result;
};

// ---- starting ----

static bool same_name(const char *a, const char *b) {
  size_t length = strcspn(a, "=");
  return strcspn(b, "=") == length && memcmp(a, b, length) == 0;
}

static bool is_among(const char *entry, const char *const *list) {
  for (; list != NULL && *list != NULL; list++)
    if (same_name(entry, *list))
      return true;
  return false;
}

// What the service manager says to us would be a lie to a child.
static const char *const ours_alone[] = {"NOTIFY_SOCKET", "WATCHDOG_PID",   "WATCHDOG_USEC",  "LISTEN_PID",
                                         "LISTEN_FDS",    "LISTEN_FDNAMES", "JOURNAL_STREAM", NULL};

static int build_environment(char *into[CHILD_ENVIRONMENT_MAX + 1], const char *const *extra) {
  size_t count = 0;
  for (const char *const *entry = extra; entry != NULL && *entry != NULL; entry++) {
    if (count == CHILD_ENVIRONMENT_MAX)
      return -E2BIG;
    into[count++] = (char *)(uintptr_t)*entry;
  }
  for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
    if (is_among(*entry, extra) || is_among(*entry, ours_alone))
      continue;
    if (count == CHILD_ENVIRONMENT_MAX)
      return -E2BIG;
    into[count++] = *entry;
  }
  into[count] = NULL;
  return 0;
}

// A file in memory: unlike a pipe it needs nobody to write on, and no SIGPIPE comes of a child that does not
// read it.
static int open_input(const struct child_settings *settings) {
  if (settings->input == NULL)
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
  int fd = memfd_create("input", MFD_CLOEXEC);
  if (fd < 0)
    return -1;
  ssize_t written = write(fd, settings->input, settings->input_size);
  if (written == (ssize_t)settings->input_size && lseek(fd, 0, SEEK_SET) == 0)
    return fd;
  if (written >= 0)
    errno = ENOSPC;
  int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

static int set_attributes(posix_spawnattr_t *attributes) {
  sigset_t all, none;
  struct sched_param ordinary = {.sched_priority = 0};
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setpgroup(attributes, 0);
  posix_spawnattr_setsigdefault(attributes, &all);
  posix_spawnattr_setsigmask(attributes, &none);
  // An agent may run under a real-time policy; a check that spins must not do so above it.
  posix_spawnattr_setschedpolicy(attributes, SCHED_OTHER);
  posix_spawnattr_setschedparam(attributes, &ordinary);
  return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                                  POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSCHEDULER);
}

static int set_files(posix_spawn_file_actions_t *files, int in, int out, int err) {
  int rc = posix_spawn_file_actions_adddup2(files, in, STDIN_FILENO);
  if (rc == 0)
    rc = posix_spawn_file_actions_adddup2(files, out, STDOUT_FILENO);
  if (rc == 0)
    rc = posix_spawn_file_actions_adddup2(files, err, STDERR_FILENO);
  return rc == 0 ? posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1) : rc;
}

int child_spawn(const char *const *argv, const char *const *extra, int in, int out, int err, pid_t *pid) {
  char *environment[CHILD_ENVIRONMENT_MAX + 1];
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
  int rc = -build_environment(environment, extra);
  if (rc != 0)
    return -rc;
  if ((rc = posix_spawnattr_init(&attributes)) != 0)
    return -rc;
  if ((rc = posix_spawn_file_actions_init(&files)) == 0) {
    rc = set_attributes(&attributes);
    if (rc == 0)
      rc = set_files(&files, in, out, err);
    if (rc == 0)
      rc = posix_spawnp(pid, argv[0], &files, &attributes, (char *const *)(uintptr_t)argv, environment);
    posix_spawn_file_actions_destroy(&files);
  }
  posix_spawnattr_destroy(&attributes);
  return -rc;
}

static void close_fd(int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

// Our ends of the pipes stay in the child's streams, the other ends go with it.
static int start(struct child *child, const struct child_settings *settings) {
  int out[2] = {-1, -1}, err[2] = {-1, -1}, in = open_input(settings), rc = 0;
  if (in < 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
    rc = -errno;
  child->out.fd = out[0];
  child->err.fd = err[0];
  // Ours alone: the child's ends stay blocking, as programs expect them.
  if (rc == 0 && (fcntl(out[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(err[0], F_SETFL, O_NONBLOCK) != 0))
    rc = -errno;
  if (rc == 0)
    rc = child_spawn(settings->argv, settings->environment, in, out[1], err[1], &child->pid);
  close_fd(&in);
  close_fd(&out[1]);
  close_fd(&err[1]);
  return rc;
}

// ---- ending ----

static void close_stream(struct stream *stream) {
  loop_io_free(stream->io);
  stream->io = NULL;
  close_fd(&stream->fd);
}

static void child_free(struct child *child) {
  close_stream(&child->out);
  close_stream(&child->err);
  loop_io_free(child->io);
  loop_timer_free(child->timer);
  close_fd(&child->pidfd);
  free(child);
}

// Whoever has not been reaped keeps its number: the group and the process cannot be anybody else's yet.
static void kill_group(const struct child *child) {
  kill(-child->pid, SIGKILL);
  pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0); // in case it left its group
}

// False: at its end, or nothing there now.
static bool read_chunk(struct stream *stream) {
  char chunk[CHUNK];
  if (stream->fd < 0)
    return false;
  ssize_t size = read(stream->fd, chunk, sizeof chunk);
  if (size < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  if (size <= 0) {
    close_stream(stream);
    return false;
  }
  struct child_output *output = stream->output;
  size_t room = stream->max - output->size, kept = (size_t)size < room ? (size_t)size : room;
  memcpy(stream->text + output->size, chunk, kept);
  output->size += kept;
  output->cut |= kept < (size_t)size;
  return true;
}

static void drain(struct stream *stream) {
  for (int i = 0; i < CHUNKS_AT_END && read_chunk(stream); i++)
    ;
  close_stream(stream);
}

static void report(struct child *child) {
  child_fn *fn = child->fn;
  drain(&child->out);
  drain(&child->err);
  loop_timer_free(child->timer);
  child->timer = NULL;
  child->fn = NULL;
  child->result.duration_us = clock_now().us - child->started.us;
  if (fn != NULL)
    fn(child->arg, &child->result);
}

// True: it has ended, was reaped, reported and freed.
static bool reap(struct child *child) {
  siginfo_t info = {.si_pid = 0};
  if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
    return false;
  // An error here says that somebody else has reaped it; it is gone all the same, nobody knows how.
  bool exited = info.si_code == CLD_EXITED;
  child->result.status = exited ? info.si_status : -1;
  child->result.signal = exited ? 0 : info.si_status;
  report(child);
  child_free(child);
  return true;
}

static void on_exit_seen(void *arg, bool readable, bool writable) {
  (void)readable, (void)writable;
  reap(arg);
}

static void on_output(void *arg, bool readable, bool writable) {
  (void)readable, (void)writable;
  read_chunk(arg); // one at a time: a child that never stops talking shares the loop
}

void child_await(int pidfd) {
  struct pollfd ended = {.fd = pidfd, .events = POLLIN};
  siginfo_t info;
  if (poll(&ended, 1, CHILD_LINGER_MS) > 0)
    waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
}

// The loop ends before it has.
static void on_loop_end(void *arg) {
  struct child *child = arg;
  child_await(child->pidfd);
  child_free(child);
}

static void on_deadline(void *arg) {
  struct child *child = arg;
  if (child->result.timed_out) { // SIGKILL came to nothing so far: who waits for this must not wait on
    child->result.lingers = true;
    child->result.status = -1;
    report(child); // it stays watched, and is reaped when it ends
    loop_io_at_end(child->io, on_loop_end);
    return;
  }
  if (reap(child))
    return; // it had just made it
  child->result.timed_out = true;
  kill_group(child);
  loop_timer_in(child->timer, CHILD_LINGER_MS * 1000);
}

// ---- the module's doors ----

static struct loop_io *watch(struct loop *loop, int fd, loop_io_fn *fn, void *arg) {
  struct loop_io *io = loop_io_new(loop, fd, fn, arg);
  if (io != NULL)
    loop_io_want(io, true, false);
  return io;
}

static bool watch_all(struct child *child) {
  child->pidfd = pidfd_open(child->pid, 0); // close-on-exec by itself
  if (child->pidfd < 0)
    return false;
  child->io = watch(child->loop, child->pidfd, on_exit_seen, child);
  child->out.io = watch(child->loop, child->out.fd, on_output, &child->out);
  child->err.io = watch(child->loop, child->err.fd, on_output, &child->err);
  return child->io != NULL && child->out.io != NULL && child->err.io != NULL;
}

static struct stream stream_into(struct child_output *output, char *text, size_t size) {
  if (text == NULL || size == 0)
    return (struct stream){.output = output, .text = output->text, .max = CHILD_OUTPUT_MAX, .fd = -1};
  memset(text, 0, size);
  return (struct stream){.output = output, .text = text, .max = size - 1, .fd = -1};
}

static struct child *child_new(struct loop *loop, const struct child_settings *settings, child_fn *fn, void *arg) {
  struct child *child = calloc(1, sizeof *child);
  if (child == NULL)
    return NULL;
  child->loop = loop;
  child->pidfd = -1;
  child->out = stream_into(&child->result.out, settings->output, settings->output_size);
  child->err = stream_into(&child->result.err, NULL, 0);
  child->fn = fn;
  child->arg = arg;
  child->started = clock_now();
  child->timer = loop_timer_new(loop, on_deadline, child);
  if (child->timer == NULL) {
    free(child);
    return NULL;
  }
  return child;
}

int child_run(struct child **out, struct loop *loop, const struct child_settings *settings, child_fn *fn,
              void *arg) {
  *out = NULL;
  if (settings->timeout_ms <= 0 || settings->argv[0] == NULL || settings->input_size > CHILD_INPUT_MAX)
    return -EINVAL;
  struct child *child = child_new(loop, settings, fn, arg);
  if (child == NULL)
    return -ENOMEM;
  int rc = start(child, settings);
  if (rc == 0 && !watch_all(child)) {
    kill(-child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
    rc = -EMFILE;
  }
  if (rc != 0) {
    child_free(child);
    return rc;
  }
  loop_timer_at(child->timer, instant_in_ms(settings->timeout_ms));
  *out = child;
  return 0;
}

pid_t child_pid(const struct child *child) {
  return child->pid;
}

void child_cancel(struct child *child) {
  if (child == NULL)
    return;
  child->fn = NULL;
  kill_group(child);
  close_stream(&child->out);
  close_stream(&child->err);
  loop_timer_at(child->timer, INSTANT_NEVER);
  loop_io_at_end(child->io, on_loop_end);
}
