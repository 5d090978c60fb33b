// SPDX-License-Identifier: Apache-2.0
// What makes an agent's crash no outage of the broker (L10): the reign is kept at every step (common/base/reign.h,
// runner.c) and taken up by the next agent, if its lease still runs or it is sole owner.
#ifndef TANIST_AGENT_RESUME_H
#define TANIST_AGENT_RESUME_H

#include <stdbool.h>

#include "common/core/types.h"

struct agent;

// First of all, since it is also what keeps two agents of one node apart: -EBUSY, told. 0 also where nothing can be
// kept.
int resume_open(struct agent *);

// The rest needs the runner.
bool resume_wanted(const struct agent *);
struct instant resume_fence(const struct agent *); // how long the fence is in force from the first moment on
const char *resume_incarnation(const struct agent *); // of the broker that led; "" unknown
void resume_begin(struct agent *);                    // in the place of holding the broker

// What is not known yet of a broker that the agent before knew is as that one knew it. False: nothing to tell.
bool resume_report(struct agent *, struct broker_report *);
void resume_seen(struct agent *);        // the broker has reached its duty, or does not answer
void resume_note_broker(struct agent *); // after each report: which broker is the one that leads

void resume_leave(void *agent, int signo); // SIGUSR1
#endif
