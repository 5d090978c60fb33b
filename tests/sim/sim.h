// SPDX-License-Identifier: Apache-2.0
// A deterministic cluster: three real cores and two modelled brokers under virtual true time. One seed and
// the same code make the same run, bit for bit: `digest` is over all that happened in it.
#ifndef TANIST_SIM_H
#define TANIST_SIM_H

#include "common/base/slot.h"
#include "common/core/core.h"

#define BOX_MAX 256    // events that wait for a busy process
#define BOX_KEPT 64    // of them for what comes only once
#define CARGO_MAX 8192 // what is under way
#define HEAP_MAX 16384
#define LOG_MAX 32768 // entries of a broker

#define REIGNS_MAX 4096 // of one run
#define IDS_MAX (2 * LOG_MAX)

#define MS 1000
#define SECOND (1000 * MS)
#define DEVICE_US (100 * MS) // what a fence device takes in peace

enum what {
  WHAT_RUN,            // a process may go on
  WHAT_BEAT,           // a beat arrives
  WHAT_EVENT,          // the broker's word reaches its agent
  WHAT_REPORT,         // a broker is looked at
  WHAT_DUTY,           // a broker reaches its duty
  WHAT_COPY,           // a secondary asks its master for entries
  WHAT_CONFIRM,        // what a secondary holds reaches the master
  WHAT_WRITE,          // a client writes
  WHAT_CHAOS,          // something breaks
  WHAT_RESTART,        // a process starts
  WHAT_BROKER_RESTART, // a broker starts
  WHAT_UNHOLD,         // a restarted broker was held for a lease
  WHAT_FLAP,           // a link that flaps is cut, or not any more
  WHAT_DEVICE,         // a fence device has done what it was told, or has failed
};

// What may break in a run.
enum kind {
  KIND_CRASH = 1 << 0,
  KIND_WIPE = 1 << 1, // ballots lost, damaged, restored from a snapshot; nodes replaced
  KIND_FORCE = 1 << 2,
  KIND_BROKER = 1 << 3,
  KIND_DISK = 1 << 4,
  KIND_ORDER = 1 << 5,
  KIND_FENCE = 1 << 6,
  KIND_FLAP = 1 << 7,
  KIND_LATE = 1 << 8, // beats that arrive seconds later
};

struct happening {
  int64_t at;
  uint64_t order; // the tie-breaker that makes a run repeatable
  uint8_t what, who;
  uint64_t life; // of the process or broker it belongs to; of another: it is nothing any more
  uint32_t cargo;
  uint64_t number;
};

struct cargo {
  uint64_t from_session, to_session;
  struct event event;
  uint32_t next_free;
};

// A ballot's file: what the two slots of it hold (common/base/slot.h).
struct disk {
  struct ballot slot[SLOT_COUNT];
  uint64_t sequence[SLOT_COUNT];
  bool whole[SLOT_COUNT];
  unsigned good; // the slot that was last read, or written without an error
  bool failing;  // each write may fail
  bool full;     // each does
  int64_t sync_us;
};

struct process {
  bool up;
  uint64_t life, session;
  uint64_t knows[VOTERS]; // the session of each other voter to seal for; 0: none known yet
  struct core core;
  struct disk disk;
  struct ballot snapshot;                  // taken some time ago
  int64_t clock_base, true_base, rate_ppm; // local = clock_base + (true - true_base) * rate
  struct actions list;
  size_t at; // next action of the list
  bool persisting, disk_failed;
  int64_t stalled_until, run_at;
  struct event box[BOX_MAX];
  uint32_t box_head, box_count;
  struct instant fence;   // the kernel's, by this machine's clock
  uint64_t elected;       // a reign that nobody was shown yet; 0
  uint64_t elected_after; // the highest one shown when that was decided
  uint64_t reigned;       // the highest one that it showed
  bool wiped;             // since it was last formed
  bool kept;              // L10: the core of an agent that died is whole, and of this boot
  uint64_t broker_life;   // the broker that this agent has met, or of whose death the core has heard
  uint64_t peer_off;      // L11: the reign for which its fence device is at it; 0
  bool vouched;           // L11: this reign begins by an operator's word
};

struct entry {
  uint64_t epoch, id;
};

struct broker_model {
  bool alive, dead, unfit;
  uint64_t life;
  uint8_t mode, master;
  uint64_t epoch;          // led or followed
  uint64_t position_epoch; // once attached in it
  bool paused, sync;
  struct broker_duty duty;
  uint64_t term; // raised whenever it begins or ceases to lead: no connection outlives it
  struct entry *log;
  size_t length, durable, lead_from, acked_to;
  bool attached; // as secondary
  uint64_t connection, master_term;
  int64_t stalled_since, held_until;
  uint64_t peer_connection; // as master: whose confirmations count
  size_t confirmed;
  int64_t channel_at; // its word reaches the agent in order
};

struct link {
  bool cut;
  uint32_t loss, twice; // per 1000
  int64_t delay_us, jitter_us;
  int64_t flap_us; // it is cut and mended in turn, each for up to so long; 0: it does not flap
};

// What became of a message.
enum fate {
  FATE_ACKED = 1 << 0,
  FATE_EXCUSED = 1 << 1,   // F1: a forced node did not hold it when the operator gave his word
  FATE_MEANWHILE = 1 << 2, // F1: acknowledged before the force was over, in the line `line` says
  FATE_KEPT = 1 << 3, // ASYNC, while it is counted what an elected node holds
};

struct sim {
  uint64_t seed, random, order, events;
  int64_t now;
  struct happening heap[HEAP_MAX];
  size_t heap_count;
  struct cargo cargo[CARGO_MAX];
  uint32_t free_cargo;
  struct process process[VOTERS];
  struct broker_model broker[NODES];
  struct link link[VOTERS][VOTERS];
  struct core_config config;
  bool chaos;
  uint32_t kinds; // of chaos in this run
  int64_t chaos_every_us;
  uint32_t odds; // one action in so many is cut short by a crash, or followed by a pause
  uint64_t sessions, connections, ids;
  uint8_t *fate; // by id: enum fate
  uint64_t acked_count;
  bool forced, force_shown;   // F1 is not over yet; it is on a disk
  uint8_t line[NODES], lines; // F1: each force begins a line of its own; which one a broker's data belongs to
  uint64_t reign_max;
  uint8_t reign_owner;
  uint64_t led[REIGNS_MAX]; // all epochs that somebody led in
  uint64_t elections, acks, faults, forces, forms, offs, wipes, torn, stops, resumptions;
  uint64_t digest;
  int64_t heal_max, failover_max, pair_max;
  const char *broken; // the promise, NULL: none
  char detail[200];
  bool trace;
};

extern struct sim sim;

// ---- main.c: random, queue, violations ----
uint64_t draw(void);
uint64_t below(uint64_t n);
bool chance(uint32_t one_in);
int64_t between(int64_t low, int64_t high);
void schedule(int64_t at, enum what what, unsigned who, uint64_t life, uint32_t cargo, uint64_t number);
uint32_t cargo_new(void); // UINT32_MAX: too much is under way
void cargo_free(uint32_t);
void run_until(int64_t end);
void digest(uint64_t); // one more thing that happened
void broken(const char *promise, const char *format, ...) __attribute__((format(printf, 2, 3)));
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

// ---- process.c ----
struct instant local_now(unsigned who);
int64_t true_at(unsigned who, struct instant local);
void set_rate(unsigned who, int64_t rate_ppm);
void process_start(unsigned who);
void process_crash(unsigned who, bool machine);
void process_post(unsigned who, const struct event *);
void process_run(unsigned who);
bool fence_open(unsigned who);

// ---- disk.c: the ballot's file, by the real reader and writer ----
void disk_blank(unsigned who); // a new file
const struct ballot *disk_ballot(unsigned who);
bool disk_write(unsigned who, const struct ballot *); // false: an error, whatever is there now
void disk_cut(unsigned who, const struct ballot *);   // power is lost before the sync is over
void disk_read(unsigned who, struct ballot *);
void disk_damage(unsigned who); // and see that the reader refuses it
void disk_restore(unsigned who, const struct ballot *);

// ---- network.c ----
void network_send(unsigned who, const struct beat *);
void network_arrive(unsigned who, uint32_t cargo);
void network_flap(unsigned from, unsigned to);
void spoil_link(unsigned from, unsigned to);
void mend_link(unsigned from, unsigned to);
void mend_links(void);
void isolate(unsigned who, unsigned ways); // 1: hears nobody, 2: nobody hears it, 3: both

// ---- brokers.c ----
void broker_duty(unsigned node, const struct broker_duty *);
void broker_reach(unsigned node, uint64_t serial);
void broker_copy(unsigned node);
void broker_confirm(unsigned node, uint64_t connection, uint32_t count);
void broker_write(unsigned node);
void broker_report(unsigned node);
void broker_die(unsigned node);
void broker_restart(unsigned node);
void broker_unhold(unsigned node);
void broker_hold_at_start(unsigned node);
void broker_resume(unsigned node); // L10: its driver begins anew
bool broker_serves(unsigned node); // it could acknowledge now
void broker_empty(unsigned node);  // another machine in its place

// ---- device.c ----
void device_order(unsigned node, uint64_t reign); // 0: it is to leave the other node alone
void device_try(unsigned node, uint64_t life, uint64_t reign);
void device_heal(void);

// ---- chaos.c ----
void chaos_next(void);
void heal(void);
bool all_formed(void); // nobody is without a memory

// ---- operator.c: orders, and what a person would do where no vote can help ----
void operator_order(unsigned who);
void operator_look(void);
void disaster(void); // all three lose their ballots; the operator forms the cluster anew (B3)

// ---- round.c ----
void play_rounds(void);

// ---- promises.c ----
void check_promises(unsigned who);
void check_elected(unsigned node, uint64_t reign); // decided
void check_shown(unsigned node);                   // first shown to anybody
void check_fenced(unsigned node); // L11: it is about to lead
void check_data(unsigned node);
void check_prefix(unsigned secondary, unsigned master);
void note_acked(unsigned node, uint64_t id);
void note_forced(unsigned node); // F1: the exceptions begin
bool holds_all_acked(unsigned node);

#endif
