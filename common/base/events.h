// SPDX-License-Identifier: Apache-2.0
// What happened, one event a fact, kept in STATE/CLUSTER.VOTER.events (a ledger) and asked for over the
// control socket. An event is a JSON object with the keys
//
//   serial       rises by one an event, over restarts too
//   time         RFC 3339, UTC, by this machine's wall clock; boottime_us: CLOCK_BOOTTIME of the same moment
//   cluster, node  of which, and who tells it
//   event        role, epoch, lease, record, path, broker, address, fence, order, voter, daemon
//   what         which of these it is, one word: the pairs are listed in tanist(8)
//   level        of the log: error, warning, notice, info
//   sentence     the log's own
//
// and, between them, those of its kind ("from", "to", "epoch", "reason", …).
#ifndef TANIST_BASE_EVENTS_H
#define TANIST_BASE_EVENTS_H

#include "common/base/control.h"
#include "common/base/json.h"
#include "common/base/ledger.h"
#include "common/base/log.h"
#include "common/base/runner.h"

#define EVENTS_BYTES_MAX (512 * 1024) // in memory, and in both files together: some 1500 events
#define EVENTS_WAITING_MAX 4          // connections that follow; one more is refused

struct events;

// `conf` must outlive it. Never NULL but for want of memory.
struct events *events_open(const char *directory, const struct cluster_conf *conf, unsigned self);
void events_close(struct events *); // NULL is allowed

// Begins an event, for the caller to put its own keys into and to give to events_add.
struct json *events_new(struct events *, const char *event, const char *what);
// The same for a fact of the core's, with its keys.
struct json *events_of_fact(struct events *, const struct fact *);
enum log_level events_fact_level(const struct fact *);

// Keeps it, and answers those who follow. The object is taken over; it is handed to `sink` first, if there is
// one.
void events_add(struct events *, struct json *, enum log_level, const char *sentence);

typedef void events_sink_fn(void *arg, const struct json *event);
void events_sink(struct events *, events_sink_fn *, void *arg);

// Answers {"command": "events", "after": SERIAL, "limit": N, "wait": BOOL} with {"events": [ … ], "last":
// SERIAL, "more": BOOL}: those above `after`, oldest first. With `wait`, where there is none, as soon as
// there is one.
void events_request(struct events *, struct control *, uint64_t connection, const struct json *request);

// The same as text, a line each, malloc'ed; NULL for want of memory.
char *events_text(const struct events *, uint64_t after, size_t *size);

// What the operator must know of the file, "" while all is well. Returns buf.
const char *events_trouble(const struct events *, char *buf, size_t size);
size_t events_damaged(const struct events *);
uint64_t events_count(const struct events *); // so many were there ever

#endif
