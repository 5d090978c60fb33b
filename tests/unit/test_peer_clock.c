// SPDX-License-Identifier: Apache-2.0
// Another voter's clock, from beats that come sooner or later.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "common/base/peer_clock.h"

#define BEAT_US 100000
#define WALL_MS 1700000000000

// Beats for so long, of a clock that goes `ppm` faster and is `ahead_ms` ahead, delayed by 0 to `delay_us`.
static struct instant hear(struct peer_clock *c, struct instant from, int64_t seconds, int64_t ppm,
                           int64_t ahead_ms, int64_t delay_us) {
  int64_t at = from.us;
  for (unsigned i = 0; at < from.us + seconds * 1000000; i++, at += BEAT_US) {
    int64_t theirs = at + at * ppm / 1000000 + ahead_ms * 1000;
    int64_t delay = delay_us * (int64_t)(i * 7919 % 31) / 31;
    peer_clock_beat(c, WALL_MS + theirs / 1000, (struct instant){at + delay});
  }
  return (struct instant){at};
}

static void nothing_is_known_of_nothing(void **state) {
  struct peer_clock c = {0};
  int64_t us;
  int32_t ppm;
  (void)state;
  assert_false(peer_clock_offset(&c, WALL_MS, (struct instant){1}, &us));
  assert_false(peer_clock_rate(&c, &ppm));
  hear(&c, (struct instant){1000000}, 8, 0, 0, 0);
  assert_false(peer_clock_rate(&c, &ppm));
}

static void rate_and_offset_are_found(void **state) {
  static const int64_t rates[] = {0, 300, -300, 12000, -12000};
  (void)state;
  for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
    struct peer_clock c = {0};
    int64_t us;
    int32_t ppm;
    struct instant end = hear(&c, (struct instant){1000000}, 40, rates[i], 5000, 3000);
    assert_true(peer_clock_rate(&c, &ppm));
    assert_in_range(ppm - rates[i] + 1000, 0, 2000);
    int64_t true_us = 5000000 + end.us * rates[i] / 1000000;
    assert_true(peer_clock_offset(&c, WALL_MS + end.us / 1000, end, &us));
    assert_in_range(us - true_us + 60000, 0, 120000);
  }
}

static void a_clock_that_was_set_is_no_fast_one(void **state) {
  struct peer_clock c = {0};
  int64_t us;
  int32_t ppm;
  (void)state;
  struct instant at = hear(&c, (struct instant){1000000}, 30, 0, 0, 3000);
  at = hear(&c, at, 20, 0, 86400000, 3000);
  at = hear(&c, at, 20, 0, -500, 3000);
  assert_true(peer_clock_rate(&c, &ppm));
  assert_in_range(ppm + 1000, 0, 2000);
  assert_true(peer_clock_offset(&c, WALL_MS + at.us / 1000, at, &us));
  assert_in_range(us + 500000 + 10000, 0, 20000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_known_of_nothing),
      cmocka_unit_test(rate_and_offset_are_found),
      cmocka_unit_test(a_clock_that_was_set_is_no_fast_one),
  };
  return cmocka_run_group_tests_name("peer_clock", tests, NULL, NULL);
}
