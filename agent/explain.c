// SPDX-License-Identifier: Apache-2.0
// The object of `tanist --json explain`, with what the agent alone knows: which check is down.
#include <stdio.h>

#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/base/explain_text.h"
#include "common/core/lease.h"

/* The first check that is down, else the first without a result: what makes the broker unfit. */
static const char *health_trouble(const struct agent *a, char *buf, size_t size) {
  const struct health_result *result = health_result(a->health);
  buf[0] = 0;
  for (size_t i = 0; i < a->conf.check_count && !result->healthy; i++) {
    const struct health_status *check = &result->check[i];
    bool down = check->state == HEALTH_DOWN;
    if (check->state == HEALTH_UP || (buf[0] != 0 && !down))
      continue;
    snprintf(buf, size, "check %s %s since %lld s%s%s", a->conf.check[i].name,
             down ? "down" : "without a result",
             (long long)(instant_us_between(check->since, clock_now()) / 1000000),
             check->why[0] != 0 ? ": " : "", check->why);
    if (down)
      break;
  }
  return buf;
}

struct json *agent_explain(const struct agent *a) {
  char trouble[192];
  return explain_json(&a->conf, runner_core(a->runner), clock_now(),
                      health_trouble(a, trouble, sizeof trouble));
}
