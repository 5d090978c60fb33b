// SPDX-License-Identifier: Apache-2.0
// The history of epochs, found by looking at cores that are set by hand, and asked for over a control socket.
#include "common/base/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/ledger.h"

static char directory[64];
static struct cluster_conf conf;
static struct history *history;
static struct core core;

static int setup(void **state) {
  (void)state;
  strcpy(directory, "/tmp/test_history.XXXXXX");
  assert_non_null(mkdtemp(directory));
  conf.name = "orders";
  conf.voter[0].name = "a";
  conf.voter[1].name = "b";
  conf.voter[2].name = "w";
  memset(&core, 0, sizeof core);
  core.role = ROLE_WITNESS;
  core.now = clock_now();
  core.voter.promise.leader = NOBODY;
  core.voter.ballot.epoch = 1000;
  history = NULL;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  char path[128];
  history_close(history);
  for (unsigned i = 0; i < VOTERS; i++) {
    snprintf(path, sizeof path, "%s/orders.%s.history", directory, conf.voter[i].name);
    unlink(path);
    strcat(path, ".1");
    unlink(path);
  }
  return rmdir(directory);
}

static void start(unsigned self) {
  history_close(history);
  history = history_open(directory, &conf, self);
  assert_non_null(history);
}

static void shows(unsigned node, uint8_t role, uint64_t reign, unsigned flags) {
  struct peer *peer = &core.peer[node];
  peer->session = 7;
  peer->beat.role = role;
  peer->beat.reign = reign;
  peer->beat.flags = (uint8_t)flags;
  peer->beat.position.offset = 100 + reign;
  peer->beat.sync.epoch = reign;
  history_look(history, &core);
}

static void own_role(uint8_t from, uint8_t to, uint8_t cause, uint64_t epoch) {
  struct fact fact = {.type = FACT_ROLE, .from = from, .to = to, .cause = cause, .epoch = epoch};
  core.role = to;
  if (to == ROLE_MASTER)
    core.reign = epoch;
  history_fact(history, &fact);
  history_look(history, &core);
}

/* The newest line of the file about the reign that began as number `count`. */
static struct json *line_of(unsigned self, uint64_t count) {
  char name[64];
  snprintf(name, sizeof name, "orders.%s.history", conf.voter[self].name);
  struct ledger *ledger = ledger_open(directory, name, HISTORY_BYTES_MAX);
  struct json *found = NULL;
  struct ledger_line line = ledger_after(ledger, 0);
  for (; line.length > 0; line = ledger_following(ledger, &line)) {
    struct json *json = json_parse(line.text, line.length, NULL, 0);
    bool match = json_get_int(json, "reign", 0) == (int64_t)count;
    json_free(match ? found : json);
    found = match ? json : found;
  }
  ledger_close(ledger);
  assert_non_null(found);
  return found;
}

static void expect(unsigned self, uint64_t count, const char *master, uint64_t epoch, const char *how,
                   const char *end) {
  struct json *json = line_of(self, count);
  assert_string_equal(json_get_text(json, "master", ""), master);
  assert_int_equal(json_get_int(json, "epoch", 0), epoch);
  assert_string_equal(json_get_text(json, "how", ""), how);
  assert_string_equal(json_get_text(json, "end", "-"), end);
  assert_int_equal(json_get_text(json, "to", NULL) != NULL, strcmp(end, "-") != 0);
  assert_int_equal(json_get_text(json, "why", NULL) != NULL, strcmp(end, "-") != 0);
  json_free(json);
}

static void test_what_a_witness_sees(void **state) {
  (void)state;
  start(VOTER_W);
  shows(VOTER_A, ROLE_MASTER, 2, 0);
  expect(VOTER_W, 1, "a", 2, "elected", "-");
  struct json *json = line_of(VOTER_W, 1);
  assert_int_equal(json_get_int(json, "position", 0), 102);
  json_free(json);
  shows(VOTER_A, ROLE_MASTER, 2, 0);
  shows(VOTER_A, ROLE_SECONDARY, 2, BEAT_HANDOVER | BEAT_RELEASED);
  expect(VOTER_W, 1, "a", 2, "elected", "handover");
  shows(VOTER_B, ROLE_MASTER, 3, 0);
  expect(VOTER_W, 2, "b", 3, "handover", "-");
  core.peer[VOTER_B].beat.sync.epoch = 3;
  core.peer[VOTER_B].beat.reign = 5;
  history_look(history, &core);
  expect(VOTER_W, 2, "b", 3, "handover", "led-on");
  expect(VOTER_W, 3, "b", 5, "led-on", "-");
  shows(VOTER_A, ROLE_MASTER, 6, 0);
  expect(VOTER_W, 3, "b", 5, "led-on", "unheard");
  expect(VOTER_W, 4, "a", 6, "elected", "-");
  shows(VOTER_B, ROLE_MASTER, 5, 0); /* a straggler */
  assert_int_equal(history_count(history), 4);
  shows(VOTER_A, ROLE_SUSPECT, 6, BEAT_RELEASED);
  expect(VOTER_W, 4, "a", 6, "elected", "stepped-down");
  shows(VOTER_A, ROLE_MASTER, (UINT64_C(1) << 32) + 2, BEAT_FORCED);
  expect(VOTER_W, 5, "a", (UINT64_C(1) << 32) + 2, "forced", "-");
}

static void test_how_its_own_ends(void **state) {
  (void)state;
  static const struct {
    uint8_t cause;
    const char *end;
  } ends[] = {{CAUSE_LEASE, "lease"},     {CAUSE_DEPOSED, "deposed"}, {CAUSE_HANDED, "handover"},
              {CAUSE_RETIRED, "retired"}, {CAUSE_FENCE, "fence"},     {CAUSE_UNFIT, "unfit"}};
  start(VOTER_A);
  core.config.self = VOTER_A;
  core.role = ROLE_SECONDARY;
  for (unsigned i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    own_role(ROLE_CANDIDATE, ROLE_MASTER, CAUSE_ELECTED, 2 * i + 2);
    expect(VOTER_A, i + 1, "a", 2 * i + 2, "elected", "-");
    own_role(ROLE_MASTER, ROLE_SECONDARY, ends[i].cause, 2 * i + 2);
    expect(VOTER_A, i + 1, "a", 2 * i + 2, "elected", ends[i].end);
  }
}

static void test_led_on(void **state) {
  (void)state;
  start(VOTER_A);
  own_role(ROLE_CANDIDATE, ROLE_MASTER, CAUSE_ELECTED, 2);
  struct fact raised = {.type = FACT_REIGN, .epoch = 4};
  history_fact(history, &raised);
  core.reign = 4;
  history_look(history, &core);
  expect(VOTER_A, 1, "a", 2, "elected", "led-on");
  expect(VOTER_A, 2, "a", 4, "led-on", "-");
}

static void test_restarts(void **state) {
  (void)state;
  start(VOTER_A);
  own_role(ROLE_CANDIDATE, ROLE_MASTER, CAUSE_ELECTED, 2);
  start(VOTER_A); /* as if it had been killed */
  core.role = ROLE_SECONDARY;
  history_look(history, &core);
  expect(VOTER_A, 1, "a", 2, "elected", "restarted");
  assert_int_equal(history_count(history), 1);
  own_role(ROLE_CANDIDATE, ROLE_MASTER, CAUSE_ELECTED, 4);
  start(VOTER_A); /* gone on as if it had been paused (L10) */
  core.role = ROLE_MASTER;
  history_look(history, &core);
  expect(VOTER_A, 2, "a", 4, "elected", "-");
}

static void test_another_goes_on_over_a_restart(void **state) {
  (void)state;
  start(VOTER_W);
  shows(VOTER_A, ROLE_MASTER, 2, 0);
  memset(core.peer, 0, sizeof core.peer);
  start(VOTER_W);
  history_look(history, &core);
  expect(VOTER_W, 1, "a", 2, "elected", "-");
  shows(VOTER_A, ROLE_MASTER, 2, 0);
  assert_int_equal(history_count(history), 1);
}

static void test_a_voter_that_lost_its_ballot_begins_anew(void **state) {
  (void)state;
  start(VOTER_W);
  shows(VOTER_A, ROLE_MASTER, 900, 0);
  shows(VOTER_A, ROLE_MASTER, 4, 0);
  assert_int_equal(history_count(history), 1);
  core.voter.ballot.epoch = 4;
  history_look(history, &core);
  assert_int_equal(history_count(history), 2);
  expect(VOTER_W, 2, "a", 4, "elected", "-");
}

static void test_the_word_behind_a_force(void **state) {
  (void)state;
  struct marks_force force = {.wall_ms = 1000, .epoch = 3, .who = "root (uid 0)", .reason = "it burns"};
  start(VOTER_W);
  history_forced(history, VOTER_B, &force); /* before the reign is known: it comes with each beat */
  shows(VOTER_B, ROLE_MASTER, 3, BEAT_FORCED);
  history_forced(history, VOTER_B, &force);
  start(VOTER_W);
  history_forced(history, VOTER_B, &force);
  struct json *json = line_of(VOTER_W, 1);
  assert_string_equal(json_get_text(json_get(json, "forced"), "reason", ""), "it burns");
  assert_int_equal(json_get_int(json, "serial", 0), 2); /* and said once */
  json_free(json);
}

static void test_bounded(void **state) {
  (void)state;
  start(VOTER_W);
  for (uint64_t i = 1; i <= 3000; i++)
    shows(VOTER_A, ROLE_MASTER, 2 * i, 0);
  assert_int_equal(history_count(history), 3000);
  start(VOTER_W);
  assert_int_equal(history_count(history), 3000);
  expect(VOTER_W, 3000, "a", 6000, "elected", "-");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_what_a_witness_sees, setup, teardown),
      cmocka_unit_test_setup_teardown(test_how_its_own_ends, setup, teardown),
      cmocka_unit_test_setup_teardown(test_led_on, setup, teardown),
      cmocka_unit_test_setup_teardown(test_restarts, setup, teardown),
      cmocka_unit_test_setup_teardown(test_another_goes_on_over_a_restart, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_voter_that_lost_its_ballot_begins_anew, setup, teardown),
      cmocka_unit_test_setup_teardown(test_the_word_behind_a_force, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
