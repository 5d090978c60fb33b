// SPDX-License-Identifier: Apache-2.0
// What is demanded of a run, whatever happens in it: P1, P2, P3 of protocol.md, with the exceptions of F1 and
// no others.
#include "tests/sim/sim.h"

static uint8_t line_of[IDS_MAX]; // where FATE_MEANWHILE

// ---- F1: what rests on the operator's word ----

/* From the order until both nodes are under one master again, which the ballots of the forced nodes say; of one whose
   agent died before its disk took it, what that one kept (L10). */
static bool still_forced(unsigned node) {
  const struct process *p = &sim.process[node];
  bool lives = p->up || p->kept;
  const struct ballot *ballot = lives ? &p->core.voter.ballot : disk_ballot(node);
  return ballot->forced[node] != 0 || (lives && p->core.forced);
}

/* "The other node is down": what the forced one does not hold is given up by that. */
void note_forced(unsigned node) {
  const struct broker_model *b = &sim.broker[node];
  static uint8_t held[IDS_MAX];
  for (uint64_t id = 1; id <= sim.ids; id++)
    held[id] = 0;
  for (size_t i = 0; i < b->length; i++)
    held[b->log[i].id] = 1;
  for (uint64_t id = 1; id <= sim.ids; id++)
    if (!held[id] && sim.fate[id] != 0)
      sim.fate[id] |= FATE_EXCUSED;
  sim.forced = true;
  sim.process[node].wiped = false; /* it has a memory again, by the operator's word */
  sim.line[node] = ++sim.lines;
  sim.forces++;
}

/* Both hold the same now. An acknowledged message may be missing only if the operator's word was about it, or
   if it was acknowledged meanwhile in a line that gave way. */
static bool excused(uint64_t id, unsigned survivor) {
  bool gave_way = (sim.fate[id] & FATE_MEANWHILE) != 0 && line_of[id] != sim.line[survivor];
  return gave_way || (sim.fate[id] & FATE_EXCUSED) != 0;
}

static void end_force(unsigned survivor) {
  const struct broker_model *b = &sim.broker[survivor];
  for (size_t i = 0; i < b->length; i++)
    if (sim.fate[b->log[i].id] != 0)
      sim.fate[b->log[i].id] = FATE_ACKED;
  for (uint64_t id = 1; id <= sim.ids; id++) {
    bool lost = excused(id, survivor);
    sim.acked_count -= lost;
    sim.fate[id] = lost || sim.fate[id] == 0 ? 0 : FATE_ACKED;
  }
  sim.forced = sim.force_shown = false;
  trace("F1 is over, %s leads", voter_name(survivor));
  if (sim.config.replication == REPLICATION_SYNC)
    check_data(survivor);
}

static bool leads(unsigned node) {
  const struct process *p = &sim.process[node];
  return p->up && core_leads(&p->core, local_now(node));
}

static void look_at_force(void) {
  for (unsigned node = 0; node < NODES; node++)
    sim.force_shown |= disk_ballot(node)->forced[node] != 0;
  if (still_forced(VOTER_A) || still_forced(VOTER_B))
    return;
  if (!sim.force_shown) { /* the machine died before it was written: it never happened */
    sim.forced = false;
    for (uint64_t id = 1; id <= sim.ids; id++)
      sim.fate[id] = sim.fate[id] != 0 ? FATE_ACKED : 0;
  } else if (leads(VOTER_A) != leads(VOTER_B)) {
    end_force(leads(VOTER_A) ? VOTER_A : VOTER_B);
  } else if (leads(VOTER_A)) {
    broken("P1: one master", "both nodes lead after F1");
  }
}

// ---- P1 ----

void check_promises(unsigned who) {
  if (sim.forced)
    look_at_force();
  if (who >= NODES || sim.forced)
    return;
  if (leads(VOTER_A) && leads(VOTER_B))
    broken("P1: one master", "both nodes believe that they lead");
  if (fence_open(VOTER_A) && fence_open(VOTER_B))
    broken("P1: one master", "both fences are open");
  if ((leads(VOTER_A) && fence_open(VOTER_B)) || (leads(VOTER_B) && fence_open(VOTER_A)))
    broken("P1: one master", "one node leads while the other's fence is open");
}

// ---- P3 ----

void note_acked(unsigned node, uint64_t id) {
  sim.acks++;
  sim.acked_count += sim.fate[id] == 0;
  sim.fate[id] |= FATE_ACKED;
  if (!sim.forced)
    return;
  sim.fate[id] |= FATE_MEANWHILE;
  line_of[id] = sim.line[node];
}

static uint64_t acked_in(unsigned node) {
  const struct broker_model *b = &sim.broker[node];
  uint64_t acked = 0;
  for (size_t i = 0; i < b->length; i++)
    acked += sim.fate[b->log[i].id] != 0;
  return acked;
}

bool holds_all_acked(unsigned node) {
  return acked_in(node) == sim.acked_count;
}

/* L11: the other one is off, or nothing of any reign runs there; a false word of an operator's is his. */
void check_fenced(unsigned node) {
  const struct broker_model *b = &sim.broker[1 - node];
  bool runs = (b->alive && b->mode == BROKER_LEAD && !b->paused) || fence_open(1 - node);
  if (sim.config.fence_required && runs && !sim.forced && !sim.process[node].vouched)
    broken("L11: nobody leads before the other node is out of the way", "%s leads", voter_name(node));
}

void check_data(unsigned node) {
  const struct broker_model *b = &sim.broker[node];
  for (size_t i = 1; i < b->length; i++)
    if (b->log[i].id <= b->log[i - 1].id)
      broken("P3: in order", "%s at %zu", voter_name(node), i);
  if (!holds_all_acked(node))
    broken("P3: no acknowledged message lost", "%s leads with %lu of %lu", voter_name(node), acked_in(node),
           sim.acked_count);
}

/* ASYNC: a failover loses what the elected node does not hold, the last max_lag at most. Nobody expects it from
   here on. */
static void check_bound(unsigned node) {
  const struct broker_model *b = &sim.broker[node];
  uint64_t lost = sim.acked_count - acked_in(node);
  if (lost > sim.config.max_lag)
    broken("P3: no more than max_lag lost", "%s leads without %lu", voter_name(node), lost);
  if (lost == 0)
    return;
  for (size_t i = 0; i < b->length; i++)
    if (sim.fate[b->log[i].id] != 0)
      sim.fate[b->log[i].id] |= FATE_KEPT;
  for (uint64_t id = 1; id <= sim.ids; id++)
    sim.fate[id] = (sim.fate[id] & FATE_KEPT) != 0 ? FATE_ACKED : 0;
  sim.acked_count -= lost;
}

void check_prefix(unsigned secondary, unsigned master) {
  const struct broker_model *s = &sim.broker[secondary], *m = &sim.broker[master];
  for (size_t i = 0; i < s->length; i++)
    if (i >= m->length || s->log[i].id != m->log[i].id)
      broken("section 9: what is kept is the master's", "%s differs from %s at %zu", voter_name(secondary),
             voter_name(master), i);
}

// ---- P2 ----

void check_elected(unsigned node, uint64_t reign) {
  sim.process[node].elected = reign;
  sim.process[node].elected_after = sim.reign_max;
  if (!sim.forced && sim.config.replication == REPLICATION_SYNC)
    check_data(node);
  if (!sim.forced && sim.config.replication == REPLICATION_ASYNC)
    check_bound(node);
}

static bool led_before(uint64_t reign) {
  for (uint64_t i = 0; i < sim.elections && i < REIGNS_MAX; i++)
    if (sim.led[i] == reign)
      return true;
  return false;
}

/* A crash before the sync undoes what was decided, so it counts from the first word of it. While F1 lasts,
   only a node's own epochs rise for certain: the other one knows nothing of the order. */
void check_shown(unsigned node) {
  struct process *p = &sim.process[node];
  uint64_t reign = p->elected;
  p->elected = 0;
  if (reign == 0)
    return;
  uint64_t above = sim.forced ? p->reigned : p->elected_after;
  if (reign <= above || led_before(reign))
    broken("P2: one master an epoch, epochs only rise", "%s leads in %lu after %s in %lu", voter_name(node),
           reign, voter_name(sim.reign_owner), sim.reign_max);
  sim.led[sim.elections++ % REIGNS_MAX] = reign;
  p->reigned = reign;
  if (reign < sim.reign_max)
    return;
  sim.reign_max = reign;
  sim.reign_owner = (uint8_t)node;
}
