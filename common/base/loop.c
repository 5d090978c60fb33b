// SPDX-License-Identifier: Apache-2.0
// libevent is asked only to watch descriptors and signals. Its own timers run on CLOCK_MONOTONIC, which
// stands still while the machine sleeps; ours are timerfds on CLOCK_BOOTTIME, watched like any other
// descriptor.
//
// `struct event` below is libevent's. It bears the name of the core's, and is only ever handled by pointer
// here.
#include "common/base/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/clock.h"

// What timers, descriptors and signals have in common: one libevent event, in the loop's list.
struct watch {
  LIST_ENTRY(watch) entry;
  struct event_base *base;
  struct event *event;
  int timerfd; // -1 in all but timers
  void *arg;
  void (*at_end)(void *arg); // NULL: loop_free frees it
};

struct loop {
  struct event_base *base;
  LIST_HEAD(watches, watch) watches;
};

// The watch comes first in each, so that loop_free can free them all by its address.
struct loop_timer {
  struct watch watch;
  loop_timer_fn *fn;
};
struct loop_io {
  struct watch watch;
  loop_io_fn *fn;
  int fd;
  short wanted; // EV_READ, EV_WRITE
};
struct loop_signal {
  struct watch watch;
  loop_signal_fn *fn;
};

// What libevent would print, our callers get as an error.
static void keep_silent(int severity, const char *text) {
  (void)severity;
  (void)text;
}

struct loop *loop_new(void) {
  event_set_log_callback(keep_silent);
  struct loop *loop = calloc(1, sizeof *loop);
  struct event_config *config = event_config_new();
  if (loop != NULL && config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME) == 0)
    loop->base = event_base_new_with_config(config);
  if (config != NULL)
    event_config_free(config);
  if (loop == NULL || loop->base == NULL) {
    free(loop);
    return NULL;
  }
  LIST_INIT(&loop->watches);
  return loop;
}

static void watch_free(struct watch *watch) {
  LIST_REMOVE(watch, entry);
  event_free(watch->event);
  if (watch->timerfd >= 0)
    close(watch->timerfd);
  free(watch);
}

// One that has something to do at the end; it may free others with it.
static struct watch *find_ender(struct loop *loop) {
  struct watch *watch;
  LIST_FOREACH(watch, &loop->watches, entry)
    if (watch->at_end != NULL)
      return watch;
  return NULL;
}

void loop_free(struct loop *loop) {
  if (loop == NULL)
    return;
  for (struct watch *watch; (watch = find_ender(loop)) != NULL;) {
    void (*at_end)(void *) = watch->at_end;
    watch->at_end = NULL;
    at_end(watch->arg);
  }
  while (!LIST_EMPTY(&loop->watches))
    watch_free(LIST_FIRST(&loop->watches));
  event_base_free(loop->base);
  free(loop);
}

int loop_run(struct loop *loop) {
  // A loop may wait for something still to be registered by what it runs: it ends by loop_stop only.
  return event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0 ? -EIO : 0;
}

void loop_stop(struct loop *loop) {
  event_base_loopbreak(loop->base);
}

// `fd` is a signal's number where `what` has EV_SIGNAL. The event is added and, unless `stay`, taken out
// again: that makes all the room it will ever need, so that a later add of it finds it.
static int watch_init(struct watch *watch, struct loop *loop, int fd, short what, event_callback_fn fn,
                      void *arg, bool stay) {
  watch->base = loop->base;
  watch->arg = arg;
  watch->timerfd = -1;
  watch->event = event_new(loop->base, fd, what, fn, watch);
  if (watch->event == NULL)
    return -ENOMEM;
  if (event_add(watch->event, NULL) != 0 || (!stay && event_del(watch->event) != 0)) {
    event_free(watch->event);
    return -EIO;
  }
  LIST_INSERT_HEAD(&loop->watches, watch, entry);
  return 0;
}

// ---- timers ----

static void on_timer(evutil_socket_t fd, short what, void *arg) {
  struct loop_timer *timer = arg;
  uint64_t expiries;
  (void)what;
  // Nothing to read: it was armed anew or disarmed after the loop had found it due.
  if (read(fd, &expiries, sizeof expiries) != (ssize_t)sizeof expiries)
    return;
  timer->fn(timer->watch.arg); // last: it may free the timer
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *arg) {
  struct loop_timer *timer = calloc(1, sizeof *timer);
  int fd = timer == NULL ? -1 : timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0 || watch_init(&timer->watch, loop, fd, EV_READ | EV_PERSIST, on_timer, arg, true) != 0) {
    if (fd >= 0)
      close(fd);
    free(timer);
    return NULL;
  }
  timer->watch.timerfd = fd;
  timer->fn = fn;
  return timer;
}

void loop_timer_at(struct loop_timer *timer, struct instant at) {
  struct itimerspec spec = {0}; // disarms
  if (at.us <= 0)
    spec.it_value.tv_nsec = 1; // long past, and zero would disarm
  else if (at.us != INSTANT_NEVER.us) {
    spec.it_value.tv_sec = at.us / 1000000;
    spec.it_value.tv_nsec = at.us % 1000000 * 1000;
  }
  int rc = timerfd_settime(timer->watch.timerfd, TFD_TIMER_ABSTIME, &spec, NULL);
  assert(rc == 0); // a lease without its timer must not go on
  (void)rc;
}

void loop_timer_in(struct loop_timer *timer, int64_t us) {
  struct instant at;
  if (__builtin_add_overflow(clock_now().us, us, &at.us))
    at = us < 0 ? INSTANT_PAST : INSTANT_NEVER;
  loop_timer_at(timer, at);
}

void loop_timer_free(struct loop_timer *timer) {
  if (timer != NULL)
    watch_free(&timer->watch);
}

// ---- descriptors ----

static void on_io(evutil_socket_t fd, short what, void *arg) {
  struct loop_io *io = arg;
  (void)fd;
  io->fn(io->watch.arg, (what & EV_READ) != 0, (what & EV_WRITE) != 0); // last: it may free the io
}

struct loop_io *loop_io_new(struct loop *loop, int fd, loop_io_fn *fn, void *arg) {
  struct loop_io *io = calloc(1, sizeof *io);
  if (io == NULL ||
      watch_init(&io->watch, loop, fd, EV_READ | EV_WRITE | EV_PERSIST, on_io, arg, false) != 0) {
    free(io);
    return NULL;
  }
  io->fn = fn;
  io->fd = fd;
  return io;
}

void loop_io_want(struct loop_io *io, bool want_read, bool want_write) {
  short wanted = (short)((want_read ? EV_READ : 0) | (want_write ? EV_WRITE : 0));
  if (wanted == io->wanted)
    return;
  io->wanted = wanted;
  int rc = event_del(io->watch.event);
  if (rc == 0 && wanted != 0) {
    rc = event_assign(io->watch.event, io->watch.base, io->fd, (short)(wanted | EV_PERSIST), on_io, io);
    if (rc == 0)
      rc = event_add(io->watch.event, NULL);
  }
  assert(rc == 0); // loop_io_new has seen that it can be watched; a deaf agent must not go on
  (void)rc;
}

void loop_io_at_end(struct loop_io *io, void (*fn)(void *)) {
  io->watch.at_end = fn;
}

void loop_io_free(struct loop_io *io) {
  if (io != NULL)
    watch_free(&io->watch);
}

// ---- signals ----

static void on_signal(evutil_socket_t signo, short what, void *arg) {
  struct loop_signal *sig = arg;
  (void)what;
  sig->fn(sig->watch.arg, signo);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signo, loop_signal_fn *fn, void *arg) {
  struct loop_signal *sig = calloc(1, sizeof *sig);
  if (sig == NULL ||
      watch_init(&sig->watch, loop, signo, EV_SIGNAL | EV_PERSIST, on_signal, arg, true) != 0) {
    free(sig);
    return NULL;
  }
  sig->fn = fn;
  return sig;
}

void loop_signal_free(struct loop_signal *sig) {
  if (sig != NULL)
    watch_free(&sig->watch);
}
