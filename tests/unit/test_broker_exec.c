// SPDX-License-Identifier: Apache-2.0
// The driver exec, with commands of a shell.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "agent/broker_verbs.h"
#include "tests/support/driver_bed.h"

static struct conf_texts commands[VERB_COUNT];

static void command(enum verb verb, const char *script) {
  commands[verb] = (struct conf_texts){.count = 3, .at = {"sh", "-c", script}};
}

static void open_commands(void) {
  const struct broker_settings settings = {.cluster = "orders",
                                           .driver = "exec",
                                           .names = {"a", "b"},
                                           .address = "",
                                           .peers = {"", ""},
                                           .username = "",
                                           .password_file = "",
                                           .incarnation = "",
                                           .orphans = "",
                                           .replication = REPLICATION_ASYNC,
                                           .beat_ms = 50,
                                           .lease_ms = 300,
                                           .probe_every_ms = 50,
                                           .probe_timeout_ms = 4000,
                                           .verb_timeout_ms = 4000,
                                           .commands = commands};
  const char *error;
  command(VERB_MONITOR, "exit 0");
  command(VERB_PROMOTE, "exit 0");
  command(VERB_DEMOTE, "exit 0");
  command(VERB_REJOIN, "exit 0");
  if (driver_open(&settings, &error) < 0)
    fail_msg("%s", error);
}

static void a_line_is_a_word(void **state) {
  (void)state;
  command(VERB_POS, "echo talks; echo position=7; echo talks on");
  open_commands();
  driver_reach(BROKER_HOLD, 0);
  assert_int_equal(broker_view(driver.broker)->position.offset, 7);
  assert_true(driver_in_state("held"));
  driver_close();
}

// Nobody knows how the last line goes on: half a position is another one.
static void half_a_line_is_none(void **state) {
  (void)state;
  command(VERB_POS, "head -c 4080 /dev/zero | tr '\\0' '.'; echo; echo position=1234567");
  open_commands();
  driver_reach(BROKER_HOLD, 0);
  assert_int_equal(broker_view(driver.broker)->position.offset, 0);
  assert_true(driver_says("it answered no position="));
  driver_close();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_line_is_a_word),
      cmocka_unit_test(half_a_line_is_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
