// SPDX-License-Identifier: Apache-2.0
// What a node's role does: rules L1-L7.
#include <assert.h>

#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/standing.h"
#include "common/core/step.h"

// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016
static uint32_t draw(struct core *core, uint32_t below) {
  core->random ^= core->random == 0 ? 0x9e3779b97f4a7c15u : 0;
  core->random ^= core->random >> 12;
  core->random ^= core->random << 25;
  core->random ^= core->random >> 27;
  return (uint32_t)((core->random * 0x2545f4914f6cdd1du) >> 33) % below;
}

static bool fit(const struct core *core) {
  return standing_fit(core, core->config.self) == HURDLE_NONE;
}

/* False: there is none. */
static bool claim_next_epoch(struct step *s) {
  struct core *core = s->core;
  uint64_t epoch = epoch_next(core->config.self, highest_epoch(core));
  if (epoch == 0)
    return false;
  core->voter.dirty |= core->voter.ballot.epoch != epoch;
  core->voter.ballot.epoch = epoch;
  core->claim_seq = core->seq + 1; /* no beat before this one claims it */
  s->ask = ALL_VOTERS;
  return true;
}

static void stand(struct step *s, enum cause cause) {
  struct core *core = s->core;
  voter_no_leader(&core->voter);
  bool claimed = claim_next_epoch(s);
  assert(claimed); /* standing_fit has looked */
  core->give_up_at = instant_plus_ms(s->now, core->config.lease_ms / 4);
  fencing_stand(s, cause);
  if (cause != CAUSE_HANDOVER)
    hold_down_planned(core, false);
  become(s, ROLE_CANDIDATE, cause);
}

void end_reign(struct step *s, enum cause cause) {
  struct core *core = s->core;
  become(s, ROLE_SECONDARY, cause);
  voter_no_leader(&core->voter);
  core->lease_end = INSTANT_PAST;
  core->forced = false;
  if (core->shown.broker.mode == BROKER_LEAD)
    core->quiet = false; /* until the broker has reached HOLD; one that never led (disk) is held still */
  core->promoted = false;
  if (core->unfenced == 0) /* L11: one that waited never ceased to follow */
    core->follow = NOBODY;
  fencing_end(core);
  sync_end(s);
  handover_end(s);
}

void role_expire(struct step *s) {
  if (s->core->role == ROLE_MASTER && !core_leads(s->core, s->now))
    end_reign(s, CAUSE_LEASE); /* L5 */
}

static void win(struct step *s, struct instant lease) {
  struct core *core = s->core;
  core->reign = core->voter.ballot.epoch;
  core->lease_end = lease;
  hold_down_reign(s, core->reign);
  become(s, ROLE_MASTER, CAUSE_ELECTED);
  if (!fencing_begins(s))
    sync_begin(s);
}

/* L7: the wish is granted; record and sole ownership stand, since nobody else led in between. */
static void renew_reign(struct step *s, struct instant lease) {
  struct core *core = s->core;
  core->reign = core->voter.ballot.epoch;
  core->lease_end = instant_later(core->lease_end, lease);
  tell(s, (struct fact){.type = FACT_REIGN, .who = core->config.self, .epoch = core->reign});
  s->ask = ALL_VOTERS;
}

static void granted(struct step *s, const struct peer *peer) {
  struct core *core = s->core;
  const struct beat *beat = &peer->beat;
  const struct sent *sent = find_sent(peer, beat->grant);
  if (sent == NULL || beat->leader != core->config.self || beat->leader_epoch != beat->epoch)
    return;
  struct instant lease = lease_end(sent->at, sent->lease_ms, core->config.drift_ppm); /* L4 */
  bool claims =
      core->role == ROLE_CANDIDATE || (core->role == ROLE_MASTER && core->voter.ballot.epoch > core->reign);
  bool claimed = claims && beat->epoch == core->voter.ballot.epoch && beat->grant >= core->claim_seq;
  if (claimed && instant_before(s->now, lease)) { /* L3 */
    if (core->role == ROLE_MASTER)
      renew_reign(s, lease);
    else if (!record_excludes(core_record(core), core->config.self))
      win(s, lease);
  } else if (core->role == ROLE_MASTER && beat->leader_epoch == core->reign) {
    core->lease_end = instant_later(core->lease_end, lease);
    core->forced &= !instant_before(s->now, lease); /* F1: until a majority exists again */
  }
}

static bool deposes(const struct core *core, const struct beat *beat) {
  bool master = beat->role == ROLE_MASTER && beat->reign > core->reign;
  bool leader =
      beat->leader != core->config.self && beat->leader != NOBODY && beat->leader_epoch > core->reign;
  return master || leader;
}

void role_beat(struct step *s, unsigned from) {
  struct core *core = s->core;
  const struct peer *peer = &core->peer[from];
  if (core->role == ROLE_MASTER && deposes(core, &peer->beat))
    end_reign(s, CAUSE_DEPOSED); /* L6 */
  if (core->role == ROLE_MASTER && peer->beat.epoch > core->voter.ballot.epoch)
    (void)claim_next_epoch(s); /* L7 */
  fencing_beat(s, from);
  if (!core_blank_peer(core, from))
    granted(s, peer); /* B1: the grants of a BLANK voter count for nothing */
  if (core->role == ROLE_MASTER)
    sync_beat(s, from);
}

/* Two due beats did not come; half a beat of lateness is no loss. */
static struct instant missed_at(const struct core *core, unsigned leader) {
  return instant_plus_us(core->peer[leader].heard, (int64_t)core->config.beat_ms * 2500);
}

static bool leader_heard(const struct core *core) {
  const struct promise *promise = &core->voter.promise;
  return promise->leader != NOBODY && voter_promised(&core->voter, core->now) &&
         instant_before(core->now, missed_at(core, promise->leader));
}

static void suspect_timer(struct step *s) {
  struct core *core = s->core;
  if (standing_hurdle(core) != HURDLE_NONE) {
    core->ready_since = INSTANT_NEVER;
    return;
  }
  core->ready_since = instant_earlier(core->ready_since, s->now);
  int64_t wait_ms = standing_waits(core) ? core->config.beat_ms : 0;
  if (!instant_before(s->now, instant_plus_ms(core->ready_since, wait_ms)))
    stand(s, CAUSE_STAND); /* L2 */
}

static void candidate_timer(struct step *s) {
  struct core *core = s->core;
  if (!fit(core)) {
    become(s, ROLE_SUSPECT, CAUSE_UNFIT);
  } else if (!instant_before(s->now, core->give_up_at)) {
    core->stand_after = instant_plus_ms(s->now, 1 + draw(core, core->config.lease_ms));
    become(s, ROLE_SUSPECT, CAUSE_GAVE_UP);
  }
}

/* L7: a broker that died leads again in a new epoch. A sole owner needs no vote for it: nobody else can be
   elected, and the epoch is its own. */
static void master_timer(struct step *s) {
  struct core *core = s->core;
  if (core->spoilt != core->reign || core_waits(core))
    return;
  if (core->voter.ballot.epoch == core->reign && !claim_next_epoch(s))
    return;
  if (core_sole(core))
    renew_reign(s, core->lease_end);
}

void role_timer(struct step *s) {
  struct core *core = s->core;
  if (core->handing && !instant_before(s->now, core->stand_after))
    core->handing = false;
  if (core->role == ROLE_SECONDARY && !core->handing && !leader_heard(core))
    become(s, ROLE_SUSPECT, CAUSE_NO_LEADER); /* L1 */
  if (core->role == ROLE_SUSPECT)
    suspect_timer(s);
  else if (core->role == ROLE_CANDIDATE)
    candidate_timer(s);
  else if (core->role == ROLE_MASTER)
    master_timer(s);
}

void handover_hear(struct step *s, unsigned from) {
  struct core *core = s->core;
  bool waiting = core->role == ROLE_SECONDARY || core->role == ROLE_SUSPECT;
  if (from != other_node(core) || !waiting || !fit(core) || voter_silent(&core->voter, s->now))
    return;
  hold_down_planned(core, core->peer[from].beat.health > 0); /* else its broker died */
  stand(s, CAUSE_HANDOVER);                                  /* L8: on that beat alone, also while frozen */
}
