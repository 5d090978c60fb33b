// SPDX-License-Identifier: Apache-2.0
#include "common/core/wire.h"

#include <assert.h>

// ---- numbers in network byte order, one after the other ----

static void put(unsigned char **at, uint64_t value, unsigned size) {
  for (unsigned i = size; i-- > 0; value >>= 8)
    (*at)[i] = (unsigned char)(value & 0xff);
  *at += size;
}

static uint64_t get(const unsigned char **at, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; i++)
    value = value << 8 | (*at)[i];
  *at += size;
  return value;
}

static uint8_t get8(const unsigned char **at) {
  return (uint8_t)get(at, 1);
}

static uint16_t get16(const unsigned char **at) {
  return (uint16_t)get(at, 2);
}

static uint32_t get32(const unsigned char **at) {
  return (uint32_t)get(at, 4);
}

static uint64_t get64(const unsigned char **at) {
  return get(at, 8);
}

/* PAIR has no owner: so it is written, also where a record of all zeros stands for "none shown yet". */
static void put_record(unsigned char **at, const struct record *record) {
  put(at, record->epoch, 8);
  put(at, record->version, 4);
  put(at, record->mode, 1);
  put(at, record->mode == RECORD_PAIR ? NOBODY : record->owner, 1);
}

static void get_record(const unsigned char **at, struct record *record) {
  record->epoch = get64(at);
  record->version = get32(at);
  record->mode = get8(at);
  record->owner = get8(at);
}

// ---- the header ----

void wire_header_encode(const struct wire_header *header, unsigned char out[WIRE_HEADER_SIZE]) {
  assert(header->from < VOTERS && header->session != 0 && header->seq != 0);
  unsigned char *at = out;
  put(&at, WIRE_VERSION, 1);
  put(&at, header->cluster, 8);
  put(&at, header->from, 1);
  put(&at, header->session, 8);
  put(&at, header->seq, 8);
  assert(at == out + WIRE_HEADER_SIZE);
}

bool wire_cluster(const unsigned char *bytes, size_t size, uint64_t *cluster) {
  if (size < 9 || bytes[0] != WIRE_VERSION)
    return false;
  const unsigned char *at = bytes + 1;
  *cluster = get64(&at);
  return true;
}

enum wire_result wire_header_decode(const unsigned char *bytes, size_t size, struct wire_header *header) {
  if (size == 0)
    return WIRE_MALFORMED;
  if (bytes[0] != WIRE_VERSION)
    return WIRE_OTHER_VERSION;
  if (size < WIRE_HEADER_SIZE)
    return WIRE_MALFORMED;
  const unsigned char *at = bytes + 1;
  header->cluster = get64(&at);
  header->from = get8(&at);
  header->session = get64(&at);
  header->seq = get64(&at);
  bool sane = header->from < VOTERS && header->session != 0 && header->seq != 0;
  return sane ? WIRE_OK : WIRE_MALFORMED;
}

// ---- the payload ----

size_t wire_encode(const struct beat *beat, unsigned char out[WIRE_BEAT_SIZE]) {
  unsigned char *at = out;
  put(&at, beat->role, 1);
  put(&at, beat->flags, 1);
  put(&at, beat->echo, 8);
  put(&at, beat->grant, 8);
  put(&at, beat->epoch, 8);
  put_record(&at, &beat->sync);
  put(&at, beat->reign, 8);
  put(&at, beat->leader, 1);
  put(&at, beat->leader_epoch, 8);
  put(&at, beat->free_ms, 4);
  put(&at, beat->lease_ms, 4);
  put(&at, beat->health, 2);
  put(&at, beat->position.epoch, 8);
  put(&at, beat->position.offset, 8);
  put(&at, beat->seen_you.epoch, 8);
  put_record(&at, &beat->seen_you.sync);
  put(&at, beat->frozen.serial, 4);
  put(&at, beat->frozen.on, 1);
  put(&at, (uint64_t)beat->wall_ms, 8);
  put(&at, beat->version, 4);
  put(&at, beat->config, 4);
  put(&at, beat->paths_heard, 1);
  assert(at == out + WIRE_BEAT_SIZE);
  return WIRE_BEAT_SIZE;
}

// The node to which an epoch belongs (section 1); 0 belongs to nobody.
static bool belongs(uint64_t epoch, unsigned voter) {
  return epoch != 0 && voter < NODES && (epoch & 1) == voter;
}

static bool epoch_sane(uint64_t epoch) {
  return epoch < WIRE_EPOCH_MAX;
}

// A record of version 0 is the founding one, or an operator's (B3); any other was written by the master of
// its epoch, and a SOLE one names that master.
static bool record_sane(const struct record *record) {
  if (!epoch_sane(record->epoch) || (record->version != 0 && record->epoch == 0))
    return false;
  if (record->mode == RECORD_PAIR)
    return record->owner == NOBODY;
  if (record->mode != RECORD_SOLE || record->owner >= NODES)
    return false;
  return record->version == 0 || belongs(record->epoch, record->owner);
}

// Only the witness is a witness; a master has a reign, a candidate stands for an epoch of its own.
static bool role_sane(const struct beat *beat) {
  if (beat->role >= ROLE_COUNT || (beat->role == ROLE_WITNESS) != (beat->from == VOTER_W))
    return false;
  if (beat->role == ROLE_CANDIDATE && !belongs(beat->epoch, beat->from))
    return false;
  return beat->reign == 0 ? beat->role != ROLE_MASTER : belongs(beat->reign, beat->from);
}

static bool leader_sane(const struct beat *beat) {
  if (beat->leader == NOBODY)
    return true;
  return belongs(beat->leader_epoch, beat->leader);
}

static bool beat_sane(const struct beat *beat) {
  return role_sane(beat) && leader_sane(beat) && (beat->flags & ~BEAT_FLAGS_ALL) == 0 &&
         epoch_sane(beat->epoch) && epoch_sane(beat->reign) && epoch_sane(beat->leader_epoch) &&
         epoch_sane(beat->position.epoch) && epoch_sane(beat->seen_you.epoch) && record_sane(&beat->sync) &&
         record_sane(&beat->seen_you.sync) && beat->lease_ms <= LEASE_MS_MAX;
}

bool wire_decode(const unsigned char *bytes, size_t size, struct beat *beat) {
  assert(beat->from < VOTERS && beat->to < VOTERS && beat->from != beat->to);
  if (size != WIRE_BEAT_SIZE)
    return false;
  const unsigned char *at = bytes;
  beat->role = get8(&at);
  beat->flags = get8(&at);
  beat->echo = get64(&at);
  beat->grant = get64(&at);
  beat->epoch = get64(&at);
  get_record(&at, &beat->sync);
  beat->reign = get64(&at);
  beat->leader = get8(&at);
  beat->leader_epoch = get64(&at);
  beat->free_ms = get32(&at);
  beat->lease_ms = get32(&at);
  beat->health = get16(&at);
  beat->position.epoch = get64(&at);
  beat->position.offset = get64(&at);
  beat->seen_you.epoch = get64(&at);
  get_record(&at, &beat->seen_you.sync);
  beat->frozen.serial = get32(&at);
  uint8_t frozen = get8(&at);
  beat->frozen.on = frozen == 1;
  beat->wall_ms = (int64_t)get64(&at);
  beat->version = get32(&at);
  beat->config = get32(&at);
  beat->paths_heard = get8(&at);
  return frozen <= 1 && beat_sane(beat);
}
