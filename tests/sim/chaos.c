// SPDX-License-Identifier: Apache-2.0
// What breaks, and how it is mended.
#include <string.h>

#include "tests/sim/sim.h"

static void spoil_link(unsigned x, unsigned y) {
  struct link *link = &sim.link[x][y];
  link->cut = chance(2);
  link->loss = chance(2) ? (uint32_t)below(600) : 0;
  link->twice = chance(3) ? (uint32_t)below(500) : 0;
  link->delay_us = chance(4) ? between(0, chance(4) ? 1500 * MS : 400 * MS) : between(100, 5 * MS);
  link->jitter_us = chance(3) ? between(0, 300 * MS) : between(0, 2 * MS);
}

static void mend_link(unsigned x, unsigned y) {
  sim.link[x][y] = (struct link){.delay_us = 200, .jitter_us = 300};
}

static void mend_links(void) {
  for (unsigned x = 0; x < VOTERS; x++)
    for (unsigned y = 0; y < VOTERS; y++)
      mend_link(x, y);
}

static void isolate(unsigned who) {
  unsigned ways = 1 + (unsigned)below(3);
  trace("%s is cut off%s", voter_name(who),
        ways == 3   ? ""
        : ways == 1 ? ", hears nobody"
                    : ", nobody hears it");
  for (unsigned i = 0; i < VOTERS; i++) {
    if (i != who && (ways & 1))
      sim.link[i][who].cut = true;
    if (i != who && (ways & 2))
      sim.link[who][i].cut = true;
  }
}

static void crash(unsigned who, bool machine) {
  if (!sim.process[who].up)
    return;
  process_crash(who, machine);
  struct process *p = &sim.process[who];
  bool others_formed = true;
  for (unsigned i = 0; i < VOTERS; i++)
    others_formed &= !sim.process[i].wiped;
  if (who == VOTER_W && (sim.kinds & 2) && others_formed && chance(3)) {
    trace("w is wiped");
    p->disk = (struct ballot){.blank = true, .sync = {.owner = NOBODY}};
    p->wiped = true;
  }
  int64_t away = chance(2) ? between(0, SECOND) : between(0, 10 * SECOND);
  schedule(sim.now + away, WHAT_RESTART, who, p->life, UINT32_MAX, 0);
  if (machine && who < NODES)
    schedule(sim.now + away + between(0, SECOND), WHAT_BROKER_RESTART, who, sim.broker[who].life, UINT32_MAX,
             0);
}

static void order(unsigned who) {
  struct event event = {.type = EVENT_ORDER};
  static const uint8_t types[] = {ORDER_SWITCHOVER, ORDER_SWITCHOVER, ORDER_SWITCHOVER,
                                  ORDER_FREEZE,     ORDER_THAW,       ORDER_THAW};
  event.order.type = types[below(sizeof types)];
  event.order.timeout_ms = (uint32_t)between(10, 5000);
  if ((sim.kinds & 4) && chance(10) && who < NODES) {
    event.order.type = ORDER_FORCE;
    sim.forced = true;
  }
  trace("%s is ordered to %s", voter_name(who), order_name(event.order.type));
  process_post(who, &event);
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

void chaos_next(void) {
  schedule(sim.now + between(1, 2 * sim.chaos_every_us), WHAT_CHAOS, 0, 0, UINT32_MAX, 0);
  if (!sim.chaos)
    return;
  sim.faults++;
  unsigned who = (unsigned)below(VOTERS), y = (who + 1 + (unsigned)below(2)) % VOTERS;
  unsigned node = (unsigned)below(NODES);
  switch (below(16)) {
  case 0:
  case 1:
  case 2:
    spoil_link(who, y);
    break;
  case 3:
    mend_link(who, y);
    break;
  case 4:
    isolate(who);
    break;
  case 5:
  case 6:
    mend_links();
    break;
  case 7: {
    int64_t pause = chance(2) ? between(0, SECOND) : between(0, 8 * SECOND);
    trace("%s pauses for %ld ms", voter_name(who), pause / MS);
    sim.process[who].stalled_until = sim.now + pause;
    break;
  }
  case 8:
    if (sim.kinds & 1)
      crash(who, false);
    break;
  case 9:
    if (sim.kinds & 1)
      crash(who, true);
    break;
  case 10:
    if (sim.broker[node].alive && (sim.kinds & 8)) {
      broker_die(node);
      schedule(sim.now + between(0, 4 * SECOND), WHAT_BROKER_RESTART, node, sim.broker[node].life, UINT32_MAX,
               0);
    }
    break;
  case 11:
    sim.process[who].disk_bad = (sim.kinds & 16) && chance(3);
    sim.process[who].disk_us = chance(3) ? between(100, 300 * MS) : between(50, 3 * MS);
    break;
  case 12:
    if (sim.kinds & 32)
      order(who);
    break;
  case 13:
    if (chance(3))
      reload(who);
    set_rate(who, 1000000 - (int64_t)below(sim.config.drift_ppm + 1));
    break;
  case 14:
    sim.broker[node].unfit = chance(4);
    if ((sim.kinds & 64) && chance(3))
      process_post(node, &(struct event){.type = EVENT_FENCE_LOST});
    break;
  default:
    for (unsigned i = 0; i < VOTERS; i++)
      spoil_link(who, i), spoil_link(i, who);
    break;
  }
}

void heal(void) {
  trace("everything heals");
  sim.chaos = false;
  mend_links();
  for (unsigned i = 0; i < VOTERS; i++) {
    sim.process[i].disk_bad = false;
    sim.process[i].disk_us = 500;
    if (sim.process[i].stalled_until > sim.now)
      sim.process[i].stalled_until = sim.now;
    if (sim.process[i].up && sim.process[i].core.retired)
      process_crash(i, false); /* a retired agent ends */
    if (!sim.process[i].up)
      process_start(i);
    else
      process_run(i);
  }
  for (unsigned i = 0; i < NODES; i++) {
    sim.broker[i].unfit = false;
    broker_restart(i);
  }
  for (unsigned i = 0; i < VOTERS; i++)
    if (sim.process[i].up)
      process_post(i, &(struct event){.type = EVENT_ORDER, .order = {.type = ORDER_THAW}});
}
