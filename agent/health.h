// SPDX-License-Identifier: Apache-2.0
// The criteria of 'dead': checks of the own broker, each counted by itself, and what they amount to together.
#ifndef TANIST_AGENT_HEALTH_H
#define TANIST_AGENT_HEALTH_H

#include "agent/broker.h"
#include "common/base/loop.h"

#define HEALTH_CHECKS_MAX 16
#define HEALTH_GROUPS_MAX 8
#define HEALTH_ANY 1          // dead_when = "any"
#define HEALTH_ALL UINT16_MAX // dead_when = "all"

enum health_kind {
  HEALTH_BROKER, // the driver's own probes: broker_view.reachable, and not broker_view.unfit
  HEALTH_TCP,    // a connection to `address` is accepted
  HEALTH_EXEC,   // `command` ends with 0
};

struct health_check {
  const char *name;
  enum health_kind kind;
  const char *address;        // TCP: "host:port"
  const char *const *command; // EXEC: argv, ending with NULL; the first is a path
  uint32_t every_ms;          // from start to start; a check never runs twice at a time
  uint32_t timeout_ms; // TCP, EXEC: no result by then is a failure (BROKER: the driver's, broker_settings)
  uint16_t fall, rise; // so many failures, successes in a row turn it; at least 1
};

// Checks that count as one.
struct health_group {
  uint32_t checks; // by their number in `check`; no check is in two groups
  uint16_t need;   // so many of them must be down: HEALTH_ANY, HEALTH_ALL or a number between
};

// All strings must outlive the health checks.
struct health_settings {
  struct health_check check[HEALTH_CHECKS_MAX];
  size_t count;
  struct health_group group[HEALTH_GROUPS_MAX];
  size_t group_count;
  uint16_t dead_when; // so many groups, and checks in none, must be down: HEALTH_ANY, HEALTH_ALL or a number
                      // between
  const char *const *environment; // EXEC: NULL-terminated, or NULL for the agent's own
};

enum health_state { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN };

struct health_status {
  enum health_state state;
  struct instant since; // when it turned
  char why[96];         // of the last failure, for people; "" while all is well
};

struct health_result {
  bool healthy; // may lead: every check has had a result, and the broker is not dead
  bool dead;    // as many are down as dead_when says, or the driver has proof (broker_view.dead)
  struct health_status check[HEALTH_CHECKS_MAX]; // in the order of the settings
  enum health_state group[HEALTH_GROUPS_MAX]; // likewise; unknown while it is not down and a check in it is
};

struct health;

struct health_watch {
  void *arg;
  void (*changed)(void *arg); // `healthy`, `dead` or the state of a check changed; called from the loop
};

// Starts checking at once. The first result of a check counts by itself; from then on `fall` and `rise` do.
// 0 or a negative errno with *error saying what is wrong and what would be right.
int health_open(struct health **, struct loop *, const struct health_settings *, const struct health_watch *,
                const char **error);

// The driver's newest view: to be called at each broker_watch.changed, and once before the loop runs. Proof
// of death counts at once, whatever `fall` and dead_when say: a broker that is gone is dead by every
// criterion. Returns true when the result changed by it; `changed` is not called for that.
bool health_broker(struct health *, const struct broker_view *);

// After a reload: what the former ones found stays, for each check that asks the same thing still (name,
// kind, address and command), until its own results say otherwise. Before the loop runs again.
void health_take_over(struct health *, const struct health *former);

const struct health_result *health_result(const struct health *);
void health_close(struct health *); // ends running commands; NULL is allowed

const char *health_state_name(enum health_state); // "unknown", "up", "down"

#endif
