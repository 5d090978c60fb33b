// SPDX-License-Identifier: Apache-2.0
// Step by step: the plain schedule, from which a dialogue may depart at any step. Beats arrive in the order
// in which they were sent, brokers answer, timers go off, all in the same instant; when nothing is left, a
// beat's length passes.
#include "common/core/lease.h"
#include "tests/scenario/world.h"

#define LINK_MAX 2 // beats under way from one voter to another; of more the oldest and the newest are kept

static bool awake(const struct machine *m) {
  return m->agent && !m->stopped;
}

/* The second of three on one link: what is left is as old and as new as can be. */
static bool surplus(const struct world *w, size_t *index) {
  size_t count[VOTERS][VOTERS] = {0}, second[VOTERS][VOTERS];
  for (size_t i = 0; i < w->queued; i++) {
    const struct beat *beat = &w->queue[i].beat;
    size_t *n = &count[beat->from][beat->to];
    if (++*n == 2)
      second[beat->from][beat->to] = i;
    if (*n <= LINK_MAX)
      continue;
    *index = second[beat->from][beat->to];
    return true;
  }
  return false;
}

static bool arriving(const struct world *w, size_t *index) {
  for (size_t i = 0; i < w->queued; i++) {
    if (w->queue[i].late || w->machine[w->queue[i].beat.to].stopped)
      continue;
    *index = i;
    return true;
  }
  return false;
}

bool steps_due(const struct world *w, unsigned voter) {
  const struct machine *m = &w->machine[voter];
  return awake(m) && !instant_before(world_local(w, voter), core_deadline(&m->core));
}

struct step_plan steps_next(const struct world *w) {
  size_t index = 0;
  if (surplus(w, &index))
    return (struct step_plan){STEP_DROP, index};
  if (arriving(w, &index))
    return (struct step_plan){STEP_DELIVER, index};
  for (unsigned node = 0; node < NODES; node++) {
    const struct broker_model *broker = &w->machine[node].broker;
    if (awake(&w->machine[node]) && broker->done_at != NEVER_US && !broker->late)
      return (struct step_plan){STEP_DONE, node};
  }
  for (unsigned v = 0; v < VOTERS; v++)
    if (steps_due(w, v))
      return (struct step_plan){STEP_TIMER, v};
  return (struct step_plan){STEP_PASS, 0};
}

void steps_pass(struct world *w, int64_t us) {
  w->now += us;
  for (size_t i = 0; i < w->queued; i++)
    w->queue[i].late = false;
  for (unsigned node = 0; node < NODES; node++)
    w->machine[node].broker.late = false;
  promises_check(w);
}

void steps_take(struct world *w, struct step_plan plan) {
  struct event timer = {.type = EVENT_TIMER};
  switch (plan.kind) {
  case STEP_DELIVER:
    network_deliver(w, plan.index);
    break;
  case STEP_DROP:
    network_take(w, plan.index);
    return;
  case STEP_DONE:
    broker_done(w, (unsigned)plan.index);
    break;
  case STEP_TIMER:
    world_event(w, (unsigned)plan.index, &timer);
    break;
  case STEP_PASS:
    steps_pass(w, (int64_t)w->config.beat_ms * 1000);
    return;
  }
  brokers_settle(w);
}
