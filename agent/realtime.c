// SPDX-License-Identifier: Apache-2.0
#include "agent/realtime.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PRIORITY 10 // above all that is not real-time, below the kernel's own threads (50)

static void schedule(struct realtime *r) {
  const struct sched_param param = {.sched_priority = PRIORITY};
  r->scheduled = sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) == 0;
  if (!r->scheduled)
    snprintf(r->why_not_scheduled, sizeof r->why_not_scheduled,
             "no real-time scheduling (%s): CAP_SYS_NICE or LimitRTPRIO is needed; leases below 300 ms may end early",
             strerror(errno));
}

/* Under a limit, whatever is allocated later would fail as soon as the limit is met. */
static void lock(struct realtime *r) {
  struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
  int rc = setrlimit(RLIMIT_MEMLOCK, &limit) == 0 ? 0 : errno;
  if (rc != 0 && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
    rc = 0;
  if (rc == 0 && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
    rc = errno;
  r->locked = rc == 0;
  if (!r->locked)
    snprintf(r->why_not_locked, sizeof r->why_not_locked,
             "memory is not locked (%s): LimitMEMLOCK=infinity is needed; the agent may wait for swap", strerror(rc));
}

void realtime_enter(struct realtime *r) {
  memset(r, 0, sizeof *r);
  schedule(r);
  lock(r);
}
