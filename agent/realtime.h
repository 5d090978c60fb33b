// SPDX-License-Identifier: Apache-2.0
// To be on time on a busy machine: real-time scheduling, and memory that is never waited for. Both are asked for,
// neither is needed; what could not be had is said in status.
#ifndef TANIST_AGENT_REALTIME_H
#define TANIST_AGENT_REALTIME_H

#include <stdbool.h>

struct realtime {
  bool scheduled, locked;
  char why_not_scheduled[120], why_not_locked[120]; // "" if it is
};

// Children are scheduled as usual. Pages are locked as they are touched (MCL_ONFAULT): memory stays as small as it is.
void realtime_enter(struct realtime *);

#endif
