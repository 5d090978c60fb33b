// SPDX-License-Identifier: Apache-2.0
// From the state to what is to be done, by difference to what was shown before: first what takes something
// away, then the disk, then what promises, then what claims. A crash between two of them leaves less than was
// said, never more.
#include <assert.h>

#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/step.h"

static struct action *add(struct actions *list, enum action_type type) {
  assert(list->count < ACTIONS_MAX);
  struct action *action = &list->at[list->count++];
  action->type = type;
  return action;
}

static const struct broker_duty hold = {.mode = BROKER_HOLD, .master = NOBODY};

/* May the broker acknowledge nothing? S1: a new master until its record is committed; S2: while SOLE is
 * proposed. */
static bool withholds(const struct core *core) {
  bool loosening = core_record(core)->mode == RECORD_SOLE && !core->committed && !core->synchronous;
  return handover_pauses(core) || (sync_replicates(core) && (!core->established || loosening));
}

/* Must the broker wait for the secondary? Always at least for those whom the record names (S2, S3, S6). */
static bool waits(const struct core *core) {
  if (!sync_replicates(core))
    return false;
  bool loosening = core_record(core)->mode == RECORD_SOLE && !core->committed && core->established;
  return core->config.strict || core_record(core)->mode == RECORD_PAIR || core->joining ||
         core->synchronous || loosening;
}

static struct broker_duty wanted_duty(const struct core *core) {
  struct broker_duty duty = hold;
  if (core->role == ROLE_MASTER && core->spoilt == core->reign && !core_waits(core)) {
    /* L7: held until the next epoch is granted */
  } else if (core->role == ROLE_MASTER && !core_waits(core)) {
    duty = (struct broker_duty){.mode = BROKER_LEAD, .master = core->config.self, .epoch = core->reign};
    duty.paused = withholds(core);
    duty.sync = waits(core);
    duty.evict = core->handover.phase == HANDOVER_EVICT;
  } else if (core->follow != NOBODY) {
    duty = (struct broker_duty){.mode = BROKER_FOLLOW, .master = core->follow, .epoch = core->follow_epoch};
  }
  duty.serial = core->shown.broker.serial;
  return duty;
}

static struct shown wanted(const struct core *core) {
  struct shown shown = {.fence = INSTANT_PAST};
  if (!is_node(core))
    return shown;
  shown.broker = wanted_duty(core);
  if (core->role != ROLE_MASTER)
    return shown;
  if (core_waits(core)) { /* L11: the broker goes on as it was, so that what is on its way to it still comes */
    shown.peer_off = core->device_due ? core->unfenced : 0;
    return shown;
  }
  shown.fence = core_sole(core) ? INSTANT_NEVER : core->lease_end;
  shown.address = core->established && core->promoted;
  return shown;
}

static bool same_duty(const struct broker_duty *a, const struct broker_duty *b) {
  return a->serial != 0 && a->mode == b->mode && a->master == b->master && a->epoch == b->epoch &&
         a->paused == b->paused && a->sync == b->sync && a->evict == b->evict;
}

/* A duty that only restricts is a release; one that allows anything new is a claim. */
static bool restricts(const struct broker_duty *from, const struct broker_duty *to) {
  if (to->mode == BROKER_HOLD)
    return true;
  bool same_mode = from->mode == to->mode && from->mode == BROKER_LEAD;
  return same_mode && to->epoch == from->epoch && to->paused >= from->paused && to->sync >= from->sync;
}

static void show_broker(struct core *core, const struct broker_duty *duty, struct actions *list) {
  uint32_t serial = core->shown.broker.serial + 1;
  core->shown.broker = *duty;
  core->shown.broker.serial = serial;
  core->shown.unknown &= (uint8_t)~UNKNOWN_BROKER;
  core->join_known &= duty->sync; /* S3: what is acknowledged from here on is behind no position known */
  add(list, ACTION_BROKER)->broker = core->shown.broker;
}

static void show_fence(struct core *core, struct instant until, struct actions *list) {
  core->shown.fence = until;
  core->shown.unknown &= (uint8_t)~UNKNOWN_FENCE;
  if (until.us == INSTANT_PAST.us)
    add(list, ACTION_FENCE_CLOSE);
  else
    add(list, ACTION_FENCE_ARM)->until = until;
}

static void show_address(struct core *core, bool held, struct actions *list) {
  core->shown.address = held;
  core->shown.unknown &= (uint8_t)~UNKNOWN_ADDRESS;
  add(list, held ? ACTION_ADDRESS_ADD : ACTION_ADDRESS_DROP);
}

static void show_peer_off(struct core *core, uint64_t reign, struct actions *list) {
  core->shown.peer_off = reign;
  if (reign == 0)
    add(list, ACTION_SPARE_PEER);
  else
    add(list, ACTION_FENCE_PEER)->peer_off = reign;
}

static bool duty_differs(const struct core *core, const struct shown *want) {
  return is_node(core) &&
         ((core->shown.unknown & UNKNOWN_BROKER) || !same_duty(&core->shown.broker, &want->broker));
}

/* It may be open longer than it is to be: told so before, or nobody knows whether the last word reached it. */
static bool fence_releases(const struct shown *shown, const struct shown *want) {
  bool lower = instant_before(want->fence, shown->fence);
  return lower || ((shown->unknown & UNKNOWN_FENCE) && !instant_before(shown->fence, want->fence));
}

static void release(struct core *core, const struct shown *want, struct actions *list) {
  struct shown *shown = &core->shown;
  bool differs = duty_differs(core, want);
  if (differs && restricts(&shown->broker, &want->broker))
    show_broker(core, &want->broker, list);
  else if (differs && shown->broker.mode == BROKER_LEAD &&
           (want->broker.mode != BROKER_LEAD || shown->broker.epoch == core->spoilt))
    show_broker(core, &hold,
                list); /* it leads no more so; whom it follows, or the new epoch, is behind the disk */
  if (!want->address && (shown->address || (shown->unknown & UNKNOWN_ADDRESS)))
    show_address(core, false, list);
  if (fence_releases(shown, want))
    show_fence(core, want->fence, list);
  if (shown->peer_off != 0 && want->peer_off != shown->peer_off)
    show_peer_off(core, 0, list);
  core->released = *shown;
}

static void claim(struct core *core, const struct shown *want, struct actions *list) {
  struct shown *shown = &core->shown;
  if (instant_before(shown->fence, want->fence) || (shown->unknown & UNKNOWN_FENCE))
    show_fence(core, want->fence, list);
  if (duty_differs(core, want))
    show_broker(core, &want->broker, list);
  if (want->address && (!shown->address || (shown->unknown & UNKNOWN_ADDRESS)))
    show_address(core, true, list);
  if (want->peer_off != shown->peer_off)
    show_peer_off(core, want->peer_off, list);
}

static uint8_t beat_flags(const struct core *core, bool ask) {
  bool idle = core->role == ROLE_SECONDARY || core->role == ROLE_SUSPECT;
  unsigned flags = (ask ? BEAT_ASK : 0u) | (core->voter.ballot.blank ? BEAT_BLANK : 0u) |
                   (is_node(core) && core->voter.ballot.forced[core->config.self] != 0 ? BEAT_FORCED : 0u);
  if (idle && core->quiet)
    flags |= BEAT_RELEASED | (core->handing ? BEAT_HANDOVER : 0u); /* V3, L8 */
  if (core_waits(core))
    flags |= BEAT_WAITS;
  if (is_node(core) && core_hears(core, VOTER_W, core->now))
    flags |= BEAT_WITNESS;
  return (uint8_t)flags;
}

static void show_promise(const struct core *core, struct beat *beat) {
  const struct promise *promise = &core->voter.promise;
  beat->leader = promise->leader;
  beat->leader_epoch = promise->leader_epoch;
  beat->grant = promise->leader == beat->to && !core->peer[beat->to].anew ? promise->grant : 0;
  if (core->role == ROLE_MASTER) {
    beat->leader = core->config.self;
    beat->leader_epoch = core->reign;
  }
  bool leads = core_leads(core, core->now);
  beat->free_ms = beat->to == VOTER_W ? FREE_NEVER : voter_free_ms(&core->voter, beat->to, core->now, leads);
}

static struct beat make_beat(const struct core *core, unsigned to, bool ask) {
  const struct ballot *ballot = &core->voter.ballot;
  struct beat beat = {.from = core->config.self, .to = (uint8_t)to, .role = core->role, .seq = core->seq};
  beat.flags = beat_flags(core, ask);
  beat.echo = core->peer[to].anew ? 0 : core->peer[to].echo;
  beat.epoch = ballot->epoch;
  beat.sync = ballot->sync;
  beat.reign = core->reign;
  beat.lease_ms = core->config.lease_ms;
  beat.seen_you = ballot->seen[to];
  beat.frozen = ballot->frozen;
  beat.version = core->config.version;
  beat.config = core->config.config;
  if (is_node(core)) {
    beat.health = core->broker.dead ? 0 : core->broker.health;
    beat.position = core->broker.position;
  }
  show_promise(core, &beat);
  return beat;
}

static void send(struct core *core, unsigned to, bool ask, struct actions *list) {
  struct peer *peer = &core->peer[to];
  core->seq++;
  add(list, ACTION_SEND)->beat = make_beat(core, to, ask);
  peer->sent[peer->sent_next] = (struct sent){core->seq, core->now, core->config.lease_ms};
  peer->sent_next = (uint8_t)((peer->sent_next + 1) % SENT_MAX);
  peer->sent_last = core->now;
  if (ask)
    peer->asked = core->now;
}

static bool asks(const struct core *core) {
  return core->role == ROLE_SUSPECT || core->role == ROLE_CANDIDATE || core->role == ROLE_MASTER;
}

static bool passed(struct instant at, struct instant since, struct instant now) {
  return instant_before(since, at) && !instant_before(now, at);
}

/* The beat that is due: each beat_ms, and a suspect's at the moments when an answer may have changed (L1). */
static bool due(const struct core *core, unsigned to) {
  const struct peer *peer = &core->peer[to];
  struct instant last = asks(core) ? peer->asked : peer->sent_last;
  if (!instant_before(core->now, instant_plus_ms(last, core->config.beat_ms)) || last.us == INSTANT_PAST.us)
    return true;
  return core->role == ROLE_SUSPECT && (passed(peer->free_at, peer->asked, core->now) ||
                                        passed(core->voter.promise.until, peer->asked, core->now) ||
                                        passed(core->voter.silence_until, peer->asked, core->now));
}

static void promises(struct step *s, struct actions *list) {
  struct core *core = s->core;
  for (unsigned to = 0; to < VOTERS; to++) {
    unsigned bit = 1u << to;
    if (to == core->config.self)
      continue;
    if ((s->ask & bit) || due(core, to))
      send(core, to, asks(core), list);
    else if (s->answer & bit)
      send(core, to, false, list);
  }
}

static void persist(struct core *core, struct actions *list) {
  if (!core->voter.dirty)
    return;
  add(list, ACTION_PERSIST)->ballot = core->voter.ballot;
  core->voter.dirty = false; /* EVENT_DISK_FAILED takes it back */
}

void emit_failed(struct step *s) {
  struct core *core = s->core;
  core->shown.unknown = core->released.unknown;
  core->shown.address = core->released.address;
  core->shown.fence = core->released.fence;
  core->shown.peer_off = core->released.peer_off;
  uint32_t serial = core->shown.broker.serial;
  core->shown.broker = core->released.broker;
  core->shown.broker.serial = serial; /* serials are never given twice */
  core->voter.dirty = true;
  core->disk_failing = true;
  core->retry_at = instant_plus_ms(s->now, core->config.beat_ms);
}

void emit(struct step *s, struct actions *list) {
  struct core *core = s->core;
  list->count = 0;
  struct shown want = wanted(core);
  release(core, &want, list);
  bool muted = core->disk_failing && instant_before(s->now, core->retry_at);
  if (!muted) {
    core->disk_failing = false;
    persist(core, list);
    promises(s, list);
    claim(core, &want, list);
  }
  for (size_t i = 0; i < s->fact_count; i++)
    add(list, ACTION_TELL)->fact = s->fact[i];
}

// ---- when to be called again ----

struct soonest {
  struct instant now, at;
};

/* What is not in the future was looked at by the last step. */
static void consider(struct soonest *soonest, struct instant at) {
  if (instant_before(soonest->now, at))
    soonest->at = instant_earlier(soonest->at, at);
}

static void consider_sends(const struct core *core, struct soonest *soonest) {
  for (unsigned i = 0; i < VOTERS; i++) {
    const struct peer *peer = &core->peer[i];
    if (i == core->config.self)
      continue;
    struct instant last = asks(core) ? peer->asked : peer->sent_last;
    consider(soonest, instant_plus_ms(last, core->config.beat_ms));
    if (core->role == ROLE_SUSPECT)
      consider(soonest, peer->free_at);
  }
}

static void consider_master(const struct core *core, struct soonest *soonest) {
  if (!core_sole(core))
    consider(soonest, core->lease_end);
  if (core->handover.phase != HANDOVER_NONE)
    consider(soonest, core->handover.until);
  consider(soonest, core_held_down_until(core));
  struct instant device_at;
  if (fencing_due_at(core, &device_at))
    consider(soonest, device_at);
  if (!sync_replicates(core))
    return;
  consider(soonest, instant_plus_ms(core->progress_at, core->config.degrade_ms));
  if (core->keeps_up_since.us != INSTANT_NEVER.us)
    consider(soonest, instant_plus_ms(core->keeps_up_since, (int64_t)sync_hold_ms(core)));
  if (core->config.witness_grace_ms != 0)
    consider(soonest, instant_plus_ms(core->witness_at, core->config.witness_grace_ms));
}

static void consider_others(const struct core *core, struct soonest *soonest) {
  const struct promise *promise = &core->voter.promise;
  consider(soonest, promise->until);
  consider(soonest, core->voter.silence_until);
  consider(soonest, core->stand_after);
  consider(soonest, core_held_down_until(core));
  if (core->role == ROLE_SECONDARY && promise->leader != NOBODY)
    consider(soonest,
             instant_plus_us(core->peer[promise->leader].heard, (int64_t)core->config.beat_ms * 2500));
  if (core->role == ROLE_CANDIDATE)
    consider(soonest, core->give_up_at);
  if (core->role == ROLE_SUSPECT && core->ready_since.us != INSTANT_NEVER.us)
    consider(soonest, instant_plus_ms(core->ready_since, core->config.beat_ms));
}

struct instant core_deadline(const struct core *core) {
  struct soonest soonest = {core->now, INSTANT_NEVER};
  if (core->disk_failing)
    consider(&soonest, core->retry_at);
  else
    consider_sends(core, &soonest);
  if (core->role == ROLE_MASTER)
    consider_master(core, &soonest);
  else if (is_node(core))
    consider_others(core, &soonest);
  return soonest.at;
}
