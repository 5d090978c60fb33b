// SPDX-License-Identifier: Apache-2.0
// The receiver's fence: epoch, serial, position (brokers.md; the checks of HDFS' quorum journal).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/client/keep.h"
#include "common/client/tanist.h"

#define IDENTITY "tanist receiver's fence"
#define PAYLOAD_SIZE 16

struct tanist_fence {
  struct durable *file;
  bool bound; // to a cluster, by the first message
  uint8_t cluster[8];
  uint64_t epoch;
  uint64_t serial;   // the newest taken in that epoch
  uint64_t expected; // 0: any
};

static int load(struct tanist_fence *f, const struct durable_content *content) {
  const uint8_t *at = content->payload;
  if (content->size == 0)
    return 0;
  if (content->size != PAYLOAD_SIZE)
    return -EBADMSG;
  memcpy(f->cluster, at, sizeof f->cluster);
  at += sizeof f->cluster;
  f->epoch = bytes_get_u64(&at);
  f->bound = true;
  return 0;
}

int tanist_fence_open(struct tanist_fence **out, const char *path) {
  struct durable_content content;
  *out = NULL;
  struct tanist_fence *f = calloc(1, sizeof *f);
  if (f == NULL)
    return -ENOMEM;
  int rc = keep_open(&f->file, path, IDENTITY, &content);
  if (rc == 0)
    rc = load(f, &content);
  if (rc != 0) {
    tanist_fence_close(f);
    return rc;
  }
  *out = f;
  return 0;
}

void tanist_fence_close(struct tanist_fence *f) {
  if (f == NULL)
    return;
  durable_close(f->file);
  free(f);
}

/* On the disk before it is believed: a receiver that crashes now must still refuse what is older. */
static int raise_epoch(struct tanist_fence *f, const struct tanist_stamp *stamp) {
  uint8_t payload[PAYLOAD_SIZE], *at = payload;
  memcpy(at, stamp->cluster, sizeof stamp->cluster);
  at += sizeof stamp->cluster;
  bytes_put_u64(&at, stamp->epoch);
  int rc = durable_write(f->file, payload, sizeof payload);
  if (rc != 0)
    return rc;
  memcpy(f->cluster, stamp->cluster, sizeof f->cluster);
  f->bound = true;
  f->epoch = stamp->epoch;
  f->serial = 0;
  return 0;
}

/* Of an epoch that the fence has: once a message, so without a branch that this does not need. */
static inline int check_row(struct tanist_fence *f, uint64_t serial, uint64_t position) {
  if (serial <= f->serial)
    return TANIST_DOUBLED;
  if (position != 0 && f->expected != 0 && position != f->expected)
    return position < f->expected ? TANIST_DOUBLED : TANIST_GAP;
  f->serial = serial;
  if (position != 0)
    f->expected = position + 1;
  return TANIST_OK;
}

/* Once an epoch; apart, so that its buffer costs the path of a message nothing. */
__attribute__((noinline, cold)) static int check_newer(struct tanist_fence *f, const struct tanist_stamp *stamp,
                                                       uint64_t position) {
  int rc = raise_epoch(f, stamp);
  if (rc != 0)
    return rc;
  rc = check_row(f, stamp->serial, position);
  return rc == TANIST_OK ? TANIST_NEWER : rc;
}

int tanist_fence_check(struct tanist_fence *f, const struct tanist_stamp *stamp, uint64_t position) {
  if (f->bound && memcmp(stamp->cluster, f->cluster, sizeof f->cluster) != 0)
    return -EXDEV;
  if (stamp->epoch == f->epoch)
    return check_row(f, stamp->serial, position);
  return stamp->epoch < f->epoch ? TANIST_STALE : check_newer(f, stamp, position);
}

uint64_t tanist_fence_epoch(const struct tanist_fence *f) {
  return f->epoch;
}

void tanist_fence_expect(struct tanist_fence *f, uint64_t position) {
  f->expected = position == 0 ? 0 : position + 1;
}
