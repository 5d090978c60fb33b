// SPDX-License-Identifier: Apache-2.0
// The inside of the redis driver, shared by its files alone: broker_redis.c (the outside, polling, telling),
// redis_peer.c (the other node's Redis), redis_writes.c (does it take writes), redis_duty.c (working towards the duty), redis_view.c (what is shown). redis_tail.c stands alone.
#ifndef TANIST_AGENT_REDIS_DRIVER_H
#define TANIST_AGENT_REDIS_DRIVER_H

#include "agent/broker.h"
#include "agent/redis_info.h"
#include "agent/redis_kept.h"
#include "agent/redis_link.h"
#include "agent/redis_tail.h"
#include "agent/redis_trouble.h"

// Where a Redis is sent that is to follow nobody: it keeps its data, takes no writes, and asks there once a
// second in vain (nothing listens on port 1; that is refused at once and costs nothing).
#define REDIS_HOLD_HOST "127.0.0.1"
#define REDIS_HOLD_PORT 1

// What an answer belongs to: the kind of the question, and how many command sequences had been sent before
// it.
enum redis_ask {
  ASK_REPLICATION,
  ASK_SERVER,
  ASK_KEYSPACE,
  ASK_PERSISTENCE,
  ASK_REPLICAOF,
  ASK_CONFIG,
  ASK_PAUSE,
  ASK_UNPAUSE,
  ASK_KILL,
  ASK_LINK,
  ASK_REWRITE,
  ASK_TLS,
  ASK_CLEARED, // the last question of redis_kill_clients
};

enum redis_step { STEP_NONE, STEP_DEMOTE, STEP_FOLLOW, STEP_PROMOTE, STEP_ADJUST, STEP_UNPAUSE };
enum redis_pause { PAUSE_UNKNOWN, PAUSE_ON, PAUSE_OFF };

struct redis {
  struct loop *loop;
  struct broker_watch watch;
  struct broker_settings settings; // its strings are the driver's own copies
  char peer_host[REDIS_HOST_MAX], peer_port[6];
  char name[64], own_what[32], peer_what[32];

  // The own Redis
  struct redis_link *own;
  struct redis_info info;    // its newest answer
  struct instant info_asked; // when that was asked for
  bool known;                // `info` came over the present connection
  bool fresh;                // `info` shows the effect of every command sent so far
  bool has_keys, loading;
  struct redis_kept kept;
  struct instant kept_asked, rewrite_asked;
  bool lost; // the connection was reset and no answer has come since
  bool dead; // proof of death (broker_view)
  bool reachable;
  char run_id[REDIS_ID_MAX];       // of its incarnation; "" unknown
  unsigned asking;                 // INFO replication under way
  struct instant moved;            // since when its offset has been what it is
  uint64_t epoch;                  // led or followed once attached; 0 unknown
  bool copies_in_clear;            // tls-replication is off, though we speak TLS to it
  char trouble[REDIS_TROUBLE_MAX]; // the last command that it refused

  // The other node's Redis, asked directly
  struct redis_link *peer;
  struct redis_info other;
  struct instant other_asked;
  bool other_known, other_asking;
  struct redis_kept other_kept;
  struct instant broken; // since when it says that it does not follow; INSTANT_NEVER: it says no such thing

  // Its answers to writes
  struct redis_link *writer;
  bool write_asking, refused, refused_unfit; // refused_unfit: the other node's Redis would take them
  char refusal[REDIS_TROUBLE_MAX];
  uint64_t write_offset;
  struct instant write_asked, write_moved;

  struct redis_tail *tail; // NULL: no broker.streams
  struct instant tail_asked;

  // The duty
  struct broker_duty duty;
  bool has_duty, reached, untold; // untold: reached, and watch.done not called yet
  struct instant since;           // when it came
  bool drain_known;               // promotion waits until the own offset is at least `drain`
  uint64_t drain;
  uint32_t batch;       // command sequences sent and duties taken so far
  enum redis_step step; // the last one, not repeated within a beat
  struct instant acted;
  enum redis_pause pause;
  struct instant paused_until;
  bool distrust; // it was restarted while it led: it may hold less than was acknowledged
  bool had_data;
  struct instant distrust_until;

  struct loop_timer *poll, *clearing;
  struct instant poll_due;
  bool hurry, clears_pending; // hurry: something is waited for, poll fast
  struct broker_view view, told;
};

// ---- broker_redis.c ----

bool redis_ask(struct redis *, enum redis_ask, size_t count, const char *const *words);
#define REDIS_ASK(r, kind, ...)                                                                              \
  redis_ask((r), (kind), sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                        \
            (const char *const[]){__VA_ARGS__})

// Asks for INFO replication, and for what else is not settled, behind every command sent so far.
void redis_ask_info(struct redis *);

// What every happening ends in: the next commands, what there is to tell, and in a hurry the next question.
void redis_settle(struct redis *);

// Calls out with what has changed: to be called last, where nothing new can follow from it for the duty.
void redis_tell(struct redis *);

// ---- redis_peer.c ----

int redis_peer_open(struct redis *); // 0 or a negative errno
void redis_peer_ask(struct redis *);

// ---- redis_writes.c ----

int redis_writes_open(struct redis *); // 0 or a negative errno
void redis_writes_poll(struct redis *);

// ---- redis_duty.c ----

// A new duty is in r->duty, replacing `former` (NULL: it is the first one): sends at once what needs no
// look first.
void redis_duty_new(struct redis *, const struct broker_duty *former);

// Compares the newest answer with the duty and sends the next commands. To be called at each answer; sends
// nothing while commands are under way.
void redis_duty_step(struct redis *);

// The Redis that answers is not the one that answered before: makes it harmless before anything else.
void redis_duty_reborn(struct redis *);

// Sends the pause again when half of it has run out.
void redis_duty_renew_pause(struct redis *);

// Tells it anew how to log in at its master.
void redis_duty_credentials(struct redis *);

bool redis_points_at(const struct redis *, const char *host, const char *port);
bool redis_is_held(const struct redis *);

// ---- redis_view.c ----

struct position redis_position(const struct redis *);
void redis_view_update(struct redis *);
bool redis_view_differs(const struct broker_view *, const struct broker_view *);

#endif
