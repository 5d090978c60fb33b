// SPDX-License-Identifier: Apache-2.0
// Handing over, planned or because the broker died: rule L8, at the master.
#include "common/core/lease.h"
#include "common/core/step.h"

#define TIMEOUT_MS 10000 // where the order names none

static bool pair_committed(const struct core *core) {
  return core->committed && core_record(core)->mode == RECORD_PAIR;
}

static enum reason peer_obstacle(const struct core *core) {
  unsigned other = other_node(core);
  const struct beat *beat = &core->peer[other].beat;
  if (!core_hears(core, other, core->now))
    return REASON_PEER_SILENT;
  if (core_blank_peer(core, other))
    return REASON_PEER_BLANK;
  return beat->health == 0 ? REASON_PEER_UNHEALTHY : REASON_NONE;
}

enum reason core_obstacle(const struct core *core) {
  if (core->role != ROLE_MASTER)
    return REASON_NOT_MASTER;
  if (core_waits(core))
    return REASON_FENCING;
  if (core->handover.phase != HANDOVER_NONE)
    return REASON_BUSY;
  enum reason why = peer_obstacle(core);
  if (why != REASON_NONE)
    return why;
  bool pair = core_record(core)->mode == RECORD_PAIR || core->synchronous;
  return pair || sync_joinable(core) ? REASON_NONE
                                     : REASON_PEER_BEHIND; /* L8: under SOLE take it back first */
}

/* A clean stop leaves in any case: better no master for a lease than one without its agent. */
static void leave(struct step *s) {
  if (s->core->role == ROLE_MASTER)
    end_reign(s, CAUSE_RETIRED);
}

void handover_order(struct step *s, const struct order *order) {
  struct core *core = s->core;
  if (order->type == ORDER_RETIRE) {
    core->retired = true;
    if (core->role != ROLE_MASTER) {
      tell(s, (struct fact){.type = FACT_COMPLETED, .order = order->type});
      return;
    }
  }
  enum reason why = core_obstacle(core);
  if (why != REASON_NONE) {
    tell(s, (struct fact){.type = FACT_REFUSED, .order = order->type, .why = (uint8_t)why});
    if (order->type == ORDER_RETIRE)
      leave(s);
    return;
  }
  uint32_t timeout_ms = order->timeout_ms != 0 ? order->timeout_ms : TIMEOUT_MS;
  core->handover = (struct handover){
      .phase = HANDOVER_JOIN, .order = order->type, .until = instant_plus_ms(s->now, timeout_ms)};
  tell(s, (struct fact){.type = FACT_ACCEPTED, .order = order->type});
}

bool handover_pauses(const struct core *core) {
  return core->handover.phase >= HANDOVER_PAUSE;
}

void handover_done(struct step *s, struct position position) {
  struct core *core = s->core;
  if (core->handover.phase == HANDOVER_EVICT && core->shown.broker.evict) {
    core->handover.evicted = true;
  } else if (core->handover.phase == HANDOVER_PAUSE) {
    core->handover.final = position;
    core->handover.phase = HANDOVER_DRAIN;
  }
}

static void take_back(struct step *s, enum reason why) {
  struct core *core = s->core;
  bool retires = core->handover.order == ORDER_RETIRE;
  tell(s, (struct fact){.type = FACT_TAKEN_BACK, .order = core->handover.order, .why = (uint8_t)why});
  core->handover = (struct handover){0};
  if (retires)
    leave(s);
}

void handover_end(struct step *s) {
  if (s->core->handover.phase != HANDOVER_NONE)
    take_back(s, REASON_NOT_MASTER);
}

/* Address and fence go in the releases of this step's list; then the beats say RELEASED | HANDOVER. What the
   broker still would do is withheld (paused, or dead) and fenced, so nothing of the reign runs any more. */
static void hand_over(struct step *s) {
  struct core *core = s->core;
  hold_down_planned(core, core->handover.phase != HANDOVER_NONE);
  if (core->handover.phase != HANDOVER_NONE)
    tell(s, (struct fact){.type = FACT_COMPLETED, .order = core->handover.order});
  core->handover = (struct handover){0};
  end_reign(s, CAUSE_HANDED);
  core->quiet = true;
  core->handing = true;
  core->stand_after = instant_plus_ms(s->now, 2 * (int64_t)core->config.lease_ms);
}

static void planned(struct step *s) {
  struct core *core = s->core;
  struct handover *handover = &core->handover;
  enum reason why = peer_obstacle(core);
  if (why == REASON_NONE && !instant_before(s->now, handover->until))
    why = REASON_TIMED_OUT;
  if (handover->phase != HANDOVER_JOIN && core_record(core)->mode != RECORD_PAIR)
    why = REASON_PEER_BEHIND;
  if (why != REASON_NONE)
    take_back(s, why);
  else if (handover->phase == HANDOVER_JOIN && pair_committed(core))
    handover->phase = HANDOVER_PAUSE;
  else if (handover->phase == HANDOVER_DRAIN && pair_committed(core) && sync_holds(core, handover->final))
    handover->phase = HANDOVER_EVICT;
  else if (handover->phase == HANDOVER_EVICT && handover->evicted && pair_committed(core))
    hand_over(s);
}

static bool due(const struct core *core) {
  bool barred = core->voter.ballot.frozen.on || core_held_down(core, core->now);
  return core->broker.dead && !barred && peer_obstacle(core) == REASON_NONE;
}

bool handover_needs_pair(const struct core *core) {
  return core->handover.phase != HANDOVER_NONE || due(core);
}

void handover_timer(struct step *s) {
  struct core *core = s->core;
  if (core->role != ROLE_MASTER)
    return;
  if (due(core) && pair_committed(core))
    hand_over(s);
  else if (core->handover.phase != HANDOVER_NONE)
    planned(s);
}
