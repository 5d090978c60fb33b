// SPDX-License-Identifier: Apache-2.0
// The sync record at work, at the master: rules S1-S6 of protocol.md.
#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/step.h"

bool sync_replicates(const struct core *core) {
  return core->config.replication == REPLICATION_SYNC || core->config.replication == REPLICATION_ASYNC;
}

static void propose(struct step *s, enum record_mode mode) {
  struct core *core = s->core;
  struct record *sync = &core->voter.ballot.sync;
  uint32_t version = sync->epoch == core->reign ? sync->version + 1 : 1;
  uint8_t owner = mode == RECORD_SOLE ? core->config.self : NOBODY;
  *sync = (struct record){core->reign, version, (uint8_t)mode, owner};
  core->voter.dirty = true;
  core->committed = false;
  s->ask = ALL_VOTERS;
  tell_record(s, FACT_RECORD);
}

static void stop_joining(struct core *core) {
  core->joining = false;
  core->keeps_up_since = INSTANT_NEVER;
}

#define FLAPS_MAX 3   /* eight holds, 16 s by default */
#define FLAP_HOLDS 10 /* two losses so many holds apart are no flapping */

uint64_t sync_hold_ms(const struct core *core) {
  return (uint64_t)core->config.join_hold_ms << core->flaps;
}

/* Each turn of a secondary that comes and goes costs its clients a degrade_ms without acknowledgements. */
static void note_flap(struct core *core, struct instant now) {
  struct instant steady = instant_plus_ms(core->lost_at, (int64_t)sync_hold_ms(core) * FLAP_HOLDS);
  if (core->lost_at.us == INSTANT_PAST.us || !instant_before(now, steady))
    core->flaps = 0;
  else if (core->flaps < FLAPS_MAX)
    core->flaps++;
  core->lost_at = now;
}

void sync_begin(struct step *s) {
  struct core *core = s->core;
  stop_joining(core);
  core->flaps = 0;
  core->lost_at = INSTANT_PAST;
  core->missing_since = INSTANT_NEVER;
  core->synchronous = core->join_known = false;
  core->peer_offset = 0;
  core->progress_at = core->witness_at = s->now;
  core->established = !sync_replicates(core); /* S1 */
  propose(s, sync_replicates(core) ? RECORD_SOLE : RECORD_PAIR);
}

void sync_end(struct step *s) {
  stop_joining(s->core);
  s->core->committed = s->core->established = s->core->synchronous = false;
}

void sync_beat(struct step *s, unsigned from) {
  struct core *core = s->core;
  const struct beat *beat = &core->peer[from].beat;
  if (core->committed || core_waits(core) || !record_equal(&beat->sync, core_record(core)) || beat->epoch > core->reign)
    return;
  core->committed = core->established = true;
  tell_record(s, FACT_COMMITTED);
}

/* Where the other node's broker stands in this reign, by its own beats or by the brokers' word; 0: not known.
 */
static uint64_t peer_offset(const struct core *core) {
  const struct beat *beat = &core->peer[other_node(core)].beat;
  const struct position *direct = &core->broker.peer;
  uint64_t told = beat->position.epoch == core->reign ? beat->position.offset : 0;
  uint64_t seen = direct->epoch == core->reign ? direct->offset : 0;
  return told > seen ? told : seen;
}

static bool attached(const struct core *core) {
  return core->broker.link && !core->broker.silent;
}

bool sync_holds(const struct core *core, struct position position) {
  if (!sync_replicates(core))
    return true;
  return attached(core) && peer_offset(core) >= position.offset && peer_offset(core) > 0;
}

/* Section 6: with ASYNC near is enough, and P3 becomes that bound. */
static bool near(const struct core *core, uint64_t offset, struct position position) {
  uint64_t allowed = core->config.replication == REPLICATION_ASYNC ? core->config.max_lag : 0;
  return offset > 0 && (offset >= position.offset || position.offset - offset <= allowed);
}

/* A broker that acknowledges on regardless is to be told at once; one that withholds has degrade_ms. */
static bool too_far(const struct core *core) {
  return core->config.replication == REPLICATION_ASYNC && !core->config.withholds && core->peer_offset > 0 &&
         !near(core, core->peer_offset, core->broker.position);
}

void sync_progress(struct step *s) {
  struct core *core = s->core;
  if (core->role != ROLE_MASTER || !attached(core))
    return;
  uint64_t offset = peer_offset(core);
  if (offset > core->peer_offset || near(core, offset, core->broker.position))
    core->progress_at = s->now;
  core->peer_offset = offset > core->peer_offset ? offset : core->peer_offset;
}

static bool stands_still(const struct core *core) {
  return !instant_before(core->now, instant_plus_ms(core->progress_at, core->config.degrade_ms));
}

/* S2: the secondary is gone, too far behind, or BLANK. A broker that is itself dead tells nothing about the
 * other. */
static bool lost_secondary(const struct core *core) {
  if (core_blank_peer(core, other_node(core)))
    return true;
  bool alive = core->broker.health > 0 && !core->broker.dead && !core->broker.silent && core->promoted;
  return alive && (!core->broker.link || stands_still(core) || too_far(core));
}

bool sync_joinable(const struct core *core) {
  unsigned other = other_node(core);
  const struct beat *beat = &core->peer[other].beat;
  bool follows = beat->leader == core->config.self && beat->leader_epoch == core->reign && beat->health > 0;
  return core_hears(core, other, core->now) && !core_blank_peer(core, other) && follows && attached(core) &&
         beat->position.epoch == core->reign && !stands_still(core) && !too_far(core);
}

static bool leased(const struct core *core) {
  return instant_before(core->now, core->lease_end);
}

static void note_witness(struct core *core) {
  unsigned other = other_node(core);
  bool by_other = core_hears(core, other, core->now) && (core->peer[other].beat.flags & BEAT_WITNESS) != 0;
  if (by_other || core_hears(core, VOTER_W, core->now))
    core->witness_at = core->now;
}

static bool witness_lost(const struct core *core) {
  uint32_t grace_ms = core->config.witness_grace_ms;
  return grace_ms != 0 && !instant_before(core->now, instant_plus_ms(core->witness_at, grace_ms));
}

/* S3, in its order: the secondary keeps up, the broker is told to wait for it (emit.c, `joining`), the
   position taken after that is reached under a valid lease, and only then PAIR. A planned hand-over does not
   wait for the hold. */
static void join(struct step *s) {
  struct core *core = s->core;
  if (!sync_joinable(core)) {
    stop_joining(core);
    return;
  }
  core->keeps_up_since = instant_earlier(core->keeps_up_since, s->now);
  struct instant held = instant_plus_ms(core->keeps_up_since, (int64_t)sync_hold_ms(core));
  if (!instant_before(s->now, held) || core->handover.phase == HANDOVER_JOIN)
    core->joining = true;
  bool there = core->joining && core->join_known && attached(core) && near(core, peer_offset(core), core->join_at);
  if (there && leased(core)) {
    stop_joining(core);
    if (witness_lost(core) && !handover_needs_pair(core))
      core->synchronous = true; /* S6: PAIR waits for the witness */
    else
      propose(s, RECORD_PAIR);
  }
}

void sync_done(struct step *s, struct position position) {
  struct core *core = s->core;
  core->join_at = position;
  core->join_known = true;
}

/* A master that hears nobody but is heard would exclude the other node (S4) and then end itself (L5): so somebody must
   have granted what it sent since. A broker that acknowledges on regardless cannot wait for that. */
static bool may_exclude(struct step *s) {
  struct core *core = s->core;
  if (core->missing_since.us == INSTANT_NEVER.us) {
    core->missing_since = s->now;
    s->ask = ALL_VOTERS;
  }
  struct instant lease = lease_end(core->missing_since, core->config.lease_ms, core->config.drift_ppm);
  return too_far(core) || !instant_before(core->lease_end, lease);
}

static void pair_timer(struct step *s) {
  struct core *core = s->core;
  bool lost = lost_secondary(core);
  if (!lost)
    core->missing_since = INSTANT_NEVER;
  if (lost && may_exclude(s)) {
    core->missing_since = INSTANT_NEVER;
    note_flap(core, s->now);
    propose(s, RECORD_SOLE); /* S2: first this; the broker stops waiting once it is committed (emit.c) */
  } else if (!lost && core->committed && witness_lost(core) && !handover_needs_pair(core)) {
    core->synchronous = true; /* S6 */
    propose(s, RECORD_SOLE);
  }
}

/* S6: alone on paper with the secondary still in step. */
static void synchronous_timer(struct step *s) {
  struct core *core = s->core;
  if (lost_secondary(core)) {
    core->synchronous = false;
    return;
  }
  bool wanted = !witness_lost(core) || handover_needs_pair(core);
  if (core->committed && wanted && leased(core)) {
    core->synchronous = false;
    propose(s, RECORD_PAIR);
  }
}

void sync_timer(struct step *s) {
  struct core *core = s->core;
  if (core->role != ROLE_MASTER || !sync_replicates(core) || core_waits(core))
    return;
  note_witness(core);
  sync_progress(s); /* who is level stands not still, however long no beat comes */
  if (core_record(core)->mode == RECORD_PAIR)
    pair_timer(s);
  else if (core->synchronous)
    synchronous_timer(s);
  else if (core->committed)
    join(s);
}
