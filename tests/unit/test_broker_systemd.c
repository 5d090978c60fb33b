// SPDX-License-Identifier: Apache-2.0
// The driver systemd: a service that runs on the master alone, whatever systemd and the service do.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/support/driver_bed.h"

#define UNITS                                                                                                \
  "{\"units\": {"                                                                                            \
  "\"good.service\": {\"command\": [\"sleep\", \"1000\"]},"                                                  \
  "\"again.service\": {\"command\": [\"sleep\", \"1000\"], \"restart\": \"always\"},"                        \
  "\"enabled.service\": {\"command\": [\"sleep\", \"1000\"], \"file\": \"enabled\"},"                        \
  "\"stubborn.service\": {\"command\": [\"sleep\", \"1000\"], \"stubborn\": true},"                          \
  "\"slow.service\": {\"start\": \"hang\"},"                                                                 \
  "\"broken.service\": {\"start\": \"fail\"},"                                                               \
  "\"masked.service\": {\"load\": \"masked\"}}}"
#include "tests/support/systemd_bed.h"

static struct broker_settings settings_of(const char *unit) {
  return (struct broker_settings){.cluster = "test",
                                  .driver = "systemd",
                                  .names = {"a", "b"},
                                  .address = "",
                                  .peers = {"", ""},
                                  .username = "",
                                  .password_file = "",
                                  .incarnation = "",
                                  .orphans = "",
                                  .replication = REPLICATION_SHARED,
                                  .beat_ms = 50,
                                  .lease_ms = 300,
                                  .probe_every_ms = 50,
                                  .probe_timeout_ms = 2000,
                                  .verb_timeout_ms = 4000,
                                  .unit = unit};
}

static void open_unit(const char *unit) {
  const struct broker_settings settings = settings_of(unit);
  const char *error;
  if (manager_pid == 0) {
    print_message("skipped: dbus-daemon or python3-dbusmock is not installed\n");
    skip();
  }
  assert_int_equal(driver_open(&settings, &error), 0);
}

static bool stands_by(const struct broker_view *v) {
  return v->reachable && !v->dead && driver_in_state("standby");
}
static bool leads(const struct broker_view *v) {
  return v->reachable && v->writable && driver_in_state("master");
}
static bool is_dead(const struct broker_view *v) {
  return v->dead;
}
static const char *told;
static bool is_unfit(const struct broker_view *v) {
  return v->unfit && driver_says(told);
}
static bool was_dead(const struct broker_view *v) {
  (void)v;
  return driver.was_dead;
}

// The process of good.service and its like.
static bool runs(void) {
  char pattern[64];
  snprintf(pattern, sizeof pattern, "pgrep -P %d -x sleep >/dev/null", (int)manager_pid);
  return system(pattern) == 0;
}

static void kill_process(void) {
  char command[64];
  snprintf(command, sizeof command, "pkill -KILL -P %d -x sleep", (int)manager_pid);
  assert_int_equal(system(command), 0);
}

static void it_runs_on_the_master_alone(void **unused) {
  (void)unused;
  open_unit("good.service");
  driver_reach(BROKER_HOLD, 0);
  driver_wait(stands_by);
  assert_false(runs());
  for (uint64_t epoch = 2; epoch < 5; epoch++) {
    driver_reach(BROKER_LEAD, epoch);
    driver_wait(leads);
    assert_true(runs());
    driver_reach(BROKER_FOLLOW, epoch + 1);
    assert_false(runs());
    driver_wait(stands_by);
    assert_false(driver.was_dead);
  }
  driver_close();
}

static void a_master_goes_on_in_another_epoch(void **unused) {
  (void)unused;
  open_unit("good.service");
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  driver_reach(BROKER_LEAD, 4);
  driver_wait(leads);
  assert_false(driver.was_dead);
  driver_reach(BROKER_HOLD, 4);
  driver_close();
}

static void closing_leaves_it_as_it_is(void **unused) {
  (void)unused;
  open_unit("good.service");
  driver_reach(BROKER_LEAD, 2);
  driver_close();
  assert_true(runs());
  open_unit("good.service"); // not the agent before, as far as this one knows: nobody has told it to lead
  driver_reach(BROKER_HOLD, 2);
  assert_false(runs());
  driver_close();
}

static void its_death_is_seen(void **unused) {
  (void)unused;
  open_unit("good.service");
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  kill_process();
  driver_wait(is_dead);
  driver_reach(BROKER_HOLD, 2);
  driver_wait(stands_by);
  driver_reach(BROKER_LEAD, 4); // nobody took over
  driver_wait(leads);
  driver_reach(BROKER_HOLD, 4);
  driver_close();
}

static void a_restart_behind_the_agents_back_is_a_death(void **unused) {
  (void)unused;
  open_unit("again.service");
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  assert_true(driver_says("Restart=always"));
  kill_process();
  driver_wait(was_dead);
  driver_reach(BROKER_HOLD, 3);
  driver_wait(stands_by);
  assert_false(runs());
  driver_close();
}

static void one_that_starts_at_boot_is_warned_of(void **unused) {
  (void)unused;
  open_unit("enabled.service");
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  assert_true(driver_says("is enabled"));
  driver_reach(BROKER_HOLD, 2);
  driver_close();
}

static void one_that_does_not_stop_is_killed(void **unused) {
  (void)unused;
  open_unit("stubborn.service");
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  driver_reach(BROKER_HOLD, 2);
  assert_false(runs());
  driver_close();
}

static void what_cannot_start_is_not_fit_and_says_why(void **unused) {
  (void)unused;
  static const char *const rows[][2] = {{"broken.service", "failed"},
                                        {"masked.service", "systemctl unmask"},
                                        {"nowhere.service", "there is no unit nowhere.service"}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    open_unit(rows[i][0]);
    driver_reach(BROKER_HOLD, 0);
    driver_order(BROKER_LEAD, 2);
    told = rows[i][1];
    driver_wait(is_unfit);
    assert_int_equal(driver.done, 1);
    driver_reach(BROKER_HOLD, 2); // and serves nobody
    driver_close();
  }
}

static bool hangs(const struct broker_view *v) {
  return !v->reachable && driver_in_state("hung");
}

static void a_start_that_hangs_is_not_waited_for(void **unused) {
  (void)unused;
  open_unit("slow.service");
  driver_reach(BROKER_HOLD, 0);
  driver_order(BROKER_LEAD, 2);
  driver_wait(hangs);
  driver_reach(BROKER_HOLD, 2);
  driver_wait(stands_by);
  driver_close();
}

static bool lost(const struct broker_view *v) {
  return !v->reachable && driver_in_state("lost");
}

static void systemd_may_come_and_go(void **unused) {
  (void)unused;
  open_unit("good.service");
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  end(&manager_pid); // and, with this one, its services
  driver_wait(lost);
  assert_true(driver_says("systemd has left the system bus"));
  start_manager();
  driver_wait(was_dead);
  driver_reach(BROKER_HOLD, 3);
  driver_wait(stands_by);
  driver_reach(BROKER_LEAD, 4);
  driver_wait(leads);
  driver_reach(BROKER_HOLD, 4);
  driver_close();
}

static void it_needs_a_service(void **unused) {
  (void)unused;
  struct broker_settings settings = settings_of("data.mount");
  const char *error;
  assert_true(driver_open(&settings, &error) < 0);
  assert_non_null(strstr(error, "broker.unit"));
  driver_close();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_needs_a_service),
      cmocka_unit_test(it_runs_on_the_master_alone),
      cmocka_unit_test(a_master_goes_on_in_another_epoch),
      cmocka_unit_test(closing_leaves_it_as_it_is),
      cmocka_unit_test(its_death_is_seen),
      cmocka_unit_test(a_restart_behind_the_agents_back_is_a_death),
      cmocka_unit_test(one_that_starts_at_boot_is_warned_of),
      cmocka_unit_test(one_that_does_not_stop_is_killed),
      cmocka_unit_test(what_cannot_start_is_not_fit_and_says_why),
      cmocka_unit_test(a_start_that_hangs_is_not_waited_for),
      cmocka_unit_test(systemd_may_come_and_go),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
