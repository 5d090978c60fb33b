// SPDX-License-Identifier: Apache-2.0
// What is promised to users, looked at after every step from outside, where one sees all three at one
// instant.
#include "tests/scenario/world.h"

static bool holds_lead(const struct world *w, unsigned node) {
  const struct machine *m = &w->machine[node];
  return m->agent && core_leads(&m->core, world_local(w, node));
}

/* F1: until both nodes are in one majority again an operator's word stands for P1. Of a voter from a snapshot
   B2 promises nothing. */
static bool excepted(const struct world *w) {
  bool forced = false;
  for (unsigned v = 0; v < VOTERS; v++) {
    const struct machine *m = &w->machine[v];
    for (unsigned node = 0; node < NODES; node++)
      forced |= m->disk.forced[node] != 0 || (m->agent && m->core.voter.ballot.forced[node] != 0);
  }
  return forced || w->restored;
}

/* P1, by the cores' belief and by what the kernels let through. */
void promises_check(struct world *w) {
  bool leads[NODES], answers[NODES];
  for (unsigned node = 0; node < NODES; node++) {
    leads[node] = holds_lead(w, node);
    answers[node] = machine_answers(w, node);
  }
  if (excepted(w))
    return;
  if (leads[VOTER_A] && leads[VOTER_B])
    world_fail(w, "P1 is broken: a and b both lead");
  if (answers[VOTER_A] && answers[VOTER_B])
    world_fail(w, "P1 is broken: a and b both answer on the virtual IP");
  for (unsigned node = 0; node < NODES; node++)
    if (leads[node] && answers[1 - node])
      world_fail(w, "P1 is broken: %s leads while %s answers on the virtual IP", voter_name(node),
                 voter_name(1 - node));
}

static void note_row(struct world *w, const struct fact *fact) {
  const struct transition *row = transition_find(fact->from, fact->to, fact->cause);
  if (row == NULL)
    world_fail(w, "no row of the table: %s to %s by %s", role_name(fact->from), role_name(fact->to),
               cause_name(fact->cause));
  else
    w->rows |= 1u << (row - transition_table);
}

/* A crash before the sync undoes what was decided, so a reign counts from the first word of it. */
void promise_decided(struct world *w, unsigned node, const struct actions *list) {
  for (size_t i = 0; i < list->count; i++) {
    const struct fact *fact = &list->at[i].fact;
    if (list->at[i].type != ACTION_TELL || (fact->type != FACT_ROLE && fact->type != FACT_REIGN))
      continue;
    if (fact->type == FACT_ROLE)
      note_row(w, fact);
    w->machine[node].elected = fact->type == FACT_REIGN || fact->to == ROLE_MASTER ? fact->epoch : 0;
  }
}

/* P2: every new reign has an epoch above all before it. Two nodes that are forced while they are apart cannot
   know of each other; then no two have the same at least. */
void promise_shown(struct world *w, unsigned node) {
  uint64_t reign = w->machine[node].elected;
  w->machine[node].elected = 0;
  if (reign == 0 || w->restored)
    return;
  if (reign == w->last_reign || (reign < w->last_reign && !w->forced))
    world_fail(w, "P2 is broken: %s reigns in epoch %llu, another did in %llu", voter_name(node),
               (unsigned long long)reign, (unsigned long long)w->last_reign);
  w->last_reign = reign > w->last_reign ? reign : w->last_reign;
}

static bool holds(const struct world *w, unsigned node, uint32_t message) {
  for (size_t i = 0; i < w->machine[node].broker.count; i++)
    if (w->log[node][i] == message)
      return true;
  return false;
}

/* P3: who serves has all that was acknowledged, or with ASYNC all but the last max_lag. */
void promise_serve(struct world *w, unsigned node) {
  size_t missing = 0;
  for (size_t i = 0; i < w->messages; i++)
    missing += w->acknowledged[i] && !holds(w, node, (uint32_t)i);
  size_t allowed = w->config.replication == REPLICATION_ASYNC ? w->config.max_lag : 0;
  if (missing > allowed && !w->forced && !w->restored &&
      (w->config.replication == REPLICATION_SYNC || w->config.replication == REPLICATION_ASYNC))
    world_fail(w, "P3 is broken: %s serves without %zu acknowledged messages", voter_name(node), missing);
}

/* L11: what leads, leads after the other node was turned off, or let go of whatever it led; or an operator has said
   so, whose word may be false. */
void promise_fenced(struct world *w, unsigned node) {
  const struct machine *other = &w->machine[1 - node];
  bool leads = other->power && other->broker.duty.mode == BROKER_LEAD;
  if (w->config.fence_required && !w->forced && !excepted(w) && (leads || machine_answers(w, 1 - node)))
    world_fail(w, "L11 is broken: %s leads before %s is known to be out of the way", voter_name(node),
               voter_name(1 - node));
}
