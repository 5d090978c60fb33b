// SPDX-License-Identifier: Apache-2.0
#include "agent/pg_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct pg_history own, master;
static struct pg_fork fork_at;

static enum pg_parting part(uint32_t mine, const char *my_file, uint32_t theirs, const char *their_file) {
  assert_true(pg_history_read(&own, mine, my_file));
  assert_true(pg_history_read(&master, theirs, their_file));
  return pg_history_part(&own, &master, &fork_at);
}

static void reads_a_history_file(void **unused) {
  (void)unused;
  static const char file[] = "1\t0/3000148\tno recovery target specified\n\n# a comment\n2\t16/B374D848\tafter that\n";
  assert_true(pg_history_read(&own, 3, file));
  assert_int_equal(own.count, 3);
  assert_int_equal(own.at[0].timeline, 1);
  assert_true(own.at[0].end == 0x3000148);
  assert_true(own.at[1].end == 0x16B374D848);
  assert_int_equal(own.at[2].timeline, 3);
  assert_true(own.at[2].end == PG_NO_END);
}

static void refuses_what_is_none(void **unused) {
  (void)unused;
  static const char *const files[] = {"x\n", "1 0/3\n1 0/4\n", "3 0/3000148 a\n", "1 3000148 a\n", ""};
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    assert_false(pg_history_read(&own, 3, files[i]));
    assert_int_equal(own.count, 0);
  }
  assert_false(pg_history_read(&own, 0, ""));
}

static void refuses_more_timelines_than_there_is_room_for(void **unused) {
  (void)unused;
  static char text[(PG_HISTORY_MAX + 1) * 32];
  char *to = text;
  for (unsigned i = 1; i < PG_HISTORY_MAX; i++)
    to += sprintf(to, "%u\t0/%X\n", i, i * 100);
  assert_true(pg_history_read(&own, PG_HISTORY_MAX, text));
  sprintf(to, "%d\t0/FFFFFFF\n", PG_HISTORY_MAX);
  assert_false(pg_history_read(&own, PG_HISTORY_MAX + 1, text));
}

static void on_one_timeline(void **unused) {
  (void)unused;
  assert_int_equal(part(1, "", 1, ""), PG_SAME);
  assert_int_equal(part(3, "1 0/100\n2 0/200\n", 3, "1 0/100\n2 0/200\n"), PG_SAME);
}

// The ordinary failover: whether the old master wrote on past the fork, its history does not say.
static void the_master_left_ours(void **unused) {
  (void)unused;
  assert_int_equal(part(1, "", 2, "1 0/100\n"), PG_PERHAPS);
  assert_int_equal(fork_at.timeline, 1);
  assert_int_equal(fork_at.at, 0x100);
  assert_int_equal(part(2, "1 0/100\n", 4, "1 0/100\n2 0/200\n3 0/300\n"), PG_PERHAPS);
  assert_int_equal(fork_at.timeline, 2);
  assert_int_equal(fork_at.at, 0x200);
}

static void ours_went_on_by_itself(void **unused) {
  (void)unused;
  assert_int_equal(part(2, "1 0/100\n", 1, ""), PG_DIVERGED);
  assert_int_equal(fork_at.timeline, 1);
  assert_int_equal(fork_at.at, 0x100);
}

static void both_went_on(void **unused) {
  (void)unused;
  assert_int_equal(part(3, "1 0/100\n2 0/500\n", 2, "1 0/90\n"), PG_DIVERGED);
  assert_int_equal(fork_at.timeline, 1);
  assert_int_equal(fork_at.at, 0x90);
  assert_int_equal(part(2, "1 0/100\n", 3, "1 0/100\n"), PG_DIVERGED); // from the same place, to timelines of their own
  assert_int_equal(fork_at.timeline, 1);
  assert_int_equal(fork_at.at, 0x100);
  assert_int_equal(part(4, "1 0/100\n2 0/200\n3 0/300\n", 5, "1 0/100\n2 0/250\n"), PG_DIVERGED);
  assert_int_equal(fork_at.timeline, 2);
  assert_int_equal(fork_at.at, 0x200);
}

static void reads_positions(void **unused) {
  (void)unused;
  uint64_t position;
  assert_true(pg_position_read("16/B374D848", &position));
  assert_true(position == 0x16B374D848);
  assert_true(pg_position_read("0/0", &position));
  assert_false(pg_position_read("", &position));
  assert_false(pg_position_read("16", &position));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_a_history_file),
      cmocka_unit_test(refuses_what_is_none),
      cmocka_unit_test(refuses_more_timelines_than_there_is_room_for),
      cmocka_unit_test(on_one_timeline),
      cmocka_unit_test(the_master_left_ours),
      cmocka_unit_test(ours_went_on_by_itself),
      cmocka_unit_test(both_went_on),
      cmocka_unit_test(reads_positions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
