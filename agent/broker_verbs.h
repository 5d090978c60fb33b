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
//
// A transport without the verb start, of a broker that does not replicate, is that of a service: it runs on the
// master alone, promote starts it, demote stops it, and not running (rc 7) is how it is elsewhere.
#ifndef TANIST_AGENT_BROKER_VERBS_H
#define TANIST_AGENT_BROKER_VERBS_H

#include "agent/broker.h"
#include "agent/words.h"
#include "common/base/verb.h"

#define VERBS_FRESH_MS 5000 // beyond its deadline, for the first verb after verbs_lost(NULL)
#define VERBS_TIMEOUT_MS 10000 // broker_settings.verb_timeout_ms, where it is 0

// What a verb answers beside its rc (common/base/verb.h). Words that the engine reads, in any answer and with any event, none of them needed:
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
// And what every verb is told (the same in TANIST_CLUSTER and so on for a program): verb, deadline_ms, cluster,
// node, peer, address, peer_address, username, password_file, replication, epoch, role, reason, and where they
// are known master, master_address, since; beside them what its row in verb.h names.
struct verb_reply {
  int rc; // enum verb_rc; any other number counts as VERB_FAILED
  struct words words;
  char said[200]; // its last words on stderr, cleaned, for people; "" none
};

struct verbs; // the engine

// A transport. Its functions are called from the loop only, and may call none of verbs_* from within.
struct verbs_transport {
  bool blind; // it tells no positions: replication = "async" is allowed all the same, and status says so
  // Returns its state in *state, or a negative errno with *error. `supports` is the set of VERB_BITs that it
  // can carry, for as far as it knows before hello. Settings and their strings outlive it.
  int (*open)(void **state, struct verbs *, struct loop *, const struct broker_settings *, uint32_t *supports,
              const char **error);
  // Begins a verb. None is under way. Its answer comes from the loop by verbs_answer; deadline_ms is for the
  // broker to know: the engine keeps it. 0, or a negative errno: it could not be begun, and nothing comes.
  // -EAGAIN: nobody is there to carry it now, and verbs_lost is about to say so.
  int (*begin)(void *state, enum verb, uint32_t deadline_ms, const struct words *);
  // Ends the verb under way by force, so that nothing more of it happens: no answer comes for it.
  void (*kill)(void *state);
  void (*close)(void *state); // leaves the broker as it is; ends what is under way
};

// ---- for transports: from the loop, never from within one of their own functions ----

void verbs_answer(struct verbs *, const struct verb_reply *); // to the verb under way
// What any verb is told, as far as it is known now: for what a transport starts by itself.
void verbs_describe(const struct verbs *, struct words *);
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
