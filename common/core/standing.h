// SPDX-License-Identifier: Apache-2.0
// May a node stand (L2)? The predicates of role.c, each answering with the first hurdle; at core->now.
#ifndef TANIST_CORE_STANDING_H
#define TANIST_CORE_STANDING_H

#include "common/core/core.h"
#include "common/core/hurdle.h"

// What keeps a node from leading whatever the voters say; of the other node, as its last beat has it.
enum hurdle_type standing_fit(const struct core *, unsigned node);
// A freeze keeps who leads: the last reign's own node may still stand (L2).
bool standing_frozen_out(const struct core *, unsigned node);
// What keeps this node from standing: itself, then its own promise, and in the end what the voters answered.
enum hurdle_type standing_hurdle(const struct core *);
// L2: an answer to a beat of the last two that shows free_ms 0. HURDLE_NONE: this voter would vote for us.
enum hurdle_type standing_vote(const struct core *, unsigned voter);
// L2: the other could stand too, and is to go first.
bool standing_waits(const struct core *);

#endif
