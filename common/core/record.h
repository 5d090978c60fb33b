// SPDX-License-Identifier: Apache-2.0
// The sync record as a value (protocol.md, section 6). What a master does with it: sync.c.
#ifndef TANIST_CORE_RECORD_H
#define TANIST_CORE_RECORD_H

#include "common/core/types.h"

// Ordered by epoch, then version. Only founding records (version 0) can tie with different content: then SOLE
// counts as newer than PAIR, and the higher owner as newer than the lower, so that all voters end with the
// same one.
bool record_newer(const struct record *, const struct record *than);
bool record_equal(const struct record *, const struct record *);
bool record_excludes(const struct record *, unsigned node); // S4
bool record_valid(const struct record *);                   // mode and owner fit each other

// To whom an epoch belongs (section 1): even ones to a, odd ones to b, 0 to nobody.
unsigned epoch_owner(uint64_t epoch);
// The lowest of the node's own above that; 0 when there is none below EPOCH_MAX.
uint64_t epoch_next(unsigned node, uint64_t above);

#endif
