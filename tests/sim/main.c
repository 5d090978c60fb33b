// SPDX-License-Identifier: Apache-2.0
// sim [SEED [RUNS [all]]]: plays RUNS runs from SEED on; shows what led to the first violations (all: every
// line).
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/sim.h"

#define LINES 60
#define LINE_SIZE 320
#define SHOWN 3 // violations with all that led to them

struct sim sim;
static char lines[LINES][LINE_SIZE];
static uint64_t line_count;
static uint64_t lines_wanted = LINES;

// splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014
uint64_t draw(void) {
  uint64_t z = (sim.random += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
uint64_t below(uint64_t n) {
  return draw() % n;
}
bool chance(uint32_t one_in) {
  return draw() % one_in == 0;
}
int64_t between(int64_t low, int64_t high) {
  return low + (int64_t)below((uint64_t)(high - low) + 1);
}

void trace(const char *format, ...) {
  if (!sim.trace)
    return;
  char *line = lines[line_count++ % LINES];
  int used = snprintf(line, LINE_SIZE, "%10.3f  ", (double)sim.now / 1000);
  va_list args;
  va_start(args, format);
  vsnprintf(line + used, LINE_SIZE - (size_t)used, format, args);
  va_end(args);
  if (lines_wanted != LINES)
    puts(line);
}

void broken(const char *promise, const char *format, ...) {
  if (sim.broken != NULL)
    return;
  sim.broken = promise;
  va_list args;
  va_start(args, format);
  vsnprintf(sim.detail, sizeof sim.detail, format, args);
  va_end(args);
}

// ---- the queue: a binary heap by time, then by order of scheduling ----

static bool sooner(const struct happening *x, const struct happening *y) {
  return x->at != y->at ? x->at < y->at : x->order < y->order;
}

void schedule(int64_t at, enum what what, unsigned who, uint64_t life, uint32_t cargo, uint64_t number) {
  assert(sim.heap_count < HEAP_MAX);
  struct happening new = {at, ++sim.order, (uint8_t)what, (uint8_t)who, life, cargo, number};
  size_t i = sim.heap_count++;
  while (i > 0 && sooner(&new, &sim.heap[(i - 1) / 2])) {
    sim.heap[i] = sim.heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  sim.heap[i] = new;
}

static struct happening next(void) {
  struct happening first = sim.heap[0], last = sim.heap[--sim.heap_count];
  size_t i = 0;
  for (size_t child = 1; child < sim.heap_count; child = 2 * i + 1) {
    if (child + 1 < sim.heap_count && sooner(&sim.heap[child + 1], &sim.heap[child]))
      child++;
    if (!sooner(&sim.heap[child], &last))
      break;
    sim.heap[i] = sim.heap[child];
    i = child;
  }
  sim.heap[i] = last;
  return first;
}

uint32_t cargo_new(void) {
  uint32_t number = sim.free_cargo;
  if (number != UINT32_MAX)
    sim.free_cargo = sim.cargo[number].next_free;
  return number;
}
void cargo_free(uint32_t number) {
  sim.cargo[number].next_free = sim.free_cargo;
  sim.free_cargo = number;
}

static void word_of_broker(const struct happening *h) {
  if (sim.process[h->who].life == h->life)
    process_post(h->who, &sim.cargo[h->cargo].event);
  cargo_free(h->cargo);
}

static void happen(const struct happening *h) {
  struct process *p = &sim.process[h->who];
  switch ((enum what)h->what) {
  case WHAT_RUN:
    if (p->life == h->life && p->run_at == h->at)
      process_run(h->who);
    return;
  case WHAT_BEAT:
    process_beat(h->who, h->cargo);
    return;
  case WHAT_EVENT:
    word_of_broker(h);
    return;
  case WHAT_REPORT:
    broker_report(h->who);
    return;
  case WHAT_DUTY:
    if (p->life == h->life)
      broker_reach(h->who, h->number);
    return;
  case WHAT_COPY:
    broker_copy(h->who);
    return;
  case WHAT_CONFIRM:
    broker_confirm(h->who, h->life, h->cargo);
    return;
  case WHAT_WRITE:
    broker_write(h->who);
    return;
  case WHAT_CHAOS:
    chaos_next();
    return;
  case WHAT_RESTART:
    if (!p->up && p->life == h->life)
      process_start(h->who);
    return;
  case WHAT_BROKER_RESTART:
    if (sim.broker[h->who].life == h->life)
      broker_restart(h->who);
    return;
  case WHAT_UNHOLD:
    if (sim.broker[h->who].life == h->life)
      broker_unhold(h->who);
    return;
  }
}

static void run_until(int64_t end) {
  while (sim.broken == NULL && sim.heap[0].at <= end) {
    struct happening h = next();
    sim.now = h.at;
    sim.events++;
    happen(&h);
  }
  sim.now = end;
}

// ---- a run ----

static void begin(uint64_t seed) {
  struct entry *log[NODES] = {sim.broker[0].log, sim.broker[1].log};
  bool *acked = sim.acked;
  memset(&sim, 0, sizeof sim);
  sim.seed = sim.random = seed;
  sim.acked = acked != NULL ? acked : malloc(2 * LOG_MAX);
  memset(sim.acked, 0, 2 * LOG_MAX);
  for (uint32_t i = 0; i < CARGO_MAX; i++)
    sim.cargo[i].next_free = i + 1 < CARGO_MAX ? i + 1 : UINT32_MAX;
  sim.config =
      (struct core_config){.preferred = (uint8_t)below(NODES), .strict = chance(8), .lease_ms = 1000};
  sim.config.replication = chance(6) ? (uint8_t)below(REPLICATION_COUNT) : REPLICATION_SYNC;
  sim.config.beat_ms = (uint32_t)between(100, 320);
  sim.config.drift_ppm = chance(4) ? DRIFT_PPM_MAX / 10 * 3 : 10000;
  sim.config.witness_grace_ms = chance(4) ? 0 : (uint32_t)between(1000, 10000);
  sim.config.degrade_ms = (uint32_t)between(300, 3000);
  sim.config.join_hold_ms = (uint32_t)between(0, 2000);
  sim.kinds = (uint32_t)(draw() | draw());
  if (!chance(8))
    sim.kinds &= ~4u; /* force */
  sim.chaos_every_us = between(30 * MS, 2 * SECOND);
  sim.odds = (uint32_t[]){20000, 20000, 4000, 800}[below(4)];
  for (unsigned i = 0; i < VOTERS; i++) {
    struct process *p = &sim.process[i];
    p->disk = (struct ballot){.blank = true, .sync = {.owner = NOBODY}};
    p->clock_base = between(0, 1000) * SECOND;
    p->rate_ppm = 1000000 - (int64_t)below(sim.config.drift_ppm + 1);
  }
  for (unsigned i = 0; i < NODES; i++) {
    sim.broker[i].log = log[i] != NULL ? log[i] : malloc(LOG_MAX * sizeof(struct entry));
    sim.broker[i].alive = true;
    sim.broker[i].mode = BROKER_HOLD;
    schedule(between(0, 50 * MS), WHAT_REPORT, i, 0, UINT32_MAX, 0);
    schedule(between(0, 50 * MS), WHAT_COPY, i, 0, UINT32_MAX, 0);
    schedule(between(0, 50 * MS), WHAT_WRITE, i, 0, UINT32_MAX, 0);
  }
  schedule(sim.chaos_every_us, WHAT_CHAOS, 0, 0, UINT32_MAX, 0);
}

static bool serves(unsigned node) {
  const struct process *p = &sim.process[node];
  const struct broker_model *b = &sim.broker[node];
  return p->up && core_leads(&p->core, local_now(node)) && fence_open(node) && b->mode == BROKER_LEAD &&
         !b->paused;
}

static unsigned master(void) {
  return serves(VOTER_A) ? VOTER_A : serves(VOTER_B) ? VOTER_B : NOBODY;
}

static bool paired(void) {
  unsigned m = master();
  const struct core *core = &sim.process[m].core;
  return m != NOBODY && core->committed && core->voter.ballot.sync.mode == RECORD_PAIR;
}

static bool all_well(void) {
  for (unsigned i = 0; i < VOTERS; i++)
    if (sim.process[i].disk.blank)
      return false;
  return paired();
}

static int64_t wait_for(bool (*well)(void), int64_t most) {
  int64_t began = sim.now;
  while (sim.broken == NULL && !well() && sim.now - began < most)
    run_until(sim.now + 10 * MS);
  return sim.now - began;
}

static bool served(void) {
  return master() != NOBODY;
}

static void demand(const char *promise, bool (*well)(void), int64_t most, int64_t *longest) {
  int64_t took = wait_for(well, most);
  if (sim.broken == NULL && !well())
    broken(promise, "not within %ld ms", most / MS);
  *longest = took > *longest ? took : *longest;
}

/* A node that is cut off does not disturb a working master, neither while it is away nor when it is back. */
static void cut_off(unsigned who) {
  unsigned m = master();
  uint64_t reign = sim.process[m].core.reign, epoch = sim.process[m].core.voter.ballot.epoch;
  unsigned ways = 1 + (unsigned)below(3);
  trace("%s is cut off in peace, ways %u", voter_name(who), ways);
  for (unsigned i = 0; i < VOTERS; i++) {
    sim.link[i][who].cut |= i != who && (ways & 1);
    sim.link[who][i].cut |= i != who && (ways & 2);
  }
  run_until(sim.now + between(0, 8 * SECOND));
  for (unsigned i = 0; i < VOTERS; i++)
    sim.link[i][who].cut = sim.link[who][i].cut = false;
  trace("%s is back", voter_name(who));
  run_until(sim.now + 4 * SECOND);
  const struct core *core = &sim.process[m].core;
  if (sim.broken == NULL &&
      (core->role != ROLE_MASTER || core->reign != reign || core->voter.ballot.epoch != epoch))
    broken("P4: who is cut off disturbs nobody", "%s was away, %s led in %lu", voter_name(who), voter_name(m),
           reign);
}

static void kill_master(void) {
  unsigned m = master();
  trace("%s is killed in peace", voter_name(m));
  process_crash(m, true);
  int64_t lease = (int64_t)sim.config.lease_ms * (1000000 + sim.config.drift_ppm) / 1000;
  int64_t bound = lease * 1000000 / (1000000 - sim.config.drift_ppm) + (int64_t)sim.config.beat_ms * MS +
                  2 * MS + 50 * MS;
  demand("P4: a dead master is replaced in time", served, bound, &sim.failover_max);
  schedule(sim.now + between(0, 3 * SECOND), WHAT_RESTART, m, sim.process[m].life, UINT32_MAX, 0);
  schedule(sim.now + between(0, 3 * SECOND), WHAT_BROKER_RESTART, m, sim.broker[m].life, UINT32_MAX, 0);
  run_until(sim.now + 3 * SECOND + 1);
}

static void round_of(bool first) {
  sim.chaos = !first;
  if (!first)
    run_until(sim.now + between(SECOND, 60 * SECOND));
  if (sim.broken == NULL)
    heal();
  demand("P4: a healed cluster serves", served, 8 * SECOND, &sim.heal_max);
  demand("P4: a healed cluster is a pair again", all_well, 20 * SECOND, &sim.pair_max);
  run_until(sim.now + 4 * SECOND); /* a restarted broker was held, a node that handed over waits */
  demand("P4: a pair stays one", all_well, 20 * SECOND, &sim.pair_max);
  if (sim.broken == NULL && chance(2))
    cut_off(chance(2) ? VOTER_W : 1 - master());
  demand("P4: a pair again after a cut", all_well, 20 * SECOND, &sim.pair_max);
  if (sim.broken == NULL && sim.config.replication == REPLICATION_SYNC && !sim.forced)
    check_data(master());
  if (sim.broken == NULL && chance(3))
    kill_master();
}

static void play(uint64_t seed, bool traced) {
  begin(seed);
  sim.trace = traced;
  for (unsigned i = 0; i < VOTERS; i++)
    process_start(i);
  for (unsigned i = 0; i < 6 && sim.broken == NULL; i++)
    round_of(i == 0);
}

static void show(uint64_t seed) {
  line_count = 0;
  play(seed, true);
  printf("seed %lu breaks '%s': %s\n", seed, sim.broken, sim.detail);
  printf("lease %u beat %u drift %u ppm, replication %s%s, degrade %u, join %u, grace %u, kinds %#x\n",
         sim.config.lease_ms, sim.config.beat_ms, sim.config.drift_ppm,
         replication_name(sim.config.replication), sim.config.strict ? " strict" : "", sim.config.degrade_ms,
         sim.config.join_hold_ms, sim.config.witness_grace_ms, sim.kinds & 63);
  puts("  true ms   FROM>TO role #seq echo grant, ballot epoch, record (PAIR or its sole owner), reign, "
       "promise "
       "leader@epoch, free_ms, position; or what happened");
  for (uint64_t i = line_count > LINES ? line_count - LINES : 0; i < line_count && lines_wanted == LINES; i++)
    puts(lines[i % LINES]);
  fflush(stdout);
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : 1500;
  lines_wanted = argc > 3 ? 0 : LINES;
  uint64_t passed = 0, failed = 0, events = 0, elections = 0, acks = 0, faults = 0, resumptions = 0;
  int64_t virtual = 0, heal_max = 0, pair_max = 0, failover_max = 0;
  clock_t began = clock();
  for (uint64_t i = 0; i < runs; i++) {
    play(seed + i, false);
    events += sim.events, elections += sim.elections, acks += sim.acks, faults += sim.faults,
        virtual += sim.now, resumptions += sim.resumptions;
    heal_max = sim.heal_max > heal_max ? sim.heal_max : heal_max;
    pair_max = sim.pair_max > pair_max ? sim.pair_max : pair_max;
    failover_max = sim.failover_max > failover_max ? sim.failover_max : failover_max;
    sim.broken == NULL ? passed++ : failed++;
    if (sim.broken != NULL && failed <= SHOWN)
      show(seed + i);
    else if (sim.broken != NULL)
      printf("seed %lu breaks '%s': %s\n", seed + i, sim.broken, sim.detail);
  }
  double spent = (double)(clock() - began) / CLOCKS_PER_SEC, hours = (double)virtual / 3600e6;
  printf(
      "%lu events, %lu faults, %lu reigns, %lu taken up again, %lu acknowledged; %.2f cluster-hours, %.0f a minute; healed after "
      "at most %ld ms, paired %ld ms, failed over %ld ms\n",
      events, faults, elections, resumptions, acks, hours, hours / spent * 60, heal_max / MS, pair_max / MS,
      failover_max / MS);
  printf("%lu passed, %lu failed\n", passed, failed);
  return failed != 0;
}
