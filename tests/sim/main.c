// SPDX-License-Identifier: Apache-2.0
// sim [SEED [RUNS [all | digest]]]: plays RUNS runs from SEED on; shows what led to the first violations
// (all: every line). digest: a line a run, by which two processes can be compared.
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

// FNV-1a by words: Fowler, Noll, Vo
void digest(uint64_t word) {
  sim.digest = (sim.digest ^ word) * 0x100000001b3u;
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
    network_arrive(h->who, h->cargo);
    return;
  case WHAT_DEVICE:
    device_try(h->who, h->life, h->number);
    return;
  case WHAT_FLAP:
    network_flap(h->who, (unsigned)h->number);
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

void run_until(int64_t end) {
  while (sim.broken == NULL && sim.heap[0].at <= end) {
    struct happening h = next();
    sim.now = h.at;
    sim.events++;
    digest((uint64_t)h.at);
    digest(h.what);
    happen(&h);
  }
  sim.now = end;
}

// ---- a run ----

static void begin_voter(unsigned who) {
  struct process *p = &sim.process[who];
  disk_blank(who);
  p->snapshot = *disk_ballot(who);
  p->clock_base = between(0, 1000) * SECOND;
  p->rate_ppm = 1000000 - (int64_t)below(sim.config.drift_ppm + 1);
  p->disk.sync_us = 500;
}

static void begin_broker(unsigned node, struct entry *log) {
  struct broker_model *b = &sim.broker[node];
  b->log = log != NULL ? log : malloc(LOG_MAX * sizeof(struct entry));
  b->alive = true;
  b->mode = BROKER_HOLD;
  schedule(between(0, 50 * MS), WHAT_REPORT, node, 0, UINT32_MAX, 0);
  schedule(between(0, 50 * MS), WHAT_COPY, node, 0, UINT32_MAX, 0);
  schedule(between(0, 50 * MS), WHAT_WRITE, node, 0, UINT32_MAX, 0);
}

static void configure(void) {
  sim.config =
      (struct core_config){.preferred = (uint8_t)below(NODES), .strict = chance(8), .lease_ms = 1000};
  sim.config.replication = chance(6) ? (uint8_t)below(REPLICATION_COUNT) : REPLICATION_SYNC;
  if (sim.config.replication == REPLICATION_ASYNC) {
    sim.config.max_lag = below(8) + 1;
    sim.config.withholds = true;
  }
  sim.config.beat_ms = (uint32_t)between(100, 320);
  sim.config.drift_ppm = chance(4) ? DRIFT_PPM_MAX / 10 * 3 : 10000;
  sim.config.witness_grace_ms = chance(4) ? 0 : (uint32_t)between(1000, 10000);
  sim.config.degrade_ms = (uint32_t)between(300, 3000);
  sim.config.join_hold_ms = (uint32_t)between(0, 2000);
  sim.kinds = (uint32_t)(draw() | draw());
  if (!chance(4))
    sim.kinds &= ~(uint32_t)KIND_FORCE;
  sim.chaos_every_us = between(30 * MS, 2 * SECOND);
  sim.odds = (uint32_t[]){20000, 20000, 4000, 800}[below(4)];
  /* Not drawn: the other seeds' runs stay what they were. */
  sim.config.fence_required = sim.seed % 5 == 0;
  sim.config.hold_down_ms = sim.seed % 4 == 1 ? (uint32_t)(500 + sim.seed * 997 % 5000) : 0;
}

static void begin(uint64_t seed) {
  struct entry *log[NODES] = {sim.broker[0].log, sim.broker[1].log};
  uint8_t *fate = sim.fate;
  memset(&sim, 0, sizeof sim);
  sim.seed = sim.random = seed;
  sim.fate = fate != NULL ? fate : malloc(IDS_MAX);
  memset(sim.fate, 0, IDS_MAX);
  for (uint32_t i = 0; i < CARGO_MAX; i++)
    sim.cargo[i].next_free = i + 1 < CARGO_MAX ? i + 1 : UINT32_MAX;
  configure();
  for (unsigned i = 0; i < VOTERS; i++)
    begin_voter(i);
  for (unsigned i = 0; i < NODES; i++)
    begin_broker(i, log[i]);
  schedule(sim.chaos_every_us, WHAT_CHAOS, 0, 0, UINT32_MAX, 0);
}

static void play(uint64_t seed, bool traced) {
  begin(seed);
  sim.trace = traced;
  for (unsigned i = 0; i < VOTERS; i++)
    process_start(i);
  play_rounds();
}

static void show(uint64_t seed) {
  line_count = 0;
  play(seed, true);
  printf("seed %lu breaks '%s': %s\n", seed, sim.broken, sim.detail);
  printf("lease %u beat %u drift %u ppm, replication %s%s, degrade %u, join %u, grace %u, hold-down %u, kinds %#x\n",
         sim.config.lease_ms, sim.config.beat_ms, sim.config.drift_ppm,
         replication_name(sim.config.replication), sim.config.strict ? " strict" : "", sim.config.degrade_ms,
         sim.config.join_hold_ms, sim.config.witness_grace_ms, sim.config.hold_down_ms, sim.kinds & 511);
  puts("  true ms   FROM>TO role #seq echo grant, ballot epoch, record (PAIR or its sole owner), reign, "
       "promise "
       "leader@epoch, free_ms, position; or what happened");
  for (uint64_t i = line_count > LINES ? line_count - LINES : 0; i < line_count && lines_wanted == LINES; i++)
    puts(lines[i % LINES]);
  fflush(stdout);
}

struct sums {
  uint64_t passed, failed, events, elections, acks, faults, forces, forms, offs, wipes, torn, stops, resumptions;
  int64_t virtual, heal_max, pair_max, failover_max;
};

static int64_t longer(int64_t a, int64_t b) {
  return a > b ? a : b;
}

static void add_run(struct sums *sums) {
  sums->events += sim.events, sums->elections += sim.elections, sums->acks += sim.acks;
  sums->faults += sim.faults, sums->forces += sim.forces, sums->forms += sim.forms, sums->offs += sim.offs, sums->wipes += sim.wipes;
  sums->torn += sim.torn, sums->stops += sim.stops, sums->resumptions += sim.resumptions, sums->virtual += sim.now;
  sums->heal_max = longer(sums->heal_max, sim.heal_max);
  sums->pair_max = longer(sums->pair_max, sim.pair_max);
  sums->failover_max = longer(sums->failover_max, sim.failover_max);
  sim.broken == NULL ? sums->passed++ : sums->failed++;
}

static void print_sums(const struct sums *sums, double spent) {
  double hours = (double)sums->virtual / 3600e6;
  printf("%lu events, %lu faults, %lu reigns, %lu acknowledged, %lu forced, %lu formed by order, %lu "
         "turned off by a fence device, %lu memories lost, "
         "%lu writes torn, %lu clean stops, %lu reigns taken up again\n",
         sums->events, sums->faults, sums->elections, sums->acks, sums->forces, sums->forms, sums->offs, sums->wipes,
         sums->torn, sums->stops, sums->resumptions);
  printf(
      "%.2f cluster-hours, %.0f a minute; healed after at most %ld ms, paired %ld ms, failed over %ld ms\n",
      hours, hours / spent * 60, sums->heal_max / MS, sums->pair_max / MS, sums->failover_max / MS);
  printf("%lu passed, %lu failed\n", sums->passed, sums->failed);
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : 1500;
  bool digests = argc > 3 && strcmp(argv[3], "digest") == 0;
  lines_wanted = argc > 3 && !digests ? 0 : LINES;
  struct sums sums = {0};
  clock_t began = clock();
  for (uint64_t i = 0; i < runs; i++) {
    play(seed + i, false);
    add_run(&sums);
    if (digests)
      printf("seed %lu: %016lx after %lu events\n", seed + i, sim.digest, sim.events);
    else if (sim.broken != NULL && sums.failed <= SHOWN)
      show(seed + i);
    else if (sim.broken != NULL)
      printf("seed %lu breaks '%s': %s\n", seed + i, sim.broken, sim.detail);
  }
  if (!digests)
    print_sums(&sums, (double)(clock() - began) / CLOCKS_PER_SEC);
  return sums.failed != 0;
}
