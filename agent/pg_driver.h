// SPDX-License-Identifier: Apache-2.0
// The inside of the postgresql driver, shared by its files alone: broker_postgresql.c (the outside: opening,
// polling, telling), pg_look.c (what is asked of a server), pg_duty.c (working towards the duty), pg_switch.c
// (synchronous or not, paused or not), pg_rejoin.c (a server whose data have parted from the master's),
// pg_view.c (what is shown).
#ifndef TANIST_AGENT_PG_DRIVER_H
#define TANIST_AGENT_PG_DRIVER_H

#include "agent/broker.h"
#include "agent/pg_history.h"
#include "agent/pg_link.h"
#include "agent/pg_memory.h"
#include "agent/pg_server.h"

// No standby has this name: with it in synchronous_standby_names every commit waits. It stands there in every
// server that is not to serve, from its start on.
#define PG_WITHHELD "tanist_withheld"
#define PG_REWOUND "tanist.rewound"     // in the data directory from a rewind until it has followed the master once
#define PG_PROMOTING "tanist.promoting" // ... from before a promotion until its timeline is noted
#define PG_STRAY "tanist.stray"         // ... once somebody else has run it as a master, until it leads for us
#define PG_PASSFILE "tanist.pgpass"     // in the data directory: for the server and pg_rewind
#define PG_NAME_MAX 64                  // of what a link is called; all begin with "tanist"
#define PG_CONNINFO_MAX 1024

enum pg_ask { ASK_LOOK, ASK_COMMAND, ASK_PROMOTE, ASK_KILL, ASK_CLEARED, ASK_CHECKPOINT };

// A server as one query sees it.
struct pg_look {
  bool recovery;          // a standby
  uint64_t position;      // what is flushed here
  char start[24];         // when it was started, us
  char standby_names[96]; // synchronous_standby_names
  char conninfo[PG_CONNINFO_MAX];
  bool receiving; // a WAL receiver is streaming
  uint32_t received_timeline;
  uint32_t timeline; // of a master; else 0
  bool streaming, synchronous; // the other node's standby: attached, and counted
  uint64_t flushed;            // what that holds
  char system[24];
  char data_directory[PATH_MAX];
  bool read_only, fsync, rewindable;
  bool probe_waits; // the probe's commit is waiting
};

struct pg_other { // the other node's server
  bool known, recovery;
  uint32_t timeline, checkpointed; // checkpointed: the timeline in its control file
  char system[24];
};

enum pg_task { TASK_NONE, TASK_START, TASK_PARTING, TASK_TAIL, TASK_KEEP, TASK_REWIND };
enum pg_stopping { STOPPING_NOT, STOPPING_FAST, STOPPING_IMMEDIATE, STOPPING_KILLED };

struct pg {
  struct loop *loop;
  struct broker_watch watch;
  struct broker_settings settings; // its strings are the driver's own copies
  struct pg_server_settings files; // likewise
  const char *more;                // broker.options.conninfo
  char name[PG_NAME_MAX], peer_name[PG_NAME_MAX]; // application_name of this node's standby and of the other's
  char link_name[PG_NAME_MAX];
  char what[2][32];
  char real_directory[PATH_MAX];
  char conninfo[PG_CONNINFO_MAX]; // how this server reaches the other one
  struct pg_memory memory;

  // The own server
  struct pg_server *server;
  struct pg_link *own;
  struct pg_look look;
  struct instant look_asked;
  bool known, fresh;  // `look` came over the present connection; ... and shows the effect of all commands
  uint32_t batch;     // commands sent and duties taken so far, in the tags of looks
  unsigned asking;    // looks under way
  bool reachable, dead;
  bool foreign;       // what answers at broker.address is not the server of data_directory
  bool full;          // its disk
  struct instant full_asked;
  char incarnation[24];
  bool inherited; // `incarnation` is of the server that led under the agent before this one (L10)
  struct instant moved; // since when its position has been what it is
  uint64_t epoch;       // led or followed once attached; 0 unknown
  enum pg_stopping stopping;
  char trouble[PG_TROUBLE_MAX]; // the last thing that went wrong, until the duty is reached

  // What works on the data directory
  enum pg_task task;
  struct child *child;
  struct instant start_after;
  unsigned starts; // in vain, in a row
  bool ours;       // the server that comes up was started by us: it withholds from its start on

  // The other node's server
  struct pg_link *peer;
  struct pg_other other;
  struct instant other_heard, checkpoint_asked; // heard: it answered, or its machine did
  bool other_asking;
  struct pg_history *own_history, *other_history;
  uint32_t agreed; // the other's timeline that our data were seen to be a beginning of; 0: none
  bool parted;     // they are not: `fork` is where they part
  bool sure;       // ... and what we wrote past it is on timelines of its own
  uint32_t compared; // with which timeline of the other's
  struct pg_fork fork;
  char orphan[PATH_MAX];

  // Withholding
  bool armed; // a master whose commits were seen to wait: they do as long as some name stands there
  struct pg_link *probe;
  bool probing;

  // The duty
  struct broker_duty duty;
  bool has_duty, reached, untold; // untold: reached, and watch.done not called yet
  struct instant since;
  int step; // the last one, not repeated within a beat
  struct instant acted;
  bool distrust; // its server ended while it led
  struct instant distrust_until;

  struct loop_timer *poll, *clearing, *stop_timer;
  bool hurry, clears_pending;
  struct broker_view view, told;
};

// ---- broker_postgresql.c ----

void pg_settle(struct pg *); // what every happening ends in
void pg_say(struct pg *, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ---- pg_look.c ----

bool pg_ask_look(struct pg *);  // of the own server
void pg_ask_other(struct pg *); // of the other node's
bool pg_take_look(struct pg_look *, const struct pg_answer *);
bool pg_take_other(struct pg *, const struct pg_answer *);
// Writes a text as a literal of SQL and of PostgreSQL's configuration files, quotes included.
void pg_quote(char *out, size_t size, const char *text);
// The parameters by which this node's server, and pg_rewind, reach the other one.
void pg_make_conninfo(struct pg *, const char *host, const char *port);

// ---- pg_duty.c ----

void pg_duty_new(struct pg *, const struct broker_duty *former);
void pg_duty_step(struct pg *);
void pg_duty_died(struct pg *); // the server has ended
void pg_duty_stop_timer(struct pg *);
bool pg_may_act(struct pg *, int step); // not the same one twice within a beat
void pg_stop(struct pg *, enum pg_stopping how);
void pg_reach(struct pg *);
bool pg_command(struct pg *, const char *sql);
void pg_set(struct pg *, const char *setting, const char *value); // for good, and at once
bool pg_remember(struct pg *, uint32_t timeline, bool created); // this reign; false: it cannot be written

// ---- pg_switch.c ----

void pg_switch_step(struct pg *); // a master's: withhold, wait for the secondary, or neither
bool pg_withholds(const struct pg *); // a standby will do so from its first moment as master on
int pg_switch_open(struct pg *);

// ---- pg_rejoin.c ----

// pg_rewind was begun and has not come to its end, be it under an agent before this one: no server may be started.
bool pg_rejoin_begun(const struct pg *);
bool pg_rejoin_strayed(struct pg *); // somebody else has run it as a master: says so
bool pg_rejoin_agrees(struct pg *); // our data are a beginning of the other's; false: not known yet, or not
void pg_rejoin_step(struct pg *);   // the server is down, and the data have parted

// ---- pg_view.c ----

void pg_view_update(struct pg *);
bool pg_view_differs(const struct broker_view *, const struct broker_view *);

#endif
