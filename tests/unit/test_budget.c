// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/core/budget.h"

static const struct budget usual = {.lease_ms = 1000, .beat_ms = 100, .drift_ppm = 10000};

static void figures_of_the_default(void **state) {
  (void)state;
  assert_int_equal(budget_self_fence_us(&usual), 990000);
  assert_int_equal(budget_silence_us(&usual), 1000000);
  // lease × 1.01 + beat + 2 × 1 ms + 2 × 5 ms
  assert_int_equal(budget_election_us(&usual, 1000, 5000), 1010000 + 100000 + 2000 + 10000);
  assert_int_equal(budget_failover_us(&usual, 1000, 5000), 1010000 + 100000 + 3000 + 15000);
  assert_int_equal(budget_losses(&usual), 8);
}

// The self-fence is never late and the failover never promised too early, whatever the division leaves over.
static void rounds_to_the_safe_side(void **state) {
  const struct budget odd = {.lease_ms = 333, .beat_ms = 33, .drift_ppm = 3333};
  (void)state;
  assert_int_equal(budget_self_fence_us(&odd), 331890);             // 331890.111
  assert_int_equal(budget_election_us(&odd, 0, 0), 334110 + 33000); // 334109.889
}

static void holds_the_largest(void **state) {
  const struct budget most = {.lease_ms = UINT32_MAX, .beat_ms = UINT32_MAX, .drift_ppm = DRIFT_PPM_MAX};
  (void)state;
  assert_int_equal(budget_self_fence_us(&most), (int64_t)UINT32_MAX * 900);
  assert_int_equal(budget_losses(&most), 0);
}

static void fits_at_the_edge(void **state) {
  struct budget edge = {.lease_ms = 1000, .beat_ms = 326, .drift_ppm = 10000}; // 978 + 10 <= 990
  (void)state;
  assert_true(budget_fits(&edge));
  assert_int_equal(budget_losses(&edge), 2);
  edge.beat_ms = 327; // 981 + 10
  assert_false(budget_fits(&edge));
  assert_int_equal(budget_losses(&edge), 1);
}

// What the rule promises, told once more by counting beats: with two lost ones the third's answer comes in
// time.
static void two_losses_never_end_a_lease(void **state) {
  (void)state;
  for (uint32_t lease = LEASE_MS_MIN; lease <= 2000; lease += 7)
    for (uint32_t beat = BEAT_MS_MIN; beat <= lease; beat += 3) {
      const struct budget b = {lease, beat, 10000};
      int64_t third_answer = 3 * (int64_t)beat * 1000 + BUDGET_ANSWER_US;
      assert_int_equal(budget_fits(&b), third_answer <= (int64_t)lease * 990);
      assert_int_equal(budget_fits(&b), budget_losses(&b) >= 2);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(figures_of_the_default),
      cmocka_unit_test(rounds_to_the_safe_side),
      cmocka_unit_test(holds_the_largest),
      cmocka_unit_test(fits_at_the_edge),
      cmocka_unit_test(two_losses_never_end_a_lease),
  };
  return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
