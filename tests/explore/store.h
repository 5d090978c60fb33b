// SPDX-License-Identifier: Apache-2.0
// What the search remembers: every state by 128 bits of its code, and the codes from which it goes on. All of
// it is taken at the start; a machine gives it as it is used.
#ifndef TANIST_EXPLORE_STORE_H
#define TANIST_EXPLORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/explore/choice.h"

// The first state behind a departure from the plain schedule; those that follow it plainly belong to it.
struct head {
  uint64_t code;   // in the store
  uint32_t parent; // head, HEAD_NONE: the beginning of `start`
  uint32_t steps;  // of the plain schedule behind the parent's state, before the choice
  uint32_t length; // states: this one and those plainly behind it, up to one known before
  struct choice choice;
  uint8_t start, cost, reigns;
};
#define HEAD_NONE UINT32_MAX

// Room for so many states; ends the program if there is none.
void store_init(size_t states);
// True: it was not known, and is now.
bool store_add(const uint8_t *code, size_t size, uint64_t salt);
bool store_knows(const uint8_t *code, size_t size, uint64_t salt);
size_t store_count(void);
size_t store_bytes(void); // memory in use

uint32_t store_head(const struct head *, const uint8_t *code, size_t size); // its number
struct head *store_head_at(uint32_t number);
const uint8_t *store_code(const struct head *);
uint32_t store_heads(void);

#endif
