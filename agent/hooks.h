// SPDX-License-Identifier: Apache-2.0
// The operator's programs: told of every event (hooks.event), and run before the own broker is made master or
// is made something else (hooks.before_promote, hooks.before_demote). Run by path without arguments, with the
// variables of interface.md in their environment. What they answer changes nothing; what they do not finish
// in time is killed.
#ifndef TANIST_AGENT_HOOKS_H
#define TANIST_AGENT_HOOKS_H

#include <stdbool.h>

#include "agent/broker.h"
#include "agent/words.h"
#include "common/base/json.h"

#define HOOKS_WAITING_MAX 64 // events that wait for their turn; those beyond are counted
#define HOOKS_EVENT_MS 10000 // for one program, at one event

struct agent;
struct hooks;

// 0, or -ENOMEM. The agent's events and configuration must be there.
int hooks_open(struct hooks **, struct agent *);
void hooks_close(struct hooks *); // what runs is killed; NULL is allowed

// True: programs are to run before this duty, and agent_apply will be called with it when they are done, or
// at the latest after a lease. A newer duty takes its place.
bool hooks_before(struct hooks *, const struct broker_duty *);

bool hooks_busy(const struct hooks *); // a change still waits for them
void hooks_stepped(struct hooks *);                      // after each step
void hooks_reason(struct hooks *, const char *sentence); // of the last change of role: their TANIST_REASON

// What programs are told of this node: cluster, node, peer, epoch, role, reason (NULL: of the last change of
// role), and where there is a master, master, master_address, since. What is there already is kept of the last three.
void hooks_words(const struct agent *, uint64_t epoch, const char *reason, struct words *);

const char *hooks_trouble(const struct hooks *); // what the operator must know; "" while all is well

#endif
