// SPDX-License-Identifier: Apache-2.0
// What a message carries.
#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/client/handle.h"

static_assert(sizeof(struct tanist_stamp) == TANIST_STAMP_SIZE, "no padding");

int tanist_stamp(struct tanist *t, struct tanist_stamp *stamp) {
  uint64_t epoch;
  if (!tanist_may_serve(t, &epoch))
    return -EPERM;
  if (t->stamp.epoch != epoch) {
    t->stamp.epoch = epoch;
    t->stamp.serial = 0;
  }
  t->stamp.serial++;
  *stamp = t->stamp;
  return 0;
}

void tanist_stamp_encode(const struct tanist_stamp *stamp, uint8_t bytes[TANIST_STAMP_SIZE]) {
  memcpy(bytes, stamp->cluster, sizeof stamp->cluster);
  bytes += sizeof stamp->cluster;
  bytes_put_u64(&bytes, stamp->epoch);
  bytes_put_u64(&bytes, stamp->serial);
}

void tanist_stamp_decode(struct tanist_stamp *stamp, const uint8_t bytes[TANIST_STAMP_SIZE]) {
  memcpy(stamp->cluster, bytes, sizeof stamp->cluster);
  const uint8_t *at = bytes + sizeof stamp->cluster;
  stamp->epoch = bytes_get_u64(&at);
  stamp->serial = bytes_get_u64(&at);
}
