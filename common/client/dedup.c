// SPDX-License-Identifier: Apache-2.0
// Which messages of which producer the log holds already: a hash table that never grows.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/client/tanist.h"

struct newest {
  uint64_t producer, number; // number 0: free
};

struct tanist_dedup {
  size_t limit, used, slots; // slots: a power of two, at least twice the limit
  struct newest at[];
};

int tanist_dedup_open(struct tanist_dedup **out, size_t producers) {
  size_t slots = 16;
  *out = NULL;
  if (producers == 0 || producers > SIZE_MAX / 8 / sizeof(struct newest))
    return -EINVAL;
  while (slots < 2 * producers)
    slots *= 2;
  struct tanist_dedup *d = calloc(1, sizeof *d + slots * sizeof d->at[0]);
  if (d == NULL)
    return -ENOMEM;
  d->limit = producers;
  d->slots = slots;
  *out = d;
  return 0;
}

void tanist_dedup_close(struct tanist_dedup *d) {
  free(d);
}

/* Its slot, or the free one where it would be. Half of them are free, so that there is one. */
static size_t find(const struct tanist_dedup *d, uint64_t producer) {
  uint64_t hash = producer * 0x9e3779b97f4a7c15U; /* Fibonacci hashing (Knuth, TAOCP 3, 6.4) */
  size_t i = (size_t)(hash >> 32) & (d->slots - 1);
  while (d->at[i].number != 0 && d->at[i].producer != producer)
    i = (i + 1) & (d->slots - 1);
  return i;
}

int tanist_dedup_check(const struct tanist_dedup *d, uint64_t producer, uint64_t number) {
  uint64_t newest = d->at[find(d, producer)].number;
  if (newest == 0 && d->used == d->limit)
    return -ENOSPC; /* before it is in the log: it could not be known there */
  if (number <= newest)
    return TANIST_DOUBLED;
  return newest == 0 || number == newest + 1 ? TANIST_OK : TANIST_GAP;
}

int tanist_dedup_take(struct tanist_dedup *d, uint64_t producer, uint64_t number) {
  struct newest *at = &d->at[find(d, producer)];
  if (number == 0)
    return -EINVAL;
  if (at->number == 0 && d->used == d->limit)
    return -ENOSPC;
  d->used += at->number == 0;
  at->producer = producer;
  at->number = number > at->number ? number : at->number;
  return 0;
}

void tanist_dedup_clear(struct tanist_dedup *d) {
  memset(d->at, 0, d->slots * sizeof d->at[0]);
  d->used = 0;
}
