// SPDX-License-Identifier: Apache-2.0
// The verbs' engine where something comes again: who answers, a duty, a failure.
#include "tests/unit/verbs_bed.h"

static void begin_anew(void) {
  bed.busy = false; // it is another one that answers: of what it was asked nothing is known
  loop_timer_at(bed.reply, INSTANT_NEVER);
  verbs_lost(bed.verbs, NULL);
}

// What is only just started gets more time, but not before it is asked to step down.
static void the_time_of_a_beginner_is_not_waited_for_either(void **state) {
  (void)state;
  open_bed(REPLICATION_NONE, ALL);
  reach(BROKER_LEAD, 2, false, false);
  bed.rc[VERB_HELLO] = NEVER;
  begin_anew();
  run_ms(250); // beyond hello's own 200 ms
  struct instant then = clock_now();
  reach(BROKER_HOLD, 2, false, false);
  assert_int_equal(bed.kills, 1);
  assert_true(clock_now().us - then.us < 1000000);
  close_bed();
}

static void each_hello_says_anew_what_there_is(void **state) {
  (void)state;
  open_bed(REPLICATION_NONE, ALL);
  bed.says[VERB_HELLO] = "supports=monitor,promote,demote";
  reach(BROKER_LEAD, 2, false, false);
  bed.says[VERB_HELLO] = NULL; // all of them, then
  begin_anew();
  run_until("monitor");
  verbs_kill_clients(bed.driver);
  run_until("evict");
  close_bed();
}

static void who_cannot_resume_is_not_paused_for_ever(void **state) {
  (void)state;
  open_bed(REPLICATION_NONE, VERB_BIT(VERB_MONITOR) | VERB_BIT(VERB_PROMOTE) | VERB_BIT(VERB_DEMOTE));
  reach(BROKER_LEAD, 2, true, false);
  reach(BROKER_LEAD, 2, false, false);
  run_ms(30);
  assert_string_equal(view()->state, "master");
  assert_true(view()->writable);
  close_bed();
}

static unsigned times_asked(const char *verb) {
  unsigned times = 0;
  for (const char *at = bed.asked; (at = strstr(at, verb)) != NULL; at++)
    times++;
  return times;
}

static void who_can_in_no_way_step_down_is_asked_later_each_time(void **state) {
  (void)state;
  open_bed(REPLICATION_NONE, ALL);
  reach(BROKER_LEAD, 2, false, false);
  bed.rc[VERB_DEMOTE] = bed.rc[VERB_FENCE] = bed.rc[VERB_STOP] = VERB_FAILED;
  bed.asked[0] = 0;
  order(BROKER_HOLD, 2, false, false);
  run_ms(1000); // 10 ms, 20, 40, ...
  assert_in_range(times_asked(" demote"), 3, 12);
  assert_int_equal(times_asked(" demote"), times_asked(" stop"));
  close_bed();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_time_of_a_beginner_is_not_waited_for_either),
      cmocka_unit_test(each_hello_says_anew_what_there_is),
      cmocka_unit_test(who_cannot_resume_is_not_paused_for_ever),
      cmocka_unit_test(who_can_in_no_way_step_down_is_asked_later_each_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
