// SPDX-License-Identifier: Apache-2.0
// What a handle on the state page keeps; the library's own.
#ifndef TANIST_CLIENT_HANDLE_H
#define TANIST_CLIENT_HANDLE_H

#include "common/client/layout.h"

#include <time.h>

struct tanist {
  const struct page *page;
  int fd;
  int bell;                // inotify; -1 before tanist_fd
  char path[256];          // of the state page
  struct tanist_view told; // what tanist_next has told of
  bool deposed_due;        // a reign has ended and nobody was known to have taken over
  struct tanist_stamp stamp;
  struct page *report; // the broker's page; NULL before the first word
  int report_fd;
  int report_error;
  struct page_report said; // what stands there
  uint64_t commit, commit_epoch;
  uint64_t overtaken; // the highest epoch that a receiver is known to have seen
};

static inline uint64_t handle_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

// Whether what the page says is for this process: always, unless it has reported as the broker and another
// one is meant.
static inline bool handle_admitted(const struct tanist *t, uint64_t admitted) {
  return admitted == PAGE_ANYBODY || t->report == NULL || admitted == t->said.incarnation;
}

// Whether a reign runs now, as far as its lease and what receivers have seen go.
static inline bool handle_runs(const struct tanist *t, uint64_t reign, uint64_t lease_end_ns) {
  if (reign < t->overtaken)
    return false;
  return lease_end_ns == TANIST_LEASE_SOLE || lease_end_ns > handle_now_ns();
}

// Answers the agent's question whether the broker's loop turns, if this is the broker.
void handle_answer(struct tanist *, uint64_t ping);

#endif
