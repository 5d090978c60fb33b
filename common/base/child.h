// SPDX-License-Identifier: Apache-2.0
// Another program, run beside the loop, with a deadline: a health check, a driver's command, a hook, a fence
// device.
//
// It gets its own process group, its signals at their defaults, ordinary scheduling, and nothing of ours but
// the environment: no descriptor, and none of what the service manager told us (NOTIFY_SOCKET and its like).
#ifndef TANIST_BASE_CHILD_H
#define TANIST_BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/loop.h"

#define CHILD_OUTPUT_MAX                                                                                     \
  4096 // bytes kept of each of its outputs; what comes after them is read and forgotten
#define CHILD_INPUT_MAX 65536     // bytes
#define CHILD_ENVIRONMENT_MAX 512 // entries in all
#define CHILD_LINGER_MS 100       // so long SIGKILL may take before the callback comes without the end

struct child;

struct child_settings {
  const char *const *argv;        // up to NULL; argv[0] is looked up in PATH if it has no '/'. No shell
  const char *const *environment; // "NAME=value" up to NULL, before what we have by that name; NULL: none
  const void *input;              // its standard input, copied; NULL: /dev/null
  size_t input_size;
  int64_t timeout_ms; // positive
  char *output;       // where its standard output goes, with a 0 after it, in place of result.out.text, which is
  size_t output_size; // too small for some; until the callback. NULL: it goes there
};

struct child_output {
  char text[CHILD_OUTPUT_MAX + 1]; // as it came, with a 0 after it
  size_t size;
  bool cut; // there was more
};

struct child_result {
  bool timed_out; // the deadline came first, and it was killed with its process group
  bool lingers;   // ... but it is still there, stuck in the kernel: it cannot do anything until it ends
  int status;     // its exit status; -1: it was ended by a signal, or lingers
  int signal;     // by which signal it was ended; 0: by none
  int64_t duration_us;
  struct child_output out, err;
};

// Called once, from the loop, never from within child_run; the child is gone then, and the result after it.
typedef void child_fn(void *arg, const struct child_result *);

// Starts it. The settings are not needed any more when this returns. A negative errno when it could not be
// started, and then nothing is left of it: -ENOENT (no such program), -EACCES, -EINVAL, -E2BIG, ... Processes
// that it leaves behind in its group live on unless the deadline comes: a command may start a broker.
int child_run(struct child **, struct loop *, const struct child_settings *, child_fn *, void *arg);

// Starts a program as child_run does, with these as its standard descriptors, and leaves it to the caller, who
// reaps it. All three are above 2 and stay the caller's. 0 and *pid, or a negative errno.
int child_spawn(const char *const *argv, const char *const *environment, int in, int out, int err, pid_t *pid);

pid_t child_pid(const struct child *); // also its process group

// Kills it with its process group; no callback comes. The loop reaps it, or loop_free. NULL is allowed.
void child_cancel(struct child *);

// At the end of all, of one that was killed: waits for it, CHILD_LINGER_MS at most, and reaps it.
void child_await(int pidfd);

#endif
