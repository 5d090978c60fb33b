// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/seal_bed.h"

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
  };
  crypto = crypto_new();
  if (crypto == NULL)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  crypto_free(crypto);
  return failed;
}
