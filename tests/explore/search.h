// SPDX-License-Identifier: Apache-2.0
// The search: breadth first in what a history has cost, its departures from the plain schedule, and among
// equal ones in the order in which they were found.
#ifndef TANIST_EXPLORE_SEARCH_H
#define TANIST_EXPLORE_SEARCH_H

#include "tests/explore/store.h"

struct limits {
  size_t states;
  unsigned depth; // cost of a history, at most
};

// A history that breaks something: `steps` plain ones behind a head, then perhaps a choice.
struct violation {
  uint32_t head; // HEAD_NONE: in the lines of `start`
  unsigned start;
  uint32_t steps;
  bool chosen;
  struct choice choice;
  char what[160];
};

struct findings {
  bool broken;
  struct violation violation;
  unsigned complete;            // all histories of this cost were looked at
  uint32_t rows;                // of the transition table that were reached, a bit each
  uint64_t reached[32];         // how often
  uint64_t tried[CHOICE_KINDS]; // departures
  uint64_t steps;               // of the world
  uint64_t compared,
      unfaithful;    // states whose normal form was looked at again, and those that were another then
  size_t level[256]; // how many states there were when all histories of this cost were in
  unsigned reigns;   // most in one history, behind its start
};

void search(const struct limits *, struct findings *);

// *w as it is where a start begins.
void search_begin(struct world *w, unsigned start);

#endif
