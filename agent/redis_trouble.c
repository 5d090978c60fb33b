// SPDX-License-Identifier: Apache-2.0
#include "agent/redis_trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void redis_trouble_connect(char out[static REDIS_TROUBLE_MAX], const char *what, const char *address,
                           int error) {
  const char *advice = "check the address and the network";
  if (error == ECONNREFUSED)
    advice = "nothing listens there: start Redis, or correct the address";
  else if (error == EBADMSG)
    advice = "what answers there is not Redis, or closed the connection: check the address and maxclients";
  else if (error == ETIMEDOUT)
    advice = "no answer in time: it hangs, is stopped or overloaded, or the network is cut";
  snprintf(out, REDIS_TROUBLE_MAX, "%s (%s): %s", what, address, advice);
}

static bool begins(const char *error, size_t length, const char *prefix) {
  return length >= strlen(prefix) && memcmp(error, prefix, strlen(prefix)) == 0;
}

bool redis_trouble_ends_connection(const char *error, size_t length) {
  return begins(error, length, "WRONGPASS") || begins(error, length, "NOAUTH") ||
         begins(error, length, "ERR invalid password") || begins(error, length, "ERR AUTH") ||
         begins(error, length, "ERR max number of clients") || begins(error, length, "DENIED");
}

// What a Redis sent goes to logs and screens: no control characters.
static void clean(char *text) {
  for (; *text; text++)
    if (*text < ' ' || *text > '~')
      *text = '?';
}

void redis_trouble_answer(char out[static REDIS_TROUBLE_MAX], const char *what, const char *command,
                          const char *user, const char *error, size_t length) {
  const char *name = user[0] != '\0' ? user : "default";
  if (begins(error, length, "WRONGPASS") || begins(error, length, "ERR invalid password"))
    snprintf(out, REDIS_TROUBLE_MAX,
             "%s: user \"%s\" refused: broker.username or broker.password_file is wrong", what, name);
  else if (begins(error, length, "ERR AUTH"))
    snprintf(out, REDIS_TROUBLE_MAX,
             "%s: Redis has no password: set requirepass there, or empty broker.password_file", what);
  else if (begins(error, length, "NOAUTH"))
    snprintf(out, REDIS_TROUBLE_MAX,
             "%s: Redis wants a password: set broker.password_file (and broker.username)", what);
  else if (begins(error, length, "DENIED"))
    snprintf(out, REDIS_TROUBLE_MAX,
             "%s: Redis' protected mode lets in loopback only: give it a password, or bind it", what);
  else if (begins(error, length, "NOPERM"))
    snprintf(out, REDIS_TROUBLE_MAX,
             "%s: user \"%s\" may not run %s: grant it, ACL SETUSER %s "
             "+info +replicaof +config|set +client +set +bgrewriteaof ~tanist:probe",
             what, name, command, name);
  else if (begins(error, length, "LOADING"))
    snprintf(out, REDIS_TROUBLE_MAX, "%s: Redis is still loading its data: wait until it has", what);
  else if (begins(error, length, "BUSY"))
    snprintf(out, REDIS_TROUBLE_MAX, "%s: a script blocks Redis: SCRIPT KILL or FUNCTION KILL ends it", what);
  else if (begins(error, length, "MASTERDOWN"))
    snprintf(out, REDIS_TROUBLE_MAX,
             "%s: Redis refused %s without its master: set replica-serve-stale-data yes", what, command);
  else
    snprintf(out, REDIS_TROUBLE_MAX, "%s: Redis refused %s: %.*s", what, command,
             (int)(length < 80 ? length : 80), error);
  clean(out);
}

static const struct {
  const char *prefix;
  enum redis_refusal kind;
  const char *text; // behind "Redis refuses writes"
} refusals[] = {
    {"MISCONF Errors writing to the AOF", REFUSAL_FAILS,
     " (MISCONF): it cannot write its append-only file: free or mend the disk of its `dir`; it goes on by itself then"},
    {"MISCONF", REFUSAL_FAILS,
     " (MISCONF): its last snapshot failed: free or mend the disk of its `dir`, then BGSAVE; its log says more"},
    {"READONLY", REFUSAL_FAILS,
     " (READONLY): somebody made it a replica of another: find out who sends REPLICAOF beside the agent"},
    {"OOM", REFUSAL_SHARED,
     " (OOM): maxmemory is used up, at the other node as well: raise maxmemory, or let maxmemory-policy evict"},
    {"NOREPLICAS", REFUSAL_ALONE,
     " (NOREPLICAS): min-replicas-to-write asks for more than there are: leave it to the agent, which sets it to 1 or 0"},
    {"BUSY", REFUSAL_SHARED, " (BUSY): a script blocks it: SCRIPT KILL or FUNCTION KILL ends it"},
    {"LOADING", REFUSAL_SHARED, " (LOADING): it is still loading its data: wait until it has"},
};

enum redis_refusal redis_trouble_write(char out[static REDIS_TROUBLE_MAX], const char *user, const char *key,
                                       const char *error, size_t length) {
  const char *name = user[0] != '\0' ? user : "default";
  for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
    if (begins(error, length, refusals[i].prefix)) {
      snprintf(out, REDIS_TROUBLE_MAX, "Redis refuses writes%s", refusals[i].text);
      return refusals[i].kind;
    }
  if (begins(error, length, "NOPERM"))
    snprintf(out, REDIS_TROUBLE_MAX,
             "user \"%s\" may not try whether writes are taken: grant it, ACL SETUSER %s +set ~%s", name, name, key);
  else
    snprintf(out, REDIS_TROUBLE_MAX, "Redis refused the agent's SET %s: %.*s", key, (int)(length < 80 ? length : 80),
             error);
  clean(out);
  return REFUSAL_OF_PROBE;
}
