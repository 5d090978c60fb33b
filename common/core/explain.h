// SPDX-License-Identifier: Apache-2.0
// May a node lead now? The first rule that says no, with its figures, as a value. It asks the predicates by
// which the core itself decides (standing.h, voter.h), so that the explanation cannot drift from what is
// done.
#ifndef TANIST_CORE_EXPLAIN_H
#define TANIST_CORE_EXPLAIN_H

#include "common/core/core.h"
#include "common/core/hurdle.h"

struct hurdle {
  uint8_t type;   // enum hurdle_type
  uint8_t voter;  // who says no; the node itself, this voter, or the one that was asked
  uint8_t leader; // PROMISED, OWN_PROMISE: to whom; NOBODY where that is not known
  bool timed;     // LEADS: the lease, else the hurdle, ends after wait_ms unless it is renewed
  uint32_t wait_ms;
  int64_t heard_ms_ago; // of the node, where it is another: its last beat; -1: none since this start
  struct record record; // the newest known here; the one that excludes
  uint64_t epoch;       // LEADS, PROMISED, OWN_PROMISE: of the reign
};

// As `core` knows it at `now`; any voter may be asked about any node.
struct hurdle explain(const struct core *, unsigned node, struct instant now);

#endif
