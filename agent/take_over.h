// SPDX-License-Identifier: Apache-2.0
// What surrounds a take-over on this node: who answers for the virtual IPs, and whether their links are up. A
// stranger's answer is told, and with conflict = "refuse" keeps this node from leading; a claim against an
// address that is held here is answered by announcing it again; a master whose link is down hands over.
#ifndef TANIST_AGENT_TAKE_OVER_H
#define TANIST_AGENT_TAKE_OVER_H

#include "common/base/json.h"
#include "common/core/types.h"

struct agent;
struct take_over;

// Without it the pair works. NULL: out of memory, or no virtual IP.
struct take_over *take_over_open(struct agent *);
void take_over_close(struct take_over *); // NULL is allowed, as everywhere here

void take_over_stepped(struct take_over *); // after each list of actions: a change of role or master is looked into
void take_over_watch(struct take_over *);   // each beat
// Takes health away for a refused conflict or a link that is down.
void take_over_judge(const struct take_over *, struct broker_report *);

void take_over_warn(const struct take_over *, void (*warn)(void *arg, const char *text), void *arg);
void take_over_put(const struct take_over *, size_t index, struct json *address); // "answered_by", "link"

#endif
