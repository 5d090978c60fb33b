// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/slot.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/base/crc.h"

enum bit { FIRST = 1, SECOND = 2, OWN_HEADER = 4, OWN_IDENTITY = 8 };
enum place {
  AT_IDENTITY = 24,
  AT_PAYLOAD = AT_IDENTITY + DURABLE_IDENTITY_MAX + 1,
  AT_CRC = DURABLE_BLOCK - 4
};

static void put_header(uint8_t *block, unsigned place, uint32_t size, const char *identity, uint8_t bits,
                       struct input *input) {
  uint8_t *at = block;
  bool odd = (bits & OWN_HEADER) != 0;
  memcpy(at, "tanist\r\n", 8);
  at += 8;
  bytes_put_u32(&at, odd ? input_u16(input) : 1);
  bytes_put_u32(&at, odd ? input_u16(input) : size);
  bytes_put_u64(&at, odd ? input_u64(input) : place + 2);
  size_t length = strlen(identity);
  const uint8_t *text = (const uint8_t *)identity;
  if (odd && (bits & OWN_IDENTITY) != 0)
    length = input_bytes(input, DURABLE_IDENTITY_MAX + 1, &text);
  memcpy(at, text, length);
}

static void put_slot(uint8_t *block, unsigned place, const char *identity, uint8_t bits, bool last,
                     struct input *input) {
  const uint8_t *payload;
  size_t size = last ? input->left : input_u16(input);
  size = input_bytes(input, size < DURABLE_PAYLOAD_MAX ? size : DURABLE_PAYLOAD_MAX, &payload);
  if (size > 0)
    memcpy(block + AT_PAYLOAD, payload, size);
  put_header(block, place, (uint32_t)size, identity, bits, input);
  uint8_t *at = block + AT_CRC;
  bytes_put_u32(&at, crc32c(block, AT_CRC));
}

const char *slot_file(const char *name, const char *identity, struct input *input) {
  static uint8_t file[2 * DURABLE_BLOCK];
  uint8_t bits = input_u8(input);
  memset(file, 0, sizeof file);
  if ((bits & FIRST) != 0)
    put_slot(file, 0, identity, bits, (bits & (SECOND | OWN_HEADER)) == 0, input);
  if ((bits & SECOND) != 0)
    put_slot(file + DURABLE_BLOCK, 1, identity, bits, (bits & OWN_HEADER) == 0, input);
  return input_file(name, file, sizeof file);
}
