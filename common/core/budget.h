// SPDX-License-Identifier: Apache-2.0
// The timing budget: what lease, beat and drift of a cluster come to. Durations only; whole µs, each rounded
// to the side on which a promise still holds.
#ifndef TANIST_CORE_BUDGET_H
#define TANIST_CORE_BUDGET_H

#include "common/core/types.h"

struct budget {
  uint32_t lease_ms, beat_ms;
  uint32_t drift_ppm; // epsilon of protocol.md: how far the rates of any two clocks may differ
};

// What an answer may take on its way: a round trip and both sides' lateness, in the rule of budget_fits.
#define BUDGET_ANSWER_US 10000

// L4: so long after a granted beat was sent its master ends itself, unless a later one was granted.
int64_t budget_self_fence_us(const struct budget *);

// V4: so long after its start a voter votes for nobody (lease_max is the lease, while nobody lowers it).
int64_t budget_silence_us(const struct budget *);

// P4: from the last beat that a voter had from the old master until the new one is elected, at worst.
int64_t budget_election_us(const struct budget *, int64_t round_trip_us, int64_t disk_sync_us);

// P4: until the new master serves: one more round trip and sync, for its record.
int64_t budget_failover_us(const struct budget *, int64_t round_trip_us, int64_t disk_sync_us);

// How many of a master's beats in a row may be lost, or their answers, without the lease running out.
int64_t budget_losses(const struct budget *);

// Two lost beats do not end a lease. A lease counts from the sending of the granted beat (L4): the next three
// go out one, two and three beats later, and the third one's answer must be back before the end:
//   lease × (1 − drift) >= 3 × beat + BUDGET_ANSWER_US
// A link whose round trip is longer than the allowance needs a longer lease, which only its operator can
// know.
bool budget_fits(const struct budget *);

#endif
