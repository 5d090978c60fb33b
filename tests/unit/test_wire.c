// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/wire.h"

#define ROUNDS 2000

static uint64_t state;

static uint64_t draw(void) { /* xorshift64*: the same row in every run */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t below(uint64_t limit) {
  return draw() % limit;
}

static uint64_t epoch(void) {
  return draw() % WIRE_EPOCH_MAX >> below(63);
}

static uint64_t epoch_of(unsigned node) {
  return (epoch() & ~UINT64_C(1) & (WIRE_EPOCH_MAX - 1)) + (node == VOTER_A ? 2 : 1);
}

static void fill_record(struct record *record) {
  record->mode = (uint8_t)below(2);
  record->owner = record->mode == RECORD_PAIR ? NOBODY : (uint8_t)below(NODES);
  record->version = below(3) == 0 ? 0 : (uint32_t)draw() | 1;
  record->epoch = record->version == 0 ? epoch() : epoch_of(record->mode == RECORD_SOLE ? record->owner : 0);
}

static void fill_role(struct beat *beat) {
  beat->role = beat->from == VOTER_W ? ROLE_WITNESS : (uint8_t)(ROLE_SECONDARY + below(ROLE_COUNT - 1));
  beat->epoch = beat->role == ROLE_CANDIDATE ? epoch_of(beat->from) : epoch();
  if (beat->from != VOTER_W && (beat->role == ROLE_MASTER || below(2)))
    beat->reign = epoch_of(beat->from);
  beat->leader = (uint8_t)(below(2) ? NOBODY : below(NODES));
  beat->leader_epoch = beat->leader == NOBODY ? 0 : epoch_of(beat->leader);
}

/* Field by field, over zeros, so that two of them can be compared as bytes. */
static void fill_beat(struct beat *beat) {
  memset(beat, 0, sizeof *beat);
  beat->from = (uint8_t)below(VOTERS);
  beat->to = (uint8_t)((beat->from + 1 + below(2)) % VOTERS);
  beat->seq = draw() | 1;
  fill_role(beat);
  beat->flags = (uint8_t)(draw() & BEAT_FLAGS_ALL);
  beat->echo = draw();
  beat->grant = draw();
  fill_record(&beat->sync);
  beat->free_ms = (uint32_t)draw();
  beat->lease_ms = (uint32_t)below(LEASE_MS_MAX + 1);
  beat->health = (uint16_t)draw();
  beat->position.epoch = epoch();
  beat->position.offset = draw();
  beat->seen_you.epoch = epoch();
  fill_record(&beat->seen_you.sync);
  beat->frozen.serial = (uint32_t)draw();
  beat->frozen.on = below(2) == 1;
  beat->wall_ms = (int64_t)draw();
  beat->version = (uint32_t)draw();
  beat->config = (uint32_t)draw();
  beat->paths_heard = (uint8_t)draw();
}

static struct beat valid(uint8_t from) {
  struct beat beat;
  memset(&beat, 0, sizeof beat);
  beat.from = from;
  beat.to = from == VOTER_W ? VOTER_A : VOTER_W;
  beat.seq = 1;
  beat.role = from == VOTER_W ? ROLE_WITNESS : ROLE_SECONDARY;
  beat.leader = beat.sync.owner = beat.seen_you.sync.owner = NOBODY;
  return beat;
}

static struct beat receiver_of(const struct beat *beat) {
  struct beat out;
  memset(&out, 0, sizeof out);
  out.from = beat->from;
  out.to = beat->to;
  out.seq = beat->seq;
  return out;
}

static bool passes(const struct beat *beat) {
  unsigned char bytes[WIRE_BEAT_SIZE];
  assert_int_equal(wire_encode(beat, bytes), WIRE_BEAT_SIZE);
  struct beat out = receiver_of(beat);
  return wire_decode(bytes, sizeof bytes, &out);
}

static void test_round_trip(void **unused) {
  (void)unused;
  state = 1;
  for (int i = 0; i < ROUNDS; i++) {
    struct beat in, out;
    unsigned char bytes[WIRE_BEAT_SIZE];
    fill_beat(&in);
    wire_encode(&in, bytes);
    memset(&out, 0, sizeof out);
    out.from = in.from, out.to = in.to, out.seq = in.seq;
    assert_true(wire_decode(bytes, sizeof bytes, &out));
    assert_memory_equal(&in, &out, sizeof in);
  }
}

/* Whatever a byte is turned into: false, or a beat that is written as the very bytes that were read. */
static void test_corruption(void **unused) {
  (void)unused;
  state = 2;
  unsigned refused = 0;
  for (int i = 0; i < 20; i++) {
    struct beat in;
    unsigned char bytes[WIRE_BEAT_SIZE], again[WIRE_BEAT_SIZE];
    fill_beat(&in);
    wire_encode(&in, bytes);
    for (size_t at = 0; at < sizeof bytes; at++)
      for (unsigned flip = 1; flip < 256; flip++) {
        struct beat out = receiver_of(&in);
        bytes[at] = (unsigned char)(bytes[at] ^ flip);
        if (wire_decode(bytes, sizeof bytes, &out)) {
          wire_encode(&out, again);
          assert_memory_equal(bytes, again, sizeof bytes);
        } else {
          refused++;
        }
        bytes[at] = (unsigned char)(bytes[at] ^ flip);
      }
  }
  assert_true(refused > 0);
}

static void test_random_bytes(void **unused) {
  (void)unused;
  state = 3;
  for (int i = 0; i < 100000; i++) {
    unsigned char bytes[WIRE_BEAT_SIZE];
    for (size_t at = 0; at < sizeof bytes; at++)
      bytes[at] = (unsigned char)draw();
    struct beat out = {.from = (uint8_t)(i % VOTERS), .to = (uint8_t)((i + 1) % VOTERS), .seq = 1};
    wire_decode(bytes, sizeof bytes, &out); // returns, with either answer
  }
}

static void test_every_length(void **unused) {
  (void)unused;
  unsigned char bytes[WIRE_BEAT_SIZE + 2] = {0};
  struct beat beat = valid(VOTER_A), out;
  wire_encode(&beat, bytes);
  for (size_t size = 0; size <= sizeof bytes; size++) {
    out = receiver_of(&beat);
    assert_int_equal(wire_decode(bytes, size, &out), size == WIRE_BEAT_SIZE);
  }
}

#define REFUSED(from, change)                                                                                \
  do {                                                                                                       \
    struct beat b = valid(from);                                                                             \
    assert_true(passes(&b));                                                                                 \
    change;                                                                                                  \
    assert_false(passes(&b));                                                                                \
  } while (0)

#define ACCEPTED(from, change)                                                                               \
  do {                                                                                                       \
    struct beat b = valid(from);                                                                             \
    change;                                                                                                  \
    assert_true(passes(&b));                                                                                 \
  } while (0)

static void test_roles(void **unused) {
  (void)unused;
  REFUSED(VOTER_A, b.role = ROLE_COUNT);
  REFUSED(VOTER_A, b.role = ROLE_WITNESS);
  REFUSED(VOTER_W, b.role = ROLE_SECONDARY);
  REFUSED(VOTER_W, b.reign = 2);
  REFUSED(VOTER_A, (b.role = ROLE_CANDIDATE, b.epoch = 3)); // not its own
  REFUSED(VOTER_A, (b.role = ROLE_CANDIDATE, b.epoch = 0));
  ACCEPTED(VOTER_A, (b.role = ROLE_CANDIDATE, b.epoch = 4));
  REFUSED(VOTER_B, b.role = ROLE_MASTER); // without a reign
  REFUSED(VOTER_B, (b.role = ROLE_MASTER, b.reign = 4));
  ACCEPTED(VOTER_B, (b.role = ROLE_MASTER, b.reign = 5, b.epoch = 5));
  ACCEPTED(VOTER_B, (b.role = ROLE_MASTER, b.reign = 5, b.epoch = 9)); // L7
}

static void test_leaders(void **unused) {
  (void)unused;
  REFUSED(VOTER_A, b.leader = NOBODY + 1);
  REFUSED(VOTER_A, b.leader = 255);
  REFUSED(VOTER_A, (b.leader = VOTER_W, b.leader_epoch = 2));
  REFUSED(VOTER_A, (b.leader = VOTER_B, b.leader_epoch = 2));
  REFUSED(VOTER_A, b.leader = VOTER_B); // in no epoch
  ACCEPTED(VOTER_A, (b.leader = VOTER_B, b.leader_epoch = 3));
}

static void test_records(void **unused) {
  (void)unused;
  REFUSED(VOTER_A, (b.sync.mode = 2));
  REFUSED(VOTER_A, (b.sync.mode = RECORD_SOLE, b.sync.owner = NOBODY));
  REFUSED(VOTER_A, (b.sync.mode = RECORD_SOLE, b.sync.owner = VOTER_W));
  REFUSED(VOTER_A, (b.sync.version = 1)); // of epoch 0, which belongs to nobody
  REFUSED(VOTER_A, (b.sync = (struct record){4, 1, RECORD_SOLE, VOTER_B}));
  REFUSED(VOTER_A, (b.seen_you.sync = (struct record){4, 1, RECORD_SOLE, VOTER_B}));
  ACCEPTED(VOTER_A, (b.sync = (struct record){5, 1, RECORD_SOLE, VOTER_B}));
  ACCEPTED(VOTER_A, (b.sync = (struct record){4, 0, RECORD_SOLE, VOTER_B})); // founded by an operator
}

/* PAIR has no owner, whatever a caller left in the field; and the bytes of another owner are refused. */
static void test_pair_has_no_owner(void **unused) {
  (void)unused;
  struct beat zeros = valid(VOTER_A), out = receiver_of(&zeros);
  unsigned char bytes[WIRE_BEAT_SIZE];
  zeros.seen_you.sync.owner = 0;
  wire_encode(&zeros, bytes);
  assert_true(wire_decode(bytes, sizeof bytes, &out));
  assert_int_equal(out.seen_you.sync.owner, NOBODY);
  const size_t owner = 1 + 1 + 8 + 8 + 8 + 13; // of sync
  assert_int_equal(bytes[owner], NOBODY);
  bytes[owner] = VOTER_A;
  assert_false(wire_decode(bytes, sizeof bytes, &out));
}

static void test_figures(void **unused) {
  (void)unused;
  REFUSED(VOTER_A, b.flags = BEAT_FLAGS_ALL + 1);
  REFUSED(VOTER_A, b.lease_ms = LEASE_MS_MAX + 1);
  REFUSED(VOTER_A, b.epoch = WIRE_EPOCH_MAX);
  REFUSED(VOTER_A, b.sync.epoch = WIRE_EPOCH_MAX);
  REFUSED(VOTER_A, b.reign = WIRE_EPOCH_MAX);
  REFUSED(VOTER_A, b.leader_epoch = WIRE_EPOCH_MAX);
  REFUSED(VOTER_A, b.position.epoch = WIRE_EPOCH_MAX);
  REFUSED(VOTER_A, b.seen_you.epoch = WIRE_EPOCH_MAX);
  REFUSED(VOTER_A, b.seen_you.sync.epoch = UINT64_MAX);
  ACCEPTED(VOTER_A, (b.lease_ms = LEASE_MS_MAX, b.free_ms = FREE_NEVER, b.epoch = WIRE_EPOCH_MAX - 1));
}

static void test_frozen_is_a_bit(void **unused) {
  (void)unused;
  struct beat beat = valid(VOTER_A), out = receiver_of(&beat);
  unsigned char bytes[WIRE_BEAT_SIZE];
  wire_encode(&beat, bytes);
  const size_t on = WIRE_BEAT_SIZE - 1 - 4 - 4 - 8 - 1;
  bytes[on] = 1;
  assert_true(wire_decode(bytes, sizeof bytes, &out));
  assert_true(out.frozen.on);
  bytes[on] = 2;
  assert_false(wire_decode(bytes, sizeof bytes, &out));
}

/* The offsets are what other versions and other people's tools rely on. */
static void test_layout(void **unused) {
  (void)unused;
  const unsigned char want[WIRE_HEADER_SIZE] = {1, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0, 0, 0,
                                                0, 0, 0, 9, 8, 0, 0, 0, 0, 0, 1, 2, 3};
  unsigned char bytes[WIRE_HEADER_SIZE];
  wire_header_encode(&(struct wire_header){0x0102030405060708, VOTER_W, 0x0908, 0x010203}, bytes);
  assert_memory_equal(bytes, want, sizeof want);
  struct beat beat = valid(VOTER_A);
  unsigned char payload[WIRE_BEAT_SIZE];
  beat.flags = BEAT_ASK, beat.echo = 0x0102, beat.paths_heard = 5, beat.config = 7;
  wire_encode(&beat, payload);
  assert_int_equal(payload[0], ROLE_SECONDARY);
  assert_int_equal(payload[1], BEAT_ASK);
  assert_int_equal(payload[8] << 8 | payload[9], 0x0102);
  assert_int_equal(payload[WIRE_BEAT_SIZE - 2], 7);
  assert_int_equal(payload[WIRE_BEAT_SIZE - 1], 5);
}

static void test_header(void **unused) {
  (void)unused;
  const struct wire_header in = {42, VOTER_B, 7, UINT64_MAX};
  struct wire_header out;
  unsigned char bytes[WIRE_HEADER_SIZE];
  uint64_t cluster = 0;
  wire_header_encode(&in, bytes);
  assert_int_equal(wire_header_decode(bytes, sizeof bytes, &out), WIRE_OK);
  assert_true(out.cluster == 42 && out.from == VOTER_B && out.session == 7 && out.seq == UINT64_MAX);
  assert_true(wire_cluster(bytes, 9, &cluster));
  assert_int_equal(cluster, 42);
  assert_false(wire_cluster(bytes, 8, &cluster));
  for (size_t size = 0; size < sizeof bytes; size++)
    assert_int_equal(wire_header_decode(bytes, size, &out), WIRE_MALFORMED);
  for (unsigned version = 0; version < 256; version++) {
    bytes[0] = (unsigned char)version;
    assert_int_equal(wire_header_decode(bytes, 1, &out), version == 1 ? WIRE_MALFORMED : WIRE_OTHER_VERSION);
    assert_int_equal(wire_cluster(bytes, sizeof bytes, &cluster), version == 1);
  }
}

static void test_header_of_nobody(void **unused) {
  (void)unused;
  struct wire_header out;
  unsigned char bytes[WIRE_HEADER_SIZE];
  const struct wire_header in = {42, VOTER_A, 7, 9};
  wire_header_encode(&in, bytes);
  bytes[9] = VOTERS;
  assert_int_equal(wire_header_decode(bytes, sizeof bytes, &out), WIRE_MALFORMED);
  wire_header_encode(&in, bytes);
  bytes[17] = 0; // session 0
  assert_int_equal(wire_header_decode(bytes, sizeof bytes, &out), WIRE_MALFORMED);
  wire_header_encode(&in, bytes);
  bytes[25] = 0; // seq 0
  assert_int_equal(wire_header_decode(bytes, sizeof bytes, &out), WIRE_MALFORMED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_corruption),
      cmocka_unit_test(test_random_bytes),
      cmocka_unit_test(test_every_length),
      cmocka_unit_test(test_roles),
      cmocka_unit_test(test_leaders),
      cmocka_unit_test(test_records),
      cmocka_unit_test(test_pair_has_no_owner),
      cmocka_unit_test(test_figures),
      cmocka_unit_test(test_frozen_is_a_bit),
      cmocka_unit_test(test_layout),
      cmocka_unit_test(test_header),
      cmocka_unit_test(test_header_of_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
