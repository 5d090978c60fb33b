// SPDX-License-Identifier: Apache-2.0
#include "common/base/slot.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/crc.h"

// A slot. Magic, version and checksum keep their places, and the file its size, in every version to come: so
// that a program can tell what is too new for it from what is damaged.
#define MAGIC "tanist\r\n"
#define VERSION 1
enum place {
  AT_MAGIC = 0,     // 8
  AT_VERSION = 8,   // 4
  AT_LENGTH = 12,   // 4
  AT_SEQUENCE = 16, // 8
  AT_IDENTITY = 24, // up to AT_PAYLOAD, padded with 0
  AT_PAYLOAD = AT_IDENTITY + DURABLE_IDENTITY_MAX + 1,
  AT_CRC = DURABLE_BLOCK - 4,
};
static_assert(AT_PAYLOAD + DURABLE_PAYLOAD_MAX == AT_CRC, "header, payload and checksum fill a block");

void slot_encode(uint8_t block[DURABLE_BLOCK], uint64_t sequence, const char *identity, const void *payload,
                 size_t size) {
  memset(block, 0, DURABLE_BLOCK);
  memcpy(block + AT_MAGIC, MAGIC, 8);
  uint8_t *at = block + AT_VERSION;
  bytes_put_u32(&at, VERSION);
  bytes_put_u32(&at, (uint32_t)size);
  bytes_put_u64(&at, sequence);
  memcpy(block + AT_IDENTITY, identity, strlen(identity));
  if (size > 0)
    memcpy(block + AT_PAYLOAD, payload, size);
  at = block + AT_CRC;
  bytes_put_u32(&at, crc32c(block, AT_CRC));
}

struct slot {
  uint64_t sequence;
  uint32_t size;
  const char *identity;
  const uint8_t *payload;
};

// 0, -EBADMSG, -EPROTONOSUPPORT. A slot whose sequence number belongs to the other place was misdirected:
// damage.
static int decode(struct slot *slot, const uint8_t block[DURABLE_BLOCK], unsigned place) {
  const uint8_t *at = block + AT_CRC;
  if (memcmp(block, MAGIC, 8) != 0 || bytes_get_u32(&at) != crc32c(block, AT_CRC))
    return -EBADMSG;
  at = block + AT_VERSION;
  if (bytes_get_u32(&at) != VERSION)
    return -EPROTONOSUPPORT;
  slot->size = bytes_get_u32(&at);
  slot->sequence = bytes_get_u64(&at);
  slot->identity = (const char *)at;
  slot->payload = block + AT_PAYLOAD;
  bool sound =
      slot->size <= DURABLE_PAYLOAD_MAX && slot->sequence % SLOT_COUNT == place && block[AT_PAYLOAD - 1] == 0;
  return sound ? 0 : -EBADMSG;
}

int slot_choose(const uint8_t file[SLOT_FILE_SIZE], const char *identity, struct durable_content *content,
                uint64_t *sequence) {
  struct slot slot[SLOT_COUNT];
  int rc[SLOT_COUNT];
  for (unsigned i = 0; i < SLOT_COUNT; i++)
    rc[i] = decode(&slot[i], file + i * DURABLE_BLOCK, i);
  if (rc[0] == -EPROTONOSUPPORT || rc[1] == -EPROTONOSUPPORT)
    return -EPROTONOSUPPORT;
  if (rc[0] != 0 && rc[1] != 0)
    return -EBADMSG;
  if (rc[0] == 0 && rc[1] == 0) { // written in turn, so next to each other
    uint64_t apart = slot[0].sequence - slot[1].sequence;
    if ((apart != 1 && apart != UINT64_MAX) || strcmp(slot[0].identity, slot[1].identity) != 0)
      return -EBADMSG;
  }
  const struct slot *best =
      rc[1] != 0 || (rc[0] == 0 && slot[0].sequence > slot[1].sequence) ? &slot[0] : &slot[1];
  content->torn = rc[0] != 0 || rc[1] != 0;
  content->size = best->size;
  memcpy(content->identity, best->identity, sizeof content->identity);
  memcpy(content->payload, best->payload, best->size);
  *sequence = best->sequence;
  return strcmp(best->identity, identity) == 0 ? 0 : -EXDEV;
}
