// SPDX-License-Identifier: Apache-2.0
#ifndef TANIST_AGENT_SUSPICION_H
#define TANIST_AGENT_SUSPICION_H

#include "common/base/control.h"
#include "common/base/json.h"
#include "common/base/marks.h"

// The last word against one node; wall_ms 0: none.
struct suspicion {
  int64_t wall_ms;
  struct instant until; // so long in the status
  char by[CONTROL_WHO_SIZE], reason[MARKS_REASON_MAX + 1];
};

struct agent;

// The request {"command": "report", "suspect": NODE, "reason": TEXT}.
void suspicion_report(struct agent *, uint64_t connection, const struct json *request);
void suspicion_warn(const struct agent *, struct json *warnings);

#endif
