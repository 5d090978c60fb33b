// SPDX-License-Identifier: Apache-2.0
// A child that was cancelled is the loop's to reap (common/base/child.h); a test that ends its loop lets it, or the sanitizer
// finds what was never freed.
#ifndef TANIST_TEST_REAPED_H
#define TANIST_TEST_REAPED_H

#include <signal.h>
#include <sys/wait.h>

#include "common/base/loop.h"

static inline void reaped_stop(void *loop) {
  loop_stop(loop);
}

// Runs the loop until this process has no children, for some seconds at most.
static inline void loop_until_reaped(struct loop *loop) {
  struct loop_timer *end = loop_timer_new(loop, reaped_stop, loop);
  siginfo_t info;
  for (int i = 0; i < 5000 && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0; i++) {
    loop_timer_in(end, 1000);
    loop_run(loop);
  }
  loop_timer_free(end);
}

#endif
