// SPDX-License-Identifier: Apache-2.0
// Brokers that are driven by verbs: `exec`, `coprocess`, `ocf`, `systemd` and whatever comes besides. The engine
// (struct verbs) turns the newest duty into idempotent verbs, one at a time, each with a deadline, and what they
// answer into a broker_view; a transport carries one verb to the broker and its answer back. The engine and
// every transport run on the loop and never block.
//
// How the engine goes about a duty:
//   none yet  hello, then probe and monitor alone: nothing is changed (L10).
//   HOLD      demote; where that fails or hangs fence, and where that fails stop. Asked for at once: no other
//             verb's answer is waited for, what is under way gets a beat and is killed. No verb of these may
//             need the network or the other node.
//   FOLLOW    demote if it leads; start if it is down; rejoin.
//   LEAD      start if it is down; promote with the epoch, and again in each new epoch; then pause, sync,
//             resume, in this order, as they differ from what was last answered with 0; with pause: pos, and
//             waitpos until the secondary has it.
//   between   monitor every probe_every_ms (depth 1; 2 while it serves as master, 3 while it also waits for
//             the secondary), and pos if monitor told no position.
// A verb that failed is tried again after a while, later each time. A verb that outlasts its deadline is
// killed (rc 124): a health failure. A promote that fails is one too, so that the other node can lead.
#ifndef TANIST_AGENT_BROKER_VERBS_H
#define TANIST_AGENT_BROKER_VERBS_H

#include "agent/broker.h"
#include "agent/words.h"

// What the words to each verb are, beside those of VERBS_ALWAYS, is in tanist-drivers(7).
#define VERBS(X)                                                                                             \
  X(HELLO, "hello")     /* once after the start of the transport; may answer supports=VERB,VERB,... */       \
  X(PROBE, "probe")     /* what is it now? As monitor, before anything was asked of it; monitor does too */  \
  X(MONITOR, "monitor") /* depth: is it well? Answers are below */                                           \
  X(POS, "pos")         /* how far do its data reach? */                                                     \
  X(START, "start")     /* as a secondary that serves nobody, always */                                      \
  X(PROMOTE, "promote") /* epoch, sync, paused: leads once all that was received is carried out */           \
  X(DEMOTE, "demote")   /* serves nobody, follows nobody, keeps its data */                                  \
  X(FENCE, "fence")     /* the same by force */                                                              \
  X(PAUSE, "pause")     /* for_ms: acknowledges nothing until resume, demote, or for_ms are over */          \
  X(RESUME, "resume")                                                                                        \
  X(EVICT, "evict")     /* closes the clients' connections, and only those */                                \
  X(WAITPOS, "waitpos") /* position: until the secondary holds it */                                         \
  X(REJOIN, "rejoin")   /* master, master_address, epoch, orphan, diverged_*: follows that broker */         \
  X(SYNC, "sync")       /* sync = on, off: acknowledges only what the secondary holds */                     \
  X(STOP, "stop")       /* the process is gone when it answers */

#define VERBS_ENUM(name, text) VERB_##name,
enum verb { VERBS(VERBS_ENUM) VERB_COUNT };

#define VERB_BIT(verb) (1u << (verb))
const char *verb_name(enum verb);                    // "promote"
bool verb_find(const char *name, size_t length, enum verb *);

// What a verb answers: 0 to 9 as OCF resource agents do.
enum verb_rc {
  VERB_OK = 0, // probe, monitor: runs, not as master
  VERB_FAILED = 1,
  VERB_ARGUMENTS = 2,
  VERB_UNSUPPORTED = 3,
  VERB_PERMISSION = 4,
  VERB_INSTALLED = 5,
  VERB_CONFIGURED = 6,
  VERB_NOT_RUNNING = 7,
  VERB_MASTER = 8,        // runs as master
  VERB_FAILED_MASTER = 9, // still master, but does not work
  VERB_STALE = 20,        // its receivers have seen a higher epoch
  VERB_DIVERGED = 21,     // its data are no prefix of the master's
  VERB_BEHIND = 22,       // not caught up
  VERB_BUSY = 23,         // not now: asked again soon
  VERB_DEGRADED = 24,     // works, but worse than it should
  VERB_DEADLINE = 124,
};

// What it says beside. Words that the engine reads, in any answer and with any event, none of them needed:
//   position, epoch   how far its own data reach (a number that rises; 0: holds nothing) and, where the broker
//                     itself keeps it, the epoch of the last entry
//   peer              as master: what the secondary holds, in the same count
//   link              1: the secondary is attached; as secondary: attached to the master it is to follow; 0
//   writable, paused, sync   1 or 0 as the broker itself has it
//   incarnation       up to 47 bytes: another text, another process
//   role              master or secondary: where an answer's rc does not say it (any verb but probe, monitor)
//   note              for people: what is the matter, and what to do
//   orphan            rejoin: the path of the file with what was cut off, where it is not the one it was told
//   supports          hello: the verbs that it knows; all others are never asked for
struct verb_reply {
  int rc; // enum verb_rc; any other number counts as VERB_FAILED
  struct words words;
  char said[200]; // its last words on stderr, cleaned, for people; "" none
};

struct verbs; // the engine

// A transport. Its functions are called from the loop only, and may call none of verbs_* from within.
struct verbs_transport {
  // Returns its state in *state, or a negative errno with *error. `supports` is the set of VERB_BITs that it
  // can carry, for as far as it knows before hello. Settings and their strings outlive it.
  int (*open)(void **state, struct verbs *, struct loop *, const struct broker_settings *, uint32_t *supports,
              const char **error);
  // Begins a verb. None is under way. Its answer comes from the loop by verbs_answer; deadline_ms is for the
  // broker to know: the engine keeps it. 0, or a negative errno: it could not be begun, and nothing comes.
  int (*begin)(void *state, enum verb, uint32_t deadline_ms, const struct words *);
  // Ends the verb under way by force, so that nothing more of it happens: no answer comes for it.
  void (*kill)(void *state);
  void (*close)(void *state); // leaves the broker as it is; ends what is under way
};

// ---- for transports: from the loop, never from within one of their own functions ----

void verbs_answer(struct verbs *, const struct verb_reply *); // to the verb under way
// Something happened at the broker: the words count as an answer's do, and it is looked at at once, except for the
// event "position", whose words are all there is to it.
void verbs_event(struct verbs *, const char *name, const struct words *);
// What answers is another one now (a co-process that was started again), or nobody (`why` says why, for
// people; NULL: it is back). What was under way is lost; hello is asked again when it is back.
void verbs_lost(struct verbs *, const char *why);

// ---- for drivers ----

// `settings` is copied with its strings; `name` is the driver's. -EINVAL with *error naming the verb that is missing for the
// replication that is configured.
int verbs_open(void **state, struct loop *, const struct broker_settings *, const struct broker_watch *,
               const struct verbs_transport *, const char **error);
void verbs_apply(void *state, const struct broker_duty *);
void verbs_kill_clients(void *state);
const struct broker_view *verbs_view(const void *state);
void verbs_close(void *state);

// A driver's row: what of it is not the engine's is its name, whether it can replicate, and its transport.
#define VERBS_DRIVER(NAME, REPLICATES, OPEN)                                                                 \
  {                                                                                                          \
    .name = (NAME), .replicates = (REPLICATES), .open = (OPEN), .apply = verbs_apply,                        \
    .kill_clients = verbs_kill_clients, .view = verbs_view, .close = verbs_close                             \
  }

#endif
