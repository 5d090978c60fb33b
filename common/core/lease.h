// SPDX-License-Identifier: Apache-2.0
// The only place that adds times to instants. Durations are int64_t in the unit their name ends with.
#ifndef TANIST_CORE_LEASE_H
#define TANIST_CORE_LEASE_H

#include "common/core/types.h"

// PAST and NEVER stay what they are, and nothing wraps.
struct instant instant_plus_us(struct instant, int64_t us);
struct instant instant_plus_ms(struct instant, int64_t ms);
int64_t instant_us_between(struct instant from, struct instant to); // negative if `to` is earlier; saturates
bool instant_before(struct instant, struct instant);                // strictly
struct instant instant_later(struct instant, struct instant);
struct instant instant_earlier(struct instant, struct instant);

// L4: a master counts its lease from the *sending* of the beat that was granted, and takes the drift off its
// own side.
struct instant lease_end(struct instant sent, uint32_t lease_ms, uint32_t drift_ppm);
// V1: a voter counts its promise from the receipt, in full.
struct instant promise_end(struct instant received, uint32_t lease_ms);
// Milliseconds from now to `at`, rounded up, 0 if over; FREE_NEVER - 1 at most.
uint32_t ms_until(struct instant now, struct instant at);

#endif
