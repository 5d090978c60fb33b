// SPDX-License-Identifier: Apache-2.0
// A connection to one Redis that keeps itself up: connects, authenticates, pipelines commands, connects again
// when it is lost. Never blocks; nothing is allocated after redis_link_new. Callbacks come from the loop
// alone, never from within redis_link_ask or redis_link_flush, and may call both; they must not free the
// link.
#ifndef TANIST_AGENT_REDIS_LINK_H
#define TANIST_AGENT_REDIS_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/resp.h"
#include "agent/tls.h"
#include "common/base/loop.h"

#define REDIS_SECRET_MAX 512 // a password's length

struct redis_link;

struct redis_link_settings {
  const char *what;          // in texts for people: "broker.address", "broker.peers.b"
  const char *address;       // "host:port"
  const char *username;      // "": Redis' default user
  const char *password_file; // "": do not authenticate
  struct tls_settings tls;
  const char *name;          // CLIENT SETNAME, for whoever looks at CLIENT LIST
  size_t answer_max;         // the longest answer; 0: 64 KiB
  uint32_t late_ms;          // an answer that takes longer is reported as late
  uint32_t give_up_ms;       // one that takes longer ends the connection; 0: never
  uint32_t retry_ms;         // between attempts to connect
};

struct redis_link_watch {
  void *arg;
  void (*up)(void *arg); // connected; what is asked now goes right behind AUTH
  // The answer to a redis_link_ask with that tag, which was called at `asked`. The value lives until the
  // return.
  void (*answer)(void *arg, uint32_t tag, struct instant asked, const struct resp_value *);
  void (*late)(void *arg); // the oldest question waits longer than late_ms: once until an answer comes
  // The connection was lost (was_up), or an attempt failed. error: 0 it was closed in good order, else an
  // errno. What was asked and not answered never will be: it may have been carried out or not.
  void (*down)(void *arg, bool was_up, int error);
};

// The settings' strings must outlive the link; a host name is looked up here, once. Connects from the loop.
// 0 or a negative errno.
int redis_link_new(struct redis_link **, struct loop *, const struct redis_link_settings *,
                   const struct redis_link_watch *);
void redis_link_free(struct redis_link *); // NULL is allowed

// Queues a command; false when there is no connection or no room (whoever has stopped answering gets no
// more). It leaves at the next redis_link_flush, or when the callback that asked returns.
bool redis_link_ask(struct redis_link *, uint32_t tag, size_t count, const char *const *words);
void redis_link_flush(struct redis_link *);

// The password file may have changed: logs in again over the connection that there is. What Redis refuses leaves
// it as it was, with a trouble.
void redis_link_login_again(struct redis_link *);

bool redis_link_is_up(const struct redis_link *);
bool redis_link_is_late(const struct redis_link *);

// Why there is no connection, or no permission: for people, "" if there is no trouble.
const char *redis_link_trouble(const struct redis_link *);

// Reads a password: the file's bytes without a newline at the end. 0 or a negative errno (-EMSGSIZE: too
// long).
int redis_secret_read(const char *file, char secret[static REDIS_SECRET_MAX + 1]);

#endif
