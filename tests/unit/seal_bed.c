// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/seal_bed.h"

struct crypto *crypto;
unsigned char private_keys[VOTERS][CRYPTO_KEY_SIZE], public_keys[VOTERS][CRYPTO_KEY_SIZE];
struct voter voter[VOTERS];
struct instant now;
char error[256];
uint64_t seed;
struct datagram recorded[20000];
size_t records;

struct seal *make_seal(uint64_t cluster, uint8_t self) {
  struct seal *seal = NULL;
  assert_int_equal(seal_new(&seal, crypto, cluster, self, private_keys[self],
                            (const unsigned char(*)[CRYPTO_KEY_SIZE])public_keys, error, sizeof error),
                   0);
  return seal;
}

void start(uint8_t self) {
  struct voter *v = &voter[self];
  unsigned life = v->life + 1;
  seal_free(v->seal);
  *v = (struct voter){.seal = make_seal(CLUSTER, self), .life = life};
}

int setup(void **unused) {
  (void)unused;
  records = 0;
  now = (struct instant){FULL_US};
  for (uint8_t i = 0; i < VOTERS; i++) {
    voter[i].life = 0;
    crypto_random(private_keys[i], CRYPTO_KEY_SIZE);
    crypto_public(private_keys[i], public_keys[i]);
  }
  for (uint8_t i = 0; i < VOTERS; i++)
    start(i);
  return 0;
}

int teardown(void **unused) {
  (void)unused;
  if (seed != 0)
    print_error("it was TANIST_SEED=%llu\n", (unsigned long long)seed);
  seed = 0;
  for (uint8_t i = 0; i < VOTERS; i++) {
    seal_free(voter[i].seal);
    voter[i].seal = NULL;
  }
  return 0;
}

void fill(const struct voter *v, uint8_t from, unsigned char payload[WIRE_BEAT_SIZE]) {
  memset(payload, from + 1, WIRE_BEAT_SIZE);
  memcpy(payload, &v->seq, sizeof v->seq);
  memcpy(payload + sizeof v->seq, &v->life, sizeof v->life);
}

size_t send_beat(uint8_t from, uint8_t to, size_t *first) {
  struct voter *v = &voter[from];
  unsigned char payload[WIRE_BEAT_SIZE], out[SEAL_COPIES][SEAL_SIZE];
  v->seq++;
  fill(v, from, payload);
  size_t count = seal_beat(v->seal, to, v->seq, payload, out);
  assert_in_range(count, 1, SEAL_COPIES);
  *first = records;
  for (size_t i = 0; i < count; i++) {
    assert_true(records < sizeof recorded / sizeof *recorded);
    struct datagram *d = &recorded[records++];
    *d = (struct datagram){
        .from = from, .to = to, .life_from = v->life, .life_to = voter[to].life, .seq = v->seq};
    memcpy(d->bytes, out[i], SEAL_SIZE);
  }
  return count;
}

enum seal_result deliver_on(const struct datagram *d, unsigned path) {
  struct voter *v = &voter[d->to];
  struct seal_opened out = {0};
  enum seal_result result = seal_open(v->seal, now, path, d->bytes, SEAL_SIZE, &out);
  if (result != SEAL_OK && result != SEAL_COPY)
    return result;
  unsigned char want[WIRE_BEAT_SIZE];
  fill(&(struct voter){.seq = d->seq, .life = d->life_from}, d->from, want);
  assert_memory_equal(out.payload, want, WIRE_BEAT_SIZE);
  assert_int_equal(out.from, d->from);
  assert_int_equal(out.seq, d->seq);
  assert_int_equal(d->life_to, v->life);                  // not of before the receiver's restart
  assert_true(d->life_from >= v->accepted_life[d->from]); // nor of before the sender's
  assert_true(out.session == seal_peer_session(v->seal, d->from));
  v->accepted_life[d->from] = d->life_from;
  v->accepted_seq = d->seq;
  v->ok += result == SEAL_OK;
  return result;
}

enum seal_result deliver(const struct datagram *d) {
  return deliver_on(d, 0);
}

enum seal_result say(uint8_t from, uint8_t to) {
  size_t first, count = send_beat(from, to, &first);
  enum seal_result best = SEAL_RESULT_COUNT;
  for (size_t i = 0; i < count; i++) {
    enum seal_result result = deliver(&recorded[first + i]);
    if (result == SEAL_HELLO)
      say(to, from);
    best = result < best ? result : best;
  }
  return best;
}

bool joined(uint8_t a, uint8_t b) {
  return seal_peer_session(voter[a].seal, b) == seal_session(voter[b].seal) &&
         seal_peer_session(voter[b].seal, a) == seal_session(voter[a].seal);
}

void converge(uint8_t a, uint8_t b) {
  for (int i = 0; i < 3; i++) {
    say(a, b);
    say(b, a);
  }
  assert_true(joined(a, b));
  assert_int_equal(say(a, b), SEAL_OK);
  assert_int_equal(say(b, a), SEAL_OK);
}

void replay_all(uint8_t a, uint8_t b) {
  size_t count = records;
  for (size_t i = 0; i < count; i++) {
    if (i % 16 == 0)
      now.us += FULL_US; // no limit helps here
    enum seal_result result = deliver(&recorded[i]);
    assert_true(result != SEAL_OK && result != SEAL_COPY);
  }
  assert_true(joined(a, b));
  assert_int_equal(say(a, b), SEAL_OK);
  assert_int_equal(say(b, a), SEAL_OK);
}

void expect_nothing(const unsigned char *bytes, size_t size, enum seal_result want) {
  struct seal_opened out;
  uint64_t before = seal_count(voter[1].seal, want);
  assert_int_equal(seal_open(voter[1].seal, now, 0, bytes, size, &out), want);
  assert_int_equal(seal_count(voter[1].seal, want), before + 1);
}
