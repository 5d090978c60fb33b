// SPDX-License-Identifier: Apache-2.0
// What a driver may be asked to do with its broker: verbs, and what they answer. tanist-drivers(7) is for those
// who write them.
#ifndef TANIST_BASE_VERB_H
#define TANIST_BASE_VERB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VERBS(X)                                                                                             \
  X(HELLO, "hello", "once, before all else; may answer supports=VERB,VERB,...")                              \
  X(PROBE, "probe", "what is it now, before anything was asked of it? Answers as monitor")                   \
  X(MONITOR, "monitor", "is it well, as deep as TANIST_DEPTH says? Answers 0, 8 as master, 7 not running")   \
  X(POS, "pos", "answers position=N: how far its data reach")                                                \
  X(START, "start", "starts it, as a secondary that serves nobody, always")                                  \
  X(PROMOTE, "promote", "makes it master in TANIST_EPOCH, once all it has received is carried out")          \
  X(DEMOTE, "demote", "it serves nobody and follows nobody, and keeps its data")                             \
  X(FENCE, "fence", "the same by force, where demote failed")                                                \
  X(PAUSE, "pause", "it acknowledges nothing until resume or demote, or for TANIST_FOR_MS")                  \
  X(RESUME, "resume", "it acknowledges again")                                                               \
  X(EVICT, "evict", "closes the connections of its clients, and those alone")                                \
  X(WAITPOS, "waitpos", "ends when the secondary holds TANIST_POSITION")                                     \
  X(REJOIN, "rejoin", "it follows the master at TANIST_MASTER_ADDRESS, what it had beyond kept in TANIST_ORPHAN") \
  X(SYNC, "sync", "TANIST_SYNC = on: it acknowledges only what the secondary holds; off: it does not wait")  \
  X(STOP, "stop", "ends it, where demote and fence failed")

#define VERBS_ENUM(name, text, help) VERB_##name,
enum verb { VERBS(VERBS_ENUM) VERB_COUNT };

#define VERB_BIT(verb) (1u << (verb))

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

const char *verb_name(enum verb); // "promote"
bool verb_find(const char *name, size_t length, enum verb *);

// Of "monitor,promote,..." the set of VERB_BITs; what is no verb is left out.
uint32_t verb_set(const char *names);

// The verbs that a broker cannot do without, where it replicates so (enum replication).
uint32_t verb_needed(int replication);

// The names in a set, "pos, sync"; returns buf.
const char *verb_names(uint32_t set, char *buf, size_t size);

#endif
