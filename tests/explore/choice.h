// SPDX-License-Identifier: Apache-2.0
// What may happen beside the plain schedule (steps.c of the scenarios), at one state: each choice is some
// lines of a dialogue, so that a history is one.
#ifndef TANIST_EXPLORE_CHOICE_H
#define TANIST_EXPLORE_CHOICE_H

#include "tests/scenario/world.h"

#define CHOICES_MAX 160
#define WEIGHT_MAX                                                                                           \
  3 // what a choice costs: repairs and writes 1, faults and orders 2, the small disorders of one step 3

#define CHOICE_KINDS 27

struct choice {
  uint8_t kind, who, arg;
};

// All choices of this weight; returns how many.
size_t choices_of(const struct world *w, unsigned weight, struct choice out[CHOICES_MAX]);

const char *choice_name(unsigned kind); // "a beat is lost"

// The choice as lines of a dialogue, each with its line end.
#define CHOICE_TEXT_MAX 96
void choice_text(const struct choice *, char text[CHOICE_TEXT_MAX]);

// Does what the lines say.
void choice_take(struct world *w, const struct choice *);

#endif
