// SPDX-License-Identifier: Apache-2.0
// Numbers in network byte order, one after the other: for what is kept in files, field by field.
#ifndef TANIST_BASE_BYTES_H
#define TANIST_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

// Each advances the place; the caller has seen to the room.
static inline void bytes_put(uint8_t **at, uint64_t value, size_t size) {
  for (size_t i = size; i > 0; i--)
    *(*at)++ = (uint8_t)(value >> 8 * (i - 1));
}

static inline void bytes_put_u8(uint8_t **at, uint8_t value) {
  bytes_put(at, value, 1);
}
static inline void bytes_put_u32(uint8_t **at, uint32_t value) {
  bytes_put(at, value, 4);
}
static inline void bytes_put_u64(uint8_t **at, uint64_t value) {
  bytes_put(at, value, 8);
}

static inline uint64_t bytes_get(const uint8_t **at, size_t size) {
  uint64_t value = 0;
  while (size-- > 0)
    value = value << 8 | *(*at)++;
  return value;
}

static inline uint8_t bytes_get_u8(const uint8_t **at) {
  return (uint8_t)bytes_get(at, 1);
}
static inline uint32_t bytes_get_u32(const uint8_t **at) {
  return (uint32_t)bytes_get(at, 4);
}
static inline uint64_t bytes_get_u64(const uint8_t **at) {
  return bytes_get(at, 8);
}

#endif
