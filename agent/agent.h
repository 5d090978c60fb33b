// SPDX-License-Identifier: Apache-2.0
// The agent of one node: owns loop, core, broker, fence and virtual IPs, and turns what happens into events.
#ifndef TANIST_AGENT_AGENT_H
#define TANIST_AGENT_AGENT_H

#include <limits.h>

#include "agent/broker.h"
#include "agent/clients.h"
#include "agent/take_over.h"
#include "agent/fence.h"
#include "agent/fence_agent.h"
#include "agent/health.h"
#include "agent/hooks.h"
#include "agent/note.h"
#include "agent/peer_off.h"
#include "agent/realtime.h"
#include "agent/resume.h"
#include "agent/stall.h"
#include "agent/state_page.h"
#include "agent/suspicion.h"
#include "agent/vip.h"
#include "agent/watchdog.h"
#include "common/base/control.h"
#include "common/base/marks.h"
#include "common/base/runner.h"

struct agent_options {
  const char *file;  // the configuration
  const char *name;  // which node; NULL: found out
  const char *trace; // NULL: none
};

// The one request that waits for the protocol.
struct agent_order {
  bool waits;
  uint8_t type; // enum order_type
  struct order given;
  bool held; // the core gets it only when this node takes part
  uint64_t connection;
  bool handed; // handed over; the new master is awaited
  char who[CONTROL_WHO_SIZE];
};

struct agent {
  struct cluster_conf conf;
  unsigned self; // VOTER_A or VOTER_B
  struct loop *loop;
  struct net *net;
  struct crypto *crypto;
  struct runner *runner;
  struct reign *reign; // NULL: nothing can be kept
  struct fence *fence;
  struct fence_agent *fence_agent;
  struct peer_off *peer_off;
  struct stall *stall;
  struct watchdog *watchdog; // NULL: none
  bool watchdog_failed;
  struct realtime realtime;
  struct { // force-master --fence: the device is at it
    uint64_t connection;
    char reason[MARKS_REASON_MAX + 1];
  } fencing;
  struct vip *vip;
  struct broker *broker;
  struct health *health;
  struct control *control;
  struct http *http; // NULL: nothing is told over HTTP
  struct take_over *take_over; // NULL: no virtual IP, or this kernel does not let us
  struct clients *clients; // NULL: this kernel does not tell of them, or there is no virtual IP
  struct state_page *state_page;
  char orphans[PATH_MAX]; // where orphan files are
  struct marks *marks;    // what people are told of orders
  struct events *events;
  struct history *history;
  struct noted noted;
  struct hooks *hooks;
  struct loop_timer *hooks_timer; // the next event's turn; NULL: none are told
  struct loop_timer *start_timer, *stop_timer, *order_timer, *watch_timer;
  struct loop_signal *term, *interrupt, *leave, *hangup;
  const char *file;  // the configuration's
  char *first_texts; // of the one it was started with, after a reload; NULL
  // argv of the exec checks, twice: a reload opens new ones while the old still run
  const char *exec_command[2][CLUSTER_CHECKS_MAX][CONF_ITEMS_MAX + 1];
  unsigned exec_turn; // the half in use
  bool started, stopping;
  bool leaving;          // SIGUSR1: all stays as it is
  bool unseen, unjudged; // resumed, and the broker, its checks, have not spoken yet
  bool given;            // the broker has a duty
  struct instant renew_at; // when the addresses' lifetime is due again
  uint32_t evict_serial;   // the duty whose clients are being closed; 0: none
  struct agent_order order;
  struct suspicion suspicion[NODES];
  struct instant failback_at; // NEVER: the preferred node leads, or may not now
  // What the operator must know, "" while all is well
  char address_trouble[320], http_trouble[256], fence_trouble[160], reload_trouble[1024];
};

// Runs until SIGTERM. The exit code: 0 after a clean stop, 1 failed, 2 the configuration is wrong.
int agent_run(const struct agent_options *);

// Tells the core what is known of the own broker.
void agent_report(struct agent *);
void agent_health_changed(void *agent); // the health checks' news, for a health_watch
// health_open.c: the health checks of a configuration, whose texts must outlive them. 0 or a negative errno
// with *error.
int agent_open_health(struct agent *, const struct cluster_conf *, struct health **, const char **error);

// reload.c: SIGHUP.
void agent_reload(void *agent, int signo);

// perform.c: one action, now.
void agent_perform(void *agent, const struct action *);
// The own broker is to do this now.
void agent_apply(struct agent *, const struct broker_duty *);
// A timer's, each beat: what is in force is still there.
void agent_address_changed(struct agent *); // the kernel told of some change: put back what is missing
void agent_watch(void *agent);
// failback.c: the same timer's. The preferred node gets the lead back, where policy.failback says so.
void agent_failback_look(struct agent *);
// What was cleared: the clients of a duty with `evict` are gone.
void agent_cleared(struct agent *);

// order.c: the control socket's requests.
void agent_request(void *agent, uint64_t connection, const struct json *request, bool may_change);
void agent_order_fact(struct agent *, const struct fact *);
void agent_order_late(void *agent); // the order's timer
// Takes an order; one that comes before the node takes part waits for that.
void agent_order_start(struct agent *, uint64_t connection, struct order);
void agent_order_give(struct agent *); // the node takes part now: the order that waited, if any
void agent_answer(struct agent *, uint64_t connection, const char *text); // {"ok": true, "text": …}

// force.c: force-master (F1)
void agent_force(struct agent *, uint64_t connection, const struct json *request);
int agent_open_device(struct agent *); // fence.agent

// status.c: the object that `tanist --json status` prints; the caller's to free.
struct json *agent_status(const struct agent *);
// explain.c: that of `tanist --json explain`.
struct json *agent_explain(const struct agent *);

#endif
