// SPDX-License-Identifier: Apache-2.0
// What breaks, and how it is mended.
#include "tests/sim/sim.h"

bool all_formed(void) {
  for (unsigned i = 0; i < VOTERS; i++)
    if (sim.process[i].wiped || disk_ballot(i)->blank) /* lifted, but perhaps not on the disk */
      return false;
  return true;
}

// ---- memories lost: one at a time, since the protocol promises no more (B2, B3) ----

static void forget(unsigned who) {
  sim.wipes++;
  sim.process[who].wiped = true;
  if (chance(2))
    disk_damage(who); /* it refuses to start, until the operator resets the voter */
  trace("%s is wiped", voter_name(who));
  disk_blank(who);
}

static bool older(const struct record *a, const struct record *b) {
  return a->epoch != b->epoch ? a->epoch < b->epoch : a->version < b->version;
}

/* B2 is a net: it holds where both nodes remember what the witness has shown. */
static bool both_remember(const struct ballot *shown) {
  for (unsigned i = 0; i < NODES; i++) {
    const struct seen *seen = &disk_ballot(i)->seen[VOTER_W];
    if (disk_ballot(i)->blank || seen->epoch < shown->epoch || older(&seen->sync, &shown->sync))
      return false;
  }
  return true;
}

static void restore_witness(void) {
  struct process *p = &sim.process[VOTER_W];
  const struct ballot *now = disk_ballot(VOTER_W);
  bool less = p->snapshot.epoch < now->epoch || older(&p->snapshot.sync, &now->sync);
  if (!less || !both_remember(now))
    return;
  trace("w is restored from a snapshot, epoch %lu", p->snapshot.epoch);
  sim.wipes++;
  p->wiped = true;
  disk_restore(VOTER_W, &p->snapshot);
}

/* Another machine in its place, empty: only where all that counts is on the other one's disk. */
static void replace(unsigned node) {
  bool needed = false;
  for (unsigned i = 0; i < VOTERS; i++) {
    const struct record *sync = &disk_ballot(i)->sync;
    needed |= sync->mode == RECORD_SOLE && sync->owner == node;
  }
  forget(node);
  if (needed || !holds_all_acked(1 - node))
    return;
  trace("%s is another machine", voter_name(node));
  broker_empty(node);
}

static void lose_memory(unsigned who) {
  if (!(sim.kinds & KIND_WIPE) || !all_formed() || sim.forced)
    return;
  if (who < NODES && chance(6))
    chance(2) ? forget(who) : replace(who);
  else if (who == VOTER_W && chance(3))
    forget(who);
  else if (who == VOTER_W && chance(2))
    restore_witness();
}

// ---- machines ----

static void crash(unsigned who, bool machine) {
  if (!sim.process[who].up)
    return;
  process_crash(who, machine);
  if (machine || who == VOTER_W)
    lose_memory(who);
  struct process *p = &sim.process[who];
  int64_t away = chance(2) ? between(0, SECOND) : between(0, chance(4) ? 60 * SECOND : 10 * SECOND);
  schedule(sim.now + away, WHAT_RESTART, who, p->life, UINT32_MAX, 0);
  if (machine && who < NODES)
    schedule(sim.now + away + between(0, SECOND), WHAT_BROKER_RESTART, who, sim.broker[who].life, UINT32_MAX,
             0);
}

static void kill_broker(unsigned node) {
  if (!sim.broker[node].alive || !(sim.kinds & KIND_BROKER))
    return;
  broker_die(node);
  schedule(sim.now + between(0, 4 * SECOND), WHAT_BROKER_RESTART, node, sim.broker[node].life, UINT32_MAX, 0);
}

static void pause_process(unsigned who) {
  int64_t pause = chance(2) ? between(0, SECOND) : between(0, chance(4) ? 40 * SECOND : 8 * SECOND);
  trace("%s pauses for %ld ms", voter_name(who), pause / MS);
  sim.process[who].stalled_until = sim.now + pause;
}

static void spoil_disk(unsigned who) {
  struct disk *d = &sim.process[who].disk;
  d->failing = (sim.kinds & KIND_DISK) && chance(3);
  d->full = (sim.kinds & KIND_DISK) && chance(6);
  d->sync_us = chance(3) ? between(100, 300 * MS) : between(50, 3 * MS);
}

static void cut_off(unsigned who) {
  unsigned ways = 1 + (unsigned)below(3);
  trace("%s is cut off, ways %u", voter_name(who), ways);
  isolate(who, ways);
}

static void spoil_all(unsigned who) {
  for (unsigned i = 0; i < VOTERS; i++) {
    spoil_link(who, i);
    spoil_link(i, who);
  }
}

static void unfit(unsigned node) {
  sim.broker[node].unfit = chance(4);
  if ((sim.kinds & KIND_FENCE) && chance(3))
    process_post(node, &(struct event){.type = EVENT_FENCE_LOST});
}

static void reload(unsigned who) {
  struct event event = {.type = EVENT_CONFIG};
  event.config = (struct core_settings){.preferred = (uint8_t)below(NODES),
                                        .witness_grace_ms = chance(4) ? 0 : (uint32_t)between(1000, 10000),
                                        .degrade_ms = (uint32_t)between(300, 3000),
                                        .join_hold_ms = (uint32_t)between(0, 2000)};
  trace("%s reads its configuration again", voter_name(who));
  process_post(who, &event);
}

static void break_something(void) {
  unsigned who = (unsigned)below(VOTERS), other = (who + 1 + (unsigned)below(2)) % VOTERS;
  unsigned node = (unsigned)below(NODES), what = (unsigned)below(17);
  if (what <= 2)
    spoil_link(who, other);
  else if (what == 3)
    mend_link(who, other);
  else if (what == 4)
    cut_off(who);
  else if (what <= 6)
    mend_links();
  else if (what == 7)
    pause_process(who);
  else if (what <= 9 && (sim.kinds & KIND_CRASH))
    crash(who, what == 9);
  else if (what == 10)
    kill_broker(node);
  else if (what == 11)
    spoil_disk(who);
  else if (what == 12 && (sim.kinds & KIND_ORDER))
    operator_order(who);
  else if (what == 13 && chance(3))
    reload(who);
  else if (what == 13)
    set_rate(who, 1000000 - (int64_t)below(sim.config.drift_ppm + 1));
  else if (what == 14)
    unfit(node);
  else if (what == 15)
    sim.process[who].snapshot = *disk_ballot(who);
  else if (what == 16)
    spoil_all(who);
}

void chaos_next(void) {
  schedule(sim.now + between(1, 2 * sim.chaos_every_us), WHAT_CHAOS, 0, 0, UINT32_MAX, 0);
  if (!sim.chaos)
    return;
  sim.faults++;
  break_something();
}

// ---- peace ----

static void heal_process(unsigned who) {
  struct process *p = &sim.process[who];
  p->disk.failing = p->disk.full = false;
  p->disk.sync_us = 500;
  if (p->stalled_until > sim.now)
    p->stalled_until = sim.now;
  for (uint32_t i = 0; i < p->box_count; i++) {
    struct event *event = &p->box[(p->box_head + i) % BOX_MAX];
    if (event->type == EVENT_ORDER)
      event->type = EVENT_TIMER; /* peace: nothing is ordered any more */
  }
  if (p->up && p->core.retired)
    process_crash(who, false); /* its supervisor does not wait any longer */
  if (!p->up)
    process_start(who);
  else
    process_run(who);
}

void heal(void) {
  trace("everything heals");
  sim.chaos = false;
  mend_links();
  for (unsigned i = 0; i < VOTERS; i++)
    heal_process(i);
  for (unsigned i = 0; i < NODES; i++) {
    sim.broker[i].unfit = false;
    broker_restart(i);
  }
  device_heal();
  for (unsigned i = 0; i < VOTERS; i++)
    process_post(i, &(struct event){.type = EVENT_ORDER, .order = {.type = ORDER_THAW}});
}
