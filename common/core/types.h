// SPDX-License-Identifier: Apache-2.0
// The words of the protocol. Every part of Tanist speaks of the same things by these names.
#ifndef TANIST_CORE_TYPES_H
#define TANIST_CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/core/limits.h"

// A point of CLOCK_BOOTTIME. A struct, so that it cannot be mixed with a duration (plain int64_t, unit in the
// name).
struct instant {
  int64_t us;
};

#define INSTANT_NEVER ((struct instant){INT64_MAX}) // later than any other: no deadline, or sole ownership
#define INSTANT_PAST ((struct instant){INT64_MIN})  // earlier than any other: has not happened yet

// Who there is. Nodes are the voters 0 and 1. NOBODY stands where a voter's number could be.
enum voter_id { VOTER_A = 0, VOTER_B = 1, VOTER_W = 2, NOBODY = 3 };
#define VOTERS 3
#define NODES 2

#define ROLES(X)                                                                                             \
  X(WITNESS, "witness")                                                                                      \
  X(SECONDARY, "secondary")                                                                                  \
  X(SUSPECT, "suspect")                                                                                      \
  X(CANDIDATE, "candidate")                                                                                  \
  X(MASTER, "master")

#define ENUM_ROLE(name, text) ROLE_##name,
enum role { ROLES(ENUM_ROLE) ROLE_COUNT };
#undef ENUM_ROLE

// What replication the broker offers (protocol.md, end of section 6).
#define REPLICATIONS(X)                                                                                      \
  X(SYNC, "sync")                                                                                            \
  X(ASYNC, "async")                                                                                          \
  X(SHARED, "shared")                                                                                        \
  X(NONE, "none")

#define ENUM_REPLICATION(name, text) REPLICATION_##name,
enum replication { REPLICATIONS(ENUM_REPLICATION) REPLICATION_COUNT };
#undef ENUM_REPLICATION

enum record_mode { RECORD_PAIR = 0, RECORD_SOLE = 1 };

// The sync record (section 6). Version 0 is the founding record of B3; a master's first one is version 1.
struct record {
  uint64_t epoch;
  uint32_t version;
  uint8_t mode;  // enum record_mode
  uint8_t owner; // enum voter_id; NOBODY in PAIR
};

// How far a broker's data reaches. (0, 0) is the position of an empty broker.
struct position {
  uint64_t epoch; // of the last entry
  uint64_t offset;
};

struct frozen {
  uint32_t serial; // the higher one is adopted from whoever shows it
  bool on;
};

// The highest epoch and record that another voter has shown (B2).
struct seen {
  uint64_t epoch;
  struct record sync;
};

// What must survive a crash (section 2); everything else may be lost.
struct ballot {
  uint64_t epoch;
  struct record sync;
  uint32_t lease_max_ms;
  bool blank;
  struct frozen frozen;
  uint64_t forced[NODES];   // F1: each node's forced reign that is not over yet; 0: none
  struct seen seen[VOTERS]; // [self] is unused
};

enum beat_flag {
  BEAT_ASK = 1 << 0,
  BEAT_RELEASED = 1 << 1,
  BEAT_HANDOVER = 1 << 2,
  BEAT_BLANK = 1 << 3,
  BEAT_WITNESS = 1 << 4,
  BEAT_FORCED = 1 << 5, // an operator forced the sender to lead (F1), and that is not over yet
  BEAT_WAITS = 1 << 6,  // a master: it waits for its fence device, and does not lead yet (L11)
};
#define BEAT_FLAGS_ALL 0x7f
#define FREE_NEVER UINT32_MAX // free_ms: not for any length of waiting

// One datagram (section 3). Fields as there; the session belongs to the seal and is no part of it.
struct beat {
  uint8_t from, to; // enum voter_id
  uint8_t role;     // enum role
  uint8_t flags;    // enum beat_flag
  uint64_t seq, echo, grant;
  uint64_t epoch;
  struct record sync;
  uint64_t reign;
  uint8_t leader; // enum voter_id
  uint64_t leader_epoch;
  uint32_t free_ms, lease_ms;
  uint16_t health; // 0: must not lead
  struct position position;
  struct seen seen_you;
  struct frozen frozen;
  // For people; the core copies them from its configuration or leaves them to the shell.
  int64_t wall_ms;
  uint32_t version, config;
  uint8_t paths_heard; // bit i: the sender lately heard its addressee on path i
};

// ---- events: what happens to a core ----

#define EVENTS(X)                                                                                            \
  X(TIMER, "timer")             /* core_deadline has come, or any other moment */                            \
  X(BEAT, "beat")               /* an authenticated beat, newer than any before it in its session */         \
  X(BROKER, "broker")           /* what is known of the own broker */                                        \
  X(DONE, "done")               /* the broker has reached the duty with this serial */                       \
  X(ORDER, "order")             /* an operator's word */                                                     \
  X(DISK_FAILED, "disk-failed") /* the PERSIST of the last list failed: nothing behind it was performed */   \
  X(HELLO, "hello")             /* a voter that has just started needs a beat to learn our session from */   \
  X(CONFIG, "config")           /* settings that may change while it runs */                                 \
  X(FENCE_LOST, "fence-lost")   /* the kernel fence is gone and could not be mended */                       \
  X(RESUME, "resume")           /* L10: another process takes up this core, which core_resumable allowed */    \
  X(FENCED, "fenced")           /* L11: the fence device has answered that the other node is off */

#define ENUM_EVENT(name, text) EVENT_##name,
enum event_type { EVENTS(ENUM_EVENT) EVENT_COUNT };
#undef ENUM_EVENT

// What a broker driver and the health checks say of the own broker, and of the other one as seen from it.
struct broker_report {
  uint16_t health;          // 0: must not lead
  bool dead;                // it has died, as `dead_when` has it: hand over if the other can (L8)
  bool silent;              // it does not answer: link and positions are of before
  bool link;                // as master: the secondary is attached; as secondary: attached to its master
  struct position position; // of the own broker; epoch = the reign followed or led once attached in it
  struct position peer;     // as master: what the secondary holds, straight from the brokers; (0,0) unknown
};

#define ORDERS(X)                                                                                            \
  X(SWITCHOVER, "switchover") /* hand over, planned (L8) */                                                  \
  X(RETIRE, "retire")         /* a clean stop: hand over if the other may lead, never stand again */         \
  X(FREEZE, "freeze")                                                                                        \
  X(THAW, "thaw")                                                                                            \
  X(FORM, "form")   /* B3 with data: `node` holds it, epochs above `above` */                                \
  X(FORCE, "force") /* F1 */

#define ENUM_ORDER(name, text) ORDER_##name,
enum order_type { ORDERS(ENUM_ORDER) ORDER_COUNT };
#undef ENUM_ORDER

struct order {
  uint8_t type; // enum order_type
  uint8_t node; // FORM: whose data counts
  uint32_t timeout_ms;
  uint64_t above; // FORM
};

// What may change while a core runs: no promise, lease or record in force rests on it. The rest needs a
// restart, whose silence (V4) covers what was promised before.
struct core_settings {
  uint8_t preferred; // VOTER_A or VOTER_B
  uint32_t witness_grace_ms, degrade_ms, join_hold_ms, hold_down_ms;
  uint32_t config; // the digest, for people
};

struct event {
  enum event_type type;
  struct instant now;
  union {
    struct {
      uint64_t session; // of the sender, as the seal has it
      struct beat beat;
    } beat;
    struct broker_report broker;
    struct {
      uint32_t serial;          // of the duty that was reached
      struct position position; // of the own broker, taken after it was reached
    } done;
    struct order order;
    struct core_settings config;
    uint8_t hello;   // enum voter_id: to whom
    uint64_t fenced; // the epoch of the FENCE_PEER that this answers
  };
};

// ---- actions: what a core wants done, in this order ----

#define ACTIONS(X)                                                                                           \
  X(ADDRESS_DROP, "address-drop") /* remove the virtual IPs */                                               \
  X(FENCE_CLOSE, "fence-close")   /* close the kernel fence now */                                           \
  X(SPARE_PEER, "spare-peer")     /* the fence device is to turn the other node off no more */               \
  X(FENCE_ARM, "fence-arm")       /* the kernel lets traffic pass until `until` (NEVER: sole ownership) */   \
  X(FENCE_PEER, "fence-peer") /* the fence device is to turn the other node off, until it has or is told not to */ \
  X(PERSIST, "persist") /* the ballot to disk; a barrier: if it fails, nothing behind it happens */          \
  X(SEND, "send")                                                                                            \
  X(BROKER, "broker") /* the duty of the own broker, a newer one replaces it */                              \
  X(ADDRESS_ADD, "address-add")                                                                              \
  X(TELL, "tell") /* a fact for log, events and status; performed also when PERSIST failed */

#define ENUM_ACTION(name, text) ACTION_##name,
enum action_type { ACTIONS(ENUM_ACTION) ACTION_COUNT };
#undef ENUM_ACTION

#define BROKER_MODES(X)                                                                                      \
  X(HOLD, "hold")     /* serve nobody and take no writes; keep the data */                                   \
  X(FOLLOW, "follow") /* secondary of `master`, in its reign `epoch` */                                      \
  X(LEAD, "lead")     /* master in `epoch` */

#define ENUM_BROKER_MODE(name, text) BROKER_##name,
enum broker_mode { BROKER_MODES(ENUM_BROKER_MODE) BROKER_MODE_COUNT };
#undef ENUM_BROKER_MODE

// What the own broker is to be. Level, not edge: doing it twice does no harm, and the newest one alone
// counts.
struct broker_duty {
  uint32_t serial; // of this duty; EVENT_DONE answers with it
  uint8_t mode;    // enum broker_mode
  uint8_t master;  // whom to follow
  uint64_t epoch;
  bool paused; // acknowledge nothing
  bool evict;  // and close the clients' connections, so that they meet a reset and not silence (L8)
  bool sync;   // wait for the secondary before acknowledging
};

#define FACTS(X)                                                                                             \
  X(ROLE, "role")           /* from, to (enum role), cause: a row of the transition table */                 \
  X(REIGN, "reign")         /* this node's reign is now `epoch` without a change of role (L7) */             \
  X(LEADER, "leader")       /* `who` leads in `epoch` */                                                     \
  X(RECORD, "record")       /* the record known here is now `sync` */                                        \
  X(COMMITTED, "committed") /* the record `sync` is committed */                                             \
  X(FORMED, "formed")       /* this voter is no longer BLANK */                                              \
  X(BLANKED, "blanked")     /* this voter found that it lost its memory (B2) */                              \
  X(AMNESIAC, "amnesiac")   /* `who` shows less than it has shown before (B2) */                             \
  X(FROZEN, "frozen")                                                                                        \
  X(THAWED, "thawed")                                                                                        \
  X(FORCED, "forced")           /* an operator forced `who` to lead in `epoch` (F1) */                       \
  X(FORCE_OVER, "force-over")   /* a majority exists again, and both nodes are in it: F1 of `who` is over */ \
  X(BOTH_FORCED, "both-forced") /* both were: `who` in `epoch`, the higher, the other in `sync.epoch` */     \
  X(REFUSED, "refused")         /* an order was refused: `why` */                                            \
  X(ACCEPTED, "accepted")       /* an order is under way */                                                  \
  X(COMPLETED, "completed")     /* an order is done */                                                       \
  X(TAKEN_BACK, "taken-back")   /* a hand-over was given up, this node goes on as master: `why` */           \
  X(FENCING, "fencing")         /* L11: the reign `epoch` does not begin before `who` is known to be off */  \
  X(CLEARED, "cleared")         /* L11: now it begins, since `who` is out of the way: `why` */

#define ENUM_FACT(name, text) FACT_##name,
enum fact_type { FACTS(ENUM_FACT) FACT_COUNT };
#undef ENUM_FACT

#define REASONS(X)                                                                                           \
  X(NONE, "none")                                                                                            \
  X(NOT_MASTER, "this node is not master")                                                                   \
  X(BUSY, "a hand-over is already under way")                                                                \
  X(PEER_SILENT, "the other node is not heard")                                                              \
  X(PEER_UNHEALTHY, "the other node's broker is not fit to lead")                                            \
  X(PEER_BLANK, "the other node is blank: it has no memory that counts")                                     \
  X(PEER_BEHIND, "the other node does not hold everything that was acknowledged")                            \
  X(TIMED_OUT, "the other node did not catch up in time")                                                    \
  X(NOT_ALL_BLANK, "not all three voters are blank and hear each other")                                     \
  X(ALREADY, "it is so already")                                                                             \
  X(NOT_A_NODE, "the witness cannot do this, ask an agent")                                                  \
  X(DISK, "the ballot cannot be written")                                                                    \
  X(LEADS_ALREADY, "this node is master already")                                                            \
  X(NO_EPOCH, "no epoch is left above those seen")                                                          \
  X(FENCING, "this node waits for the fence device, and does not lead yet")                                  \
  X(PEER_OFF, "the fence device says that it is off")                                                        \
  X(PEER_QUIET, "it is heard, and nothing of a reign runs there")                                            \
  X(PEER_DOWN, "an operator says that it is down")

#define ENUM_REASON(name, text) REASON_##name,
enum reason { REASONS(ENUM_REASON) REASON_COUNT };
#undef ENUM_REASON

struct fact {
  uint8_t type; // enum fact_type
  uint8_t who;  // enum voter_id
  uint8_t from, to, cause;
  uint8_t order; // enum order_type of REFUSED, ACCEPTED, COMPLETED, TAKEN_BACK
  uint8_t why;   // enum reason
  uint64_t epoch;
  struct record sync;
};

struct action {
  enum action_type type;
  union {
    struct instant until;      // FENCE_ARM
    struct ballot ballot;      // PERSIST
    struct beat beat;          // SEND
    struct broker_duty broker; // BROKER
    uint64_t peer_off;         // FENCE_PEER: the reign that waits for it; EVENT_FENCED names it
    struct fact fact;          // TELL
  };
};

struct actions {
  size_t count;
  struct action at[ACTIONS_MAX];
};

// The names of the enums above, as log, trace and JSON spell them; "?" for a number that is none.
const char *role_name(unsigned role);
const char *replication_name(unsigned replication);
const char *event_name(unsigned type);
const char *order_name(unsigned type);
const char *action_name(unsigned type);
const char *broker_mode_name(unsigned mode);
const char *fact_name(unsigned type);
const char *reason_text(unsigned reason);
const char *voter_name(unsigned voter); // "a", "b", "w", "-" for NOBODY

#endif
