// SPDX-License-Identifier: Apache-2.0
#include "common/core/record.h"

bool record_newer(const struct record *a, const struct record *b) {
  if (a->epoch != b->epoch)
    return a->epoch > b->epoch;
  if (a->version != b->version)
    return a->version > b->version;
  if (a->mode != b->mode)
    return a->mode > b->mode;
  return a->mode == RECORD_SOLE && a->owner > b->owner;
}

bool record_equal(const struct record *a, const struct record *b) {
  return a->epoch == b->epoch && a->version == b->version && a->mode == b->mode && a->owner == b->owner;
}

bool record_excludes(const struct record *record, unsigned node) {
  return record->mode == RECORD_SOLE && record->owner != node;
}

bool record_valid(const struct record *record) {
  return record->mode == RECORD_PAIR ? record->owner == NOBODY
                                     : record->mode == RECORD_SOLE && record->owner < NODES;
}

unsigned epoch_owner(uint64_t epoch) {
  return epoch == 0 ? NOBODY : epoch % 2 == 0 ? VOTER_A : VOTER_B;
}

uint64_t epoch_next(unsigned node, uint64_t above) {
  if (above >= EPOCH_MAX - 2)
    return 0;
  return above + (epoch_owner(above + 1) == node ? 1 : 2);
}
