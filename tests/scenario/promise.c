// SPDX-License-Identifier: Apache-2.0
// What is promised to users, looked at after every step from outside, where one sees all three at one
// instant.
#include "tests/scenario/world.h"

static bool holds_lead(const struct world *w, unsigned node) {
  const struct machine *m = &w->machine[node];
  return m->agent && core_leads(&m->core, world_local(w, node));
}

/* P1, by the cores' belief and by what the kernels let through. */
static void one_master(struct world *w) {
  if (w->machine[VOTER_A].core.forced || w->machine[VOTER_B].core.forced)
    return; /* F1: until a majority exists again an operator's word stands for it */
  if (holds_lead(w, VOTER_A) && holds_lead(w, VOTER_B))
    world_fail(w, "P1 is broken: a and b both lead");
  if (machine_answers(w, VOTER_A) && machine_answers(w, VOTER_B))
    world_fail(w, "P1 is broken: a and b both answer on the virtual IP");
}

/* P2: every new reign has an epoch above all before it. Two nodes that are forced while they are apart cannot
   know of each other; then no two have the same at least. */
static void rising_epochs(struct world *w, unsigned node) {
  struct machine *m = &w->machine[node];
  if (!m->agent || m->core.role != ROLE_MASTER || m->core.reign == m->reign)
    return;
  m->reign = m->core.reign;
  if (m->reign == w->last_reign || (m->reign < w->last_reign && !w->forced))
    world_fail(w, "P2 is broken: %s reigns in epoch %llu, another did in %llu", voter_name(node),
               (unsigned long long)m->reign, (unsigned long long)w->last_reign);
  w->last_reign = m->reign > w->last_reign ? m->reign : w->last_reign;
}

void promises_check(struct world *w) {
  one_master(w);
  for (unsigned node = 0; node < NODES; node++)
    rising_epochs(w, node);
}

static bool holds(const struct broker_model *broker, uint32_t message) {
  for (size_t i = 0; i < broker->count; i++)
    if (broker->log[i] == message)
      return true;
  return false;
}

/* P3: who serves has all that was acknowledged, or with ASYNC all but the last max_lag. */
void promise_serve(struct world *w, unsigned node) {
  const struct broker_model *broker = &w->machine[node].broker;
  size_t missing = 0;
  for (size_t i = 0; i < w->messages; i++)
    missing += w->acknowledged[i] && !holds(broker, (uint32_t)i);
  size_t allowed = w->config.replication == REPLICATION_ASYNC ? w->config.max_lag : 0;
  if (missing > allowed && !w->forced && (w->config.replication == REPLICATION_SYNC || w->config.replication == REPLICATION_ASYNC))
    world_fail(w, "P3 is broken: %s serves without %zu acknowledged messages", voter_name(node), missing);
}
