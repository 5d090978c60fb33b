// SPDX-License-Identifier: Apache-2.0
// The event loop: the one file that knows libevent. Single-threaded; callbacks run from loop_run.
#ifndef TANIST_BASE_LOOP_H
#define TANIST_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/types.h"

struct loop;
struct loop_timer;
struct loop_io;
struct loop_signal;

typedef void loop_timer_fn(void *arg);
typedef void loop_io_fn(void *arg, bool readable, bool writable);
typedef void loop_signal_fn(void *arg, int signo);

// A loop without cached time (EVENT_BASE_FLAG_NO_CACHE_TIME: cached time fires early by up to 2.7 ms).
// NULL when out of memory or descriptors. loop_free frees everything still registered, too.
struct loop *loop_new(void);
void loop_free(struct loop *);

// Runs until loop_stop; 0, or a negative errno when the loop itself failed.
int loop_run(struct loop *);
void loop_stop(struct loop *);

// A one-shot timer on CLOCK_BOOTTIME, exact to the kernel's timer (timerfd), counted across suspend.
// Never fires early. Arming again replaces; INSTANT_NEVER disarms. Created disarmed; NULL on failure.
struct loop_timer *loop_timer_new(struct loop *, loop_timer_fn *, void *arg);
void loop_timer_at(struct loop_timer *, struct instant at);
void loop_timer_in(struct loop_timer *, int64_t us); // from now
void loop_timer_free(struct loop_timer *);           // NULL is allowed

// Watches a descriptor, level-triggered; the caller keeps owning and closes it, after loop_io_free.
struct loop_io *loop_io_new(struct loop *, int fd, loop_io_fn *, void *arg);
void loop_io_want(struct loop_io *, bool read, bool write); // created wanting nothing
void loop_io_free(struct loop_io *);                        // NULL is allowed; allowed in its own callback
// loop_free calls this, with the io's arg and while the loop is whole, in place of freeing it: fn frees it.
void loop_io_at_end(struct loop_io *, void (*fn)(void *arg));

struct loop_signal *loop_signal_new(struct loop *, int signo, loop_signal_fn *, void *arg);
void loop_signal_free(struct loop_signal *);

#endif
