// SPDX-License-Identifier: Apache-2.0
// A driver as the agent has it: duties, and what comes of them.
#ifndef TANIST_TESTS_DRIVER_BED_H
#define TANIST_TESTS_DRIVER_BED_H

#include <string.h>

#include "agent/broker.h"

#define DRIVER_PATIENCE_US 20000000

static struct driver_bed {
  struct loop *loop;
  struct broker *broker;
  struct loop_timer *end;
  uint32_t serial, done;
  bool late, was_dead; // was_dead: at some time since the last duty
  bool (*wanted)(const struct broker_view *);
} driver;

static void driver_look(void) {
  if (driver.wanted != NULL && driver.wanted(broker_view(driver.broker)))
    loop_stop(driver.loop);
}

static void driver_changed(void *arg) {
  (void)arg;
  driver.was_dead = driver.was_dead || broker_view(driver.broker)->dead;
  driver_look();
}

static void driver_done(void *arg, uint32_t serial, struct position position) {
  (void)arg, (void)position;
  driver.done = serial;
  driver_look();
}

static void driver_cleared(void *arg) {
  (void)arg;
}

static void driver_late(void *arg) {
  (void)arg;
  driver.late = true;
  loop_stop(driver.loop);
}

static int driver_open(const struct broker_settings *settings, const char **error) {
  const struct broker_watch watch = {.changed = driver_changed, .done = driver_done, .cleared = driver_cleared};
  memset(&driver, 0, sizeof driver);
  driver.loop = loop_new();
  driver.end = loop_timer_new(driver.loop, driver_late, NULL);
  *error = "";
  return broker_open(&driver.broker, driver.loop, settings, &watch, error);
}

static void driver_close(void) {
  broker_close(driver.broker);
  loop_timer_free(driver.end);
  loop_free(driver.loop);
}

static void driver_wait(bool (*wanted)(const struct broker_view *)) {
  driver.wanted = wanted;
  driver.late = false;
  if (wanted(broker_view(driver.broker)))
    return;
  loop_timer_in(driver.end, DRIVER_PATIENCE_US);
  assert_int_equal(loop_run(driver.loop), 0);
  loop_timer_at(driver.end, INSTANT_NEVER);
  driver.wanted = NULL;
  const struct broker_view *v = broker_view(driver.broker);
  if (driver.late)
    fail_msg("waited in vain: state %s, reachable %d, dead %d, duty %u of %u, trouble '%s'", v->state, v->reachable,
             v->dead, driver.done, driver.serial, v->trouble);
}

static bool driver_is_done(const struct broker_view *unused) {
  (void)unused;
  return driver.done == driver.serial;
}

static void driver_order(enum broker_mode mode, uint64_t epoch) {
  const struct broker_duty duty = {
      .serial = ++driver.serial, .mode = (uint8_t)mode, .master = mode == BROKER_LEAD ? VOTER_A : VOTER_B, .epoch = epoch};
  driver.was_dead = false;
  broker_apply(driver.broker, &duty);
}

static void driver_reach(enum broker_mode mode, uint64_t epoch) {
  driver_order(mode, epoch);
  driver_wait(driver_is_done);
}

static bool driver_says(const char *text) {
  return strstr(broker_view(driver.broker)->trouble, text) != NULL;
}

static bool driver_in_state(const char *state) {
  return strcmp(broker_view(driver.broker)->state, state) == 0;
}

#endif
