// SPDX-License-Identifier: Apache-2.0
// The watchdog against a recording stand-in for the one file that makes its system calls.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/watchdog.h"
#include "agent/watchdog_device.h"

// ---- the stand-in ----

static struct device {
  char record[256]; // what was done to it
  const char *identity;
  bool stops, fails;
  int refuses;      // open answers so
  int takes;        // seconds, whatever is asked; 0: what is asked
} device;

static void note(const char *what) {
  strncat(device.record, what, sizeof device.record - strlen(device.record) - 1);
}

int watchdog_device_open(const char *path) {
  note("open ");
  note(path);
  return device.refuses != 0 ? device.refuses : 7;
}
void watchdog_device_identity(int fd, char name[WATCHDOG_IDENTITY_MAX], bool *stops) {
  assert_int_equal(fd, 7);
  snprintf(name, WATCHDOG_IDENTITY_MAX, "%s", device.identity);
  *stops = device.stops;
}
int watchdog_device_timeout(int fd, int seconds) {
  char text[32];
  assert_int_equal(fd, 7);
  snprintf(text, sizeof text, ", %d s", seconds);
  note(text);
  return device.takes != 0 ? device.takes : seconds;
}
int watchdog_device_kick(int fd) {
  assert_int_equal(fd, 7);
  note(", kick");
  return device.fails ? -EIO : 0;
}
void watchdog_device_close(int fd, bool stops) {
  assert_int_equal(fd, 7);
  note(stops ? ", V, close" : ", close");
}

// ---- the tests ----

static struct watchdog *opened(uint32_t lease_ms, uint32_t beat_ms, int wanted, char *error) {
  struct watchdog *w;
  device.record[0] = 0;
  assert_int_equal(watchdog_open(&w, "/dev/watchdog", lease_ms, beat_ms, error, 320), wanted);
  return w;
}

static int fresh(void **unused) {
  (void)unused;
  device = (struct device){.identity = "iTCO_wdt", .stops = true};
  return 0;
}

static void test_none(void **unused) {
  (void)unused;
  struct watchdog *w;
  char text[320];
  assert_int_equal(watchdog_open(&w, "", 1000, 100, text, sizeof text), 0);
  assert_null(w);
  assert_int_equal(watchdog_look(w, true), 0);
  assert_string_equal(watchdog_class(w), "none");
  assert_string_equal(watchdog_note(w, text, sizeof text), "");
  watchdog_close(w, true);
  assert_string_equal(device.record, "");
}

static void test_kicked_only_while_it_may(void **unused) {
  (void)unused;
  char text[320];
  struct watchdog *w = opened(3500, 100, 0, text);
  assert_string_equal(device.record, "open /dev/watchdog, 3 s, kick");
  device.record[0] = 0;
  watchdog_look(w, true);
  watchdog_look(w, false);
  watchdog_look(w, false);
  watchdog_look(w, true);
  assert_string_equal(device.record, ", kick, kick");
  assert_string_equal(watchdog_class(w), "hardware");
  assert_string_equal(watchdog_note(w, text, sizeof text), "");
  device.record[0] = 0;
  watchdog_close(w, true);
  assert_string_equal(device.record, ", V, close");
}

/* SIGUSR1, or a stop that left something behind: it runs on. */
static void test_runs_on_where_the_stop_is_not_clean(void **unused) {
  (void)unused;
  char text[320];
  struct watchdog *w = opened(1000, 100, 0, text);
  device.record[0] = 0;
  watchdog_close(w, false);
  assert_string_equal(device.record, ", close");
}

static void test_the_time_out_is_checked(void **unused) {
  (void)unused;
  char text[320];
  device.takes = 60;
  struct watchdog *w = opened(1000, 100, 0, text);
  assert_int_equal(watchdog_timeout_s(w), 60);
  assert_non_null(strstr(watchdog_note(w, text, sizeof text), "after 60 s, later than the lease of 1000 ms"));
  watchdog_close(w, true);
  device.takes = 1;
  assert_null(opened(5000, 400, -ERANGE, text));
  assert_non_null(strstr(text, "shorter than three beats of 400 ms"));
  assert_non_null(strstr(device.record, ", V, close"));
  device.takes = -ENOTTY;
  assert_null(opened(5000, 400, -ENOTTY, text));
}

static void test_classes(void **unused) {
  (void)unused;
  static const char *const rows[][2] = {{"Software Watchdog", "software"}, {"i6300ESB timer", "virtual"},
                                        {"IB700 WDT", "virtual"},          {"iTCO_wdt", "hardware"},
                                        {"SP5100 TCO timer", "hardware"},  {"", "unknown"}};
  char text[320];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    device.identity = rows[i][0];
    struct watchdog *w = opened(1000, 100, 0, text);
    assert_string_equal(watchdog_class(w), rows[i][1]);
    assert_string_equal(watchdog_identity(w), rows[i][0]);
    assert_int_equal(strstr(watchdog_note(w, text, sizeof text), "is software") != NULL, i == 0);
    watchdog_close(w, true);
  }
}

static void test_what_cannot_be_had(void **unused) {
  (void)unused;
  static const struct {
    int rc;
    const char *word;
  } rows[] = {{-EBUSY, "RuntimeWatchdogSec"}, {-EACCES, "must be allowed"}, {-ENOENT, "no such watchdog"}, {-EIO, "cannot be opened"}};
  char text[320];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    device.refuses = rows[i].rc;
    assert_null(opened(1000, 100, rows[i].rc, text));
    assert_non_null(strstr(text, rows[i].word));
  }
}

static void test_a_device_that_fails(void **unused) {
  (void)unused;
  char text[320];
  struct watchdog *w = opened(1000, 100, 0, text);
  device.fails = true;
  assert_int_equal(watchdog_look(w, true), -EIO);
  assert_non_null(strstr(watchdog_note(w, text, sizeof text), "about to be reset"));
  device.fails = false;
  assert_int_equal(watchdog_look(w, true), 0);
  assert_string_equal(watchdog_note(w, text, sizeof text), "");
  watchdog_close(w, true);
  device.fails = true;
  assert_null(opened(1000, 100, -EIO, text));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_none, fresh),
      cmocka_unit_test_setup(test_kicked_only_while_it_may, fresh),
      cmocka_unit_test_setup(test_runs_on_where_the_stop_is_not_clean, fresh),
      cmocka_unit_test_setup(test_the_time_out_is_checked, fresh),
      cmocka_unit_test_setup(test_classes, fresh),
      cmocka_unit_test_setup(test_what_cannot_be_had, fresh),
      cmocka_unit_test_setup(test_a_device_that_fails, fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
