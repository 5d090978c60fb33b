// SPDX-License-Identifier: Apache-2.0
// Sealing and opening of datagrams, and who is in which session (protocol.md, section 8). Knows no sockets,
// no clock and no field of a beat; the cryptography itself is crypto.c's.
//
// A datagram:   header (clear, wire.h) | sealed { heard 8 | count 8 | payload | note } | tag 16
//   heard   the highest number that the sender has opened of the session it seals for; 0 in a hello
//   note    text for people, seldom any; nothing is decided by it
//   count   how many beats it has sealed for this addressee, this one included: gaps in it are losses
//
// A **hello** is a beat sealed for session 0: it only tells the addressee a session to answer to. The
// addressee keeps that session as a **claim** and seals its next beats for it as well. A claim becomes the
// peer's session by a beat sealed for our own one that shows, by `heard`, that its sender has opened
// something which we sealed after we took the peer's present session. That last condition is what keeps out a
// datagram of a dead session that was held back on its way and never arrived here before: its sender cannot
// have heard us since.
#ifndef TANIST_BASE_SEAL_H
#define TANIST_BASE_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/crypto.h"
#include "common/core/types.h"
#include "common/core/wire.h"

#define SEAL_PATHS 8 // numbered from 0; SEAL_STRANGER for a source that is none of the peer's addresses
#define SEAL_STRANGER SEAL_PATHS
#define SEAL_EXTRA_SIZE 16 // heard, count
#define SEAL_SIZE (WIRE_HEADER_SIZE + SEAL_EXTRA_SIZE + WIRE_BEAT_SIZE + CRYPTO_TAG_SIZE)
#define SEAL_NOTE_MAX 1000 // bytes: the datagram fits into the least that IPv6 carries, 1280 with all headers
#define SEAL_SIZE_MAX (SEAL_SIZE + SEAL_NOTE_MAX)
#define SEAL_COPIES 3 // a beat is sealed for the session in force, for one claim, and as a hello, at most

// Counted in this order; OK, COPY, HELLO and IDLE are authentic.
#define SEAL_RESULTS(X)                                                                                      \
  X(OK, "ok")           /* for us, of the peer's session, and the first of its number */                     \
  X(COPY, "copy")       /* the same, but it came on another path before */                                   \
  X(HELLO, "hello")     /* of a session not known here: send a beat now, it will be sealed for that too */   \
  X(IDLE, "idle")       /* a hello that tells nothing new: nothing to do */                                  \
  X(REPLAY, "replay")   /* had before, too old to tell, or of a session that was replaced */                 \
  X(FORGED, "forged")   /* does not open: altered, or sealed with another key or for another session */      \
  X(VERSION, "version") /* of another version of the protocol */                                             \
  X(CLUSTER, "cluster") /* of another cluster */                                                             \
  X(MALFORMED, "malformed") /* not as long as a datagram, or its sender is nobody here */                    \
  X(LIMITED, "limited")     /* not looked into: too many of unknown sessions at this moment */

#define ENUM_SEAL(name, text) SEAL_##name,
enum seal_result { SEAL_RESULTS(ENUM_SEAL) SEAL_RESULT_COUNT };
#undef ENUM_SEAL

struct seal;

// What an authentic datagram held: all of it for OK and COPY, `from` for HELLO too.
struct seal_opened {
  uint8_t from; // enum voter_id
  uint64_t session, seq, count;
  unsigned char payload[WIRE_BEAT_SIZE];
  size_t note_size;
  char note[SEAL_NOTE_MAX]; // no 0 behind it
};

// One voter of one cluster, in a session drawn now. Copies the secrets it needs, not the keys. `crypto` must
// outlive it. 0 or -errno with `error` filled (-EINVAL: a public key of low order).
int seal_new(struct seal **, struct crypto *, uint64_t cluster, uint8_t self,
             const unsigned char private_key[CRYPTO_KEY_SIZE],
             const unsigned char public_keys[VOTERS][CRYPTO_KEY_SIZE], char *error, size_t size);
void seal_free(struct seal *); // NULL is allowed; wipes the keys

uint64_t seal_session(const struct seal *);
uint64_t seal_peer_session(struct seal *, uint8_t peer); // 0: none yet
uint64_t seal_count(const struct seal *, enum seal_result);
const char *seal_result_name(unsigned result); // "?" for a number that is none

// Seals one beat for `to` in every way that is due; the datagrams belong on every path. Asserts that `seq` is
// above every number sealed for `to` before. Returns how many datagrams there are: 1 to SEAL_COPIES (0 if
// OpenSSL fails).
size_t seal_beat(struct seal *, uint8_t to, uint64_t seq, const unsigned char payload[WIRE_BEAT_SIZE],
                 unsigned char out[SEAL_COPIES][SEAL_SIZE]);
// The same with a note of at most SEAL_NOTE_MAX bytes: each datagram is SEAL_SIZE + size bytes long.
size_t seal_beat_noted(struct seal *, uint8_t to, uint64_t seq, const unsigned char payload[WIRE_BEAT_SIZE],
                       const char *note, size_t size, unsigned char out[SEAL_COPIES][SEAL_SIZE_MAX]);

// Opens a datagram that came on `path` at `now`, counts it, and learns what it tells of the peer's session.
enum seal_result seal_open(struct seal *, struct instant now, unsigned path, const unsigned char *bytes,
                           size_t size, struct seal_opened *);

uint64_t seal_cluster_id(const char *name); // the first 8 bytes of the SHA-256 of a cluster's name
uint32_t seal_digest32(const void *bytes,
                       size_t size); // the first 4: by these the voters compare configurations

#endif
