// SPDX-License-Identifier: Apache-2.0
// What an answer tells of the broker.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/verbs_engine.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define RETRY_MS_MAX 5000
#define START_MS 1000 // between two starts of a broker, doubled each time
#define START_MS_MAX 30000
#define STEADY_US 30000000 // who has run for so long is started again soon

// ---- who the broker is ----

static void forget(struct verbs *e) {
  e->promoted = e->waited = 0;
  e->joined = e->told_peer = false;
  e->pause = e->sync = e->link = e->writable = SWITCH_UNKNOWN;
}

// What led and is not what it was may hold less than was acknowledged.
static void distrust(struct verbs *e) {
  if (!e->has_duty || e->duty.mode != BROKER_LEAD)
    return;
  e->distrust = e->dead = true;
  e->distrust_until = instant_in_ms(e->settings.lease_ms);
}

static void died(struct verbs *e) {
  e->had_data = e->had_data || e->offset > 0;
  forget(e);
  distrust(e);
}

static void reborn(struct verbs *e) {
  e->had_data = e->had_data || e->offset > 0;
  e->epoch = e->own_epoch = e->offset = 0;
  e->held = e->told_position = false;
  e->unplaced = verbs_replicates(e);
  forget(e);
  distrust(e);
}

static void name_unnamed(struct verbs *e) {
  if (e->incarnation[0] == 0)
    snprintf(e->incarnation, sizeof e->incarnation, VERBS_UNNAMED);
}

// A service is another process each time it is started; that is no return of one that led.
static void forget_service(struct verbs *e) {
  if (verbs_rests(e))
    e->incarnation[0] = 0;
}

static void place(struct verbs *e, enum verbs_place now) {
  enum verbs_place before = e->place;
  bool led = e->promoted != 0 || e->resumed;
  e->place = now;
  if (now == PLACE_DOWN) {
    if (e->seen && before != PLACE_DOWN)
      died(e);
    forget_service(e);
    return;
  }
  if ((e->seen && before == PLACE_DOWN && !verbs_rests(e)) || (led && now == PLACE_SECONDARY))
    reborn(e);
  if (now == PLACE_MASTER && e->has_duty && e->duty.mode != BROKER_LEAD)
    e->held = e->joined = false; // somebody else has made it one
  e->seen = true;
  e->resumed = false;
  name_unnamed(e);
}

// ---- words ----

static void take_switch(const struct words *words, const char *key, enum verbs_switch *into) {
  uint64_t on;
  if (words_get_uint(words, key, &on))
    *into = on != 0 ? SWITCH_ON : SWITCH_OFF;
}

static void take_incarnation(struct verbs *e, const char *text) {
  if (text == NULL || text[0] == 0)
    return;
  bool other = e->incarnation[0] != 0 && strcmp(e->incarnation, VERBS_UNNAMED) != 0 &&
               strncmp(e->incarnation, text, sizeof e->incarnation - 1) != 0;
  snprintf(e->incarnation, sizeof e->incarnation, "%.*s", (int)sizeof e->incarnation - 1, text);
  if (other)
    reborn(e);
}

void verbs_take_words(struct verbs *e, const struct words *words) {
  uint64_t number;
  take_incarnation(e, words_get(words, "incarnation"));
  if (words_get_uint(words, "epoch", &number))
    e->own_epoch = number;
  if (words_get_uint(words, "position", &number)) {
    e->offset = number;
    e->told_position = true;
    e->unplaced = e->doubtful = false;
  }
  if (words_get_uint(words, "peer", &number)) {
    e->peer = number;
    e->told_peer = true;
  }
  take_switch(words, "link", &e->link);
  take_switch(words, "writable", &e->writable);
  take_switch(words, "paused", &e->pause);
  take_switch(words, "sync", &e->sync);
}

static const char *last_words(const struct verb_reply *reply) {
  const char *note = words_get(&reply->words, "note");
  return note != NULL && note[0] != 0 ? note : reply->said;
}

// ---- looks ----

static enum verbs_place place_of(const struct verbs *e, const struct verb_reply *reply) {
  const char *role = words_get(&reply->words, "role");
  if (reply->rc == VERB_OK)
    return PLACE_SECONDARY;
  if (reply->rc == VERB_MASTER || reply->rc == VERB_FAILED_MASTER)
    return PLACE_MASTER;
  if (reply->rc == VERB_NOT_RUNNING)
    return PLACE_DOWN;
  if (role != NULL && reply->rc == VERB_DEGRADED)
    return strcmp(role, "master") == 0 ? PLACE_MASTER : PLACE_SECONDARY;
  return e->place;
}

static bool is_well(const struct verbs *e, int rc) {
  if (rc == VERB_BUSY)
    return e->well;
  if (rc == VERB_NOT_RUNNING)
    return verbs_rests(e) && !e->distrust;
  return rc == VERB_OK || rc == VERB_MASTER || rc == VERB_DEGRADED;
}

static void take_look(struct verbs *e, enum verb verb, const struct verb_reply *reply) {
  e->stale = false;
  e->looked = true;
  e->look_rc = reply->rc;
  place(e, place_of(e, reply));
  e->well = is_well(e, reply->rc);
  e->note[0] = 0;
  const char *said = last_words(reply);
  if (reply->rc != VERB_OK && reply->rc != VERB_MASTER && reply->rc != VERB_NOT_RUNNING)
    verbs_trouble(e->note, verb, reply->rc, e->limit_ms, said);
  else if (words_get(&reply->words, "note") != NULL)
    snprintf(e->note, sizeof e->note, "%.*s", (int)sizeof e->note - 1, said);
  if (e->starts > 0 && e->well && clock_now().us - e->start_at.us > STEADY_US)
    e->starts = 0;
}

static void take_pos(struct verbs *e, const struct verb_reply *reply) {
  uint64_t number;
  if (reply->rc == VERB_OK && words_get_uint(&reply->words, "position", &number))
    return;
  e->doubtful = true;
  verbs_trouble(e->note, VERB_POS, reply->rc == VERB_OK ? VERB_ARGUMENTS : reply->rc, e->limit_ms,
                reply->rc == VERB_OK ? "it answered no position=" : last_words(reply));
}

static void take_hello(struct verbs *e, const struct verb_reply *reply) {
  const char *supports = words_get(&reply->words, "supports");
  char names[96];
  e->greeted = true;
  if (supports != NULL)
    e->supports = e->carries & (verb_set(supports) | VERB_BIT(VERB_HELLO));
  else if (reply->rc == VERB_OK) // another one may have come that knows more
    e->supports = e->carries;
  uint32_t lacks = verb_needed(e->settings.replication) & ~e->supports;
  if (e->transport->blind)
    lacks &= ~VERB_BIT(VERB_POS);
  e->missing[0] = 0;
  if (lacks != 0)
    snprintf(e->missing, sizeof e->missing, "it lacks verbs that broker.replication needs: %s: add them, or set another",
             verb_names(lacks, names, sizeof names));
}

// ---- what was asked of it ----

static bool steps_down(enum verb verb) {
  return verb == VERB_DEMOTE || verb == VERB_FENCE || verb == VERB_STOP;
}

static void take_held(struct verbs *e, enum verb verb, int rc) {
  bool down = verb == VERB_STOP || rc == VERB_NOT_RUNNING || verbs_rests(e);
  forget(e);
  e->pause = SWITCH_OFF;
  e->held = true;
  e->stage = 0;
  e->stopped = verb == VERB_STOP;
  e->place = down ? PLACE_DOWN : PLACE_SECONDARY;
  forget_service(e);
}

static void take_promoted(struct verbs *e) {
  e->promoted = e->epoch = e->asked;
  e->held = e->joined = e->stopped = e->told_peer = false;
  e->waited = 0;
  e->link = e->writable = SWITCH_UNKNOWN;
  e->place = PLACE_MASTER;
  e->seen = true;
  name_unnamed(e); // an agent that is restarted right now is to know that there was one
  e->resumed = false;
  e->sync = e->asked_sync ? SWITCH_ON : SWITCH_OFF;
  if (!verbs_can(e, VERB_RESUME)) {
    e->pause = SWITCH_OFF; // nothing would ever end it
  } else if (e->asked_paused) {
    e->pause = SWITCH_ON;
    e->paused_until = instant_in_ms(verbs_pause_ms(e));
  } // else resume is asked of it, unless it is known not to be paused
}

static void take_rejoined(struct verbs *e, const struct verb_reply *reply) {
  const char *path = words_get(&reply->words, "orphan");
  if (path == NULL)
    path = words_get(&e->words, "orphan");
  e->joined = true;
  e->joined_epoch = e->asked;
  e->joined_at = clock_now();
  e->link = SWITCH_UNKNOWN;
  if (path != NULL && path[0] == '/' && access(path, F_OK) == 0 && e->watch.orphaned != NULL)
    e->watch.orphaned(e->watch.arg, path);
}

static void take_started(struct verbs *e) {
  e->held = e->stopped = false;
}

static void take_success(struct verbs *e, enum verb verb, const struct verb_reply *reply) {
  e->unplaced = verbs_replicates(e);
  e->doubtful = false;
  e->stale = verb != VERB_PAUSE && verb != VERB_RESUME && verb != VERB_SYNC;
  if (steps_down(verb))
    take_held(e, verb, reply->rc);
  else if (verb == VERB_PROMOTE)
    take_promoted(e);
  else if (verb == VERB_REJOIN)
    take_rejoined(e, reply);
  else if (verb == VERB_START)
    take_started(e);
  else if (verb == VERB_SYNC)
    e->sync = e->asked_sync ? SWITCH_ON : SWITCH_OFF;
  else
    e->pause = verb == VERB_PAUSE ? SWITCH_ON : SWITCH_OFF;
  if (verb == VERB_PAUSE)
    e->paused_until = instant_in_ms(verbs_pause_ms(e));
  e->failure.rc = 0;
  e->failure.times = 0;
}

static int64_t retry_ms(const struct verbs *e, int rc) {
  int64_t ms = e->settings.beat_ms / 2 > 0 ? e->settings.beat_ms / 2 : 1;
  if (rc == VERB_BUSY || rc == VERB_BEHIND)
    return ms;
  for (unsigned i = 1; i < e->failure.times && ms < RETRY_MS_MAX; i++)
    ms *= 2;
  return ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX;
}

// The ways of stepping down are tried in rounds, in the order of enum verb: a round counts once.
static unsigned times_failed(const struct verbs *e, enum verb verb) {
  bool down = steps_down(verb) && steps_down(e->failure.verb);
  if (down && verb > e->failure.verb && e->failure.times > 0)
    return e->failure.times;
  return down || verb == e->failure.verb ? e->failure.times + 1 : 1;
}

static void take_failure(struct verbs *e, enum verb verb, const struct verb_reply *reply) {
  bool same = e->failure.rc == reply->rc && e->failure.verb == verb;
  e->failure.times = times_failed(e, verb);
  same = same || (steps_down(verb) && e->failure.times > 1); // only the first round is news
  e->failure.verb = verb;
  e->failure.rc = reply->rc;
  e->failure.again = instant_in_ms(retry_ms(e, reply->rc));
  verbs_trouble(e->failure.said, verb, reply->rc, e->limit_ms, last_words(reply));
  if (!same && reply->rc != VERB_BUSY && reply->rc != VERB_BEHIND)
    log_warning("broker: %s", e->failure.said);
  if (steps_down(verb))
    e->stage++;
  e->stale = true;
}

// To say that it is what it was asked to be is no failure.
static bool succeeded(enum verb verb, int rc) {
  bool of_master = verb == VERB_PROMOTE || verb == VERB_PAUSE || verb == VERB_RESUME || verb == VERB_SYNC;
  return rc == VERB_OK || rc == VERB_DEGRADED || (steps_down(verb) && rc == VERB_NOT_RUNNING) ||
         (of_master && rc == VERB_MASTER);
}

static void take_act(struct verbs *e, enum verb verb, const struct verb_reply *reply) {
  if (verb == VERB_START) {
    int64_t ms = (int64_t)START_MS << (e->starts < 5 ? e->starts : 5);
    e->start_at = instant_in_ms(ms < START_MS_MAX ? ms : START_MS_MAX);
    e->starts++;
    verbs_count_start(e);
  }
  if (succeeded(verb, reply->rc))
    take_success(e, verb, reply);
  else
    take_failure(e, verb, reply);
}

void verbs_take(struct verbs *e, enum verb verb, const struct verb_reply *reply) {
  bool acts = verb != VERB_HELLO && verb != VERB_PROBE && verb != VERB_MONITOR && verb != VERB_POS &&
              verb != VERB_WAITPOS && verb != VERB_EVICT;
  if (acts)
    take_act(e, verb, reply); // before its words: they are of after it
  if (verb == VERB_WAITPOS && reply->rc == VERB_OK)
    e->waited = e->asked;
  if (verb == VERB_PROBE || verb == VERB_MONITOR)
    take_look(e, verb, reply);
  verbs_take_words(e, &reply->words);
  if (verb == VERB_HELLO)
    take_hello(e, reply);
  if (verb == VERB_POS)
    take_pos(e, reply);
}
