// SPDX-License-Identifier: Apache-2.0
// The verb engine before a transport that answers what the test says: which verbs it asks for, in which order, and
// what it makes of the answers.
#include "tests/unit/verbs_bed.h"

// ---- tests ----

static void nothing_is_changed_before_the_first_duty(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  bed.master = true;
  run_ms(60);
  assert_true(strncmp(bed.asked, " hello probe monitor", 20) == 0);
  assert_false(asked("demote"));
  assert_false(asked("promote"));
  assert_string_equal(view()->state, "master");
  assert_true(view()->reachable);
  close_bed();
}

static void a_pair_of_duties_in_their_order(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  reach(BROKER_HOLD, 0, false, false);
  assert_true(strncmp(bed.asked, " demote hello", 13) == 0); // held before anything is known
  assert_string_equal(view()->state, "held");
  assert_int_equal(bed.position.offset, 7);
  bed.asked[0] = 0;
  reach(BROKER_LEAD, 2, true, true);
  assert_true(strncmp(bed.asked, " promote monitor pos", 20) == 0);
  assert_int_equal(bed.position.epoch, 2);
  assert_false(view()->writable);
  bed.asked[0] = 0;
  reach(BROKER_LEAD, 2, false, true);
  assert_true(asked("resume"));
  assert_false(asked("promote"));
  assert_true(view()->writable);
  bed.asked[0] = 0;
  reach(BROKER_LEAD, 2, false, false);
  assert_true(asked("sync"));
  reach(BROKER_LEAD, 4, false, false);
  assert_true(asked("promote")); // L7: told of the new epoch
  close_bed();
}

static void pause_comes_first_and_resume_last(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  reach(BROKER_HOLD, 0, false, false);
  reach(BROKER_LEAD, 2, false, true);
  bed.asked[0] = 0;
  reach(BROKER_LEAD, 2, true, false);
  assert_true(strstr(bed.asked, "pause") < strstr(bed.asked, "sync"));
  bed.asked[0] = 0;
  reach(BROKER_LEAD, 2, false, true);
  assert_true(strstr(bed.asked, "sync") < strstr(bed.asked, "resume"));
  close_bed();
}

static void a_secondary_steps_down_and_follows(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  reach(BROKER_HOLD, 0, false, false);
  reach(BROKER_LEAD, 2, false, false);
  bed.asked[0] = 0;
  order(BROKER_FOLLOW, 3, false, false);
  run_until("rejoin");
  assert_true(strstr(bed.asked, "demote") < strstr(bed.asked, "rejoin"));
  assert_true(told("master", "b") && told("master_address", "10.0.0.2:1") && told("epoch", "3"));
  bed.says[VERB_MONITOR] = "link=0";
  run_ms(60);
  assert_string_equal(view()->state, "detached");
  bed.says[VERB_MONITOR] = "link=1";
  run_ms(60);
  assert_string_equal(view()->state, "secondary");
  assert_true(view()->link);
  bed.asked[0] = 0;
  reach(BROKER_LEAD, 4, false, false);
  assert_false(asked("demote")); // or it would lose what was on its way
  close_bed();
}

static void to_step_down_waits_for_nothing(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  reach(BROKER_HOLD, 0, false, false);
  bed.rc[VERB_PROMOTE] = NEVER;
  order(BROKER_LEAD, 2, false, false);
  run_until("promote");
  struct instant then = clock_now();
  bed.asked[0] = 0;
  reach(BROKER_HOLD, 2, false, false);
  assert_true(strncmp(bed.asked, " demote", 7) == 0);
  assert_int_equal(bed.kills, 1);
  assert_true(clock_now().us - then.us < 150000); // a beat, not promote's own time
  close_bed();
}

static void who_will_not_step_down_is_fenced_and_then_stopped(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL & ~VERB_BIT(VERB_START));
  reach(BROKER_HOLD, 0, false, false);
  reach(BROKER_LEAD, 2, false, false);
  bed.rc[VERB_DEMOTE] = NEVER;
  bed.rc[VERB_FENCE] = VERB_FAILED;
  bed.asked[0] = 0;
  bed.rc[VERB_STOP] = 0;
  bed.rc[VERB_MONITOR] = VERB_NOT_RUNNING;
  order(BROKER_HOLD, 2, false, false);
  run_until("stop");
  assert_string_equal(bed.asked, " demote fence stop");
  assert_int_equal(bed.kills, 1);
  run_ms(60);
  assert_non_null(strstr(view()->trouble, "had to be stopped"));
  close_bed();
}

static void each_answer_is_told_in_words(void **state) {
  static const struct {
    int rc;
    const char *word;
  } cases[] = {{1, "failed"},        {2, "does not understand"}, {3, "not supported"},  {4, "not permitted"},
               {5, "program is missing"}, {6, "configured wrongly"}, {7, "does not run"}, {9, "failed as master"},
               {20, "higher epoch"}, {21, "part from the master"}, {22, "not caught up"}, {23, "not now"},
               {77, "means nothing"}, {NEVER, "no answer in 200 ms"}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    open_bed(REPLICATION_NONE, ALL & ~VERB_BIT(VERB_START));
    reach(BROKER_HOLD, 0, false, false);
    bed.rc[VERB_PROMOTE] = cases[i].rc;
    order(BROKER_LEAD, 2, false, false);
    run_ms(cases[i].rc == NEVER ? 300 : 40);
    if (strstr(view()->trouble, cases[i].word) == NULL || strstr(view()->trouble, "promote (") == NULL)
      fail_msg("%d: %s", cases[i].rc, view()->trouble);
    bool waits = cases[i].rc == VERB_BEHIND || cases[i].rc == VERB_BUSY;
    assert_int_equal(view()->unfit, !waits); // or the other node could not lead
    assert_int_equal(view()->reachable, cases[i].rc != NEVER);
    bed.says[VERB_PROMOTE] = "note=own-words";
    bed.rc[VERB_PROMOTE] = 1;
    run_ms(500);
    assert_non_null(strstr(view()->trouble, "own-words"));
    close_bed();
  }
}

static void a_hung_look_is_unreachable_in_time(void **state) {
  (void)state;
  open_bed(REPLICATION_NONE, ALL);
  reach(BROKER_HOLD, 0, false, false);
  run_ms(30);
  assert_true(view()->reachable);
  bed.rc[VERB_MONITOR] = NEVER;
  run_ms(120);
  assert_false(view()->reachable);
  assert_false(view()->dead);
  assert_string_equal(view()->state, "hung");
  bed.rc[VERB_MONITOR] = 0;
  run_ms(120);
  assert_true(view()->reachable);
  close_bed();
}

static void restarted_while_it_led_is_dead_until_held(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  bed.says[VERB_MONITOR] = "incarnation=one";
  reach(BROKER_HOLD, 0, false, false);
  reach(BROKER_LEAD, 2, false, false);
  run_ms(30);
  assert_false(bed.was_dead);
  bed.says[VERB_MONITOR] = "incarnation=two";
  bed.asked[0] = 0;
  run_until("demote");
  assert_true(bed.was_dead);
  run_ms(30);
  assert_false(view()->dead);
  assert_non_null(strstr(view()->trouble, "restarted while it led"));
  run_until("promote"); // nobody took over: after a lease it leads on
  close_bed();
}

static void came_back_empty_does_not_lead(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  reach(BROKER_HOLD, 0, false, false);
  reach(BROKER_LEAD, 2, false, false);
  run_ms(30);
  bed.says[VERB_POS] = "position=0";
  bed.master = false;
  bed.asked[0] = 0;
  run_ms(300);
  assert_true(view()->dead);
  assert_false(asked("promote"));
  assert_non_null(strstr(view()->trouble, "came back empty"));
  reach(BROKER_HOLD, 4, false, false);
  assert_int_equal(bed.position.offset, 0);
  assert_false(view()->dead);
  close_bed();
}

static void a_dead_broker_is_proven_dead_held_and_started(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  reach(BROKER_HOLD, 0, false, false);
  reach(BROKER_LEAD, 2, false, false);
  bed.rc[VERB_MONITOR] = VERB_NOT_RUNNING;
  bed.rc[VERB_START] = VERB_FAILED;
  run_until("start");
  run_ms(30);
  assert_true(view()->dead);
  assert_string_equal(view()->state, "down");
  reach(BROKER_HOLD, 2, false, false); // who is gone serves nobody
  bed.rc[VERB_START] = bed.rc[VERB_MONITOR] = 0;
  bed.asked[0] = 0;
  bed.master = false;
  run_until("demote");
  assert_true(strstr(bed.asked, "start") < strstr(bed.asked, "demote"));
  close_bed();
}

static void a_service_started_anew_is_none_that_came_back(void **state) {
  (void)state;
  open_bed(REPLICATION_SHARED, VERB_BIT(VERB_MONITOR) | VERB_BIT(VERB_PROMOTE) | VERB_BIT(VERB_DEMOTE));
  bed.rc[VERB_MONITOR] = VERB_NOT_RUNNING;
  reach(BROKER_HOLD, 0, false, false);
  for (uint64_t epoch = 2; epoch < 5; epoch++) {
    char says[32];
    snprintf(says, sizeof says, "incarnation=%d", (int)epoch);
    bed.says[VERB_MONITOR] = says;
    bed.rc[VERB_MONITOR] = VERB_MASTER;
    reach(BROKER_LEAD, epoch, false, false);
    run_ms(60);
    assert_false(bed.was_dead);
    assert_string_equal(view()->state, "master");
    bed.says[VERB_MONITOR] = NULL;
    bed.rc[VERB_MONITOR] = VERB_NOT_RUNNING;
    reach(BROKER_HOLD, epoch, false, false);
    run_ms(30);
  }
  close_bed();
}

static void a_service_that_died_leads_again_in_another_epoch(void **state) {
  (void)state;
  open_bed(REPLICATION_SHARED, VERB_BIT(VERB_MONITOR) | VERB_BIT(VERB_PROMOTE) | VERB_BIT(VERB_DEMOTE));
  bed.says[VERB_MONITOR] = "incarnation=2";
  bed.rc[VERB_MONITOR] = VERB_MASTER;
  reach(BROKER_LEAD, 2, false, false);
  run_ms(30);
  bed.says[VERB_MONITOR] = NULL;
  bed.rc[VERB_MONITOR] = VERB_NOT_RUNNING;
  run_ms(30);
  assert_true(bed.was_dead);
  bed.was_dead = false;
  bed.says[VERB_MONITOR] = "incarnation=3";
  bed.rc[VERB_MONITOR] = VERB_MASTER;
  reach(BROKER_LEAD, 4, false, false);
  run_ms(60);
  assert_false(bed.was_dead);
  assert_string_equal(view()->state, "master");
  close_bed();
}

static int starts(void) {
  int n = 0;
  for (const char *at = bed.asked; (at = strstr(at, " start")) != NULL; at++)
    n++;
  return n;
}

// What it does each time: is started, ends again.
static void a_broker_that_ends_again_and_again_is_left_alone(void **state) {
  (void)state;
  uint32_t most = 2, window_ms = 3000;
  open_bed_of(REPLICATION_SYNC, ALL, &most, &window_ms);
  reach(BROKER_HOLD, 0, false, false);
  run_until("monitor");
  run_ms(50); // it has been seen running: what comes is no first start
  bed.rc[VERB_MONITOR] = VERB_NOT_RUNNING;
  run_ms(2500); // a second, then two, lie between two starts
  assert_int_equal(starts(), 2);
  assert_non_null(strstr(view()->trouble, "started again 2 times in 3 s"));
  bed.asked[0] = 0;
  run_ms(2500); // the first one is older than the window now
  assert_int_equal(starts(), 1);
  bed.asked[0] = 0;
  most = 0; // a reload
  run_ms(1500);
  assert_int_equal(starts(), 0);
  assert_non_null(strstr(view()->trouble, "policy.restart_max = 0"));
  close_bed();
}

static void the_first_start_is_no_restart(void **state) {
  (void)state;
  uint32_t most = 0, window_ms = 1000;
  open_bed_of(REPLICATION_SYNC, ALL, &most, &window_ms);
  bed.rc[VERB_MONITOR] = bed.rc[VERB_PROBE] = VERB_NOT_RUNNING;
  order(BROKER_FOLLOW, 2, false, false);
  run_ms(1500);
  assert_int_equal(starts(), 1);
  close_bed();
}

static void a_service_rests(void **state) {
  (void)state;
  open_bed(REPLICATION_NONE, VERB_BIT(VERB_MONITOR) | VERB_BIT(VERB_PROMOTE) | VERB_BIT(VERB_DEMOTE));
  bed.rc[VERB_MONITOR] = VERB_NOT_RUNNING;
  reach(BROKER_HOLD, 0, false, false);
  run_ms(30);
  assert_true(view()->reachable);
  assert_false(view()->dead);
  assert_string_equal(view()->state, "standby");
  bed.rc[VERB_MONITOR] = 0;
  reach(BROKER_LEAD, 2, false, false);
  run_ms(30);
  assert_string_equal(view()->state, "master");
  bed.rc[VERB_MONITOR] = VERB_NOT_RUNNING; // it died
  bed.asked[0] = 0;
  run_ms(50);
  assert_true(view()->dead);
  assert_false(asked("promote"));
  reach(BROKER_HOLD, 2, false, false);
  run_ms(30);
  assert_false(view()->dead);
  assert_true(view()->reachable);
  close_bed();
}

static void resumed_beside_a_leader_leaves_it_alone(void **state) {
  const char *error = "";
  (void)state;
  assert_int_equal(try_open(REPLICATION_SYNC, ALL, "one", &error), 0);
  bed.says[VERB_PROBE] = bed.says[VERB_MONITOR] = "incarnation=one";
  bed.master = true;
  reach(BROKER_LEAD, 2, false, false);
  assert_false(asked("demote"));
  assert_false(bed.was_dead);
  close_bed();
  assert_int_equal(try_open(REPLICATION_SYNC, ALL, "one", &error), 0);
  bed.says[VERB_PROBE] = bed.says[VERB_MONITOR] = "incarnation=two";
  bed.master = true;
  order(BROKER_LEAD, 2, false, false);
  run_until("demote");
  assert_true(bed.was_dead);
  close_bed();
}

static void a_paused_master_asks_until_the_other_has_it(void **state) {
  (void)state;
  open_bed(REPLICATION_SYNC, ALL);
  reach(BROKER_HOLD, 0, false, false);
  reach(BROKER_LEAD, 2, false, false);
  bed.rc[VERB_WAITPOS] = VERB_BEHIND;
  reach(BROKER_LEAD, 2, true, false);
  run_until("waitpos");
  assert_true(told("position", "7"));
  assert_int_equal(view()->peer.offset, 0);
  bed.rc[VERB_WAITPOS] = 0;
  run_ms(40);
  assert_int_equal(view()->peer.offset, 7);
  close_bed();
}

static void clients_are_closed_once_for_each_call(void **state) {
  (void)state;
  open_bed(REPLICATION_NONE, ALL);
  reach(BROKER_HOLD, 0, false, false);
  reach(BROKER_LEAD, 2, false, false);
  verbs_kill_clients(bed.driver);
  assert_int_equal(bed.cleared, 0);
  run_ms(20);
  assert_true(asked("evict"));
  assert_int_equal(bed.cleared, 1);
  bed.rc[VERB_EVICT] = NEVER;
  verbs_kill_clients(bed.driver);
  run_ms(30);
  assert_int_equal(bed.cleared, 2); // waiting longer helps nobody
  close_bed();
}

static void who_is_only_just_started_gets_its_time(void **state) {
  (void)state;
  open_bed(REPLICATION_NONE, ALL);
  bed.rc[VERB_DEMOTE] = NEVER;
  order(BROKER_HOLD, 0, false, false);
  bed.busy = false;
  verbs_lost(bed.verbs, NULL); // as a co-process that ended meanwhile: another one is there, asked again
  run_ms(300); // beyond demote's own 200 ms
  assert_int_equal(bed.kills, 0);
  loop_timer_in(bed.reply, 0);
  bed.rc[VERB_DEMOTE] = 0;
  run_ms(30);
  assert_string_equal(view()->state, "held");
  close_bed();
}

static void what_is_lacking_is_named(void **state) {
  const char *error = "";
  (void)state;
  assert_int_equal(try_open(REPLICATION_SYNC, ALL & ~VERB_BIT(VERB_POS), "", &error), -EINVAL);
  assert_non_null(strstr(error, "lacks here: pos;"));
  bed.driver = NULL;
  close_bed();
  open_bed(REPLICATION_SYNC, ALL);
  bed.says[VERB_HELLO] = "supports=monitor,promote,demote,pos,rejoin,sync,pause";
  run_ms(30);
  assert_non_null(strstr(view()->trouble, "resume"));
  assert_false(view()->reachable);
  close_bed();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_changed_before_the_first_duty),
      cmocka_unit_test(a_pair_of_duties_in_their_order),
      cmocka_unit_test(pause_comes_first_and_resume_last),
      cmocka_unit_test(a_secondary_steps_down_and_follows),
      cmocka_unit_test(to_step_down_waits_for_nothing),
      cmocka_unit_test(who_will_not_step_down_is_fenced_and_then_stopped),
      cmocka_unit_test(each_answer_is_told_in_words),
      cmocka_unit_test(a_hung_look_is_unreachable_in_time),
      cmocka_unit_test(restarted_while_it_led_is_dead_until_held),
      cmocka_unit_test(came_back_empty_does_not_lead),
      cmocka_unit_test(a_dead_broker_is_proven_dead_held_and_started),
      cmocka_unit_test(a_broker_that_ends_again_and_again_is_left_alone),
      cmocka_unit_test(the_first_start_is_no_restart),
      cmocka_unit_test(a_service_rests),
      cmocka_unit_test(a_service_started_anew_is_none_that_came_back),
      cmocka_unit_test(a_service_that_died_leads_again_in_another_epoch),
      cmocka_unit_test(resumed_beside_a_leader_leaves_it_alone),
      cmocka_unit_test(a_paused_master_asks_until_the_other_has_it),
      cmocka_unit_test(clients_are_closed_once_for_each_call),
      cmocka_unit_test(who_is_only_just_started_gets_its_time),
      cmocka_unit_test(what_is_lacking_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
