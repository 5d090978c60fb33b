// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/seal.h"

#define CLUSTER UINT64_C(0x0102030405060708)
#define FULL_US 10000000 // after so long every bucket is full again

// A datagram as it was on the wire, with what the test alone knows of it.
struct datagram {
  unsigned char bytes[SEAL_SIZE];
  uint8_t from, to;
  unsigned life_from, life_to; // how often each had been started by then
  uint64_t seq;
};

struct voter {
  struct seal *seal;
  uint64_t seq;
  unsigned life;
  unsigned accepted_life[VOTERS]; // of the peer, newest that was accepted in this life
  uint64_t accepted_seq;          // of the last OK
  unsigned ok;
};

static struct crypto *crypto;
static unsigned char private_keys[VOTERS][CRYPTO_KEY_SIZE], public_keys[VOTERS][CRYPTO_KEY_SIZE];
static struct voter voter[VOTERS];
static struct instant now;
static char error[256];
static uint64_t seed; // of a test at random; 0: none is running

static struct datagram recorded[20000]; // everything that was ever sent in a test
static size_t records;

static struct seal *make_seal(uint64_t cluster, uint8_t self) {
  struct seal *seal = NULL;
  assert_int_equal(seal_new(&seal, crypto, cluster, self, private_keys[self],
                            (const unsigned char(*)[CRYPTO_KEY_SIZE])public_keys, error, sizeof error),
                   0);
  return seal;
}

static void start(uint8_t self) {
  struct voter *v = &voter[self];
  unsigned life = v->life + 1;
  seal_free(v->seal);
  *v = (struct voter){.seal = make_seal(CLUSTER, self), .life = life};
}

static int setup(void **unused) {
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

static int teardown(void **unused) {
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

// The payload says who made it, and when.
static void fill(const struct voter *v, uint8_t from, unsigned char payload[WIRE_BEAT_SIZE]) {
  memset(payload, from + 1, WIRE_BEAT_SIZE);
  memcpy(payload, &v->seq, sizeof v->seq);
  memcpy(payload + sizeof v->seq, &v->life, sizeof v->life);
}

/* The datagrams of the next beat, which are recorded too; returns how many there are from recorded[*first]
 * on. */
static size_t send_beat(uint8_t from, uint8_t to, size_t *first) {
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

/* Opens it, and holds the seal to what may never happen, whoever plays what. */
static enum seal_result deliver_on(const struct datagram *d, unsigned path) {
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

static enum seal_result deliver(const struct datagram *d) {
  return deliver_on(d, 0);
}

/* One beat on a network that loses nothing, answered as a hello asks for; the best result of its copies. */
static enum seal_result say(uint8_t from, uint8_t to) {
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

static bool joined(uint8_t a, uint8_t b) {
  return seal_peer_session(voter[a].seal, b) == seal_session(voter[b].seal) &&
         seal_peer_session(voter[b].seal, a) == seal_session(voter[a].seal);
}

static void converge(uint8_t a, uint8_t b) {
  for (int i = 0; i < 3; i++) {
    say(a, b);
    say(b, a);
  }
  assert_true(joined(a, b));
  assert_int_equal(say(a, b), SEAL_OK);
  assert_int_equal(say(b, a), SEAL_OK);
}

/* Nothing that was ever recorded is taken, moves a session, or stops the two from going on. */
static void replay_all(uint8_t a, uint8_t b) {
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

// ---- the handshake ----

static void test_first_meeting(void **unused) {
  (void)unused;
  assert_int_equal(seal_peer_session(voter[0].seal, 1), 0);
  assert_int_equal(say(0, 1), SEAL_HELLO); // b answers at once, and a knows it
  assert_int_equal(seal_peer_session(voter[0].seal, 1), seal_session(voter[1].seal));
  assert_int_equal(seal_peer_session(voter[1].seal, 0), 0);
  assert_int_equal(say(0, 1), SEAL_OK);
  assert_true(joined(0, 1));
  size_t first;
  assert_int_equal(send_beat(0, 1, &first), 1); // no more hellos
}

static void test_sessions_are_drawn(void **unused) {
  (void)unused;
  uint64_t before = seal_session(voter[0].seal);
  start(0);
  assert_true(before != 0 && seal_session(voter[0].seal) != 0);
  assert_true(seal_session(voter[0].seal) != before);
}

static void test_hello_alone_changes_nothing(void **unused) {
  (void)unused;
  converge(0, 1);
  uint64_t session = seal_peer_session(voter[1].seal, 0);
  start(0);
  size_t first;
  assert_int_equal(send_beat(0, 1, &first), 1);
  assert_int_equal(deliver(&recorded[first]), SEAL_HELLO);
  assert_int_equal(deliver_on(&recorded[first], 1), SEAL_IDLE);
  assert_true(seal_peer_session(voter[1].seal, 0) == session);
}

static void test_restart(void **unused) {
  (void)unused;
  converge(0, 1);
  start(0);
  assert_int_equal(say(0, 1), SEAL_HELLO);
  assert_int_equal(say(0, 1), SEAL_OK);
  assert_true(joined(0, 1));
  start(1);
  assert_int_equal(say(0, 1), SEAL_FORGED); // b cannot know it
  assert_int_equal(say(1, 0), SEAL_HELLO);
  assert_int_equal(say(1, 0), SEAL_OK);
  assert_true(joined(0, 1));
}

/* What was sealed for the old session of a peer that has restarted does not open; silence brings a hello. */
static void test_silence_brings_a_hello(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first;
  for (int i = 0; i < 8; i++)
    assert_int_equal(send_beat(0, 1, &first), 1);
  assert_int_equal(send_beat(0, 1, &first), 2);
  start(1);
  assert_int_equal(deliver(&recorded[first]), SEAL_FORGED);
  assert_int_equal(deliver(&recorded[first + 1]), SEAL_HELLO);
  assert_int_equal(say(1, 0), SEAL_OK); // its first beat is sealed for that already
  assert_int_equal(say(0, 1), SEAL_OK);
  assert_true(joined(0, 1));
  assert_int_equal(send_beat(0, 1, &first), 1);
}

// ---- what does not open ----

static void expect_nothing(const unsigned char *bytes, size_t size, enum seal_result want) {
  struct seal_opened out;
  uint64_t before = seal_count(voter[1].seal, want);
  assert_int_equal(seal_open(voter[1].seal, now, 0, bytes, size, &out), want);
  assert_int_equal(seal_count(voter[1].seal, want), before + 1);
}

static void test_every_bit_counts(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first;
  assert_int_equal(send_beat(0, 1, &first), 1);
  struct datagram d = recorded[first];
  for (size_t bit = 0; bit < SEAL_SIZE * 8; bit++) {
    struct seal_opened out;
    now.us += FULL_US;
    d.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    enum seal_result result = seal_open(voter[1].seal, now, 0, d.bytes, SEAL_SIZE, &out);
    assert_true(result == (bit < 8                             ? SEAL_VERSION
                           : bit < 72                          ? SEAL_CLUSTER
                           : bit < 80 && d.bytes[9] != VOTER_W ? SEAL_MALFORMED
                                                               : SEAL_FORGED));
    d.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
  }
  assert_int_equal(deliver(&recorded[first]), SEAL_OK);
}

static void test_every_length(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first;
  send_beat(0, 1, &first);
  unsigned char bytes[SEAL_SIZE_MAX + 8] = {0};
  memcpy(bytes, recorded[first].bytes, SEAL_SIZE);
  for (size_t size = 0; size <= sizeof bytes; size++)
    if (size < SEAL_SIZE || size > SEAL_SIZE_MAX)
      expect_nothing(bytes, size, SEAL_MALFORMED);
    else if (size > SEAL_SIZE) /* as long as one with a note */
      expect_nothing(bytes, size, SEAL_FORGED);
  assert_int_equal(deliver(&recorded[first]), SEAL_OK);
}

static void test_every_length_of_a_note(void **unused) {
  (void)unused;
  converge(0, 1);
  static char note[SEAL_NOTE_MAX];
  static unsigned char out[SEAL_COPIES][SEAL_SIZE_MAX];
  unsigned char payload[WIRE_BEAT_SIZE];
  struct seal_opened opened;
  fill(&voter[0], 0, payload);
  for (size_t size = 0; size <= SEAL_NOTE_MAX; size++) {
    memset(note, (int)('a' + size % 26), size);
    assert_true(seal_beat_noted(voter[0].seal, 1, ++voter[0].seq, payload, note, size, out) >= 1);
    expect_nothing(out[0], SEAL_SIZE + size - 1, size > 0 ? SEAL_FORGED : SEAL_MALFORMED);
    out[0][SEAL_SIZE + size - 17] ^= 1; /* its last byte, before the tag */
    expect_nothing(out[0], SEAL_SIZE + size, SEAL_FORGED);
    out[0][SEAL_SIZE + size - 17] ^= 1;
    assert_int_equal(seal_open(voter[1].seal, now, 0, out[0], SEAL_SIZE + size, &opened), SEAL_OK);
    assert_int_equal(opened.note_size, size);
    assert_memory_equal(opened.note, note, size);
    assert_memory_equal(opened.payload, payload, sizeof payload);
  }
}

static void test_other_cluster_and_version(void **unused) {
  (void)unused;
  struct seal *other = make_seal(CLUSTER + 1, 0);
  unsigned char payload[WIRE_BEAT_SIZE] = {0}, out[SEAL_COPIES][SEAL_SIZE];
  assert_int_equal(seal_beat(other, 1, 1, payload, out), 1);
  expect_nothing(out[0], SEAL_SIZE, SEAL_CLUSTER);
  memcpy(out[0] + 1, "\1\2\3\4\5\6\7\10", 8); // the keys of one cluster do not open in another either
  expect_nothing(out[0], SEAL_SIZE, SEAL_FORGED);
  out[0][0] = WIRE_VERSION + 1;
  expect_nothing(out[0], SEAL_SIZE, SEAL_VERSION);
  expect_nothing(out[0], 1, SEAL_VERSION);
  seal_free(other);
}

static void test_wrong_key(void **unused) {
  (void)unused;
  converge(0, 1);
  unsigned char right[CRYPTO_KEY_SIZE];
  memcpy(right, private_keys[0], sizeof right);
  crypto_random(private_keys[0], CRYPTO_KEY_SIZE);
  struct seal *stranger = make_seal(CLUSTER, 0);
  memcpy(private_keys[0], right, sizeof right);
  unsigned char payload[WIRE_BEAT_SIZE] = {0}, out[SEAL_COPIES][SEAL_SIZE];
  seal_beat(stranger, 1, 1, payload, out);
  expect_nothing(out[0], SEAL_SIZE, SEAL_FORGED);
  memcpy(out[0] + 10, recorded[0].bytes + 10, 8); // in the true one's session, too
  expect_nothing(out[0], SEAL_SIZE, SEAL_FORGED);
  assert_true(joined(0, 1));
  seal_free(stranger);
}

/* Sent back to its sender, or on to a third voter, or under another sender's number. */
static void test_misdirected(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first;
  send_beat(0, 1, &first);
  struct datagram d = recorded[first];
  struct seal_opened out;
  assert_int_equal(seal_open(voter[0].seal, now, 0, d.bytes, SEAL_SIZE, &out), SEAL_MALFORMED);
  assert_int_equal(seal_open(voter[2].seal, now, 0, d.bytes, SEAL_SIZE, &out), SEAL_FORGED);
  d.bytes[9] = VOTER_W;
  expect_nothing(d.bytes, SEAL_SIZE, SEAL_FORGED);
}

static void test_low_order_key(void **unused) {
  (void)unused;
  struct seal *seal = NULL;
  memset(public_keys[1], 0, CRYPTO_KEY_SIZE);
  assert_int_equal(seal_new(&seal, crypto, CLUSTER, 0, private_keys[0],
                            (const unsigned char(*)[CRYPTO_KEY_SIZE])public_keys, error, sizeof error),
                   -EINVAL);
  assert_null(seal);
  assert_non_null(strstr(error, "low order"));
}

// ---- section 8, computed a second time ----

static void hmac(const void *key, int key_size, const void *bytes, size_t size, unsigned char out[32]) {
  unsigned length = 32;
  assert_non_null(HMAC(EVP_sha256(), key, key_size, bytes, size, out, &length));
}

/* RFC 5869 with one block: extract, then expand info || 0x01. */
static void hkdf(const unsigned char secret[32], const unsigned char *salt, const unsigned char *info,
                 size_t size, unsigned char key[32]) {
  unsigned char prk[32], block[64];
  hmac(salt, 16, secret, 32, prk);
  memcpy(block, info, size);
  block[size] = 1;
  hmac(prk, 32, block, size + 1, key);
}

static void open_by_hand(const struct datagram *d, const unsigned char to_session[8], unsigned char *plain) {
  unsigned char secret[32], salt[16], info[10] = {d->from, d->to}, key[32], nonce[12] = {0};
  assert_int_equal(crypto_agree(private_keys[d->to], public_keys[d->from], secret), 0);
  memcpy(salt, d->bytes + 10, 8);
  memcpy(salt + 8, to_session, 8);
  memcpy(info + 2, d->bytes + 1, 8);
  memcpy(nonce + 4, d->bytes + 18, 8);
  hkdf(secret, salt, info, sizeof info, key);
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  unsigned char tag[16];
  int done, size = SEAL_SIZE - WIRE_HEADER_SIZE - 16;
  memcpy(tag, d->bytes + SEAL_SIZE - 16, 16);
  assert_int_equal(EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce), 1);
  assert_int_equal(EVP_DecryptUpdate(c, NULL, &done, d->bytes, WIRE_HEADER_SIZE), 1);
  assert_int_equal(EVP_DecryptUpdate(c, plain, &done, d->bytes + WIRE_HEADER_SIZE, size), 1);
  assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, 16, tag), 1);
  assert_int_equal(EVP_DecryptFinal_ex(c, plain + done, &done), 1);
  EVP_CIPHER_CTX_free(c);
}

static void test_to_the_letter(void **unused) {
  (void)unused;
  const unsigned char nobody[8] = {0};
  unsigned char plain[SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE], session[8];
  size_t first;
  send_beat(0, 1, &first);
  open_by_hand(&recorded[first], nobody, plain); // a hello
  converge(0, 1);
  for (unsigned i = 0; i < 8; i++)
    session[i] = (unsigned char)(seal_session(voter[1].seal) >> (56 - 8 * i));
  send_beat(0, 1, &first);
  open_by_hand(&recorded[first], session, plain);
  assert_int_equal(plain[SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE - 1], 0 + 1); // who made the payload
  assert_int_equal(plain[7], voter[1].seq);                             // heard
  assert_int_equal(plain[15], voter[0].seq);                            // count: all its beats went to b
}

static void test_cluster_id_and_digest(void **unused) {
  (void)unused;
  // printf abc | sha256sum: ba7816bf8f01cfea…
  assert_true(seal_cluster_id("abc") == UINT64_C(0xba7816bf8f01cfea));
  assert_int_equal(seal_digest32("abc", 3), 0xba7816bf);
}

// ---- replays ----

static void test_replay_in_the_session(void **unused) {
  (void)unused;
  converge(0, 1);
  replay_all(0, 1);
  assert_true(seal_count(voter[1].seal, SEAL_REPLAY) > 0);
}

static void test_replay_after_restart(void **unused) {
  (void)unused;
  for (unsigned who = 1; who < 4; who++) { /* the sender, the receiver, both */
    converge(0, 1);
    if (who & 1)
      start(0);
    if (who & 2)
      start(1);
    converge(0, 1);
    replay_all(0, 1);
  }
}

/* Played back to one that has just started and knows nobody: hellos may name dead sessions, but none becomes
 * a peer's. */
static void test_replay_to_a_newcomer(void **unused) {
  (void)unused;
  for (int i = 0; i < 6; i++) {
    converge(0, 1);
    start(0);
  }
  size_t count = records;
  start(1);
  for (size_t i = 0; i < count; i++) {
    enum seal_result result = deliver(&recorded[i]);
    assert_true(result != SEAL_OK && result != SEAL_COPY);
  }
  assert_int_equal(seal_peer_session(voter[1].seal, 0), 0);
  now.us += FULL_US;
  for (int i = 0; i < 8; i++)
    say(0, 1), say(1, 0);
  assert_true(joined(0, 1));
}

/* A datagram of a dead session that was held back, sealed for our present one: we never saw that session in
   force, so that no list of ours could hold it. Taken, it would also drive out the true session for good. */
static void test_held_back_of_a_dead_session(void **unused) {
  (void)unused;
  size_t first, held;
  assert_int_equal(send_beat(1, 0, &first), 1);
  assert_int_equal(deliver(&recorded[first]), SEAL_HELLO);
  send_beat(0, 1, &held); // a knows b's session, b has never heard of this one of a's
  start(0);
  converge(0, 1);
  assert_true(deliver(&recorded[held]) != SEAL_OK);
  assert_true(joined(0, 1));
  now.us += FULL_US;
  say(1, 0), say(0, 1);
  assert_true(deliver(&recorded[held]) != SEAL_OK);
  replay_all(0, 1);
}

/* Two machines that run with one key: the later one takes over, and the earlier one cannot take it back, live
 * as it is. */
static void test_replaced_is_never_taken_back(void **unused) {
  (void)unused;
  converge(0, 1);
  struct voter earlier = voter[0];
  voter[0].seal = NULL;
  start(0);
  converge(0, 1);
  uint64_t session = seal_session(voter[0].seal);
  for (int i = 0; i < 20; i++) {
    unsigned char payload[WIRE_BEAT_SIZE] = {0}, out[SEAL_COPIES][SEAL_SIZE];
    size_t count = seal_beat(earlier.seal, 1, ++earlier.seq, payload, out);
    for (size_t k = 0; k < count; k++)
      expect_nothing(out[k], SEAL_SIZE, SEAL_REPLAY);
    assert_int_equal(say(1, 0), SEAL_OK);
    struct seal_opened opened; // which the earlier one hears as well
    seal_open(earlier.seal, now, 0, recorded[records - 1].bytes, SEAL_SIZE, &opened);
  }
  assert_true(seal_peer_session(voter[1].seal, 0) == session);
  seal_free(earlier.seal);
}

static void test_hello_playback(void **unused) {
  (void)unused;
  for (int i = 0; i < 12; i++) { /* hellos of a dozen dead sessions */
    converge(0, 1);
    start(0);
  }
  converge(0, 1);
  uint64_t session = seal_peer_session(voter[1].seal, 0);
  unsigned answers = 0;
  for (int round = 0; round < 50; round++)
    for (size_t i = 0; i < records; i++)
      if (recorded[i].to == 1)
        answers += deliver(&recorded[i]) == SEAL_HELLO;
  assert_true(answers <= 16); // the burst that is allowed, at one instant
  assert_true(seal_peer_session(voter[1].seal, 0) == session);
  assert_int_equal(say(0, 1), SEAL_OK);
}

/* A fresh receiver, and hellos of dead sessions played at it all the time: the true peer gets through. */
static void test_hello_playback_does_not_keep_out_the_true_one(void **unused) {
  (void)unused;
  size_t hello[12];
  for (int i = 0; i < 12; i++) {
    send_beat(0, 1, &hello[i]);
    start(0);
  }
  start(1);
  for (int round = 0; round < 100 && !joined(0, 1); round++) {
    for (int i = 0; i < 12; i++)
      deliver(&recorded[hello[i]]);
    say(0, 1);
    for (int i = 0; i < 12; i++)
      deliver(&recorded[hello[i]]);
    say(1, 0);
    now.us += 100000;
  }
  assert_true(joined(0, 1));
}

static void test_many_restarts(void **unused) {
  (void)unused;
  for (int i = 0; i < 200; i++) {
    converge(0, 1);
    start(0);
    now.us += FULL_US;
  }
  converge(0, 1);
  replay_all(0, 1);
}

static void test_window(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first = records, at;
  for (int i = 0; i < 600; i++) {
    send_beat(0, 1, &at);
    if (records - at > 1)
      records = at + 1; // without the hellos of the silence
  }
  assert_int_equal(deliver(&recorded[first + 3]), SEAL_OK);
  assert_int_equal(deliver(&recorded[first + 1]), SEAL_OK);
  assert_int_equal(deliver(&recorded[first + 1]), SEAL_REPLAY);
  assert_int_equal(deliver(&recorded[first + 3]), SEAL_REPLAY);
  assert_int_equal(deliver(&recorded[first + 599]), SEAL_OK);
  assert_int_equal(deliver(&recorded[first + 2]), SEAL_REPLAY); // too old to tell
  for (size_t i = 200; i < 599; i++)
    assert_int_equal(deliver(&recorded[first + i]), SEAL_OK);
  for (size_t i = 200; i < 600; i++)
    assert_int_equal(deliver(&recorded[first + i]), SEAL_REPLAY);
}

static void test_copies_on_paths(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first;
  send_beat(0, 1, &first);
  assert_int_equal(deliver_on(&recorded[first], 1), SEAL_OK);
  assert_int_equal(deliver_on(&recorded[first], 0), SEAL_COPY);
  assert_int_equal(deliver_on(&recorded[first], SEAL_STRANGER), SEAL_COPY);
  for (unsigned path = 0; path < 2; path++)
    assert_int_equal(deliver_on(&recorded[first], path), SEAL_REPLAY);
}

// ---- floods ----

static void test_flood_of_unknown_sessions(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first;
  send_beat(0, 1, &first);
  struct datagram d = recorded[first];
  unsigned limited = 0;
  for (unsigned i = 0; i < 1000; i++) {
    memcpy(d.bytes + 10, &i, sizeof i);
    limited += deliver_on(&d, SEAL_STRANGER) == SEAL_LIMITED;
  }
  assert_true(limited > 900);
  assert_int_equal(say(0, 1), SEAL_OK); // who is known needs no derivation
  start(0);
  assert_int_equal(say(0, 1), SEAL_HELLO); // a restarted peer comes from an address of its own
  for (unsigned i = 0; i < 1000; i++) {
    memcpy(d.bytes + 10, &i, sizeof i);
    deliver(&d);
  }
  assert_int_equal(deliver(&d), SEAL_LIMITED);
  assert_int_equal(say(0, 1), SEAL_OK);
  now.us += FULL_US;
  assert_int_equal(deliver(&d), SEAL_FORGED);
}

/* In a child of its own, for it ends there. */
static void test_a_number_is_never_used_twice(void **unused) {
  (void)unused;
  size_t first;
  send_beat(0, 1, &first);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    fclose(stderr);
    unsigned char payload[WIRE_BEAT_SIZE] = {0}, out[SEAL_COPIES][SEAL_SIZE];
    seal_beat(voter[0].seal, 1, voter[0].seq, payload, out);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

// ---- at random ----

static uint64_t state;

static uint64_t below(uint64_t limit) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % limit;
}

/* Two voters that send and restart as they like, on a network that delivers whatever it ever saw, in any
   order, any number of times or not at all. deliver() asserts what must hold of each one that is accepted. */
static void storm(void) {
  for (int step = 0; step < 400; step++) {
    uint8_t who = (uint8_t)below(2);
    size_t first;
    if (below(25) == 0)
      start(who);
    else if (below(2) == 0)
      send_beat(who, !who, &first);
    if (records == 0)
      continue;
    size_t recent = below(4) != 0 ? below(records < 6 ? records : 6) : below(records);
    const struct datagram *d = &recorded[records - 1 - recent];
    if (deliver_on(d, (unsigned)below(2)) == SEAL_HELLO && below(2) == 0)
      send_beat(d->to, d->from, &first);
    now.us += (int64_t)below(20000);
  }
}

static void test_convergence_at_random(void **unused) {
  (void)unused;
  const char *given = getenv("TANIST_SEED");
  uint64_t begin = given != NULL ? strtoull(given, NULL, 0) : 1, end = given != NULL ? begin + 1 : 301;
  for (seed = begin; seed < end; seed++) {
    state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    records = 0;
    start(0), start(1);
    storm();
    for (unsigned rounds = 0; rounds < 12 && !joined(0, 1); rounds++) {
      now.us += 100000;
      say(0, 1), say(1, 0);
    }
    assert_true(joined(0, 1));
    assert_int_equal(say(0, 1), SEAL_OK);
    assert_int_equal(say(1, 0), SEAL_OK);
    for (size_t i = 0, count = records; i < count; i++) // what was lost until now may still come, once
      deliver_on(&recorded[i], 0), deliver_on(&recorded[i], 1);
    replay_all(0, 1);
  }
  seed = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(first_meeting),
      TEST(sessions_are_drawn),
      TEST(hello_alone_changes_nothing),
      TEST(restart),
      TEST(silence_brings_a_hello),
      TEST(every_bit_counts),
      TEST(every_length),
      TEST(every_length_of_a_note),
      TEST(other_cluster_and_version),
      TEST(wrong_key),
      TEST(misdirected),
      TEST(low_order_key),
      TEST(to_the_letter),
      TEST(cluster_id_and_digest),
      TEST(replay_in_the_session),
      TEST(replay_after_restart),
      TEST(replay_to_a_newcomer),
      TEST(held_back_of_a_dead_session),
      TEST(replaced_is_never_taken_back),
      TEST(hello_playback),
      TEST(hello_playback_does_not_keep_out_the_true_one),
      TEST(many_restarts),
      TEST(window),
      TEST(copies_on_paths),
      TEST(flood_of_unknown_sessions),
      TEST(a_number_is_never_used_twice),
      TEST(convergence_at_random),
  };
  crypto = crypto_new();
  if (crypto == NULL)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  crypto_free(crypto);
  return failed;
}
