// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "agent/verbs_engine.h"

static const struct {
  int rc;
  const char *what, *advice;
} meanings[] = {
    {VERB_FAILED, "failed", "see the broker's log"},
    {VERB_ARGUMENTS, "does not understand what it is told", "mend it: tanist-drivers(7)"},
    {VERB_UNSUPPORTED, "not supported", "it is needed here: tanist-drivers(7)"},
    {VERB_PERMISSION, "not permitted", "give the agent's user what it needs"},
    {VERB_INSTALLED, "a program is missing", "install what it needs on this node"},
    {VERB_CONFIGURED, "configured wrongly", "correct its configuration on this node"},
    {VERB_NOT_RUNNING, "the broker does not run", "start it, and see its log"},
    {VERB_MASTER, "it is master still", "see its log; the fence keeps clients out"},
    {VERB_FAILED_MASTER, "failed as master", "see its log"},
    {VERB_STALE, "a higher epoch was seen there", "let the node that led in it lead, or see tanist-drivers(7)"},
    {VERB_DIVERGED, "its data part from the master's", "copy the master's data here, or rejoin by hand"},
    {VERB_BEHIND, "not caught up", "wait; if it lasts, see why replication stands"},
    {VERB_BUSY, "not now", "wait; if it lasts, see the broker's log"},
    {VERB_DEGRADED, "works, but worse than it should", "see the broker's log"},
};

void verbs_trouble(char out[static VERBS_TROUBLE_MAX], enum verb verb, int rc, uint32_t limit_ms,
                   const char *said) {
  const char *what = "an answer that means nothing", *advice = "mend it: tanist-drivers(7)";
  char own[80];
  for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
    if (meanings[i].rc == rc) {
      what = meanings[i].what;
      advice = meanings[i].advice;
    }
  if (rc == VERB_DEADLINE) {
    snprintf(own, sizeof own, "no answer in %u ms, ended", limit_ms);
    what = own;
    advice = "the broker hangs, or broker.verb_timeout_ms (health's timeout_ms) is short";
  }
  // What it says itself is worth more than our guess.
  if (said[0] != 0)
    snprintf(out, VERBS_TROUBLE_MAX, "%s (%d): %s: %s", verb_name(verb), rc, what, said);
  else
    snprintf(out, VERBS_TROUBLE_MAX, "%s (%d): %s: %s", verb_name(verb), rc, what, advice);
}
