// SPDX-License-Identifier: Apache-2.0
// One voter: ballot and promise, rules V1-V6 and B1 of protocol.md. Nodes and witness run the same code.
#ifndef TANIST_CORE_VOTER_H
#define TANIST_CORE_VOTER_H

#include "common/core/hurdle.h"
#include "common/core/types.h"

// Before `until`, vote for nobody but `leader`. Forgotten in a crash: V4.
struct promise {
  uint8_t leader;
  uint64_t leader_epoch;
  uint64_t grant; // the newest beat of the leader on which the promise rests
  struct instant until;
};

struct voter {
  uint8_t self;
  struct ballot ballot;
  bool dirty; // the ballot differs from what is on disk
  struct promise promise;
  struct instant silence_until; // V4

  // Leases granted without a break of their length, since when: after lease_max of them the ballot's may be
  // lowered.
  uint32_t run_lease_ms;
  struct instant run_since;

  // B1: the reign that this BLANK voter follows without a gap, since when, and the first beat sent after
  // lease_max of it.
  uint64_t followed_reign;
  struct instant followed_since;
  uint64_t followed_seq;
};

// A voter that starts now with this ballot, in silence where V4 demands it.
void voter_init(struct voter *, unsigned self, const struct ballot *, struct instant now);

// V1 for a beat with role MASTER. True: accepted, promised. `next_seq` is the number of the next beat to be
// sent.
bool voter_accept(struct voter *, const struct beat *, struct instant now, uint64_t next_seq);
// V2 but for the epochs: why this voter would not vote for `node`, `newest` being the newer of both sync
// records; HURDLE_NONE: it would. `leading` as below.
enum hurdle_type voter_hurdle(const struct voter *, unsigned node, const struct record *newest,
                              struct instant now, bool leading);
// V2 for a beat that asks for `epoch`. `leading`: this voter is itself a master with a valid lease or sole
// ownership.
bool voter_vote(struct voter *, const struct beat *, uint64_t epoch, struct instant now, bool leading);
// V3 for a beat with RELEASED.
void voter_release(struct voter *, const struct beat *, struct instant now);
// V5: free_ms for a node.
uint32_t voter_free_ms(const struct voter *, unsigned node, struct instant now, bool leading);
// V6. True if the record was newer.
bool voter_adopt(struct voter *, const struct record *);
// B1: has this BLANK voter followed long enough, as the master's beat shows? `on_node`: only under SOLE of
// that master.
bool voter_lifts(const struct voter *, const struct beat *, bool needs_sole);

void voter_stand(struct voter *, uint64_t epoch);  // L2: epoch, nobody as leader
void voter_blank(struct voter *);                  // B2
void voter_recall(struct voter *, uint64_t epoch); // B2: told of an epoch that it once had
void voter_form(struct voter *, uint64_t epoch, const struct record *); // B3
bool voter_silent(const struct voter *, struct instant now);            // V4
bool voter_promised(const struct voter *, struct instant now);          // the promise runs
void voter_no_leader(struct voter *);                                   // the promise is over and forgotten

#endif
