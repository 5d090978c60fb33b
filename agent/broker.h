// SPDX-License-Identifier: Apache-2.0
// The broker beside this agent: one driver per file and row (broker_table in broker.c).
//
// A driver is told what the broker is to be (struct broker_duty: a level, the newest alone counts) and works
// towards it by itself, on the loop, never blocking, for as long as it takes. It says what it sees through
// the callback.
//
// A broker that was restarted while it led is `dead` until the driver holds it, and stays held for a lease,
// so that the core can have the other node lead; then the duty counts again, unless it came back without its
// data: only a duty of another epoch makes it lead then. A broker whose death is proven has reached HOLD: it
// serves nobody.
//
// HOLD cuts replication off, and what was on its way is not carried out: a secondary whose master is lost
// goes from FOLLOW to LEAD directly, or loses the last of what was acknowledged.
#ifndef TANIST_AGENT_BROKER_H
#define TANIST_AGENT_BROKER_H

#include <sys/socket.h>

#include "agent/tls.h"
#include "common/base/conf.h"
#include "common/base/loop.h"
#include "common/core/types.h"

struct broker;
struct cluster_conf;
struct conf_map;
struct conf_texts;
struct state_page;
struct words;

// What a driver knows of its broker right now.
struct broker_view {
  bool reachable; // it answered the last probe in time
  bool dead; // proof of death: the connection was reset and a new one refused, or another incarnation answers
  bool writable; // as master it takes writes
  bool unfit;    // it answers, but does not keep or take what it is sent: `trouble` says why; it must not lead
  bool link;     // as master: the secondary is attached; as secondary: attached to the master it is to follow
  struct position position; // (0,0): empty, holds no data at all; else offset >= 1
  struct position peer;     // as master: what the secondary holds; (0,0) unknown
  char incarnation[48];     // which broker this is: another text, another one, that may know less; "" unknown
  char state[24];           // for people: "master", "secondary", "held", "down", ...
  char trouble[160];        // for people: what is wrong and what to do; "" if nothing is
  bool counts;              // the broker tells these totals since its start
  uint64_t received, acknowledged, delivered;
};

struct broker_watch {
  void *arg;
  void (*changed)(void *arg); // broker_view has news; called from the loop, never from within broker_apply
  void (*done)(void *arg, uint32_t serial, struct position position); // the duty with this serial is reached
  void (*cleared)(void *arg); // broker_kill_clients has done what it can; once for each call of it
  // What a rejoin cut off is kept in this file, written elsewhere or in broker_settings.orphans.
  void (*orphaned)(void *arg, const char *path);
};

struct broker_settings {
  const char *cluster;
  uint8_t self; // VOTER_A or VOTER_B
  const char *driver;
  const char *address;      // "host:port" where this agent reaches its own broker; "" with driver none
  const char *peers[NODES]; // how each broker is reached by the other; "" where not given
  const char *incarnation; // L10: of the broker that led under the agent before this one; "" none
  const char *username;
  const char *password_file;
  uint8_t replication; // enum replication
  uint32_t beat_ms, lease_ms;
  const char *orphans;     // the directory of the orphan files; "" with driver none
  struct state_page *page; // library: shows the duty before broker_apply does; outlives the broker
  uint32_t probe_every_ms, probe_timeout_ms; // of the health check "broker"
  struct tls_settings tls;   // redis: broker.tls
  struct conf_texts streams; // redis: broker.streams
  const struct conf_map *options; // broker.options; NULL: none
  // Of drivers that are driven by verbs (broker_verbs.h); NULL or 0 with others
  const char *names[NODES];          // the nodes'
  uint32_t verb_timeout_ms;          // the deadline of what takes its time: start, promote, ...
  const uint32_t *restart_max, *restart_window_ms; // a reload may change them; NULL: started as often as it ends
  const struct conf_texts *commands; // exec: by enum verb; of no words: not given
  const struct conf_texts *command;  // coprocess
  const char *agent;                 // ocf: "ocf:PROVIDER:TYPE"
  const char *run_directory;         // ocf: where its resource agent may keep what a boot forgets
  const char *unit;                  // systemd
  // Adds what the agent knows besides: who leads, since when, why the role changed. NULL: nobody asks
  void (*describe)(void *describe_arg, uint64_t epoch, struct words *);
  void *describe_arg;
};

struct broker_driver {
  const char *name;
  bool replicates; // it has a sync switch of its own: replication = "sync" is possible
  // Returns the driver's state in *state, or a negative errno with *error saying what is wrong and what would
  // be right.
  int (*open)(void **state, struct loop *, const struct broker_settings *, const struct broker_watch *,
              const char **error);
  void (*apply)(void *state, const struct broker_duty *);
  void (*kill_clients)(void *state);
  const struct broker_view *(*view)(const void *state);
  void (*close)(void *state); // leaves the broker as it is
  void (*reload)(void *state); // broker_reload; NULL: reads nothing again
};

// What the configuration says of the broker of node `self`; its texts must outlive the settings. All else is 0.
void broker_settings_of(struct broker_settings *, const struct cluster_conf *, unsigned self);

// Opens the driver that the settings name; starts with no duty: the broker is not touched before
// broker_apply.
int broker_open(struct broker **, struct loop *, const struct broker_settings *, const struct broker_watch *,
                const char **error);
void broker_apply(struct broker *, const struct broker_duty *);
const struct broker_view *
broker_view(const struct broker *); // belongs to the driver, changes under the reader

// For drivers whose broker names epochs itself, last thing before a view is shown: one that cannot be (EPOCH_MAX and above;
// no beat could tell it) makes the broker unfit, with what is wrong in `trouble`. Its data stays data, of no known epoch.
void broker_bound(struct broker_view *);

// SIGHUP: what lies in files beside the configuration, as a password, may have changed.
void broker_reload(struct broker *);

// Closes the connections of the broker's clients (replication and our own stay), so that they meet a reset
// instead of silence: to be called while the virtual IP is still held, right before it is dropped (L8). Best
// effort, beside any duty: the request is on its way to the broker when this returns, and `cleared` is called
// from the loop when it was carried out, or after BROKER_CLEAR_MS, or soon if there is no connection: waiting
// longer helps nobody. A verb of its own and no part of a paused duty, because a hand-over that paused may
// still be taken back. A driver that leaves LEAD closes the clients' connections anyway, but then the address
// may be gone already.
#define BROKER_CLEAR_MS 5
void broker_kill_clients(struct broker *);

// Reads "host:port" ("[2001:db8::1]:6379" for IPv6); a name is looked up, which may block: at start only.
// 0 or a negative errno: -EINVAL for what is no address, -ENOENT for a name that nobody knows.
int broker_address(const char *text, struct sockaddr_storage *, socklen_t *length);

void broker_close(struct broker *); // NULL is allowed

const struct broker_driver *broker_find(const char *name); // NULL: no such driver

extern const struct broker_driver broker_none, broker_redis, broker_library, broker_exec, broker_coprocess,
    broker_postgresql, broker_ocf, broker_systemd;

#endif
