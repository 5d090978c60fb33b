// SPDX-License-Identifier: Apache-2.0
// A pair that works loses one thing, then another: who leads, what the record says, who serves, and how it
// ends once all is mended.
#ifndef TANIST_SCENARIO_FAILURES_H
#define TANIST_SCENARIO_FAILURES_H

#include <stdbool.h>
#include <stddef.h>

#define OUTCOME_MAX 32

struct outcome {
  char leads[OUTCOME_MAX];  // the node with a valid lease or sole ownership, "-"
  char record[OUTCOME_MAX]; // the newest on any disk: pair, sole-a, sole-b
  char serves[OUTCOME_MAX]; // the node that acknowledges what clients write, "-"
  char reigns[OUTCOME_MAX]; // how many began since the first failure, before the mending
  char healed[OUTCOME_MAX]; // who leads a pair that serves, ten seconds after both are mended; else all three
                            // words
  char at_once[OUTCOME_MAX]; // leads, record and serves if both come in the same instant; "=" if nothing
                             // differs
};

// What can be lost, in the order of the table: NULL behind the last one. "w…" is w, for longer than
// witness_grace.
const char *failure_name(size_t index);
bool failure_one_way(const char *name);
// The link both ways of a link one way; any other failure as it is.
const char *failure_both_ways(const char *name);
// Could this second failure be told from the first alone? Not a broker whose machine is off, not w… as the
// second.
bool failures_differ(const char *first, const char *then);

// Plays both ("-": none). False: no such failure, or a promise was broken; then what happened was printed.
bool failures_play(const char *first, const char *then, struct outcome *);

#endif
