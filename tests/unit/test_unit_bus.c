// SPDX-License-Identifier: Apache-2.0
// A unit of systemd over D-Bus: a bus of the test's own, and tests/support/systemd_mock.py in the place of systemd.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/unit_bus.h"
#define UNITS "{\"units\": {" \
  "\"good.service\": {\"command\": [\"sleep\", \"1000\"]}," \
  "\"again.service\": {\"command\": [\"sleep\", \"1000\"], \"restart\": \"always\"}," \
  "\"stubborn.service\": {\"command\": [\"sleep\", \"1000\"], \"stubborn\": true}," \
  "\"slow.service\": {\"start\": \"hang\"}," \
  "\"broken.service\": {\"start\": \"fail\"}," \
  "\"masked.service\": {\"load\": \"masked\"}}}"
#include "tests/support/systemd_bed.h"

#define PATIENCE_US 20000000

static struct bed {
  struct loop *loop;
  struct unit_bus *bus;
  struct loop_timer *patience;
  bool (*wanted)(struct bed *);
  bool answered, late;
  unsigned changes;
  char why[UNIT_TEXT_SIZE], invocation[33];
} bed;

// ---- the bed ----

static void look_whether(struct bed *b) {
  if (b->wanted != NULL && b->wanted(b))
    loop_stop(b->loop);
}

static void on_changed(void *arg) {
  struct bed *b = arg;
  b->changes++;
  look_whether(b);
}

static void on_answer(void *arg, const char *why) {
  struct bed *b = arg;
  b->answered = true;
  snprintf(b->why, sizeof b->why, "%s", why);
  look_whether(b);
}

static void on_patience(void *arg) {
  struct bed *b = arg;
  b->late = true;
  loop_stop(b->loop);
}

static void wait_until(bool (*wanted)(struct bed *)) {
  bed.wanted = wanted;
  if (wanted(&bed))
    return;
  loop_timer_in(bed.patience, PATIENCE_US);
  assert_int_equal(loop_run(bed.loop), 0);
  loop_timer_at(bed.patience, INSTANT_NEVER);
  bed.wanted = NULL;
  if (bed.late) {
    const struct unit_state *s = unit_bus_state(bed.bus);
    fail_msg("waited in vain: known %d load %s active %s sub %s, trouble '%s', answered %d '%s'", s->known, s->load,
             s->active, s->sub, unit_bus_trouble(bed.bus), bed.answered, bed.why);
  }
}

static bool known(struct bed *b) {
  return unit_bus_state(b->bus)->known;
}
static bool unknown(struct bed *b) {
  return !unit_bus_state(b->bus)->known;
}
static bool answered(struct bed *b) {
  return b->answered;
}
static bool active(struct bed *b) {
  return known(b) && strcmp(unit_bus_state(b->bus)->active, "active") == 0;
}
static bool inactive(struct bed *b) {
  return known(b) && strcmp(unit_bus_state(b->bus)->active, "inactive") == 0;
}
static bool failed(struct bed *b) {
  return known(b) && strcmp(unit_bus_state(b->bus)->active, "failed") == 0;
}
static bool deactivating(struct bed *b) {
  return known(b) && strcmp(unit_bus_state(b->bus)->active, "deactivating") == 0;
}
static bool activating(struct bed *b) {
  return known(b) && strcmp(unit_bus_state(b->bus)->active, "activating") == 0;
}
static bool born_again(struct bed *b) {
  return active(b) && strcmp(unit_bus_state(b->bus)->invocation, b->invocation) != 0;
}

static void open_unit(const char *unit) {
  if (manager_pid == 0) {
    print_message("skipped: dbus-daemon or python3-dbusmock is not installed\n");
    skip();
  }
  memset(&bed, 0, sizeof bed);
  const struct unit_watch watch = {&bed, on_changed};
  bed.loop = loop_new();
  assert_non_null(bed.loop);
  bed.patience = loop_timer_new(bed.loop, on_patience, &bed);
  assert_int_equal(unit_bus_open(&bed.bus, bed.loop, unit, &watch), 0);
}

static void close_unit(void) {
  unit_bus_close(bed.bus);
  loop_timer_free(bed.patience);
  loop_free(bed.loop);
}

static void begin(enum unit_call call) {
  bed.answered = false;
  assert_int_equal(unit_bus_call(bed.bus, call, on_answer, &bed), 0);
  assert_false(bed.answered);
}

static const char *call(enum unit_call which) {
  begin(which);
  wait_until(answered);
  return bed.why;
}

static const struct unit_state *state_of(const char *unit) {
  open_unit(unit);
  wait_until(known);
  return unit_bus_state(bed.bus);
}

static void kill_main_process(void) {
  pid_t pid = (pid_t)unit_bus_state(bed.bus)->main_pid;
  assert_true(pid > 1);
  assert_int_equal(kill(pid, SIGKILL), 0);
}

// ---- the tests ----

static void a_unit_is_started_and_stopped(void **unused) {
  (void)unused;
  const struct unit_state *s = state_of("good.service");
  assert_string_equal(s->load, "loaded");
  assert_string_equal(s->active, "inactive");
  assert_string_equal(s->restart, "no");
  assert_int_equal(s->main_pid, 0);
  assert_string_equal(call(UNIT_START), "");
  wait_until(active);
  assert_true(s->main_pid > 0 && kill((pid_t)s->main_pid, 0) == 0);
  assert_int_equal(strlen(s->invocation), 32);
  assert_string_equal(call(UNIT_START), ""); // once more does no harm
  assert_string_equal(call(UNIT_STOP), "");
  wait_until(inactive);
  assert_int_equal(s->main_pid, 0);
  assert_string_equal(call(UNIT_STOP), "");
  close_unit();
}

static void a_look_tells_what_is_now(void **unused) {
  (void)unused;
  const struct unit_state *s = state_of("stubborn.service");
  assert_string_equal(call(UNIT_START), "");
  assert_string_equal(call(UNIT_LOOK), ""); // behind the job's end: no wait for a signal
  assert_string_equal(s->active, "active");
  assert_string_equal(call(UNIT_KILL), "");
  assert_string_equal(call(UNIT_LOOK), "");
  assert_string_equal(s->active, "failed");
  assert_string_equal(s->result, "signal");
  assert_string_equal(call(UNIT_STOP), "");
  close_unit();
}

static void the_death_of_its_process_is_told(void **unused) {
  (void)unused;
  const struct unit_state *s = state_of("good.service");
  call(UNIT_START);
  wait_until(active);
  kill_main_process();
  wait_until(failed);
  assert_string_equal(s->result, "signal");
  assert_string_equal(call(UNIT_START), ""); // what had failed starts again
  wait_until(active);
  call(UNIT_STOP);
  close_unit();
}

static void a_restart_by_systemd_shows_as_another_invocation(void **unused) {
  (void)unused;
  const struct unit_state *s = state_of("again.service");
  assert_string_equal(s->restart, "always");
  call(UNIT_START);
  wait_until(active);
  memcpy(bed.invocation, s->invocation, sizeof bed.invocation);
  kill_main_process();
  wait_until(born_again);
  assert_string_equal(call(UNIT_KILL), "");
  assert_string_equal(call(UNIT_LOOK), "");
  assert_true(inactive(&bed) || failed(&bed)); // by the stop or by the signal, and it is not started again
  close_unit();
}

static void who_does_not_heed_a_stop_is_killed(void **unused) {
  (void)unused;
  state_of("stubborn.service");
  call(UNIT_START);
  wait_until(active);
  begin(UNIT_STOP);
  wait_until(deactivating);
  assert_false(bed.answered);
  assert_string_equal(call(UNIT_KILL), "");
  wait_until(failed);
  close_unit();
}

static void what_cannot_be_started_says_why(void **unused) {
  (void)unused;
  state_of("broken.service");
  assert_string_equal(call(UNIT_START), "failed");
  wait_until(failed);
  close_unit();
  assert_string_equal(state_of("masked.service")->load, "masked");
  assert_string_equal(call(UNIT_START), "systemd refused: Unit masked.service is masked.");
  close_unit();
  assert_string_equal(state_of("nowhere.service")->load, "not-found");
  assert_string_equal(call(UNIT_START), "systemd refused: Unit nowhere.service not found.");
  assert_string_equal(call(UNIT_STOP), "systemd refused: Unit nowhere.service not loaded.");
  close_unit();
}

static void a_call_that_is_forgotten_is_not_answered(void **unused) {
  (void)unused;
  state_of("slow.service");
  begin(UNIT_START);
  wait_until(activating);
  unit_bus_forget(bed.bus);
  assert_string_equal(call(UNIT_STOP), ""); // ends the start job, whose end would have been an answer
  wait_until(inactive);
  close_unit();
}

static void a_manager_that_hangs_is_waited_for_by_nobody(void **unused) {
  (void)unused;
  state_of("good.service");
  kill(manager_pid, SIGSTOP);
  begin(UNIT_LOOK);
  wait_until(unknown); // after the library's own patience
  assert_true(bed.answered && bed.why[0] != 0);
  assert_non_null(strstr(unit_bus_trouble(bed.bus), "systemd does not"));
  kill(manager_pid, SIGCONT);
  wait_until(known);
  assert_string_equal(unit_bus_trouble(bed.bus), "");
  close_unit();
}

static void a_manager_that_leaves_is_found_again(void **unused) {
  (void)unused;
  state_of("slow.service");
  begin(UNIT_START);
  wait_until(activating);
  end(&manager_pid);
  wait_until(unknown);
  assert_true(bed.answered);
  assert_string_equal(bed.why, "systemd has left the system bus");
  assert_int_equal(unit_bus_call(bed.bus, UNIT_START, on_answer, &bed), -ENOTCONN);
  start_manager();
  wait_until(inactive);
  assert_string_equal(unit_bus_trouble(bed.bus), "");
  close_unit();
}

static void a_bus_that_restarts_is_found_again(void **unused) {
  (void)unused;
  state_of("good.service");
  end(&bus_pid);
  wait_until(unknown);
  assert_non_null(strstr(unit_bus_trouble(bed.bus), "no connection to the system bus"));
  assert_int_equal(unit_bus_call(bed.bus, UNIT_LOOK, on_answer, &bed), -ENOTCONN);
  end(&manager_pid);
  start_bus();
  start_manager();
  wait_until(known);
  assert_string_equal(call(UNIT_START), "");
  assert_string_equal(call(UNIT_STOP), "");
  close_unit();
}

static bool troubled(struct bed *b) {
  return strstr(unit_bus_trouble(b->bus), "no connection") != NULL;
}

static void without_a_bus_it_says_so(void **unused) {
  (void)unused;
  if (manager_pid == 0)
    skip();
  char *kept = strdup(getenv("DBUS_SYSTEM_BUS_ADDRESS"));
  assert_non_null(kept);
  setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
  open_unit("good.service");
  wait_until(troubled);
  assert_int_equal(bed.changes, 1);
  setenv("DBUS_SYSTEM_BUS_ADDRESS", kept, 1);
  free(kept);
  wait_until(known);
  close_unit();
}

static void it_must_be_a_service(void **unused) {
  (void)unused;
  struct unit_bus *none = NULL;
  const struct unit_watch watch = {NULL, on_changed};
  assert_int_equal(unit_bus_open(&none, NULL, "activemq", &watch), -EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_must_be_a_service),
      cmocka_unit_test(a_unit_is_started_and_stopped),
      cmocka_unit_test(a_look_tells_what_is_now),
      cmocka_unit_test(the_death_of_its_process_is_told),
      cmocka_unit_test(a_restart_by_systemd_shows_as_another_invocation),
      cmocka_unit_test(who_does_not_heed_a_stop_is_killed),
      cmocka_unit_test(what_cannot_be_started_says_why),
      cmocka_unit_test(a_call_that_is_forgotten_is_not_answered),
      cmocka_unit_test(a_manager_that_hangs_is_waited_for_by_nobody),
      cmocka_unit_test(a_manager_that_leaves_is_found_again),
      cmocka_unit_test(a_bus_that_restarts_is_found_again),
      cmocka_unit_test(without_a_bus_it_says_so),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
