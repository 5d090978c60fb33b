// SPDX-License-Identifier: Apache-2.0
// The clear header and the payload of a datagram, as bytes: what is taken must be what would be sent.
// Input: from, to, then the payload's bytes; the same bytes are read as a whole datagram, too.
#include <assert.h>
#include <string.h>

#include "common/core/wire.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_header(const uint8_t *bytes, size_t size) {
  struct wire_header header = {0};
  uint64_t cluster = 0;
  unsigned char again[WIRE_HEADER_SIZE];
  bool known = wire_cluster(bytes, size, &cluster);
  if (wire_header_decode(bytes, size, &header) != WIRE_OK)
    return;
  assert(known && cluster == header.cluster);
  wire_header_encode(&header, again);
  assert(memcmp(again, bytes, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  read_header(bytes, size);
  struct input input = {bytes, size};
  uint8_t from = input_below(&input, VOTERS), to = (uint8_t)((from + 1 + input_below(&input, 2)) % VOTERS);
  struct beat beat = {.from = from, .to = to, .seq = 1};
  if (!wire_decode(input.at, input.left, &beat))
    return 0;
  unsigned char again[WIRE_BEAT_SIZE];
  assert(wire_encode(&beat, again) == WIRE_BEAT_SIZE && memcmp(again, input.at, sizeof again) == 0);
  assert(beat.from == from && beat.to == to && beat.seq == 1);
  return 0;
}
