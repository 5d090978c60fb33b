// SPDX-License-Identifier: Apache-2.0
// Every legal change of a node's role. The sentence is the log line and a row of the diagram in
// ARCHITECTURE.md; the explorer proves that each row is reached and no other.
#ifndef TANIST_CORE_TRANSITION_H
#define TANIST_CORE_TRANSITION_H

#include "common/core/types.h"

#define CAUSES(X)                                                                                            \
  X(NO_LEADER, "no-leader")                                                                                  \
  X(HEARD, "heard")                                                                                          \
  X(STAND, "stand")                                                                                          \
  X(HANDOVER, "handover")                                                                                    \
  X(ELECTED, "elected")                                                                                      \
  X(GAVE_UP, "gave-up")                                                                                      \
  X(VOTED, "voted")                                                                                          \
  X(UNFIT, "unfit")                                                                                          \
  X(LEASE, "lease")                                                                                          \
  X(DEPOSED, "deposed")                                                                                      \
  X(HANDED, "handed")                                                                                        \
  X(RETIRED, "retired")                                                                                      \
  X(FENCE, "fence")                                                                                          \
  X(FORCED, "forced")

#define ENUM_CAUSE(name, text) CAUSE_##name,
enum cause { CAUSES(ENUM_CAUSE) CAUSE_COUNT };
#undef ENUM_CAUSE

struct transition {
  uint8_t from, to; // enum role
  uint8_t cause;    // enum cause
  const char *rule; // of protocol.md
  const char *sentence;
};

extern const struct transition transition_table[];
extern const size_t transition_count;

const struct transition *transition_find(unsigned from, unsigned to,
                                         unsigned cause); // NULL: not a legal change
const char *cause_name(unsigned cause);

#endif
