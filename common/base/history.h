// SPDX-License-Identifier: Apache-2.0
// The history of epochs as one voter saw it, kept in STATE/CLUSTER.VOTER.history (a ledger): who led, from
// when to when, where its broker stood at the start, and why it ended. Found by looking at the core after
// each step: the master knows by itself, the other two by its beats. What a voter did not see it does not
// invent: a reign whose master is not heard stays open until another begins.
#ifndef TANIST_BASE_HISTORY_H
#define TANIST_BASE_HISTORY_H

#include "common/base/clock.h"
#include "common/base/control.h"
#include "common/base/json.h"
#include "common/base/marks.h"
#include "common/base/runner.h"

#define HISTORY_BYTES_MAX (256 * 1024) // in both files together
#define HISTORY_REIGNS_MAX 200         // in memory, the newest

struct history;

// `conf` must outlive it. Never NULL but for want of memory.
struct history *history_open(const char *directory, const struct cluster_conf *conf, unsigned self);
void history_close(struct history *); // NULL is allowed

void history_fact(struct history *, const struct fact *); // each TELL: why the own reigns begin and end
void history_look(struct history *, const struct core *); // after each step
// Who forced this node to lead, and why; again, when it is known already, does nothing.
void history_forced(struct history *, unsigned node, const struct marks_force *);

// Answers {"command": "history", "after": SERIAL} with {"history": [ … ], "last": SERIAL, "more": BOOL}: a
// reign each, oldest first, as tanist(8) describes it.
void history_request(const struct history *, struct control *, uint64_t connection,
                     const struct json *request);

// Since when the present master leads, RFC 3339, UTC; NULL where none is known. In `buf`, which it returns.
const char *history_since(const struct history *, char buf[CLOCK_WALL_TEXT_SIZE]);
// The reigns begun since the daemon's first start, for counting.
uint64_t history_count(const struct history *);
const char *history_trouble(const struct history *, char *buf,
                            size_t size); // "" while all is well; returns buf

#endif
