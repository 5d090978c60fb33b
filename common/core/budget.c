// SPDX-License-Identifier: Apache-2.0
#include "common/core/budget.h"

#define PPM 1000000

static int64_t ms(uint32_t value) {
  return (int64_t)value * 1000;
}

// L4: rounded down, to end too early rather than too late
int64_t budget_self_fence_us(const struct budget *b) {
  return ms(b->lease_ms) * (PPM - (int64_t)b->drift_ppm) / PPM;
}

// V4
int64_t budget_silence_us(const struct budget *b) {
  return ms(b->lease_ms);
}

// The lease as a slower clock counts it: rounded up
static int64_t stretched(const struct budget *b) {
  return (ms(b->lease_ms) * (PPM + (int64_t)b->drift_ppm) + PPM - 1) / PPM;
}

// P4: lease × (1 + epsilon) + beat + 2 round trips + 2 disk syncs
int64_t budget_election_us(const struct budget *b, int64_t round_trip_us, int64_t disk_sync_us) {
  return stretched(b) + ms(b->beat_ms) + 2 * round_trip_us + 2 * disk_sync_us;
}

int64_t budget_failover_us(const struct budget *b, int64_t round_trip_us, int64_t disk_sync_us) {
  return budget_election_us(b, round_trip_us, disk_sync_us) + round_trip_us + disk_sync_us;
}

int64_t budget_losses(const struct budget *b) {
  int64_t room = budget_self_fence_us(b) - BUDGET_ANSWER_US;
  return room < ms(b->beat_ms) ? 0 : room / ms(b->beat_ms) - 1;
}

bool budget_fits(const struct budget *b) {
  return budget_self_fence_us(b) >= 3 * ms(b->beat_ms) + BUDGET_ANSWER_US;
}
