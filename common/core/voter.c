// SPDX-License-Identifier: Apache-2.0
#include "common/core/voter.h"

#include <string.h>

#include "common/core/lease.h"
#include "common/core/record.h"

void voter_no_leader(struct voter *v) {
  v->promise = (struct promise){.leader = NOBODY, .until = INSTANT_PAST};
}

void voter_init(struct voter *v, unsigned self, const struct ballot *ballot, struct instant now) {
  memset(v, 0, sizeof *v);
  v->self = (uint8_t)self;
  v->ballot = *ballot;
  v->run_since = now;
  v->followed_since = INSTANT_NEVER;
  voter_no_leader(v);
  // V4: whose epoch is its own has promised nothing to the other since it stood
  bool own = epoch_owner(ballot->epoch) == self;
  v->silence_until = own ? INSTANT_PAST : instant_plus_ms(now, ballot->lease_max_ms);
}

bool voter_silent(const struct voter *v, struct instant now) {
  return instant_before(now, v->silence_until);
}
bool voter_promised(const struct voter *v, struct instant now) {
  return instant_before(now, v->promise.until);
}

static void set_epoch(struct voter *v, uint64_t epoch) {
  v->dirty |= v->ballot.epoch != epoch;
  v->ballot.epoch = epoch;
}

static void set_lease_max(struct voter *v, uint32_t lease_ms) {
  v->dirty |= v->ballot.lease_max_ms != lease_ms;
  v->ballot.lease_max_ms = lease_ms;
}

/* The ballot's lease_max covers every promise that may be outstanding: raised with the first longer one,
   lowered only when promises of the shorter length alone were made for as long as the longest could run. */
static void note_lease(struct voter *v, uint32_t lease_ms, struct instant now) {
  if (v->run_lease_ms != lease_ms) {
    v->run_lease_ms = lease_ms;
    v->run_since = now;
  }
  uint32_t max = v->ballot.lease_max_ms;
  bool others_over = !instant_before(now, instant_plus_ms(v->run_since, max)) && !voter_silent(v, now);
  if (lease_ms > max || (lease_ms < max && others_over))
    set_lease_max(v, lease_ms);
}

static void promise(struct voter *v, const struct beat *beat, uint64_t epoch, struct instant now) {
  struct instant until = promise_end(now, beat->lease_ms);
  if (v->promise.leader == beat->from)
    until = instant_later(until, v->promise.until);
  v->promise = (struct promise){beat->from, epoch, beat->seq, until};
  note_lease(v, beat->lease_ms, now);
}

/* B1: one reign, never a lapse of the promise, for lease_max; then the next beat sent must be echoed. */
static void follow(struct voter *v, const struct beat *beat, struct instant now, uint64_t next_seq) {
  bool lapsed = v->promise.leader != beat->from || !voter_promised(v, now);
  if (v->followed_reign != beat->reign || lapsed) {
    v->followed_reign = beat->reign;
    v->followed_since = now;
    v->followed_seq = 0;
  }
  uint32_t wait_ms = v->ballot.lease_max_ms > beat->lease_ms ? v->ballot.lease_max_ms : beat->lease_ms;
  bool long_enough = !instant_before(now, instant_plus_ms(v->followed_since, wait_ms));
  if (long_enough && v->followed_seq == 0)
    v->followed_seq = next_seq;
}

bool voter_accept(struct voter *v, const struct beat *beat, struct instant now, uint64_t next_seq) {
  if (beat->reign < v->ballot.epoch) /* V1: the answer shows the higher epoch, which fences the sender */
    return false;
  follow(v, beat, now, next_seq);
  set_epoch(v, beat->reign);
  promise(v, beat, beat->reign, now);
  return true;
}

enum hurdle_type voter_hurdle(const struct voter *v, unsigned node, const struct record *newest,
                              struct instant now, bool leading) {
  if (leading)
    return HURDLE_LEADING;
  if (v->ballot.blank)
    return HURDLE_VOTER_BLANK;
  if (record_excludes(newest, node) || record_excludes(&v->ballot.sync, node))
    return HURDLE_EXCLUDED;
  if (v->promise.leader == node && voter_promised(v, now))
    return HURDLE_NONE;
  if (voter_promised(v, now))
    return HURDLE_PROMISED;
  return voter_silent(v, now) ? HURDLE_SILENT : HURDLE_NONE;
}

bool voter_vote(struct voter *v, const struct beat *beat, uint64_t epoch, struct instant now, bool leading) {
  const struct record *newest = record_newer(&beat->sync, &v->ballot.sync) ? &beat->sync : &v->ballot.sync;
  if (epoch < v->ballot.epoch || epoch_owner(epoch) != beat->from || epoch < v->ballot.sync.epoch)
    return false;
  if (voter_hurdle(v, beat->from, newest, now, leading) != HURDLE_NONE)
    return false;
  set_epoch(v, epoch);
  promise(v, beat, epoch, now);
  return true;
}

void voter_release(struct voter *v, const struct beat *beat, struct instant now) {
  if (v->promise.leader == beat->from)
    v->promise.until = instant_earlier(v->promise.until, now);
}

uint32_t voter_free_ms(const struct voter *v, unsigned node, struct instant now, bool leading) {
  enum hurdle_type hurdle = voter_hurdle(v, node, &v->ballot.sync, now, leading);
  if (hurdle == HURDLE_NONE)
    return 0;
  if (hurdle != HURDLE_PROMISED && hurdle != HURDLE_SILENT)
    return FREE_NEVER;
  struct instant promise_over = v->promise.leader == node ? INSTANT_PAST : v->promise.until;
  return ms_until(now, instant_later(promise_over, v->silence_until));
}

bool voter_adopt(struct voter *v, const struct record *record) {
  if (!record_newer(record, &v->ballot.sync))
    return false;
  v->ballot.sync = *record;
  v->dirty = true;
  return true;
}

bool voter_lifts(const struct voter *v, const struct beat *beat, bool needs_sole) {
  bool sole = v->ballot.sync.mode == RECORD_SOLE && v->ballot.sync.owner == beat->from;
  return v->ballot.blank && v->followed_reign == beat->reign && v->followed_seq != 0 &&
         beat->echo >= v->followed_seq && (sole || !needs_sole);
}

void voter_stand(struct voter *v, uint64_t epoch) {
  set_epoch(v, epoch);
  voter_no_leader(v);
}

void voter_blank(struct voter *v) {
  v->dirty |= !v->ballot.blank;
  v->ballot.blank = true;
  v->followed_since = INSTANT_NEVER;
  v->followed_reign = 0;
  v->followed_seq = 0;
}

void voter_recall(struct voter *v, uint64_t epoch) {
  set_epoch(v, epoch);
}

void voter_form(struct voter *v, uint64_t epoch, const struct record *record) {
  v->ballot.epoch = epoch;
  v->ballot.sync = *record;
  v->ballot.blank = false;
  v->dirty = true;
}
