// SPDX-License-Identifier: Apache-2.0
// How another voter's clock goes beside ours, from the wall clock that its beats tell. For people: the
// protocol rests on the bound timing.drift_percent, which is seen here to be kept or not.
//
// One beat tells little, as it may have been long on its way. Of each window the one that came quickest
// counts; the rate is the median of those between neighbouring windows, so that a clock that was set (a step)
// spoils one of them alone. A wall clock that is not set goes at the rate of CLOCK_BOOTTIME: both are slewed
// alike.
#ifndef TANIST_BASE_PEER_CLOCK_H
#define TANIST_BASE_PEER_CLOCK_H

#include <stdbool.h>

#include "common/core/types.h"

#define PEER_CLOCK_WINDOW_US 4000000
#define PEER_CLOCK_RATES 9     // the newest; odd: there is a median
#define PEER_CLOCK_RATES_MIN 3 // below that none is told

struct peer_clock {              // all zeros: nothing heard yet
  struct instant ends;           // of the window
  int64_t best, best_at;         // its largest (their wall clock − our boot time), µs, and when
  int64_t former, former_at;     // of the window before it; former_at 0: none
  int32_t ppm[PEER_CLOCK_RATES]; // how much faster theirs goes
  unsigned count;                // of rates, ever
};

void peer_clock_beat(struct peer_clock *, int64_t wall_ms, struct instant now);

// How far their wall clock is ahead of ours, µs; short by the time a beat is on its way. False: not known.
bool peer_clock_offset(const struct peer_clock *, int64_t own_wall_ms, struct instant now, int64_t *us);

// How much faster their clock goes than ours, parts in a million. False: not known yet.
bool peer_clock_rate(const struct peer_clock *, int32_t *ppm);

struct json;
// {"offset_ms": …, "rate_ppm": …} with null for what is not known; the caller's.
struct json *peer_clock_json(const struct peer_clock *);

#endif
