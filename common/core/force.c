// SPDX-License-Identifier: Apache-2.0
// An operator orders this node to lead without a majority: rule F1 of protocol.md.
#include "common/core/record.h"
#include "common/core/lease.h"
#include "common/core/step.h"

static bool same_force(uint64_t a, uint64_t b) {
  return a != 0 && b != 0 && a >> 32 == b >> 32; /* votes and L7 raise the lower half alone */
}

/* Both nodes were forced: the higher epoch wins when they meet (L6), and everybody is told. */
static void tell_both(struct step *s) {
  const uint64_t *forced = s->core->voter.ballot.forced;
  if (forced[VOTER_A] == 0 || forced[VOTER_B] == 0)
    return;
  unsigned winner = forced[VOTER_A] > forced[VOTER_B] ? VOTER_A : VOTER_B;
  tell(s, (struct fact){.type = FACT_BOTH_FORCED,
                        .who = (uint8_t)winner,
                        .epoch = forced[winner],
                        .sync = {.epoch = forced[1 - winner], .owner = NOBODY}});
}

static void note_forced(struct step *s, unsigned node, uint64_t epoch) {
  struct voter *voter = &s->core->voter;
  if (same_force(voter->ballot.forced[node], epoch))
    return;
  voter->ballot.forced[node] = epoch;
  voter->dirty = true;
  tell(s, (struct fact){.type = FACT_FORCED, .who = (uint8_t)node, .epoch = epoch});
  tell_both(s);
}

static void note_over(struct step *s, unsigned node) {
  struct voter *voter = &s->core->voter;
  if (voter->ballot.forced[node] == 0)
    return;
  tell(s, (struct fact){.type = FACT_FORCE_OVER, .who = (uint8_t)node, .epoch = voter->ballot.forced[node]});
  voter->ballot.forced[node] = 0;
  voter->dirty = true;
}

void force_hear(struct step *s, unsigned from) {
  const struct beat *beat = &s->core->peer[from].beat;
  if (from >= NODES)
    return;
  if (!(beat->flags & BEAT_FORCED))
    note_over(s, from);
  else
    note_forced(s, from, beat->reign != 0 ? beat->reign : beat->epoch);
}

/* This node and the other, under one master, and both hold what counts. */
static bool joined(const struct core *core) {
  const struct peer *other = &core->peer[other_node(core)];
  bool pair = !sync_replicates(core) || core_record(core)->mode == RECORD_PAIR;
  if (!pair || !core_hears(core, other_node(core), core->now) || core_blank_peer(core, other_node(core)))
    return false;
  if (core->role == ROLE_MASTER)
    return !core->forced && (core->committed || !sync_replicates(core)) &&
           other->beat.leader == core->config.self && other->beat.leader_epoch == core->reign;
  return core->voter.promise.leader == other_node(core) && voter_promised(&core->voter, core->now) &&
         other->beat.role == ROLE_MASTER;
}

void force_timer(struct step *s) {
  struct core *core = s->core;
  if (core->voter.ballot.forced[core->config.self] != 0 && joined(core))
    note_over(s, core->config.self);
}

void force_order(struct step *s) {
  struct core *core = s->core;
  if (core_waits(core)) { /* it has its majority: the operator's word stands for the device's */
    fencing_over(s, REASON_PEER_DOWN);
    tell(s, (struct fact){.type = FACT_COMPLETED, .order = ORDER_FORCE, .epoch = core->reign});
    return;
  }
  uint64_t above = ((highest_epoch(core) >> 32) + 1) << 32; /* beyond anything a vote can have reached */
  uint64_t epoch = above != 0 ? epoch_next(core->config.self, above) : 0;
  enum reason why = core->role == ROLE_MASTER ? REASON_LEADS_ALREADY
                    : epoch == 0              ? REASON_NO_EPOCH
                                              : REASON_NONE;
  if (why != REASON_NONE) {
    tell(s, (struct fact){.type = FACT_REFUSED, .order = ORDER_FORCE, .why = (uint8_t)why});
    return;
  }
  voter_stand(&core->voter, epoch);
  core->voter.ballot.blank = false;
  core->voter.dirty = true;
  core->reign = epoch;
  hold_down_planned(core, true);
  hold_down_reign(s, epoch);
  become(s, ROLE_MASTER, CAUSE_FORCED);
  sync_begin(s);
  core->committed = core->established = core->forced = true;
  note_forced(s, core->config.self, epoch);
  tell(s, (struct fact){.type = FACT_COMPLETED, .order = ORDER_FORCE, .epoch = epoch});
}
