// SPDX-License-Identifier: Apache-2.0
#include "common/core/standing.h"

#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/step.h"

enum hurdle_type standing_fit(const struct core *core, unsigned node) {
  bool self = node == core->config.self;
  const struct beat *beat = &core->peer[node].beat;
  if (self && core->retired)
    return HURDLE_RETIRED;
  if (self ? core->voter.ballot.blank : core_blank_peer(core, node))
    return HURDLE_BLANK;
  if (record_excludes(core_record(core), node)) /* S4 */
    return HURDLE_EXCLUDED;
  if (epoch_next(node, highest_epoch(core)) == 0) /* a voter's ballot is not what any voter can have written */
    return HURDLE_NO_EPOCH;
  bool healthy = self ? core->broker.health > 0 && !core->broker.dead : beat->health > 0;
  return healthy ? HURDLE_NONE : HURDLE_UNHEALTHY;
}

bool standing_frozen_out(const struct core *core, unsigned node) {
  if (!core->voter.ballot.frozen.on)
    return false;
  uint64_t last = core_record(core)->epoch;
  last = core->reign > last ? core->reign : last;
  for (unsigned i = 0; i < NODES; i++)
    last = core->peer[i].beat.reign > last ? core->peer[i].beat.reign : last;
  return epoch_owner(last) != node;
}

enum hurdle_type standing_vote(const struct core *core, unsigned voter) {
  const struct peer *peer = &core->peer[voter];
  if (peer->session == 0 || !lately(core, peer->reached, 2))
    return HURDLE_UNHEARD;
  if (core_blank_peer(core, voter))
    return HURDLE_VOTER_BLANK;
  if (peer->beat.free_ms == FREE_NEVER)
    return HURDLE_NEVER;
  return peer->beat.free_ms == 0 ? HURDLE_NONE : HURDLE_PROMISED;
}

static enum hurdle_type all_votes(const struct core *core) {
  enum hurdle_type first = HURDLE_NONE;
  for (unsigned i = 0; i < VOTERS; i++) {
    if (i == core->config.self)
      continue;
    enum hurdle_type vote = standing_vote(core, i);
    if (vote == HURDLE_NONE)
      return HURDLE_NONE;
    first = first == HURDLE_NONE || first == HURDLE_UNHEARD ? vote : first;
  }
  return first;
}

enum hurdle_type standing_hurdle(const struct core *core) {
  enum hurdle_type unfit = standing_fit(core, core->config.self);
  if (unfit != HURDLE_NONE)
    return unfit;
  if (standing_frozen_out(core, core->config.self))
    return HURDLE_FROZEN;
  if (hold_down_bars(core, core->config.self))
    return HURDLE_HELD_DOWN;
  if (voter_promised(&core->voter, core->now))
    return HURDLE_OWN_PROMISE;
  if (voter_silent(&core->voter, core->now))
    return HURDLE_SILENT;
  if (instant_before(core->now, core->stand_after))
    return HURDLE_HELD;
  return all_votes(core);
}

bool standing_waits(const struct core *core) {
  unsigned other = other_node(core);
  const struct peer *peer = &core->peer[other];
  const struct beat *beat = &peer->beat;
  bool could_stand = peer->session != 0 && lately(core, peer->heard, 2) && beat->role != ROLE_MASTER &&
                     standing_fit(core, other) == HURDLE_NONE;
  if (!could_stand)
    return false;
  const struct position *mine = &core->broker.position, *theirs = &beat->position;
  if (sync_replicates(core) && mine->epoch != theirs->epoch)
    return mine->epoch < theirs->epoch;
  if (sync_replicates(core) && mine->offset != theirs->offset)
    return mine->offset < theirs->offset;
  return core->config.preferred != core->config.self;
}
