// SPDX-License-Identifier: Apache-2.0
// Which hurdle is named first, with which figures; and that what is named is what the core acts by.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/explain_text.h"
#include "common/core/lease.h"
#include "common/core/standing.h"

#define SECOND 1000000

static const char *const names[VOTERS] = {"a", "b", "w"};
static const struct instant start = {100 * (int64_t)SECOND};
static struct core core;

static struct instant after_ms(int64_t ms) {
  return instant_plus_ms(start, ms);
}

// A voter that has just started, with a healthy broker, an epoch of `epoch` and the record PAIR of it.
static void begin(unsigned self, uint64_t epoch) {
  struct core_config config = {.self = (uint8_t)self,
                               .preferred = VOTER_A,
                               .replication = REPLICATION_SYNC,
                               .lease_ms = 1000,
                               .beat_ms = 100,
                               .drift_ppm = 10000,
                               .degrade_ms = 500,
                               .join_hold_ms = 2000};
  struct ballot ballot = {.epoch = epoch,
                          .sync = {.epoch = epoch, .version = 3, .mode = RECORD_PAIR, .owner = NOBODY},
                          .lease_max_ms = 1000};
  core_init(&core, &config, &ballot, start, 1);
  core.broker.health = 1;
}

// `from` was heard just now, both ways.
static void hear(unsigned from, enum role role, uint32_t free_ms) {
  struct peer *peer = &core.peer[from];
  peer->session = 7;
  peer->heard = peer->reached = core.now;
  peer->beat = (struct beat){.from = (uint8_t)from,
                             .role = (uint8_t)role,
                             .free_ms = free_ms,
                             .health = 1,
                             .leader = NOBODY,
                             .sync = *core_record(&core)};
  bool foretold = free_ms != 0 && free_ms != FREE_NEVER;
  peer->free_at = foretold ? instant_plus_ms(core.now, free_ms) : INSTANT_NEVER;
}

static void says(unsigned node, int64_t ms, const char *expected) {
  char text[320];
  struct hurdle h = explain(&core, node, after_ms(ms));
  assert_string_equal(explain_text(names, node, &h, text, sizeof text), expected);
}

static void promise_to(unsigned leader, uint64_t epoch, int64_t until_ms) {
  core.voter.promise = (struct promise){(uint8_t)leader, epoch, 1, after_ms(until_ms)};
}

// ---- the witness, or any voter, about a node ----

static void a_promise_to_the_other_comes_with_its_rest(void **state) {
  (void)state;
  begin(VOTER_W, 2);
  hear(VOTER_B, ROLE_SUSPECT, 0);
  promise_to(VOTER_A, 2, 740);
  says(VOTER_B, 100, "V2: w promised to a for another 640 ms");
  assert_int_equal(voter_free_ms(&core.voter, VOTER_B, after_ms(100), false),
                   900); /* the silence is longer */
}

static void the_record_excludes(void **state) {
  (void)state;
  begin(VOTER_W, 12);
  core.voter.ballot.sync = (struct record){12, 3, RECORD_SOLE, VOTER_A};
  hear(VOTER_B, ROLE_SUSPECT, 0);
  says(VOTER_B, 0, "S4: record (12,3) SOLE(a)");
  assert_int_equal(voter_free_ms(&core.voter, VOTER_B, start, false), FREE_NEVER);
}

static void silence_then_nothing(void **state) {
  (void)state;
  begin(VOTER_W, 2);
  hear(VOTER_B, ROLE_SUSPECT, 0);
  says(VOTER_B, 10, "V4: w has just started and votes for nobody for another 990 ms");
  core.now = after_ms(2000);
  hear(VOTER_B, ROLE_SUSPECT, 0);
  says(VOTER_B, 2000, "nothing known to w says no");
}

static void who_is_not_heard_since_when(void **state) {
  (void)state;
  begin(VOTER_W, 2);
  says(VOTER_B, 0, "section 3: b has not been heard since this start");
  hear(VOTER_B, ROLE_SECONDARY, 0);
  says(VOTER_B, 3500, "section 3: b is not heard since 3 s");
}

static void what_the_last_beat_shows(void **state) {
  (void)state;
  begin(VOTER_W, 2);
  hear(VOTER_B, ROLE_SUSPECT, 0);
  core.peer[VOTER_B].beat.health = 0;
  says(VOTER_B, 0, "health: b's broker is not fit to lead");
  core.peer[VOTER_B].beat.flags = BEAT_BLANK;
  says(VOTER_B, 0, "B1: b is blank: it has no memory that counts");
  hear(VOTER_A, ROLE_MASTER, FREE_NEVER);
  promise_to(VOTER_A, 2, 700);
  says(VOTER_A, 0, "L4: a leads in epoch 2, for another 700 ms");
}

// ---- a node about itself ----

static void a_node_names_its_first_hurdle(void **state) {
  (void)state;
  begin(VOTER_B, 3); /* its own epoch: no silence */
  core.role = ROLE_SUSPECT;
  says(VOTER_B, 0, "section 3: a has not been heard since this start");
  hear(VOTER_W, ROLE_WITNESS, 640);
  core.peer[VOTER_W].beat.leader = VOTER_A;
  says(VOTER_B, 0, "V2: w promised to a for another 640 ms");
  says(VOTER_B, 150, "V2: w promised to a for another 490 ms");
  core.stand_after = after_ms(300);
  says(VOTER_B, 0, "L2: b stands no more for another 300 ms");
  promise_to(VOTER_A, 2, 910);
  says(VOTER_B, 0, "L2: b promised to a for another 910 ms");
  core.voter.ballot.frozen = (struct frozen){1, true};
  core.reign = 0;
  core.peer[VOTER_A].beat.reign = 4;
  says(VOTER_B, 0, "L2: frozen, and the last reign was not b's");
  core.broker.health = 0;
  says(VOTER_B, 0, "health: b's broker is not fit to lead");
  core.voter.ballot.sync = (struct record){12, 3, RECORD_SOLE, VOTER_A};
  says(VOTER_B, 0, "S4: record (12,3) SOLE(a)");
  core.voter.ballot.blank = true;
  says(VOTER_B, 0, "B1: b is blank: it has no memory that counts");
  core.retired = true;
  says(VOTER_B, 0, "L8: b's agent is being stopped");
}

static void the_voter_soonest_free_is_named(void **state) {
  (void)state;
  begin(VOTER_B, 3);
  core.role = ROLE_SUSPECT;
  hear(VOTER_A, ROLE_SECONDARY, 700);
  hear(VOTER_W, ROLE_WITNESS, 200);
  says(VOTER_B, 0, "V2: w votes for nobody for another 200 ms");
  hear(VOTER_W, ROLE_WITNESS, FREE_NEVER);
  struct hurdle h = explain(&core, VOTER_B, start);
  assert_int_equal(h.type, standing_hurdle(&core));
}

// Where nothing says no, the core itself stands at the next step; where something does, it does not.
static void what_is_explained_is_what_is_done(void **state) {
  (void)state;
  for (unsigned frozen = 0; frozen < 2; frozen++) {
    struct actions actions;
    begin(VOTER_B, 3);
    core.role = ROLE_SUSPECT;
    core.voter.ballot.frozen.on = frozen != 0;
    core.voter.ballot.sync.epoch = 2;
    hear(VOTER_W, ROLE_WITNESS, 0);
    struct hurdle h = explain(&core, VOTER_B, start);
    core_step(&core, &(struct event){.type = EVENT_TIMER, .now = start}, &actions);
    assert_int_equal(h.type, frozen ? HURDLE_FROZEN : HURDLE_NONE);
    assert_int_equal(core.role, frozen ? ROLE_SUSPECT : ROLE_CANDIDATE);
  }
}

static void asking_changes_nothing(void **state) {
  (void)state;
  static struct core before;
  begin(VOTER_A, 2);
  hear(VOTER_B, ROLE_SECONDARY, 5);
  before = core;
  explain(&core, VOTER_A, after_ms(900));
  explain(&core, VOTER_B, after_ms(900));
  assert_memory_equal(&before, &core, sizeof core);
}

static void every_hurdle_says_what_would_change_it(void **state) {
  (void)state;
  for (unsigned i = 0; i < HURDLE_COUNT; i++) {
    assert_true(strlen(hurdle_name(i)) > 1 && strlen(hurdle_change(i)) > 10);
    assert_true((hurdle_rule(i)[0] != 0) == (i != HURDLE_NONE));
  }
  assert_string_equal(hurdle_name(HURDLE_COUNT), "?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_promise_to_the_other_comes_with_its_rest),
      cmocka_unit_test(the_record_excludes),
      cmocka_unit_test(silence_then_nothing),
      cmocka_unit_test(who_is_not_heard_since_when),
      cmocka_unit_test(what_the_last_beat_shows),
      cmocka_unit_test(a_node_names_its_first_hurdle),
      cmocka_unit_test(the_voter_soonest_free_is_named),
      cmocka_unit_test(what_is_explained_is_what_is_done),
      cmocka_unit_test(asking_changes_nothing),
      cmocka_unit_test(every_hurdle_says_what_would_change_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
