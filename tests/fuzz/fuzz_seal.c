// SPDX-License-Identifier: Apache-2.0
// Datagrams sealed with the right keys, by somebody who knows them and means no good: every field of header
// and sealed text is the input's. Whatever comes in, no number of a session is opened twice on one path, and
// what is no beat is not taken for one.
//
// Input, until it ends: whom to pretend to be; the session (of a few) it claims, for which of the receiver's
// sessions it seals; seq, path, time, heard, count, the payload and a note; what to spoil.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/seal.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CLUSTER UINT64_C(0x1122334455667788)
#define SESSIONS 6
#define OPENED_MAX 4096

static struct crypto *crypto;
static unsigned char private_key[VOTERS][CRYPTO_KEY_SIZE], public_key[VOTERS][CRYPTO_KEY_SIZE];
static unsigned char secret[VOTERS][CRYPTO_KEY_SIZE]; // of each with the receiver

/* What was opened, as an onlooker keeps it. */
static struct {
  uint64_t session, seq;
  unsigned path;
} opened[OPENED_MAX];
static size_t opened_count;

static void set_up(void) {
  if (crypto != NULL)
    return;
  crypto = crypto_new();
  for (unsigned i = 0; i < VOTERS; i++) {
    memset(private_key[i], (int)(i + 1), CRYPTO_KEY_SIZE);
    if (crypto_public(private_key[i], public_key[i]) != 0)
      abort();
  }
  for (unsigned i = 1; i < VOTERS; i++)
    if (crypto_agree(private_key[i], public_key[VOTER_A], secret[i]) != 0)
      abort();
}

/* As protocol.md, section 8, has it; seal.c does the same by itself. */
static void derive(uint8_t from, uint64_t from_session, uint64_t to_session,
                   unsigned char key[CRYPTO_KEY_SIZE]) {
  unsigned char salt[16], info[10] = {from, VOTER_A};
  uint8_t *at = salt;
  bytes_put_u64(&at, from_session);
  bytes_put_u64(&at, to_session);
  at = info + 2;
  bytes_put_u64(&at, CLUSTER);
  if (!crypto_derive(crypto, secret[from], salt, sizeof salt, info, sizeof info, key))
    abort();
}

struct forged {
  uint8_t from;
  uint64_t session, sealed_for, seq;
  size_t size;
  unsigned char bytes[SEAL_SIZE_MAX];
};

static void forge(struct forged *f, struct input *input) {
  unsigned char key[CRYPTO_KEY_SIZE], plain[SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE + SEAL_NOTE_MAX] = {0};
  const uint8_t *payload;
  uint8_t *at = plain;
  bytes_put_u64(&at, input_u8(input) % 2 == 0 ? input_u64(input) : input_u8(input)); /* heard */
  bytes_put_u64(&at, input_u16(input));                                              /* count */
  size_t size = input_bytes(input, WIRE_BEAT_SIZE, &payload);
  if (size > 0)
    memcpy(at, payload, size);
  at += WIRE_BEAT_SIZE;
  size_t note = input_bytes(input, input_u16(input) % (SEAL_NOTE_MAX + 1), &payload);
  if (note > 0)
    memcpy(at, payload, note);
  size_t sealed = SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE + note;
  f->size = WIRE_HEADER_SIZE + sealed + CRYPTO_TAG_SIZE;
  wire_header_encode(&(struct wire_header){CLUSTER, f->from, f->session, 1}, f->bytes);
  at = f->bytes + 18; /* seq: 0, too, which wire_header_encode would not write */
  bytes_put_u64(&at, f->seq);
  derive(f->from, f->session, f->sealed_for, key);
  if (!crypto_seal(crypto, key, f->seq, f->bytes, WIRE_HEADER_SIZE, plain, sealed,
                   f->bytes + WIRE_HEADER_SIZE))
    abort();
}

static void payload(const struct seal_opened *out) {
  unsigned char again[WIRE_BEAT_SIZE];
  struct beat beat = {.from = out->from, .to = VOTER_A, .seq = out->seq};
  if (wire_decode(out->payload, WIRE_BEAT_SIZE, &beat)) {
    wire_encode(&beat, again);
    assert(memcmp(again, out->payload, sizeof again) == 0);
  }
}

static void note(const struct forged *f, const struct seal_opened *out, unsigned path, bool copy) {
  assert(out->from == f->from && out->session == f->session && out->seq == f->seq);
  for (size_t i = 0; i < opened_count; i++)
    assert(opened[i].session != f->session || opened[i].seq != f->seq || (copy && opened[i].path != path));
  if (opened_count < OPENED_MAX) {
    opened[opened_count].session = f->session;
    opened[opened_count].seq = f->seq;
    opened[opened_count++].path = path;
  }
}

static void one(struct seal *seal, struct instant *now, struct input *input) {
  struct seal_opened out;
  uint8_t bits = input_u8(input);
  struct forged f = {.from = (uint8_t)(1 + bits % 2), .session = 1 + (uint64_t)(bits >> 1) % SESSIONS};
  f.session |= (uint64_t)f.from << 32; /* no two voters draw the same */
  f.sealed_for = (bits & 0x80) != 0 ? 0 : seal_session(seal);
  f.seq = (bits & 0x40) != 0 ? input_u64(input) : input_u8(input);
  unsigned path = input_below(input, SEAL_PATHS + 1);
  now->us += (int64_t)input_u8(input) * 1000;
  forge(&f, input);
  uint8_t spoil = input_u8(input);
  size_t size = spoil == 1 ? input_u16(input) % (f.size + 1) : f.size;
  if (spoil == 2)
    f.bytes[input_u16(input) % f.size] ^= input_u8(input);
  enum seal_result result = seal_open(seal, *now, path, f.bytes, size, &out);
  if (result != SEAL_OK && result != SEAL_COPY)
    return;
  assert(f.sealed_for != 0 && f.seq != 0); /* a hello changes nothing */
  note(&f, &out, path, result == SEAL_COPY);
  assert(out.note_size <= SEAL_NOTE_MAX);
  payload(&out);
}

/* The receiver's own beats go on between: they answer hellos and raise what a claimant must have heard. */
static void own_beat(struct seal *seal, uint8_t to, uint64_t seq) {
  static const unsigned char nothing[WIRE_BEAT_SIZE];
  unsigned char out[SEAL_COPIES][SEAL_SIZE];
  size_t copies = seal_beat(seal, to, seq, nothing, out);
  assert(copies >= 1 && copies <= SEAL_COPIES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct input input = {bytes, size};
  struct instant now = {INT64_C(1000000000)};
  struct seal *seal;
  char error[256];
  set_up();
  opened_count = 0;
  if (seal_new(&seal, crypto, CLUSTER, VOTER_A, private_key[VOTER_A],
               (const unsigned char(*)[CRYPTO_KEY_SIZE])(const void *)public_key, error, sizeof error) != 0)
    abort();
  for (uint64_t seq = 1; input.left > 0 && seq < 64; seq++) {
    if (input_u8(&input) % 4 == 0)
      own_beat(seal, (uint8_t)(1 + seq % 2), seq);
    else
      one(seal, &now, &input);
  }
  seal_free(seal);
  return 0;
}
