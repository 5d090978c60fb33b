// SPDX-License-Identifier: Apache-2.0
// What is demanded of a run, whatever happens in it: P1, P2, P3 of protocol.md.
#include "tests/sim/sim.h"

static bool leads(unsigned node) {
  const struct process *p = &sim.process[node];
  return p->up && core_leads(&p->core, local_now(node));
}

void check_promises(unsigned who) {
  if (who >= NODES || sim.forced)
    return;
  if (leads(VOTER_A) && leads(VOTER_B))
    broken("P1: one master", "both nodes believe that they lead");
  if (fence_open(VOTER_A) && fence_open(VOTER_B))
    broken("P1: one master", "both fences are open");
  if ((leads(VOTER_A) && fence_open(VOTER_B)) || (leads(VOTER_B) && fence_open(VOTER_A)))
    broken("P1: one master", "one node leads while the other's fence is open");
}

void check_data(unsigned node) {
  const struct broker_model *b = &sim.broker[node];
  uint64_t acked = 0, last = 0;
  for (size_t i = 0; i < b->length; i++) {
    if (b->log[i].id <= last)
      broken("P3: in order", "%s at %zu", voter_name(node), i);
    last = b->log[i].id;
    acked += sim.acked[last];
  }
  if (acked != sim.acked_count)
    broken("P3: no acknowledged message lost", "%s leads with %lu of %lu", voter_name(node), acked,
           sim.acked_count);
}

void check_elected(unsigned node, uint64_t reign) {
  sim.process[node].elected = reign;
  sim.process[node].elected_after = sim.reign_max;
  if (!sim.forced && sim.config.replication == REPLICATION_SYNC)
    check_data(node);
}

/* A crash before the sync undoes what was decided, so it counts from the first word of it. */
void check_shown(unsigned node) {
  struct process *p = &sim.process[node];
  uint64_t reign = p->elected;
  p->elected = 0;
  if (reign == 0 || sim.forced)
    return;
  sim.elections++;
  if (reign <= p->elected_after || reign >= REIGNS_MAX || sim.led[reign])
    broken("P2: one master an epoch, epochs only rise", "%s leads in %lu after %s in %lu", voter_name(node),
           reign, voter_name(sim.reign_owner), sim.reign_max);
  else
    sim.led[reign] = true;
  if (reign < sim.reign_max)
    return;
  sim.reign_max = reign;
  sim.reign_owner = (uint8_t)node;
}

void check_prefix(unsigned secondary, unsigned master) {
  const struct broker_model *s = &sim.broker[secondary], *m = &sim.broker[master];
  for (size_t i = 0; i < s->length; i++)
    if (i >= m->length || s->log[i].id != m->log[i].id)
      broken("section 9: what is kept is the master's", "%s differs from %s at %zu", voter_name(secondary),
             voter_name(master), i);
}
