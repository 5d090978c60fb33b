// SPDX-License-Identifier: Apache-2.0
#include "common/base/crc.h"

// The Castagnoli polynomial 0x1EDC6F41 (RFC 3720, section 12.1), here 0x82F63B78: the lowest bit goes first.
// One row for each value of a half byte: small enough to read, and a slot takes it some microseconds beside a
// disk sync.
static const uint32_t table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c(const void *data, size_t size) {
  const uint8_t *at = data;
  uint32_t crc = UINT32_MAX;
  for (; size > 0; size--) {
    crc ^= *at++;
    crc = crc >> 4 ^ table[crc & 15];
    crc = crc >> 4 ^ table[crc & 15];
  }
  return ~crc;
}
