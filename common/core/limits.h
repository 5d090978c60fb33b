// SPDX-License-Identifier: Apache-2.0
// Every maximum of the protocol, with its reason.
#ifndef TANIST_CORE_LIMITS_H
#define TANIST_CORE_LIMITS_H

#include <assert.h>

// A list holds at most one of each release, PERSIST, two SENDs to each peer, one of each claim, and its
// facts.
#define ACTIONS_MAX 28

// Beats under way to one peer whose sending time is remembered: a grant of an older one renews nothing (L4).
// At three beats a lease 32 covers a round trip of ten leases.
#define SENT_MAX 32

#define LEASE_MS_MIN 50    // below it the scheduler's own lateness is a good part of the lease
#define LEASE_MS_MAX 60000 // above it an operator is quicker
#define BEAT_MS_MIN 5
#define BEAT_MS_MAX 10000
#define DRIFT_PPM_MAX 100000 // 10 %

// No epoch reaches this: a vote raises them by two, an operator's force (F1) by 2^32, and where an operator
// founds a cluster above those that are known (B3) half of them must be left. So the next epoch never wraps.
#define EPOCH_MAX (UINT64_C(1) << 63)
#define EPOCH_FOUND_MAX (EPOCH_MAX / 2)

static_assert(BEAT_MS_MIN * 3 < LEASE_MS_MIN, "the shortest beat fits thrice into the shortest lease");
static_assert(SENT_MAX >= 8, "a lease's worth of beats must be remembered");

#endif
