// SPDX-License-Identifier: Apache-2.0
// From the duty, and what is known of the broker, to the next verb.
#include <inttypes.h>
#include <stdio.h>

#include "agent/orphans.h"
#include "agent/verbs_engine.h"
#include "common/base/clock.h"
#include "common/core/lease.h"

// A pause outlives the agent's own deadline by far: one that ran out before the demotion would make an old master
// writable again. It is renewed when half of it is over.
#define PAUSE_LEASES 10
#define PAUSE_MS_MIN 10000
#define HURRY_US 1000 // between two questions while a paused master waits for the other's position
#define HURRY_SLOW_US 5000
#define HURRY_FOR_US 200000
#define REJOIN_US 5000000 // a link that has been down for so long after a rejoin is worth another one

bool verbs_replicates(const struct verbs *e) {
  return e->settings.replication == REPLICATION_SYNC || e->settings.replication == REPLICATION_ASYNC;
}

bool verbs_rests(const struct verbs *e) {
  return !verbs_replicates(e) && !verbs_can(e, VERB_START);
}

bool verbs_emptied(const struct verbs *e) {
  return e->distrust && e->had_data && e->told_position && e->offset == 0 && e->own_epoch == 0;
}

int64_t verbs_pause_ms(const struct verbs *e) {
  int64_t ms = (int64_t)e->settings.lease_ms * PAUSE_LEASES;
  return ms < PAUSE_MS_MIN ? PAUSE_MS_MIN : ms;
}

static bool passed(struct instant at) {
  return !instant_before(clock_now(), at);
}

static bool wants(const struct verbs *e, enum broker_mode mode) {
  return e->has_duty && e->duty.mode == mode;
}

static bool known_down(const struct verbs *e) {
  return e->looked && !e->stale && e->place == PLACE_DOWN;
}

static bool wants_sync(const struct verbs *e) {
  return e->duty.sync && e->settings.replication == REPLICATION_SYNC;
}

// ---- stepping down: no other verb's answer is waited for (L5, L9) ----

static bool must_step_down(const struct verbs *e) {
  if (!e->has_duty || e->held || known_down(e))
    return false;
  return e->duty.mode != BROKER_LEAD || e->distrust;
}

static bool next_down(struct verbs *e, enum verb *verb) {
  static const enum verb stages[] = {VERB_DEMOTE, VERB_FENCE, VERB_STOP};
  size_t count = sizeof stages / sizeof stages[0];
  if (!must_step_down(e) || (e->stage > 0 && !e->greeted)) // who knows what else it can do
    return false;
  while (e->stage < count && !verbs_can(e, stages[e->stage]))
    e->stage++;
  if (e->stage >= count && passed(e->failure.again))
    e->stage = 0; // all over again
  if (e->stage >= count)
    return false;
  *verb = stages[e->stage];
  return true;
}

// ---- looking ----

static void ask_depth(struct verbs *e) {
  bool serves = wants(e, BROKER_LEAD) && e->promoted != 0 && e->reached && !e->duty.paused;
  bool both = serves && wants_sync(e) && e->link == SWITCH_ON;
  words_put_uint(&e->words, "depth", both ? 3 : serves && !wants_sync(e) ? 2 : 1);
}

static bool next_look(struct verbs *e, enum verb *verb) {
  if (e->looked && !e->stale && !passed(e->look_at))
    return false;
  *verb = !e->seen && verbs_can(e, VERB_PROBE) ? VERB_PROBE : VERB_MONITOR;
  ask_depth(e);
  return true;
}

// Does a paused master wait for the other's position?
static bool awaits(const struct verbs *e) {
  return wants(e, BROKER_LEAD) && e->duty.paused && e->reached && verbs_replicates(e) &&
         e->view.peer.offset < e->view.position.offset;
}

static void ask_again_soon(struct verbs *e) {
  int64_t us = clock_now().us - e->since.us < HURRY_FOR_US ? HURRY_US : HURRY_SLOW_US;
  e->pos_at = (struct instant){clock_now().us + (e->doubtful ? (int64_t)e->settings.beat_ms * 1000 : us)};
}

static bool next_pos(struct verbs *e, enum verb *verb) {
  bool running = e->place == PLACE_MASTER || e->place == PLACE_SECONDARY;
  bool wanted = e->unplaced && (!e->doubtful || passed(e->pos_at));
  if (!verbs_replicates(e) || !verbs_can(e, VERB_POS) || !running)
    return false;
  bool tells = e->told_peer || !verbs_can(e, VERB_WAITPOS);
  if (!wanted && !(awaits(e) && tells && passed(e->pos_at)))
    return false;
  ask_again_soon(e);
  *verb = VERB_POS;
  return true;
}

// ---- towards the duty ----

static bool next_start(struct verbs *e, enum verb *verb) {
  bool kept_down = e->stopped && e->duty.mode == BROKER_HOLD;
  if (!known_down(e) || verbs_rests(e) || kept_down || !verbs_can(e, VERB_START) || !passed(e->start_at) ||
      !passed(verbs_restart_at(e)))
    return false;
  *verb = VERB_START;
  return true;
}

void verbs_orphan_path(const struct verbs *e, char *path, size_t size) {
  path[0] = 0;
  if (e->settings.orphans == NULL || e->settings.orphans[0] == 0 || orphans_make(e->settings.orphans) != 0)
    return;
  snprintf(path, size, "%s/" ORPHANS_NAME, e->settings.orphans, e->duty.epoch, clock_wall_ms());
}

static bool next_follow(struct verbs *e, enum verb *verb) {
  char orphan[WORDS_VALUE_SIZE];
  bool lost = e->link == SWITCH_OFF && clock_now().us - e->joined_at.us > REJOIN_US;
  if (!e->held || e->place == PLACE_DOWN || !verbs_replicates(e) || !verbs_can(e, VERB_REJOIN))
    return false;
  if (e->joined && e->joined_epoch == e->duty.epoch && !lost)
    return false;
  *verb = VERB_REJOIN;
  e->asked = e->duty.epoch;
  verbs_orphan_path(e, orphan, sizeof orphan);
  words_put_uint(&e->words, "epoch", e->duty.epoch);
  words_put(&e->words, "master", e->duty.master < NODES ? e->settings.names[e->duty.master] : NULL);
  words_put(&e->words, "master_address", e->duty.master < NODES ? e->settings.peers[e->duty.master] : NULL);
  words_put(&e->words, "orphan", orphan[0] != 0 ? orphan : NULL);
  return true;
}

static bool ask_promote(struct verbs *e, enum verb *verb) {
  *verb = VERB_PROMOTE;
  e->asked = e->duty.epoch;
  e->asked_sync = wants_sync(e);
  e->asked_paused = e->duty.paused;
  words_put_uint(&e->words, "epoch", e->duty.epoch);
  words_put(&e->words, "sync", e->asked_sync ? "on" : "off");
  words_put(&e->words, "paused", e->asked_paused ? "1" : "0");
  return true;
}

static bool ask_pause(struct verbs *e, enum verb *verb) {
  *verb = VERB_PAUSE;
  words_put_uint(&e->words, "for_ms", (uint64_t)verbs_pause_ms(e));
  return true;
}

static bool ask_sync(struct verbs *e, enum verb *verb) {
  *verb = VERB_SYNC;
  e->asked_sync = wants_sync(e);
  words_put(&e->words, "sync", e->asked_sync ? "on" : "off");
  return true;
}

static bool ask_waitpos(struct verbs *e, enum verb *verb) {
  ask_again_soon(e);
  *verb = VERB_WAITPOS;
  e->asked = e->view.position.offset;
  words_put_uint(&e->words, "position", e->asked);
  return true;
}

static bool pause_fits(const struct verbs *e) {
  if (!e->duty.paused || !verbs_can(e, VERB_PAUSE))
    return true;
  int64_t left = instant_us_between(clock_now(), e->paused_until);
  return e->pause == SWITCH_ON && left > verbs_pause_ms(e) * 500;
}

static bool sync_fits(const struct verbs *e) {
  return !verbs_can(e, VERB_SYNC) || e->settings.replication != REPLICATION_SYNC ||
         e->sync == (wants_sync(e) ? SWITCH_ON : SWITCH_OFF);
}

static bool resume_fits(const struct verbs *e) {
  return e->duty.paused || e->pause == SWITCH_OFF || !verbs_can(e, VERB_RESUME);
}

// Pause before all else, resume last: what was asked for besides holds before the next write is acknowledged.
static bool next_lead(struct verbs *e, enum verb *verb) {
  bool runs = e->place == PLACE_MASTER || e->place == PLACE_SECONDARY || verbs_rests(e);
  if (e->distrust || !e->looked || !runs)
    return false;
  if (e->promoted != e->duty.epoch)
    return ask_promote(e, verb);
  if (!pause_fits(e))
    return ask_pause(e, verb);
  if (!sync_fits(e))
    return ask_sync(e, verb);
  if (!resume_fits(e)) {
    *verb = VERB_RESUME;
    return true;
  }
  return awaits(e) && verbs_can(e, VERB_WAITPOS) && passed(e->pos_at) && ask_waitpos(e, verb);
}

static bool next_step(struct verbs *e, enum verb *verb) {
  bool later = e->failure.rc != 0 && !passed(e->failure.again);
  if (!e->has_duty || later || e->missing[0] != 0)
    return false;
  if (next_start(e, verb))
    return true;
  if (e->duty.mode == BROKER_FOLLOW)
    return next_follow(e, verb);
  return e->duty.mode == BROKER_LEAD && next_lead(e, verb);
}

bool verbs_next(struct verbs *e, enum verb *verb) {
  if (e->lost[0] != 0)
    return false;
  if (next_down(e, verb))
    return true;
  if (!e->greeted) {
    *verb = VERB_HELLO;
    return true;
  }
  if (e->evict) {
    e->evict = false;
    *verb = VERB_EVICT;
    return true;
  }
  if (e->looked && !e->stale && next_step(e, verb))
    return true;
  return next_look(e, verb) || next_pos(e, verb);
}

// ---- when, and how far ----

// What is over already is not what is waited for: verbs_next has seen it.
static void sooner(struct instant *due, struct instant at) {
  if (instant_before(at, *due) && !passed(at))
    *due = at;
}

struct instant verbs_due(const struct verbs *e) {
  struct instant due = e->look_at;
  sooner(&due, e->failure.again);
  sooner(&due, e->start_at);
  sooner(&due, verbs_restart_at(e));
  sooner(&due, e->distrust_until);
  sooner(&due, e->pos_at);
  return due;
}

// A service that died has nothing to be held: it stays dead until another duty says how to go on, or a lease is over.
static void trust_again(struct verbs *e) {
  if (!e->distrust)
    return;
  bool gone = known_down(e);
  e->dead = verbs_emptied(e) || (verbs_rests(e) && gone) || !(e->held || gone);
  bool back = verbs_rests(e) ? gone : e->held && !gone && !e->unplaced;
  if (back && !verbs_emptied(e) && passed(e->distrust_until))
    e->distrust = e->dead = false;
}

static bool placed(const struct verbs *e) {
  return !e->unplaced || e->doubtful || !verbs_can(e, VERB_POS);
}

static bool is_reached(const struct verbs *e) {
  if (wants(e, BROKER_HOLD))
    return known_down(e) || (e->held && placed(e));
  if (wants(e, BROKER_LEAD))
    return !e->distrust && e->promoted == e->duty.epoch && pause_fits(e) && sync_fits(e) && resume_fits(e) &&
           (!e->unplaced || !verbs_can(e, VERB_POS));
  if (!verbs_replicates(e) || !verbs_can(e, VERB_REJOIN))
    return e->held || known_down(e);
  return e->joined && e->joined_epoch == e->duty.epoch && e->link != SWITCH_OFF && !e->stale && placed(e);
}

void verbs_judge(struct verbs *e) {
  trust_again(e);
  if (!e->has_duty || e->reached || !is_reached(e))
    return;
  e->reached = e->untold = true;
  if (e->duty.mode != BROKER_HOLD)
    e->epoch = e->duty.epoch;
}
