// SPDX-License-Identifier: Apache-2.0
// A whole cluster in one process: three real cores, and a model of all that is around them, under a clock
// that only moves when it is told to. Nothing is random but by a fixed seed: the same dialogue gives the same
// trace.
#ifndef TANIST_SCENARIO_WORLD_H
#define TANIST_SCENARIO_WORLD_H

#include <stdio.h>

#include "common/core/core.h"

#define LOG_MAX 4096   // messages of one scenario
#define QUEUE_MAX 4096 // beats on their way
#define PAST_MAX 256   // beats that an attacker has recorded

// A voter's clock: local = offset + true × (1 + ppm / 1e6).
struct clock_model {
  int64_t offset_us, ppm;
};

struct datagram {
  uint64_t id;
  uint64_t session, for_session; // of the sender; of the addressee, as the sender knew it: the seal's work
  int64_t due;                   // true time
  bool late;                     // step by step: not before time has passed
  struct beat beat;
};

// The broker of a node: a log of messages, and what the agent last told it to be.
struct broker_model {
  bool running; // the process; its log survives in any case
  bool unfit;   // it runs, a health check says no
  bool stalled; // as secondary it takes nothing any more
  bool lost;    // its data is gone (wiped)
  bool attached;
  struct broker_duty duty;
  int64_t done_at;           // true time; NEVER_US: nothing to answer
  bool late;                 // step by step: the answer comes not before time has passed
  uint64_t epoch;            // of the position
  size_t count;              // of its messages, in world.log
  struct broker_report told; // to the core
};

struct machine {
  bool power, agent, stopped; // agent: it runs; stopped: SIGSTOP
  struct clock_model clock;
  struct core core;                // of an agent that was killed: as it was kept (L10)
  uint64_t session, knows[VOTERS]; // the peers' sessions, to seal for
  struct ballot disk, snapshot;
  bool disk_fails, disk_told; // told: the failure was shown
  bool address;
  struct instant fence; // local time; PAST: closed
  struct broker_model broker;
  uint64_t peer_off; // L11: the reign for which its fence device is at it; 0
  uint64_t elected; // a reign that was decided and not yet shown to anybody; 0
  int cut_after;    // dies after so many actions of its next list; -1
  bool cut_kills;   // the agent alone then, not the machine
};

// What no voter of ours would send: a field of every beat of one voter that is not what it should be.
enum beat_error { ERR_NONE, ERR_GRANT, ERR_EPOCH, ERR_LEASE, ERR_FREE, ERR_PAIR };

struct world {
  FILE *out; // NULL: nothing is shown
  bool verbose, failed;
  bool direct;    // events and beats not through their text and back: the dialogues prove enough of that
  bool forced;    // an operator gave his word (F1): what was acknowledged may be lost
  bool restored;  // a voter came back from a snapshot, which B2 makes no promise about
  bool same_dice; // every back-off of a core is its first one
  int64_t now;    // true time, µs
  struct core_config config;
  struct machine machine[VOTERS];
  bool cut[VOTERS][VOTERS], held[VOTERS][VOTERS], doubled[VOTERS][VOTERS], jumbled[VOTERS][VOTERS];
  unsigned loss_percent[VOTERS][VOTERS];
  int64_t delay[VOTERS][VOTERS];
  enum beat_error errs[VOTERS];
  uint64_t err_value[VOTERS];
  uint64_t random, ids, sessions, last_reign;
  size_t queued, past, messages;
  // What happened since somebody put these back: how long the longest list was, but for what it tells;
  // whether one had a PERSIST; which rows of the transition table were taken, one bit each.
  size_t actions;
  bool persists;
  uint32_t rows;
  char failure[160]; // the first that failed
  // What is behind here is long, and mostly unused.
  struct datagram queue[QUEUE_MAX];
  uint32_t log[NODES][LOG_MAX];
  bool acknowledged[LOG_MAX];
  struct datagram recorded[PAST_MAX]; // a ring of what was delivered
};

#define NEVER_US INT64_MAX

// ---- world.c: time, events, what they lead to ----
void world_init(struct world *, FILE *out);
void world_start(struct world *, unsigned voter);
void world_resume(struct world *, unsigned voter); // an agent that finds what the killed one had kept (L10)
void world_stop_agent(struct world *, unsigned voter); // killed: address, fence and broker stay as they are
void world_crash(struct world *, unsigned voter);      // the machine is off
void world_run(struct world *, int64_t until);
void world_event(struct world *, unsigned voter, struct event *);
struct instant world_local(const struct world *, unsigned voter);
void world_device(struct world *, unsigned voter); // its fence device turns the other node off, and says so
void world_rate(struct world *, unsigned voter, int64_t ppm); // its clock goes on from where it is
void world_fail(struct world *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_say(struct world *, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct ballot world_blank_ballot(void);

// ---- network.c ----
void network_send(struct world *, unsigned from, const struct beat *);
int64_t network_next(const struct world *, size_t *index); // when the next beat arrives; NEVER_US
void network_deliver(struct world *, size_t index);
void network_take(struct world *, size_t index); // out of the queue, unread
void network_replay(struct world *, unsigned from, unsigned to);
bool network_joined(const struct world *, unsigned one, unsigned other);

// ---- brokers.c ----
void broker_obey(struct world *, unsigned node, const struct broker_duty *);
void broker_done(struct world *, unsigned node);
void brokers_settle(struct world *); // replicate, acknowledge, report
void brokers_write(struct world *, size_t messages);
bool machine_answers(const struct world *, unsigned node); // on the virtual IP

// ---- steps.c: step by step, where nothing takes time but the passing of a beat's length ----
enum step_kind { STEP_DELIVER, STEP_DROP, STEP_DONE, STEP_TIMER, STEP_PASS };
struct step_plan {
  enum step_kind kind;
  size_t index; // of the beat, or the voter
};
struct step_plan steps_next(const struct world *); // what the plain schedule does next
void steps_take(struct world *, struct step_plan);
void steps_pass(struct world *, int64_t us);
bool steps_due(const struct world *, unsigned voter); // its timer

// ---- promise.c: P1, P2, P3 and the invariants ----
void promises_check(struct world *);
void promise_decided(struct world *, unsigned node, const struct actions *); // before they are performed
void promise_shown(struct world *, unsigned node);                           // one of them reaches others
void promise_serve(struct world *, unsigned node); // the node's broker is about to acknowledge
void promise_fenced(struct world *, unsigned node); // and to lead (L11)

// ---- show.c ----
void show_action(struct world *, unsigned voter, const struct action *);
void show_event(struct world *, unsigned voter, const struct event *);
void show_state(struct world *);
void show_queue(struct world *);
void show_explain(struct world *, unsigned voter); // what this voter's agent says of both nodes

// ---- command.c ----
void command_run(struct world *, const char *line);

#endif
