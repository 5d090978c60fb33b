// SPDX-License-Identifier: Apache-2.0
// policy.failback = "auto": the preferred node gets the lead back, by a planned hand-over like an operator's.
#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/core/lease.h"

#define HANDOVER_MS 5000 // the broker is paused for no longer, waiting for the other one to catch up

/* Nothing is in the way of a hand-over, and nobody has asked that there be none. */
static bool fit(const struct agent *a) {
  const struct core *core = runner_core(a->runner);
  const struct ballot *ballot = &core->voter.ballot;
  bool forced = ballot->forced[VOTER_A] != 0 || ballot->forced[VOTER_B] != 0;
  return core_leads(core, clock_now()) && ballot->sync.mode == RECORD_PAIR &&
         core_obstacle(core) == REASON_NONE && !core_held_down(core, clock_now()) && !ballot->frozen.on && !forced && !a->order.waits &&
         !a->stopping;
}

void agent_failback_look(struct agent *a) {
  struct instant now = clock_now();
  unsigned preferred = a->conf.policy.preferred;
  if (a->conf.policy.failback != FAILBACK_AUTO || a->self == preferred || !fit(a)) {
    a->failback_at = INSTANT_NEVER;
    return;
  }
  if (a->failback_at.us == INSTANT_NEVER.us)
    a->failback_at = instant_plus_ms(now, a->conf.policy.failback_after_ms);
  if (instant_before(now, a->failback_at))
    return;
  a->failback_at = INSTANT_NEVER; /* if it is taken back: after the same time again */
  struct json *event = note_new(a, "order", "failback");
  json_put_text(event, "order", order_name(ORDER_SWITCHOVER));
  json_put_text(event, "master", a->conf.voter[preferred].name);
  note(a, event, LOG_NOTICE, "%s is preferred and was fit for %u ms: handing over to it (policy.failback)",
       a->conf.voter[preferred].name, a->conf.policy.failback_after_ms);
  struct event order = {.type = EVENT_ORDER};
  order.order =
      (struct order){.type = ORDER_SWITCHOVER, .node = (uint8_t)preferred, .timeout_ms = HANDOVER_MS};
  runner_event(a->runner, order);
}
