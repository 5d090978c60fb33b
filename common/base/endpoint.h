// SPDX-License-Identifier: Apache-2.0
// One voter of one cluster on the network: struct beat <-> sealed datagrams over every path to the other two.
//
// Path k to a peer runs from own address k mod (number of own ones) to its address k mod (number of its own),
// for k below the larger number; both sides count alike. A path whose two ends are of different families does
// not exist.
#ifndef TANIST_BASE_ENDPOINT_H
#define TANIST_BASE_ENDPOINT_H

#include "common/base/key.h"
#include "common/base/net.h"
#include "common/base/seal.h"

#define ENDPOINT_ADDRESSES SEAL_PATHS // of one voter; a beat's paths_heard has a bit for each path
static_assert(ENDPOINT_ADDRESSES <= 8, "struct beat: paths_heard");

struct endpoint_voter {
  const char *name; // for error texts
  unsigned char public_key[KEY_SIZE];
  struct net_address address[ENDPOINT_ADDRESSES];
  unsigned addresses; // 1 to ENDPOINT_ADDRESSES
};

// Everything is copied. The private key goes no further than the secrets made of it.
struct endpoint_config {
  const char *cluster;
  uint8_t self; // enum voter_id
  const struct key *key;
  struct endpoint_voter voter[VOTERS];
  uint32_t timeout_ms; // a path that brought nothing for so long is not heard: some beats
};

// An authentic beat, newer than any before it of the sender's `session`; on whichever path it came first.
// `note` is text for people of `size` bytes, seldom any, without a 0 behind it.
typedef void endpoint_beat_fn(void *arg, uint64_t session, const struct beat *, const char *note,
                              size_t size);

// Send `peer` a beat now, without ASK: it has just started and needs one to learn our session, or ours just
// became known to it by such a one. Optional for correctness (the next beat does the same), and limited in
// rate.
typedef void endpoint_hello_fn(void *arg, uint8_t peer);

struct endpoint;

// Opens (or shares) the sockets of the own addresses and draws a new session. 0; or -errno with `error`
// filled: a key that is not the configured one, a public key that protects nothing, an address that cannot be
// had, a peer without a path. `net` and `crypto` must outlive the endpoint. Neither callback may close it.
int endpoint_open(struct endpoint **, struct net *, struct crypto *, const struct endpoint_config *,
                  endpoint_beat_fn *, endpoint_hello_fn *, void *arg, char *error, size_t size);
void endpoint_close(struct endpoint *); // NULL is allowed

// Sends a beat from `self` on all paths to beat->to, with paths_heard filled in. Asserts that beat->seq is
// above that of every beat sent to it before. 0 if a datagram left on any path, else the -errno of the last
// path: nothing to act on, as a beat may be lost anyway.
// A note of up to SEAL_NOTE_MAX bytes goes with it; size 0: none.
int endpoint_send(struct endpoint *, const struct beat *, const char *note, size_t size);

uint64_t endpoint_session(const struct endpoint *);

// ---- for status ----

#define PATH_STATES(X)                                                                                       \
  X(UP, "up")                                                                                                \
  X(DOWN, "down")                                                                                            \
  X(DEAF, "deaf") /* we are heard, we hear nothing */                                                        \
  X(MUTE, "mute") /* we hear, we are not heard */

#define ENUM_PATH(name, text) PATH_##name,
enum path_state { PATH_STATES(ENUM_PATH) PATH_STATE_COUNT };
#undef ENUM_PATH

struct endpoint_path {
  bool present;
  struct net_address own, peer;
  enum path_state state;
  int64_t rtt_us; // smoothed; -1: none measured. Only who asks (masters, candidates, suspects) can measure it
  double loss_percent;             // of the peer's beats, on this path, over the last few hundred
  int error;                       // errno of the last datagram sent, 0 if it left
  uint64_t sent, received, errors; // datagrams; received: authentic ones of the peer's session
};

struct endpoint_counters {
  uint64_t result[SEAL_RESULT_COUNT]; // datagrams by what became of them; MALFORMED counts payloads too
  uint64_t late; // authentic beats that a newer one had overtaken; counted under OK as well
  uint64_t datagrams_in, bytes_in, datagrams_out, bytes_out;
};

unsigned endpoint_paths(const struct endpoint *, uint8_t peer); // path numbers are below this
struct endpoint_path endpoint_path(const struct endpoint *, uint8_t peer, unsigned path);
struct endpoint_counters endpoint_counters(const struct endpoint *);
const char *path_state_name(unsigned state); // "?" for a number that is none

#endif
