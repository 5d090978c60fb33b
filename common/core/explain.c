// SPDX-License-Identifier: Apache-2.0
#include "common/core/explain.h"

#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/standing.h"
#include "common/core/step.h"

static void set_wait(struct hurdle *h, struct instant now, struct instant until) {
  h->timed = until.us != INSTANT_NEVER.us && until.us != INSTANT_PAST.us;
  h->wait_ms = h->timed ? ms_until(now, until) : 0;
}

static void set_promise(struct hurdle *h, const struct core *core) {
  const struct promise *promise = &core->voter.promise;
  h->leader = promise->leader;
  h->epoch = promise->leader_epoch;
  set_wait(h, core->now, promise->until);
}

/* Whose no it is: of those that were asked the one that would be first to say yes. */
static void set_vote(struct hurdle *h, const struct core *core) {
  struct instant soonest = INSTANT_NEVER;
  for (unsigned i = 0; i < VOTERS; i++) {
    const struct peer *peer = &core->peer[i];
    bool same = i != core->config.self && standing_vote(core, i) == h->type;
    if (!same || (h->voter != core->config.self && !instant_before(peer->free_at, soonest)))
      continue;
    soonest = peer->free_at;
    h->voter = (uint8_t)i;
    h->leader = peer->beat.leader;
    h->epoch = peer->beat.leader_epoch;
    h->heard_ms_ago = peer->session == 0 ? -1 : instant_us_between(peer->heard, core->now) / 1000;
    if (h->type == HURDLE_PROMISED)
      set_wait(h, core->now, peer->free_at);
  }
}

static void explain_self(struct hurdle *h, const struct core *core) {
  if (core_waits(core)) {
    h->type = HURDLE_FENCING;
    h->epoch = core->reign;
    return;
  }
  if (core_leads(core, core->now)) {
    h->type = HURDLE_LEADS;
    h->epoch = core->reign;
    set_wait(h, core->now, core_sole(core) ? INSTANT_NEVER : core->lease_end);
    return;
  }
  h->type = (uint8_t)standing_hurdle(core);
  if (h->type == HURDLE_OWN_PROMISE)
    set_promise(h, core);
  else if (h->type == HURDLE_SILENT)
    set_wait(h, core->now, core->voter.silence_until);
  else if (h->type == HURDLE_HELD)
    set_wait(h, core->now, core->stand_after);
  else if (h->type == HURDLE_HELD_DOWN)
    set_wait(h, core->now, core_held_down_until(core));
  else if (h->type == HURDLE_NONE && standing_waits(core))
    h->type = HURDLE_TIE;
  else if (h->type == HURDLE_UNHEARD || h->type == HURDLE_VOTER_BLANK || h->type == HURDLE_NEVER ||
           h->type == HURDLE_PROMISED)
    set_vote(h, core);
}

static enum hurdle_type other_hurdle(const struct core *core, unsigned node) {
  const struct peer *peer = &core->peer[node];
  const struct voter *voter = &core->voter;
  if (!core_hears(core, node, core->now))
    return HURDLE_UNHEARD;
  if (peer->beat.role == ROLE_MASTER && voter->promise.leader == node && voter_promised(voter, core->now) &&
      !(peer->beat.flags & BEAT_WAITS))
    return HURDLE_LEADS;
  if (peer->beat.role == ROLE_MASTER && (peer->beat.flags & BEAT_WAITS))
    return HURDLE_FENCING;
  enum hurdle_type unfit = standing_fit(core, node);
  if (unfit != HURDLE_NONE)
    return unfit;
  if (standing_frozen_out(core, node))
    return HURDLE_FROZEN;
  if (hold_down_bars(core, node))
    return HURDLE_HELD_DOWN;
  return voter_hurdle(voter, node, &voter->ballot.sync, core->now, core_leads(core, core->now));
}

static void explain_other(struct hurdle *h, const struct core *core, unsigned node) {
  const struct peer *peer = &core->peer[node];
  h->heard_ms_ago = peer->session == 0 ? -1 : instant_us_between(peer->heard, core->now) / 1000;
  h->type = (uint8_t)other_hurdle(core, node);
  if (h->type == HURDLE_UNHEARD || h->type == HURDLE_BLANK || h->type == HURDLE_UNHEALTHY)
    h->voter = (uint8_t)node;
  else if (h->type == HURDLE_LEADS || h->type == HURDLE_PROMISED)
    set_promise(h, core);
  else if (h->type == HURDLE_FENCING)
    h->epoch = peer->beat.reign;
  else if (h->type == HURDLE_SILENT)
    set_wait(h, core->now, core->voter.silence_until);
  else if (h->type == HURDLE_HELD_DOWN)
    set_wait(h, core->now, core_held_down_until(core));
}

struct hurdle explain(const struct core *core, unsigned node, struct instant now) {
  struct core at = *core; /* the predicates' time is the core's */
  at.now = instant_later(core->now, now);
  struct hurdle h = {.voter = core->config.self, .leader = NOBODY, .record = *core_record(core)};
  if (node == core->config.self)
    explain_self(&h, &at);
  else
    explain_other(&h, &at, node);
  return h;
}
