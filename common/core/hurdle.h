// SPDX-License-Identifier: Apache-2.0
// What keeps a node from leading: the words in which the predicates of voter.c and role.c answer, so that
// what decides and what explains cannot part. explain.h asks them all.
#ifndef TANIST_CORE_HURDLE_H
#define TANIST_CORE_HURDLE_H

#include "common/core/types.h"

// Its name, the rule of protocol.md, and what takes it away.
#define HURDLES(X)                                                                                           \
  X(NONE, "none", "", "nothing is missing: it may lead as soon as it asks")                                  \
  X(LEADS, "leads", "L4", "it leads already; `tanist switchover` hands over")                                \
  X(FENCING, "fencing", "L11",                                                                               \
    "repair the fence device; or see to it yourself that the other node is off, then `tanist force-master "  \
    "--confirm-down`")                                                                                       \
  X(UNHEARD, "unheard", "section 3", "start it, or mend the network: UDP must pass both ways")               \
  X(RETIRED, "retired", "L8", "its agent is being stopped: start it again")                                  \
  X(BLANK, "blank", "B1",                                                                                    \
    "it must follow a master for a while, or the cluster must be formed: `tanist form`")                     \
  X(EXCLUDED, "excluded", "S4",                                                                              \
    "it must be taken back into the pair by the record's owner (S3), or an operator forces")                 \
  X(NO_EPOCH, "no-epoch", "section 1",                                                                       \
    "start all three voters blank with `tanist reset-voter`, and form the cluster anew")                     \
  X(UNHEALTHY, "unhealthy", "health", "mend its broker: see the checks in its `tanist status`")              \
  X(FROZEN, "frozen", "L2", "`tanist thaw`, or `tanist switchover` at the master")                           \
  X(HELD_DOWN, "held-down", "policy.hold_down_ms", "it ends by itself; until then `tanist switchover` at the master") \
  X(OWN_PROMISE, "own-promise", "L2",                                                                        \
    "its promise ends by itself when no master is heard, or with a hand-over")                               \
  X(SILENT, "silent", "V4", "the silence after a start ends by itself")                                      \
  X(HELD, "held", "L2", "it lets the other node try first; that ends by itself")                             \
  X(PROMISED, "promised", "V2",                                                                              \
    "the promise ends by itself when its leader is not heard, or with a hand-over")                          \
  X(LEADING, "leading", "V2", "this voter leads itself; `tanist switchover` hands over")                     \
  X(VOTER_BLANK, "voter-blank", "B1", "this voter's vote does not count until it has followed a master")     \
  X(NEVER, "never", "V5",                                                                                    \
    "that voter leads itself, is blank, or knows a record that excludes the node: ask it")                   \
  X(TIE, "tie", "L2", "where both could stand, the one behind or not preferred waits a beat longer")

#define ENUM_HURDLE(name, text, rule, change) HURDLE_##name,
enum hurdle_type { HURDLES(ENUM_HURDLE) HURDLE_COUNT };
#undef ENUM_HURDLE

const char *hurdle_name(unsigned type);   // "promised", for programs; "?" for a number that is none
const char *hurdle_rule(unsigned type);   // "V2"; "" for none
const char *hurdle_change(unsigned type); // what would change it

#endif
