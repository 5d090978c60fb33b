// SPDX-License-Identifier: Apache-2.0
// policy.hold_down_ms: after a failover nobody fails over again for a while, like a freeze that ends by itself. A
// failover is a lead that passes to the other node without an order. Each node judges by what it has seen itself, in
// memory only: a node that starts knows whose the last record was, and of no hold-down.
#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/step.h"

void hold_down_begin(struct core *core) {
  core->led = core->config.hold_down_ms != 0 ? core_record(core)->epoch : 0;
  core->planned = false;
  core->failover_at = INSTANT_PAST;
}

void hold_down_config(struct core *core, uint32_t hold_down_ms) {
  bool begins = (core->config.hold_down_ms != 0) != (hold_down_ms != 0);
  core->config.hold_down_ms = hold_down_ms;
  if (begins)
    hold_down_begin(core);
}

void hold_down_planned(struct core *core, bool planned) {
  core->planned = planned && core->config.hold_down_ms != 0;
}

void hold_down_reign(struct step *s, uint64_t reign) {
  struct core *core = s->core;
  if (core->config.hold_down_ms == 0 || reign <= core->led)
    return;
  bool passed = core->led != 0 && epoch_owner(core->led) != epoch_owner(reign);
  if (passed && !core->planned)
    core->failover_at = s->now;
  core->led = reign;
  core->planned = false;
}

void hold_down_hear(struct step *s, const struct beat *beat) {
  if ((beat->flags & BEAT_FORCED) && beat->reign > s->core->led)
    hold_down_planned(s->core, true); /* F1 is an order */
  hold_down_reign(s, beat->reign);
}

struct instant core_held_down_until(const struct core *core) {
  if (core->config.hold_down_ms == 0 || core->failover_at.us == INSTANT_PAST.us)
    return INSTANT_PAST;
  return instant_plus_ms(core->failover_at, core->config.hold_down_ms);
}

bool core_held_down(const struct core *core, struct instant now) {
  return instant_before(now, core_held_down_until(core));
}

bool hold_down_bars(const struct core *core, unsigned node) {
  return core_held_down(core, core->now) && epoch_owner(core->led) != node;
}
