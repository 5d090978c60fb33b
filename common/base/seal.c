// SPDX-License-Identifier: Apache-2.0
#include "common/base/seal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIMS 4       // sessions that hellos of one peer have named lately
#define CLAIM_BEATS 8  // so many beats are sealed for a claim after each news of it
#define SILENT_BEATS 8 // so many beats without any heard from the peer's session: say hello as well
#define RETIRED 64
#define WINDOW_WORDS                                                                                         \
  8 // so many times 64 numbers up to the highest are told apart: seconds, or a slow path's lag

// Derivations that datagrams of unknown sessions may cost, and answers to hellos. A derivation takes about 2
// µs and a hello costs two, so that a flood of them takes less than 1 % of a core.
#define DERIVE_BURST 64
#define DERIVE_EVERY_US 1000
#define ANSWER_BURST 16
#define ANSWER_EVERY_US 50000

struct bucket {
  struct instant full_at; // when it is full again if nothing more is taken
};

struct window {
  uint64_t top;
  uint64_t bits[WINDOW_WORDS]; // a ring: number n is bit n mod 64 of word n / 64 mod WINDOW_WORDS
};

// A session of the peer, with the keys that it has with our own session.
struct other {
  uint64_t session; // 0: none
  uint64_t heard;   // the highest number opened of it
  unsigned beats;   // a claim's: so many are still sealed for it
  unsigned char send[CRYPTO_KEY_SIZE], receive[CRYPTO_KEY_SIZE], receive_hello[CRYPTO_KEY_SIZE];
};

struct peer {
  unsigned char secret[CRYPTO_KEY_SIZE];
  unsigned char send_hello[CRYPTO_KEY_SIZE];
  struct other other;         // the peer's session
  struct other claim[CLAIMS]; // it may have one of these by now
  unsigned claim_sealed, claim_taken;
  uint64_t floor; // our number when `other` became the peer's session: a claimant must have heard a later one
  uint64_t retired[RETIRED];
  unsigned retired_next;
  uint64_t seq, count;
  unsigned unanswered;
  struct window window, path[SEAL_PATHS + 1];
  struct bucket answer;
};

struct seal {
  struct crypto *crypto;
  uint64_t cluster, session;
  uint8_t self;
  struct peer peer[VOTERS - 1]; // peer_of; a witness has thousands of these
  struct bucket derive[2];      // strangers have their own, so that they do not use up the peers'
  uint64_t count[SEAL_RESULT_COUNT];
};

// One datagram on its way through seal_open.
struct arrival {
  struct wire_header header;
  const unsigned char *bytes;
  size_t size;
  struct instant now;
  unsigned path;
  bool known; // its session is the peer's, or a claim
  unsigned char plain[SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE + SEAL_NOTE_MAX];
};

// ---- small parts ----

static void put64(unsigned char *at, uint64_t value) {
  for (unsigned i = 8; i-- > 0; value >>= 8)
    at[i] = (unsigned char)(value & 0xff);
}

static uint64_t get64(const unsigned char *at) {
  uint64_t value = 0;
  for (unsigned i = 0; i < 8; i++)
    value = value << 8 | at[i];
  return value;
}

static bool bucket_take(struct bucket *bucket, struct instant now, int64_t every_us, int64_t burst) {
  int64_t full_at = bucket->full_at.us > now.us ? bucket->full_at.us : now.us;
  if (full_at - now.us > (burst - 1) * every_us)
    return false;
  bucket->full_at.us = full_at + every_us;
  return true;
}

/* As RFC 6479: the bitmap is a ring of words, and moving on clears the words that are entered anew. */
static bool window_take(struct window *window, uint64_t seq) {
  const uint64_t width = WINDOW_WORDS * 64;
  uint64_t *word = &window->bits[seq / 64 % WINDOW_WORDS], bit = UINT64_C(1) << seq % 64;
  if (seq > window->top) {
    uint64_t words = seq / 64 - window->top / 64;
    for (uint64_t i = 1; i <= words && i <= WINDOW_WORDS; i++)
      window->bits[(window->top / 64 + i) % WINDOW_WORDS] = 0;
    window->top = seq;
  } else if (window->top - seq >= width - 64 || (*word & bit) != 0) {
    return false; /* the oldest word is given up whole: it is the one entered next */
  }
  *word |= bit;
  return true;
}

uint64_t seal_cluster_id(const char *name) {
  unsigned char hash[CRYPTO_HASH_SIZE];
  crypto_hash(name, strlen(name), hash);
  return get64(hash);
}

uint32_t seal_digest32(const void *bytes, size_t size) {
  unsigned char hash[CRYPTO_HASH_SIZE];
  crypto_hash(bytes, size, hash);
  return (uint32_t)(get64(hash) >> 32);
}

#define NAME_SEAL(name, text) [SEAL_##name] = text,
const char *seal_result_name(unsigned result) {
  static const char *const names[] = {SEAL_RESULTS(NAME_SEAL)};
  return result < SEAL_RESULT_COUNT ? names[result] : "?";
}
#undef NAME_SEAL

static struct peer *peer_of(struct seal *seal, unsigned voter) {
  assert(voter < VOTERS && voter != seal->self);
  return &seal->peer[(voter + VOTERS - seal->self) % VOTERS - 1];
}

// ---- keys ----

/* The key of one direction. Salt: the sender's session, then the receiver's (0 in a hello). Info: the
   sender's number, then the receiver's, then the cluster's id, so that a key pair may serve several clusters.

   A nonce is never used twice with one key: a key belongs to one session of the sender and to one receiver,
   and within those `seq` only rises (seal_beat asserts it), whatever was derived, forgotten and derived
   again. The copies of one beat share its seq, but each is sealed for another session (in force, claimed, 0),
   hence with another key. */
static bool derive(struct seal *seal, unsigned from, uint64_t from_session, unsigned to, uint64_t to_session,
                   unsigned char key[CRYPTO_KEY_SIZE]) {
  const struct peer *peer = peer_of(seal, from == seal->self ? to : from);
  unsigned char salt[16], info[10] = {(unsigned char)from, (unsigned char)to};
  put64(salt, from_session);
  put64(salt + 8, to_session);
  put64(info + 2, seal->cluster);
  return crypto_derive(seal->crypto, peer->secret, salt, sizeof salt, info, sizeof info, key);
}

static bool derive_receive(struct seal *seal, unsigned from, uint64_t session, struct other *other) {
  *other = (struct other){.session = session};
  return derive(seal, from, session, seal->self, seal->session, other->receive) &&
         derive(seal, from, session, seal->self, 0, other->receive_hello);
}

static uint64_t draw_session(void) {
  uint64_t session = 0;
  while (session == 0) /* which means: unknown */
    crypto_random(&session, sizeof session);
  return session;
}

static int agree(struct seal *seal, uint8_t to, const unsigned char private_key[CRYPTO_KEY_SIZE],
                 const unsigned char public_key[CRYPTO_KEY_SIZE]) {
  struct peer *peer = peer_of(seal, to);
  int rc = crypto_agree(private_key, public_key, peer->secret);
  if (rc == 0 && !derive(seal, seal->self, seal->session, to, 0, peer->send_hello))
    rc = -EIO;
  return rc;
}

int seal_new(struct seal **out, struct crypto *crypto, uint64_t cluster, uint8_t self,
             const unsigned char private_key[CRYPTO_KEY_SIZE],
             const unsigned char public_keys[VOTERS][CRYPTO_KEY_SIZE], char *error, size_t size) {
  assert(self < VOTERS);
  struct seal *seal = calloc(1, sizeof *seal);
  int rc = seal != NULL ? 0 : -ENOMEM;
  if (seal != NULL)
    *seal = (struct seal){.crypto = crypto, .cluster = cluster, .self = self, .session = draw_session()};
  for (uint8_t i = 0; rc == 0 && i < VOTERS; i++)
    if (i != self && (rc = agree(seal, i, private_key, public_keys[i])) != 0)
      snprintf(error, size, "the public key of voter %u cannot be used: %s", i,
               rc == -EINVAL ? "it is of low order; make another with tanist keygen" : strerror(-rc));
  if (seal == NULL)
    snprintf(error, size, "out of memory");
  if (rc != 0) {
    seal_free(seal);
    return rc;
  }
  *out = seal;
  return 0;
}

void seal_free(struct seal *seal) {
  if (seal == NULL)
    return;
  crypto_wipe(seal, sizeof *seal);
  free(seal);
}

uint64_t seal_session(const struct seal *seal) {
  return seal->session;
}

uint64_t seal_peer_session(struct seal *seal, uint8_t peer) {
  return peer_of(seal, peer)->other.session;
}

uint64_t seal_count(const struct seal *seal, enum seal_result result) {
  assert(result < SEAL_RESULT_COUNT);
  return seal->count[result];
}

// ---- sealing ----

/* What is sealed, and where it goes: a row of datagrams, `stride` bytes apart. */
struct parcel {
  const unsigned char *payload;
  const char *note;
  size_t note_size, stride;
  unsigned char *out;
};

static bool seal_for(struct seal *seal, const struct peer *peer, const unsigned char *key, uint64_t heard,
                     const struct parcel *parcel, size_t row) {
  unsigned char plain[SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE + SEAL_NOTE_MAX];
  unsigned char *out = parcel->out + row * parcel->stride;
  size_t size = SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE + parcel->note_size;
  wire_header_encode(&(struct wire_header){seal->cluster, seal->self, seal->session, peer->seq}, out);
  put64(plain, heard);
  put64(plain + 8, peer->count);
  memcpy(plain + SEAL_EXTRA_SIZE, parcel->payload, WIRE_BEAT_SIZE);
  if (parcel->note_size > 0)
    memcpy(plain + SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE, parcel->note, parcel->note_size);
  return crypto_seal(seal->crypto, key, peer->seq, out, WIRE_HEADER_SIZE, plain, size,
                     out + WIRE_HEADER_SIZE);
}

/* They take turns, so that sessions named by hellos that were played back cannot keep out the true one. */
static struct other *next_claim(struct peer *peer) {
  for (unsigned i = 0; i < CLAIMS; i++) {
    struct other *claim = &peer->claim[peer->claim_sealed++ % CLAIMS];
    if (claim->session != 0 && claim->beats > 0)
      return claim;
  }
  return NULL;
}

static size_t seal_parcel(struct seal *seal, uint8_t to, uint64_t seq, const struct parcel *parcel) {
  struct peer *peer = peer_of(seal, to);
  assert(seq > peer->seq); /* or a nonce would be used twice */
  peer->seq = seq;
  peer->count++;
  size_t count = 0;
  const struct other *other = &peer->other;
  if (other->session != 0)
    count += seal_for(seal, peer, other->send, other->heard, parcel, count);
  struct other *claim = next_claim(peer);
  if (claim != NULL) {
    claim->beats--;
    count += seal_for(seal, peer, claim->send, claim->heard, parcel, count);
  }
  /* Last, so that an addressee who can open another of the copies has no need to answer this one. */
  if (other->session == 0 || peer->unanswered >= SILENT_BEATS)
    count += seal_for(seal, peer, peer->send_hello, 0, parcel, count);
  else
    peer->unanswered++;
  return count;
}

size_t seal_beat(struct seal *seal, uint8_t to, uint64_t seq, const unsigned char payload[WIRE_BEAT_SIZE],
                 unsigned char out[SEAL_COPIES][SEAL_SIZE]) {
  return seal_parcel(seal, to, seq, &(struct parcel){.payload = payload, .stride = SEAL_SIZE, .out = out[0]});
}

size_t seal_beat_noted(struct seal *seal, uint8_t to, uint64_t seq,
                       const unsigned char payload[WIRE_BEAT_SIZE], const char *note, size_t size,
                       unsigned char out[SEAL_COPIES][SEAL_SIZE_MAX]) {
  assert(size <= SEAL_NOTE_MAX);
  struct parcel parcel = {payload, note, size, SEAL_SIZE_MAX, out[0]};
  return seal_parcel(seal, to, seq, &parcel);
}

// ---- opening ----

static bool retired(const struct peer *peer, uint64_t session) {
  for (unsigned i = 0; i < RETIRED; i++)
    if (peer->retired[i] == session)
      return true;
  return false;
}

static struct other *find(struct peer *peer, uint64_t session) {
  if (peer->other.session == session)
    return &peer->other;
  for (unsigned i = 0; i < CLAIMS; i++)
    if (peer->claim[i].session == session)
      return &peer->claim[i];
  return NULL;
}

/* A place for a new claim: an unused one, one whose beats are used up, else each in turn. */
static struct other *claim_place(struct peer *peer) {
  for (unsigned i = 0; i < CLAIMS; i++)
    if (peer->claim[i].session == 0 || peer->claim[i].beats == 0)
      return &peer->claim[i];
  return &peer->claim[peer->claim_taken++ % CLAIMS];
}

/* Somebody who holds the peer's key names a session to answer to. Changes nothing but whom beats are sealed
   for too. A new claim is answered at once; after that the usual beats do. */
static enum seal_result take_claim(struct seal *seal, struct peer *peer, struct other *other,
                                   const struct arrival *in) {
  if (in->header.seq <= other->heard)
    return in->header.seq == other->heard ? SEAL_IDLE : SEAL_REPLAY; /* the same one comes on every path */
  other->heard = in->header.seq;
  other->beats = CLAIM_BEATS;
  if (in->known)
    return SEAL_IDLE;
  if (!derive(seal, seal->self, seal->session, in->header.from, other->session, other->send))
    return SEAL_LIMITED;
  *claim_place(peer) = *other;
  return bucket_take(&peer->answer, in->now, ANSWER_EVERY_US, ANSWER_BURST) ? SEAL_HELLO : SEAL_LIMITED;
}

/* A session that was in force is never taken back. The list says so of the last 64 even while somebody still
   uses one of them (two machines that run with one key). Against what was recorded or held back no list would
   do: it ends, and it cannot hold a session that was never in force here, though its holder may have sealed
   for ours after a hello. The floor keeps those out, however many there were, so that we need not draw a new
   session of our own (which the peer would have to take for a restart) when the list is full. */
static void retire(struct peer *peer) {
  if (peer->other.session != 0)
    peer->retired[peer->retired_next++ % RETIRED] = peer->other.session;
}

static bool take_session(struct seal *seal, struct peer *peer, struct other *other,
                         const struct arrival *in) {
  if (!derive(seal, seal->self, seal->session, in->header.from, other->session, other->send))
    return false;
  retire(peer);
  peer->other = *other;
  peer->floor = peer->seq;
  memset(&peer->window, 0, sizeof peer->window);
  memset(peer->path, 0, sizeof peer->path);
  if (in->known) /* it was a claim */
    memset(other, 0, sizeof *other);
  return true;
}

static enum seal_result take_beat(struct peer *peer, const struct arrival *in, struct seal_opened *out) {
  uint64_t seq = in->header.seq;
  bool first = window_take(&peer->window, seq), first_here = window_take(&peer->path[in->path], seq);
  if (!first && !first_here)
    return SEAL_REPLAY;
  if (first)
    peer->unanswered = 0;
  if (seq > peer->other.heard)
    peer->other.heard = seq;
  out->session = in->header.session;
  out->seq = seq;
  out->count = get64(in->plain + 8);
  memcpy(out->payload, in->plain + SEAL_EXTRA_SIZE, WIRE_BEAT_SIZE);
  out->note_size = in->size - SEAL_SIZE;
  memcpy(out->note, in->plain + SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE, out->note_size);
  return first ? SEAL_OK : SEAL_COPY;
}

/* Sealed for our own session: taken if its sender has heard us since the present one was. */
static enum seal_result opened_for_us(struct seal *seal, struct peer *peer, struct other *other,
                                      struct arrival *in, struct seal_opened *out) {
  if (other == &peer->other)
    return take_beat(peer, in, out);
  if (get64(in->plain) <= peer->floor)
    return take_claim(seal, peer, other, in);
  return take_session(seal, peer, other, in) ? take_beat(peer, in, out) : SEAL_LIMITED;
}

static enum seal_result opened_hello(struct seal *seal, struct peer *peer, struct other *other,
                                     const struct arrival *in) {
  if (other != &peer->other)
    return take_claim(seal, peer, other, in);
  if (in->header.seq > other->heard) /* else it is the hello beside a sealed copy, on any path */
    other->heard = in->header.seq;
  return SEAL_IDLE;
}

static bool opens(struct seal *seal, const unsigned char key[CRYPTO_KEY_SIZE], struct arrival *in) {
  return crypto_open(seal->crypto, key, in->header.seq, in->bytes, WIRE_HEADER_SIZE,
                     in->bytes + WIRE_HEADER_SIZE, in->size - WIRE_HEADER_SIZE, in->plain);
}

static enum seal_result try_keys(struct seal *seal, struct arrival *in, struct seal_opened *out) {
  struct peer *peer = peer_of(seal, in->header.from);
  struct other fresh, *other = find(peer, in->header.session);
  in->known = other != NULL;
  if (!in->known) {
    if (retired(peer, in->header.session))
      return SEAL_REPLAY;
    if (!bucket_take(&seal->derive[in->path == SEAL_STRANGER], in->now, DERIVE_EVERY_US, DERIVE_BURST) ||
        !derive_receive(seal, in->header.from, in->header.session, &fresh))
      return SEAL_LIMITED;
    other = &fresh;
  }
  if (opens(seal, other->receive, in))
    return opened_for_us(seal, peer, other, in, out);
  if (opens(seal, other->receive_hello, in))
    return opened_hello(seal, peer, other, in);
  return SEAL_FORGED;
}

static enum seal_result check_header(const struct seal *seal, const unsigned char *bytes, size_t size,
                                     struct wire_header *header) {
  enum wire_result result = wire_header_decode(bytes, size, header);
  if (result == WIRE_OTHER_VERSION)
    return SEAL_VERSION;
  if (result != WIRE_OK || size < SEAL_SIZE || size > SEAL_SIZE_MAX)
    return SEAL_MALFORMED;
  if (header->cluster != seal->cluster)
    return SEAL_CLUSTER;
  return header->from == seal->self ? SEAL_MALFORMED : SEAL_OK;
}

enum seal_result seal_open(struct seal *seal, struct instant now, unsigned path, const unsigned char *bytes,
                           size_t size, struct seal_opened *out) {
  assert(path <= SEAL_STRANGER);
  struct arrival in = {.bytes = bytes, .size = size, .now = now, .path = path};
  enum seal_result result = check_header(seal, bytes, size, &in.header);
  if (result == SEAL_OK) {
    out->from = in.header.from;
    result = try_keys(seal, &in, out);
  }
  seal->count[result]++;
  return result;
}
