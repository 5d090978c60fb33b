// SPDX-License-Identifier: Apache-2.0
// The reference broker: a master that appends each message to its log and sends it to every node, of which
// one, the secondary, keeps the same log and can take over. What Tanist asks of a broker is in duty.c; the
// master's side of the connections is in serve.c, the secondary's in follow.c. One thread, one loop; what has
// come in during a turn of it is written and synced once, at its end (group commit).
#ifndef TANIST_TESTS_BROKER_BROKER_H
#define TANIST_TESTS_BROKER_BROKER_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "tests/broker/frame.h"
#include "tests/broker/log.h"

struct broker_options {
  const char *state_page; // RUN/CLUSTER.NAME.state
  const char *directory;  // for log, history, fence and orphan files; must exist
  const char *listen;     // ADDRESS:PORT
  bool at_once;           // deliver before the commit; a failover announces void ranges
  bool async;             // replication = "async": a failover may lose acknowledged messages, which leaves gaps
};

struct session;

struct broker {
  struct broker_options options;
  struct event_base *loop;
  struct event *change; // the state page's bell
  struct event *wait;   // for the state page to be there
  struct event *turn;   // all that has come in is handled: it is written and sent on
  struct event *commit; // and that is under way: it is synced
  struct event *idle;   // a heartbeat for those who only listen
  size_t batch;         // appended and not synced
  struct evconnlistener *listener;
  struct tanist *tanist;
  struct tanist_history *history;
  struct tanist_fence *fence;
  struct tanist_dedup *dedup;
  struct log *log;
  struct tanist_view view; // the duty that the broker is in, or works towards
  bool leads;              // the duty is LEAD, and it is reached
  uint64_t overtaken;      // the highest epoch that a receiver has refused this broker for
  uint64_t received, acknowledged, delivered; // totals, for status
  struct session *sessions;
  struct session *secondary; // one of them: the node that follows; NULL
  struct waiting *waiting;   // a ring of what was appended and not acknowledged yet
  size_t waiting_first, waiting_count, waiting_room;
  struct bufferevent *master; // the connection to the master that is followed; NULL
  struct event *again;        // to try that connection anew
  bool following;             // cut back and attached
};

// ---- duty.c ----

int duty_open(struct broker *); // waits in the loop for an agent that has not started yet
void duty_close(struct broker *);
// The log has grown, or more of it is durable: report it.
void duty_report(struct broker *);
void duty_done(struct broker *); // the duty is reached
// The disk fails: nothing is acknowledged any more, and the agent is told.
void duty_disk_failed(struct broker *, int error);

// ---- serve.c: producers, consumers, the secondary ----

int serve_open(struct broker *);
void serve_close(struct broker *);
void serve_end(struct broker *, bool clients_only); // close the sessions, telling them who leads
void serve_pause(struct broker *, bool);            // take nothing more from producers
void serve_advance(struct broker *);                // send, acknowledge and deliver what can be by now

// ---- follow.c: as secondary ----

void follow_start(struct broker *);
void follow_stop(struct broker *);
void follow_synced(struct broker *); // the log is durable as far as it goes

// ---- broker.c ----

// Appends to log, history and dedup; it is written and synced at the end of this turn of the loop.
int broker_append(struct broker *, const struct log_entry *);
int broker_sync(struct broker *);                     // now; 0 or a negative errno
int broker_cut(struct broker *, uint64_t position);   // the log, and history and dedup with it

#endif
