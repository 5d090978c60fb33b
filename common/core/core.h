// SPDX-License-Identifier: Apache-2.0
// A voter of one cluster as a pure value: the whole protocol behind one function. A node and the witness are
// the same struct; the witness (config.self == VOTER_W) has the role WITNESS for ever and none of the node's
// duties.
//
// The caller owns clock, disk, network, broker, address and fence: it turns what happens into events, calls
// core_step, and performs the actions in order before it handles the next event (section 2: one beat or timer
// at a time).
#ifndef TANIST_CORE_CORE_H
#define TANIST_CORE_CORE_H

#include "common/core/transition.h"
#include "common/core/types.h"
#include "common/core/voter.h"

struct core_config {
  uint8_t self;        // enum voter_id
  uint8_t preferred;   // VOTER_A or VOTER_B: stands first where both could
  uint8_t replication; // enum replication
  bool strict;         // never acknowledge alone
  uint32_t lease_ms, beat_ms, drift_ppm;
  uint32_t witness_grace_ms; // S6; 0 = never
  uint32_t degrade_ms;       // S2: so long may the secondary stand still
  uint32_t join_hold_ms;     // S3: so long must it keep up; longer after it was lost again soon
  uint32_t hold_down_ms;     // so long after a failover there is no other one by itself; 0 = off
  uint64_t max_lag;          // ASYNC: so far behind may a promoted node be, in the broker's offsets
  bool withholds;            // ASYNC: the broker itself acknowledges nothing beyond that
  bool fence_required;       // L11: nobody leads by election before the other node is known to be off
  uint32_t version, config;  // for people: copied into beats
};

// A beat under way: what a grant of it is worth (L4).
struct sent {
  uint64_t seq;
  struct instant at;
  uint32_t lease_ms;
};

// What is known of another voter. `beat` counts only while session != 0.
struct peer {
  uint64_t session;
  uint64_t echo;            // the newest seq of that session
  bool anew;                // it has begun another session, of which no beat was opened yet
  struct beat beat;         // the beat with that seq
  struct instant heard;     // when it came
  struct instant reached;   // when the newest own beat that it has echoed was sent: it hears us, we hear it
  struct instant free_at;   // the moment, foretold by its free_ms, to ask it again; NEVER
  struct instant asked;     // last beat to it with ASK
  struct instant sent_last; // last beat to it at all
  bool amnesiac;            // B2: shows less than it has shown before; treated as BLANK
  struct sent sent[SENT_MAX];
  uint8_t sent_next;
};

enum handover_phase { HANDOVER_NONE, HANDOVER_JOIN, HANDOVER_PAUSE, HANDOVER_DRAIN, HANDOVER_EVICT };

// A planned hand-over under way at the master (L8).
struct handover {
  uint8_t phase; // enum handover_phase
  uint8_t order; // ORDER_SWITCHOVER or ORDER_RETIRE
  struct instant until;
  bool evicted;          // the broker's clients are gone
  struct position final; // where the paused broker stands: the other must reach it
};

// L10: what is in force was for a process that is no more; it is shown again, whether it differs or not.
enum unknown { UNKNOWN_ADDRESS = 1, UNKNOWN_FENCE = 2, UNKNOWN_BROKER = 4, UNKNOWN_ALL = 7 };

// What the shell was told to hold in force. Emitted as actions by difference (emit.c).
struct shown {
  uint8_t unknown; // enum unknown
  bool address;
  struct instant fence; // PAST: closed
  uint64_t peer_off;    // L11: the reign for which the fence device is at it; 0
  struct broker_duty broker;
};

struct core {
  struct core_config config;
  struct instant now; // of the last event
  struct voter voter;
  struct peer peer[VOTERS]; // [self] is unused
  uint64_t seq;             // of the last beat sent; one row of numbers for all addressees
  uint64_t random;          // state of the back-off's generator
  uint8_t role;             // enum role

  bool disk_failing; // the last PERSIST failed: nothing is sent or claimed until one succeeds
  struct instant retry_at;
  struct shown shown, released; // in force; in force if everything behind PERSIST was not performed

  // Leading
  uint64_t reign;             // the epoch in which this node is master, or the last one in which it was
  uint64_t spoilt;            // the reign in which its broker died: what that writes again needs another (L7)
  uint64_t claim_seq;         // the first beat of this candidacy, or of this wish for a new epoch (L7)
  struct instant give_up_at;  // L2: a candidate that has won nothing
  struct instant stand_after; // L2, L8: no candidacy before
  struct instant ready_since; // since when all of L2 but the tie's extra wait holds; NEVER
  struct instant lease_end;
  bool forced;  // F1: leads without a majority, until one exists again
  bool handing; // beats carry HANDOVER: the other shall stand
  bool retired; // ORDER_RETIRE: stands no more
  struct handover handover;
  uint64_t led;               // hold-down: the newest reign it knows of; 0: of none, or there is no hold-down
  bool planned;               // hold-down: the lead is passing by an order
  struct instant failover_at; // hold-down: when it last passed by itself; PAST: it has not seen that

  // L11, where a fence device is required
  bool clear;               // since this candidacy began the other node has shown that nothing runs there
  uint64_t unfenced;        // the reign waits, won in this epoch, until the other node is out of the way; 0
  bool device_due;          // for the fence device, that is
  struct instant device_at; // when it is asked at the latest

  // The record at work (a master's)
  bool committed;                // the ballot's record is on another voter's disk too
  bool established;              // one of this mastership's records was committed: the broker may serve
  bool joining;                  // S3: the broker is told to wait for the secondary, `join_at` is awaited
  bool join_known;               // the broker waits for the secondary, for all that is behind join_at
  struct position join_at;       // taken after it began to wait
  bool synchronous;              // S6: the broker never stopped waiting
  struct instant keeps_up_since; // NEVER: the secondary does not
  uint8_t flaps;                 // so often in a row was it lost soon after the last time: the hold doubles
  struct instant lost_at;        // when it was lost last in this reign; PAST
  struct instant missing_since;  // S2: it is lost, and nobody has granted a beat sent since; NEVER
  struct instant progress_at;    // when the secondary last advanced or was level with this broker
  uint64_t peer_offset;          // the secondary's highest in this reign
  struct instant witness_at;     // S6: when either node last heard the witness both ways

  // The own broker
  struct broker_report broker;
  bool quiet;     // nothing of any reign runs here: may show RELEASED
  bool promoted;  // the broker has reached the present duty as master
  uint8_t follow; // whose secondary it is to be; NOBODY
  uint64_t follow_epoch;
};

// A core that starts now. `random` seeds the back-off; any value. The first core_step then does the first
// work.
void core_init(struct core *, const struct core_config *, const struct ballot *, struct instant now,
               uint64_t random);

// L10: may this core, kept before the actions of its last step, go on in another process, as after a pause? A
// master with a valid lease or sole ownership, of this configuration, that the ballot on the disk does not
// contradict. It is then copied, and its first event is EVENT_RESUME. Else the node starts as ever (L9).
bool core_resumable(const struct core *kept, const struct core_config *, const struct ballot *disk,
                    struct instant now);

// Handles one event; writes what is to be done to *actions, in the order: releases, PERSIST, SEND, claims,
// TELL. A failed PERSIST is answered with EVENT_DISK_FAILED; TELL is performed all the same. Never fails.
void core_step(struct core *, const struct event *, struct actions *);

// When core_step wants to be called with EVENT_TIMER if nothing else happens before.
struct instant core_deadline(const struct core *);

// The numbered invariants (invariant.c): 0 if all hold after a step, else the number of the first that does
// not.
unsigned core_check(const struct core *);
const char *core_invariant(unsigned number);

// Views
enum reason
core_obstacle(const struct core *); // why a planned hand-over would be refused now; REASON_NONE: it would not
bool core_leads(const struct core *, struct instant now); // master, with a valid lease or sole ownership
bool core_waits(const struct core *);                     // L11: it leads, but nothing of the reign begins yet
bool core_sole(const struct core *);                      // S5
bool core_held_down(const struct core *, struct instant now); // after a failover there is no other one by itself
struct instant core_held_down_until(const struct core *);      // PAST: it is not
const struct record *core_record(const struct core *);
bool core_blank_peer(const struct core *, unsigned voter);
bool core_hears(const struct core *, unsigned voter, struct instant now); // both ways, lately

#endif
