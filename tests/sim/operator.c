// SPDX-License-Identifier: Apache-2.0
// The operator: orders given at random, and what a person would do where votes cannot help.
#include "tests/sim/sim.h"

static void order(unsigned who, struct order word) {
  struct event event = {.type = EVENT_ORDER, .order = word};
  process_post(who, &event);
}

/* B3 with data: whoever holds all that counts is named, and the epochs go on above all that were. */
static void form(void) {
  unsigned node = holds_all_acked(VOTER_A) ? VOTER_A : VOTER_B;
  order((unsigned)below(VOTERS),
        (struct order){.type = ORDER_FORM, .node = (uint8_t)node, .above = sim.reign_max});
}

/* Half of the words are true: the other node is down. The other half are what must never be done, and F1 says
   what is lost by it. */
static void force(unsigned node) {
  unsigned other = 1 - node;
  if (chance(2)) {
    process_crash(other, true);
    schedule(sim.now + between(0, 10 * SECOND), WHAT_RESTART, other, sim.process[other].life, UINT32_MAX, 0);
    schedule(sim.now + between(0, 11 * SECOND), WHAT_BROKER_RESTART, other, sim.broker[other].life,
             UINT32_MAX, 0);
  }
  order(node, (struct order){.type = ORDER_FORCE});
}

void operator_order(unsigned who) {
  static const uint8_t types[] = {ORDER_SWITCHOVER, ORDER_SWITCHOVER, ORDER_SWITCHOVER, ORDER_FREEZE,
                                  ORDER_THAW,       ORDER_THAW,       ORDER_RETIRE};
  struct order word = {.type = types[below(sizeof types)], .timeout_ms = (uint32_t)between(10, 5000)};
  if (chance(10))
    form(); /* refused wherever there is a memory */
  else if (who == VOTER_W && word.type == ORDER_RETIRE)
    return;
  else if ((sim.kinds & KIND_FORCE) && who < NODES && chance(4) && all_formed())
    force(who);
  else
    order(who, word);
}

static bool has_memory(unsigned who) {
  const struct process *p = &sim.process[who];
  return p->up ? !p->core.voter.ballot.blank || p->core.voter.ballot.epoch != 0
               : !disk_ballot(who)->blank || disk_ballot(who)->epoch != 0;
}

static bool led_lately(unsigned node) {
  const struct process *p = &sim.process[node];
  return p->up && core_leads(&p->core, local_now(node));
}

static unsigned memories(void) {
  unsigned count = 0;
  for (unsigned i = 0; i < VOTERS; i++)
    count += !disk_ballot(i)->blank;
  return count;
}

/* Nobody can be elected: no two have a memory, or who is not excluded by the newest record has none. */
static bool stuck(void) {
  const struct record *newest = &disk_ballot(VOTER_A)->sync;
  for (unsigned i = 1; i < VOTERS; i++) {
    const struct record *sync = &disk_ballot(i)->sync;
    if (sync->epoch > newest->epoch || (sync->epoch == newest->epoch && sync->version > newest->version))
      newest = sync;
  }
  for (unsigned node = 0; node < NODES; node++) {
    bool excluded = newest->mode == RECORD_SOLE && newest->owner != node;
    if (led_lately(node) || (!disk_ballot(node)->blank && !excluded && memories() > 1))
      return false;
  }
  return true;
}

/* The operator sees in its status what the node's data is. */
static bool knows_its_data(unsigned node) {
  return sim.process[node].up &&
         sim.process[node].core.broker.position.epoch == sim.broker[node].position_epoch;
}

/* Looks at a cluster that is healed otherwise. The word is true here: the other node is off before it is
 * given. */
void operator_look(void) {
  bool memory = false;
  for (unsigned i = 0; i < VOTERS; i++)
    memory |= has_memory(i);
  if (!memory && sim.ids > 0 && chance(10))
    form();
  if (disk_ballot(VOTER_A)->frozen.on && chance(10))
    order(VOTER_A, (struct order){.type = ORDER_THAW});
  if (!memory || !stuck() || sim.forced || !chance(20))
    return;
  unsigned node = holds_all_acked(VOTER_A) ? VOTER_A : VOTER_B, other = 1 - node;
  if (!knows_its_data(node))
    return;
  trace("the operator sees that no vote can help");
  process_crash(other, true);
  schedule(sim.now + SECOND, WHAT_RESTART, other, sim.process[other].life, UINT32_MAX, 0);
  schedule(sim.now + SECOND, WHAT_BROKER_RESTART, other, sim.broker[other].life, UINT32_MAX, 0);
  order(node, (struct order){.type = ORDER_FORCE});
}

/* Where no broker holds anything this would be a new cluster, which forms itself and counts its epochs anew.
 */
void disaster(void) {
  bool replicates = sim.config.replication == REPLICATION_SYNC || sim.config.replication == REPLICATION_ASYNC;
  if (!replicates || (sim.broker[VOTER_A].length == 0 && sim.broker[VOTER_B].length == 0))
    return;
  trace("all three lose their ballots");
  for (unsigned i = 0; i < VOTERS; i++) {
    process_crash(i, true);
    disk_blank(i);
    sim.process[i].wiped = true;
  }
  for (unsigned i = 0; i < NODES; i++)
    broker_restart(i);
  for (unsigned i = 0; i < VOTERS; i++)
    process_start(i);
}
