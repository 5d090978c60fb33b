// SPDX-License-Identifier: Apache-2.0
// The driver "library", with a broker in this process that says through libtanist whatever it likes.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/broker.h"
#include "agent/state_page.h"
#include "common/core/limits.h"

#define SOON_US 5000000

static char directory[64], state_path[96], report_path[96];
static struct loop *loop;
static struct loop_timer *late;
static struct state_page *page;
static struct broker *broker;
static struct tanist *t;
static bool (*wanted)(const struct broker_view *);

static void on_changed(void *arg) {
  (void)arg;
  if (wanted != NULL && wanted(broker_view(broker)))
    loop_stop(loop);
}

static void on_done(void *arg, uint32_t serial, struct position position) {
  (void)arg, (void)serial, (void)position;
}

static void on_late(void *arg) {
  (void)arg;
  fail_msg("the driver did not come to see it");
}

static void wait_until(bool (*seen)(const struct broker_view *)) {
  wanted = seen;
  loop_timer_in(late, SOON_US);
  if (!seen(broker_view(broker)))
    loop_run(loop);
  loop_timer_at(late, INSTANT_NEVER);
  wanted = NULL;
}

static int set_up(void **unused) {
  (void)unused;
  strcpy(directory, "/tmp/test_library.XXXXXX");
  if (mkdtemp(directory) == NULL)
    return -1;
  snprintf(state_path, sizeof state_path, "%s/orders.a.state", directory);
  snprintf(report_path, sizeof report_path, "%s/orders.a.report", directory);
  struct state_page_settings pages = {
      .state_path = state_path, .report_path = report_path, .self = VOTER_A, .admits = true, .alive_ms = 60000};
  const struct broker_watch watch = {NULL, on_changed, on_done, NULL, NULL};
  const char *error;
  loop = loop_new();
  late = loop_timer_new(loop, on_late, NULL);
  if (state_page_open(&page, &pages) != 0)
    return -1;
  const struct broker_settings settings = {.cluster = "orders",
                                           .driver = "library",
                                           .replication = REPLICATION_SYNC,
                                           .beat_ms = 5,
                                           .lease_ms = 1000,
                                           .page = page,
                                           .probe_every_ms = 60000,
                                           .probe_timeout_ms = 60000};
  if (broker_open(&broker, loop, &settings, &watch, &error) != 0)
    return -1;
  return tanist_open(&t, state_path);
}

static int tear_down(void **unused) {
  (void)unused;
  tanist_close(t);
  broker_close(broker);
  state_page_close(page, false);
  loop_timer_free(late);
  loop_free(loop);
  unlink(state_path);
  unlink(report_path);
  return rmdir(directory);
}

static bool is_there(const struct broker_view *view) {
  return view->reachable;
}

static bool is_in_trouble(const struct broker_view *view) {
  return view->trouble[0] != 0 && view->position.offset != 0;
}

static bool is_far(const struct broker_view *view) {
  return view->position.offset > 1000;
}

static void positions_are_one_above_the_brokers(void **unused) {
  (void)unused;
  assert_int_equal(tanist_report_position(t, 6, 40, 40), 0);
  wait_until(is_there);
  assert_int_equal(broker_view(broker)->position.epoch, 6);
  assert_int_equal(broker_view(broker)->position.offset, 41);
}

static bool is_of_the_last_epoch(const struct broker_view *view) {
  return view->position.epoch == EPOCH_MAX - 1;
}

/* What is in the view goes into beats, and no other voter takes a beat that is not of this protocol. */
static void an_epoch_that_cannot_be_is_told_and_not_passed_on(void **unused) {
  (void)unused;
  static const uint64_t wrong[] = {EPOCH_MAX, EPOCH_MAX + 5, UINT64_MAX};
  assert_int_equal(tanist_report_position(t, EPOCH_MAX - 1, 40, 40), 0);
  wait_until(is_of_the_last_epoch);
  assert_true(broker_view(broker)->reachable);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    assert_int_equal(tanist_report_position(t, wrong[i], 40, 40), 0);
    wait_until(is_in_trouble);
    const struct broker_view *view = broker_view(broker);
    assert_false(view->reachable); /* so it does not lead */
    assert_int_equal(view->position.epoch, 0);
    assert_int_equal(view->position.offset, 41); /* it is not empty either: nobody founds anything on it */
    assert_non_null(strstr(view->trouble, "epoch"));
    assert_int_equal(tanist_report_position(t, 8, 40, 40), 0);
    wait_until(is_there); /* and once it says what can be, all is well */
    assert_string_equal(view->trouble, "");
  }
}

static void the_last_position_does_not_wrap(void **unused) {
  (void)unused;
  assert_int_equal(tanist_report_position(t, 6, UINT64_MAX, 0), 0);
  wait_until(is_far);
  assert_true(broker_view(broker)->position.offset == UINT64_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(positions_are_one_above_the_brokers, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_epoch_that_cannot_be_is_told_and_not_passed_on, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_last_position_does_not_wrap, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
