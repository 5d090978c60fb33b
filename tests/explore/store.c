// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CODES_BYTES (UINT64_C(1) << 35) // addresses; memory only for what is written
#define HEADS_MAX (UINT64_C(1) << 28)

struct print {
  uint64_t low, high; // 0, 0: empty
};

static struct {
  struct print *print;
  size_t mask, count;
  uint8_t *codes;
  uint64_t codes_used;
  struct head *heads;
  uint32_t heads_used;
} store;

static void *reserve(size_t bytes) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at != MAP_FAILED)
    return at;
  perror("explore: no memory");
  exit(2);
}

void store_init(size_t states) {
  size_t size = 1024;
  while (size < states + states / 2)
    size *= 2;
  store.print = reserve(size * sizeof *store.print);
  store.mask = size - 1;
  store.codes = reserve(CODES_BYTES);
  store.heads = reserve(HEADS_MAX * sizeof *store.heads);
}

static uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ typedef unsigned __int128 wide;
  wide product = (wide)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Two rows of multiply-and-fold (wyhash, Wang Yi, 2019) with different constants; the constants are its. */
static struct print print_of(const uint8_t *code, size_t size, uint64_t salt) {
  struct print p = {salt ^ 0xa0761d6478bd642fu, size ^ 0xe7037ed1a0b428dbu};
  for (size_t i = 0; i < size; i += 16) {
    uint64_t word[2] = {0, 0};
    memcpy(word, code + i, size - i < 16 ? size - i : 16);
    p.low = mix(p.low ^ word[0], word[1] ^ 0x8ebc6af09c88c6e3u);
    p.high = mix(p.high ^ word[1], word[0] ^ 0x589965cc75374cc3u) + p.low;
  }
  p.low = mix(p.low ^ 0x1d8e4e27c47d124fu, p.high ^ 0xeb44accab455d165u);
  p.high = mix(p.high, p.low ^ 0xa0761d6478bd642fu);
  p.low |= p.low == 0 && p.high == 0;
  return p;
}

static struct print *find(struct print p) {
  size_t at = (size_t)p.low & store.mask;
  while (store.print[at].low != 0 || store.print[at].high != 0) {
    if (store.print[at].low == p.low && store.print[at].high == p.high)
      return &store.print[at];
    at = (at + 1) & store.mask;
  }
  return &store.print[at];
}

bool store_knows(const uint8_t *code, size_t size, uint64_t salt) {
  const struct print *at = find(print_of(code, size, salt));
  return at->low != 0 || at->high != 0;
}

bool store_add(const uint8_t *code, size_t size, uint64_t salt) {
  struct print p = print_of(code, size, salt), *at = find(p);
  if (at->low != 0 || at->high != 0)
    return false;
  *at = p;
  store.count++;
  if (store.count >= store.mask) {
    fprintf(stderr, "explore: more states than there is room for\n");
    exit(2);
  }
  return true;
}

size_t store_count(void) {
  return store.count;
}
size_t store_bytes(void) {
  return (store.mask + 1) * sizeof *store.print + store.codes_used + store.heads_used * sizeof *store.heads;
}

uint32_t store_head(const struct head *head, const uint8_t *code, size_t size) {
  if (store.heads_used == HEADS_MAX || store.codes_used + size > CODES_BYTES) {
    fprintf(stderr, "explore: more histories than there is room for\n");
    exit(2);
  }
  struct head *at = &store.heads[store.heads_used];
  *at = *head;
  at->code = store.codes_used;
  memcpy(store.codes + store.codes_used, code, size);
  store.codes_used += size;
  return store.heads_used++;
}
struct head *store_head_at(uint32_t number) {
  return &store.heads[number];
}
const uint8_t *store_code(const struct head *head) {
  return store.codes + head->code;
}
uint32_t store_heads(void) {
  return store.heads_used;
}
