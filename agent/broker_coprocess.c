// SPDX-License-Identifier: Apache-2.0
// The driver "coprocess": a program of the operator's that is started once and asked line by line. It may be broken
// or hostile: lines that are too long, no lines, of others' questions or unasked are counted and left out; silence
// is ended by the engine's deadline; one that ends, or was ended, is started again, later each time.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/broker_verbs.h"
#include "agent/coprocess_line.h"
#include "common/base/child.h"
#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/log.h"
#include "common/base/text.h"

#define RESTART_MS 100 // doubled each time
#define RESTART_MS_MAX 10000
#define STEADY_US 10000000 // who has run for so long is started again at once
#define SAID_LINES_MAX 20 // of its stderr, a second: a program that never stops talking fills no log
#define CHUNK 16384

// What comes from it, line by line.
struct stream {
  struct coprocess *of;
  int fd; // -1: closed
  struct loop_io *io;
  char text[COPROCESS_LINE_MAX];
  size_t size;
  bool skips; // the rest of a line that was too long
  void (*line)(struct coprocess *, char *text, size_t length);
};

struct coprocess {
  struct verbs *verbs;
  struct loop *loop;
  const struct broker_settings *settings;
  pid_t pid; // 0: none runs
  int pidfd, in;
  struct loop_io *ending, *writing;
  struct stream out, err;
  struct loop_timer *timer; // the next start, or what there is to tell
  char asked[COPROCESS_ASKED_MAX];
  size_t asked_size, asked_sent;
  uint64_t id; // of the newest question
  bool waits, killed;
  struct instant started;
  unsigned starts;
  char why[160], said[128]; // said: its last line on stderr
  uint64_t bad; // lines that were left out
  struct instant second;
  unsigned said_lines;
};

// ---- what comes from it ----

static void leave_out(struct coprocess *c, const char *what) {
  if (c->bad++ == 0)
    log_warning("broker: the co-process sent %s: left out, as all that follow; see tanist-drivers(7)", what);
}

static void take_line(struct coprocess *c, char *text, size_t length) {
  struct coprocess_line line;
  if (!coprocess_parse(text, length, &line)) {
    leave_out(c, "a line that is neither an answer nor an event");
  } else if (line.event) {
    verbs_event(c->verbs, line.name, &line.words);
  } else if (!c->waits || line.id != c->id) {
    leave_out(c, "an answer to what is not asked");
  } else {
    struct verb_reply reply = {.rc = line.rc, .words = line.words};
    c->waits = false;
    snprintf(reply.said, sizeof reply.said, "%s", c->said);
    verbs_answer(c->verbs, &reply);
  }
}

static void take_said(struct coprocess *c, char *text, size_t length) {
  struct instant now = clock_now();
  text_clean(text, length);
  text[length] = 0;
  snprintf(c->said, sizeof c->said, "%s", text);
  if (now.us - c->second.us > 1000000) {
    if (c->said_lines > SAID_LINES_MAX)
      log_notice("co-process: ... and %u lines more", c->said_lines - SAID_LINES_MAX);
    c->second = now;
    c->said_lines = 0;
  }
  if (c->said_lines++ < SAID_LINES_MAX)
    log_notice("co-process: %s", text);
}

static void close_stream(struct stream *s) {
  loop_io_free(s->io);
  s->io = NULL;
  if (s->fd >= 0)
    close(s->fd);
  s->fd = -1;
  s->size = 0;
  s->skips = false;
}

// What fills the room without a line end is no line, and neither is its rest.
static void take_lines(struct stream *s) {
  size_t from = 0;
  int fd = s->fd;
  for (char *end; s->fd == fd && (end = memchr(s->text + from, '\n', s->size - from)) != NULL;) {
    size_t length = (size_t)(end - s->text) - from, begin = from;
    from += length + 1;
    if (!s->skips)
      s->line(s->of, s->text + begin, length);
    s->skips = false;
  }
  if (s->fd != fd) // it was ended meanwhile
    return;
  s->size -= from;
  memmove(s->text, s->text + from, s->size);
  if (s->size < sizeof s->text - 1)
    return;
  if (!s->skips)
    leave_out(s->of, "a line that is too long");
  s->skips = true;
  s->size = 0;
}

static void on_stream(void *arg, bool readable, bool writable) {
  (void)readable, (void)writable;
  struct stream *s = arg;
  if (s->fd < 0)
    return;
  ssize_t got = read(s->fd, s->text + s->size, sizeof s->text - 1 - s->size);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (got <= 0) { // its end is seen by its pidfd; who only closes it is found out by silence
    close_stream(s);
    return;
  }
  s->size += (size_t)got;
  take_lines(s);
}

// ---- its end ----

static void forget(struct coprocess *c) {
  loop_io_free(c->ending);
  loop_io_free(c->writing);
  c->ending = c->writing = NULL;
  close_stream(&c->out);
  close_stream(&c->err);
  if (c->in >= 0)
    close(c->in);
  if (c->pidfd >= 0)
    close(c->pidfd);
  c->in = c->pidfd = -1;
  c->pid = 0;
  c->waits = false;
}

// Who was ended by a deadline has taken its time already, and somebody may be waiting to step down.
static int64_t restart_ms(struct coprocess *c) {
  int64_t ms = RESTART_MS;
  if (c->killed)
    return 1;
  if (clock_now().us - c->started.us > STEADY_US)
    c->starts = 0;
  for (unsigned i = 0; i < c->starts && ms < RESTART_MS_MAX; i++)
    ms *= 2;
  return c->starts++ == 0 ? 1 : ms < RESTART_MS_MAX ? ms : RESTART_MS_MAX;
}

static void gone(struct coprocess *c, const char *how) {
  int64_t ms = restart_ms(c);
  snprintf(c->why, sizeof c->why, "the co-process %.60s: started again in %d ms; %.48s", how, (int)ms,
           c->said[0] != 0 ? c->said : "see broker.command");
  if (c->starts > 1)
    log_warning("broker: %s", c->why);
  forget(c);
  loop_timer_in(c->timer, ms * 1000);
}

static void on_end(void *arg, bool readable, bool writable) {
  (void)readable, (void)writable;
  struct coprocess *c = arg;
  siginfo_t info = {.si_pid = 0};
  char how[64];
  if (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
    return;
  bool killed = c->killed;
  c->killed = true; // nobody is there any more who could be asked, and its number may be another's
  on_stream(&c->out, true, false); // its last words
  on_stream(&c->err, true, false);
  c->killed = killed;
  if (info.si_code == CLD_EXITED)
    snprintf(how, sizeof how, "ended (exit %d)", info.si_status);
  else
    snprintf(how, sizeof how, c->killed ? "did not answer in time and was ended" : "was ended by signal %d",
             info.si_status);
  gone(c, how);
  verbs_lost(c->verbs, c->why);
}

// ---- its start ----

static void on_writable(void *arg, bool readable, bool writable) {
  (void)readable, (void)writable;
  struct coprocess *c = arg;
  ssize_t sent = send(c->in, c->asked + c->asked_sent, c->asked_size - c->asked_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0)
    c->asked_sent += (size_t)sent;
  bool whole = c->asked_sent == c->asked_size;
  bool broken = sent < 0 && errno != EAGAIN && errno != EINTR; // its end, or the deadline, comes
  loop_io_want(c->writing, false, !whole && !broken);
}

static struct loop_io *watch(struct coprocess *c, int fd, loop_io_fn *fn, void *arg) {
  struct loop_io *io = loop_io_new(c->loop, fd, fn, arg);
  if (io != NULL)
    loop_io_want(io, true, false);
  return io;
}

static int spawn(struct coprocess *c, int in, int out, int err) {
  struct words words = {0};
  struct words_environment environment;
  const char *argv[CONF_ITEMS_MAX + 1] = {0};
  for (size_t i = 0; i < c->settings->command->count; i++)
    argv[i] = c->settings->command->at[i];
  verbs_describe(c->verbs, &words);
  words_environment(&words, &environment);
  return child_spawn(argv, environment.at, in, out, err, &c->pid);
}

static void close_two(const int fds[2]) {
  for (int i = 0; i < 2; i++)
    if (fds[i] >= 0)
      close(fds[i]);
}

// Ours of each pair is [0]. Its ends stay blocking, as programs expect them.
static int start(struct coprocess *c) {
  int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, rc = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
      pipe2(err, O_CLOEXEC) != 0 || fcntl(out[0], F_SETFL, O_NONBLOCK) != 0 ||
      fcntl(err[0], F_SETFL, O_NONBLOCK) != 0)
    rc = -errno;
  rc = rc != 0 ? rc : spawn(c, in[1], out[1], err[1]);
  if (rc != 0) {
    close_two(in), close_two(out), close_two(err);
    c->pid = 0;
    return rc;
  }
  close(in[1]), close(out[1]), close(err[1]);
  c->in = in[0];
  c->out.fd = out[0];
  c->err.fd = err[0];
  c->pidfd = pidfd_open(c->pid, 0);
  c->ending = watch(c, c->pidfd, on_end, c);
  c->out.io = watch(c, c->out.fd, on_stream, &c->out);
  c->err.io = watch(c, c->err.fd, on_stream, &c->err);
  c->writing = loop_io_new(c->loop, c->in, on_writable, c);
  return c->pidfd >= 0 && c->ending && c->out.io && c->err.io && c->writing ? 0 : -EMFILE;
}

static void on_timer(void *arg) {
  struct coprocess *c = arg;
  char how[96];
  c->killed = false;
  c->bad = 0;
  c->said[0] = 0;
  c->started = clock_now();
  int rc = start(c);
  if (rc == 0) {
    verbs_lost(c->verbs, NULL);
    return;
  }
  if (c->pid > 0) {
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
  }
  snprintf(how, sizeof how, "cannot be started (%s)", strerror(-rc));
  gone(c, how);
  verbs_lost(c->verbs, c->why);
}

// ---- the transport ----

// Whoever has not been reaped keeps its number: the group cannot be anybody else's yet.
static void coprocess_kill(void *state) {
  struct coprocess *c = state;
  if (c->pid == 0)
    return;
  c->killed = true;
  c->waits = false;
  c->asked_sent = c->asked_size;
  kill(-c->pid, SIGKILL);
  pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0); // in case it left its group
}

static int coprocess_begin(void *state, enum verb verb, uint32_t deadline_ms, const struct words *words) {
  struct coprocess *c = state;
  if (c->pid == 0 || c->killed)
    return -EAGAIN;
  if (c->asked_sent < c->asked_size) { // it answered what it has not read: what is left of that would come first
    coprocess_kill(c);
    return -EAGAIN;
  }
  c->asked_size = coprocess_ask(c->asked, sizeof c->asked, ++c->id, verb, deadline_ms, words);
  c->asked_sent = 0;
  c->waits = true;
  c->said[0] = 0;
  on_writable(c, false, true);
  return 0;
}

// It alone: a broker that it has started in its group goes on.
static void coprocess_close(void *state) {
  struct coprocess *c = state;
  if (c->pid > 0) {
    pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
    child_await(c->pidfd);
  }
  forget(c);
  loop_timer_free(c->timer);
  free(c);
}

static int coprocess_open(void **state, struct verbs *verbs, struct loop *loop,
                          const struct broker_settings *settings, uint32_t *supports, const char **error) {
  *error = "broker.command: driver \"coprocess\" needs the program to run";
  if (settings->command == NULL || settings->command->count == 0)
    return -EINVAL;
  *error = "out of memory";
  struct coprocess *c = calloc(1, sizeof *c);
  if (c == NULL)
    return -ENOMEM;
  *c = (struct coprocess){.verbs = verbs, .loop = loop, .settings = settings, .pidfd = -1, .in = -1};
  c->out = (struct stream){.of = c, .fd = -1, .line = take_line};
  c->err = (struct stream){.of = c, .fd = -1, .line = take_said};
  c->timer = loop_timer_new(loop, on_timer, c);
  if (c->timer == NULL) {
    free(c);
    return -ENOMEM;
  }
  loop_timer_in(c->timer, 0);
  *supports = (1u << VERB_COUNT) - 1;
  *state = c;
  return 0;
}

static const struct verbs_transport transport = {.open = coprocess_open,
                                                 .begin = coprocess_begin,
                                                 .kill = coprocess_kill,
                                                 .close = coprocess_close};

static int open_coprocess(void **state, struct loop *loop, const struct broker_settings *settings,
                          const struct broker_watch *watch, const char **error) {
  return verbs_open(state, loop, settings, watch, &transport, error);
}

const struct broker_driver broker_coprocess = VERBS_DRIVER("coprocess", true, open_coprocess);
