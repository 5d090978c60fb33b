// SPDX-License-Identifier: Apache-2.0
// L11: the fence device of a node, slow, failing and answering late, and whoever switches a machine on again.
// One that says "off" of a machine that is not would be a lie that nothing can stand; it tells none here.
#include "tests/sim/sim.h"

static int64_t effort(void) {
  return sim.chaos ? between(20 * MS, chance(3) ? 4 * SECOND : 300 * MS) : between(20 * MS, DEVICE_US);
}

void device_order(unsigned node, uint64_t reign) {
  struct process *p = &sim.process[node];
  p->peer_off = reign;
  trace("%s's fence device is %s", voter_name(node),
        reign != 0 ? "to turn the other node off" : "to leave it alone");
  if (reign != 0)
    schedule(sim.now + effort(), WHAT_DEVICE, node, p->life, UINT32_MAX, reign);
}

/* What was off already stays as it was. */
static void turn_off(unsigned node) {
  struct process *p = &sim.process[node];
  if (!p->up && !sim.broker[node].alive)
    return;
  sim.offs++;
  trace("%s is turned off", voter_name(node));
  process_crash(node, true);
  broker_die(node);
  p->kept = false; /* where its agent was dead before */
  p->fence = INSTANT_PAST;
  p->life++;
  int64_t back = sim.now + (sim.chaos ? between(0, 8 * SECOND) : SECOND);
  schedule(back, WHAT_RESTART, node, p->life, UINT32_MAX, 0);
  schedule(back + between(0, SECOND), WHAT_BROKER_RESTART, node, sim.broker[node].life, UINT32_MAX, 0);
}

/* A command on its way may arrive although nobody waits for its answer any more. */
void device_try(unsigned node, uint64_t life, uint64_t reign) {
  struct process *p = &sim.process[node];
  bool awaited = p->up && p->life == life && p->peer_off == reign;
  if (!awaited && chance(2))
    return;
  if (sim.chaos && chance(3)) {
    if (awaited)
      schedule(sim.now + effort(), WHAT_DEVICE, node, life, UINT32_MAX, reign);
    return;
  }
  turn_off(1 - node);
  if (p->up && p->life == life)
    process_post(node, &(struct event){.type = EVENT_FENCED, .fenced = reign});
}

void device_heal(void) {
  for (unsigned node = 0; node < NODES; node++)
    if (sim.process[node].up && sim.process[node].peer_off != 0)
      device_order(node, sim.process[node].peer_off);
}
