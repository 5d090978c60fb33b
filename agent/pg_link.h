// SPDX-License-Identifier: Apache-2.0
// A connection to one PostgreSQL that keeps itself up: connects, sends one query after the other, connects
// again when it is lost. The one file that knows libpq, in its non-blocking form only. Callbacks come from the
// loop alone, never from within pg_link_ask, and may call it; they must not free the link.
#ifndef TANIST_AGENT_PG_LINK_H
#define TANIST_AGENT_PG_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/loop.h"

#define PG_SQL_MAX 4096   // of one query
#define PG_VALUES_MAX 20  // columns of an answer
#define PG_TROUBLE_MAX 160
#define PG_SECRET_MAX 512 // a password's length

struct pg_link;

struct pg_link_settings {
  const char *what;          // in texts for people: "broker.address", "broker.peers.b"
  const char *address;       // "host:port"
  const char *conninfo;      // more of libpq's parameters, as in "sslmode=verify-full"; "" none
  const char *username;      // "": "postgres"
  const char *password_file; // "": none
  const char *name;          // application_name
  uint32_t late_ms;          // an answer that takes longer is reported as late
  uint32_t give_up_ms;       // one that takes longer ends the connection; 0: never
  uint32_t retry_ms;         // between attempts to connect
};

// The first row of what a query brought; values live until the callback returns.
struct pg_answer {
  bool ok;
  char sqlstate[6];   // of an error
  const char *error;  // its first line; "" if ok
  int count;          // of values; 0: no row
  const char *value[PG_VALUES_MAX]; // NULL in the database is ""
};

struct pg_link_watch {
  void *arg;
  void (*up)(void *arg);
  void (*answer)(void *arg, uint32_t tag, struct instant asked, const struct pg_answer *);
  void (*late)(void *arg); // the query under way takes longer than late_ms: once until it is answered
  // The connection was lost (was_up), or an attempt failed. What was asked and not answered may have been
  // carried out or not. heard: somebody there said so, be it that nobody listens; else there was silence.
  void (*down)(void *arg, bool was_up, bool heard);
};

// The settings' strings must outlive the link; a host name is looked up here, once. Connects from the loop.
// 0, -ENOENT (nobody knows the host), -EINVAL (no address), -EBADMSG (libpq cannot read `conninfo`), -ENOMEM.
int pg_link_new(struct pg_link **, struct loop *, const struct pg_link_settings *, const struct pg_link_watch *);
void pg_link_free(struct pg_link *); // NULL is allowed

// Queues a query, whose text is copied; false when there is no connection or no room.
bool pg_link_ask(struct pg_link *, uint32_t tag, const char *sql);

void pg_link_retry(struct pg_link *); // if there is none, tries to connect now
void pg_link_drop(struct pg_link *);  // closes it, and connects anew; `down` is not called
bool pg_link_is_up(const struct pg_link *);
int pg_link_backend(const struct pg_link *); // the process that serves it; 0: none

// Why there is no connection: for people, "" if there is no trouble.
const char *pg_link_trouble(const struct pg_link *);

// The address as host and port that every libpq understands without a name server. 0 or a negative errno.
int pg_link_target(const char *address, char host[static 64], char port[static 8]);

// Reads a password: the file's first line. 0 or a negative errno (-EMSGSIZE: too long).
int pg_secret_read(const char *file, char secret[static PG_SECRET_MAX + 1]);

#endif
