// SPDX-License-Identifier: Apache-2.0
#include "common/core/transition.h"

#define S ROLE_SECONDARY
#define Q ROLE_SUSPECT
#define C ROLE_CANDIDATE
#define M ROLE_MASTER

const struct transition transition_table[] = {
    {S, Q, CAUSE_NO_LEADER, "L1", "no master is heard: asking whether the others would vote for this node"},
    {Q, S, CAUSE_HEARD, "V1", "a master is heard: following it"},
    {Q, C, CAUSE_STAND, "L2", "the promise is over and another voter is free: standing for election"},
    {S, C, CAUSE_HANDOVER, "L8", "the master hands over: standing for election at once"},
    {Q, C, CAUSE_HANDOVER, "L8", "the master, seldom heard, hands over: standing for election at once"},
    {C, M, CAUSE_ELECTED, "L3", "another voter granted its vote: master"},
    {C, Q, CAUSE_GAVE_UP, "L2", "no vote came in time: the candidacy is given up"},
    {C, Q, CAUSE_VOTED, "V2", "voted for the other node: the candidacy is given up"},
    {C, Q, CAUSE_UNFIT, "L2", "no longer fit to lead: the candidacy is given up"},
    {C, S, CAUSE_HEARD, "V1", "a master is heard: the candidacy is given up"},
    {M, S, CAUSE_LEASE, "L5", "the lease ran out unrenewed: no longer master"},
    {M, S, CAUSE_DEPOSED, "L6", "a master of a higher epoch is heard: deposed"},
    {M, S, CAUSE_HANDED, "L8", "handed over to the other node"},
    {M, S, CAUSE_RETIRED, "L5",
     "stopped by an operator, and the other node cannot take over: no longer master"},
    {M, S, CAUSE_FENCE, "L5", "the kernel fence is lost and could not be mended: stepping down"},
    {M, S, CAUSE_UNFIT, "B2", "this voter lost its memory: stepping down"},
    {M, S, CAUSE_GAVE_UP, "L11", "no longer fit to lead while the fence device is awaited: the reign is given up"},
    {S, M, CAUSE_FORCED, "F1", "an operator forced this node to lead without a majority"},
    {Q, M, CAUSE_FORCED, "F1", "an operator forced this suspect node to lead without a majority"},
    {C, M, CAUSE_FORCED, "F1", "an operator forced this candidate to lead without a majority"},
};
const size_t transition_count = sizeof transition_table / sizeof transition_table[0];

#undef S
#undef Q
#undef C
#undef M

const struct transition *transition_find(unsigned from, unsigned to, unsigned cause) {
  for (size_t i = 0; i < transition_count; i++) {
    const struct transition *t = &transition_table[i];
    if (t->from == from && t->to == to && t->cause == cause)
      return t;
  }
  return NULL;
}

const char *cause_name(unsigned cause) {
#define NAME(name, text) text,
  static const char *const names[] = {CAUSES(NAME)};
#undef NAME
  return cause < CAUSE_COUNT ? names[cause] : "?";
}
