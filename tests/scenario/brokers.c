// SPDX-License-Identifier: Apache-2.0
// Two brokers with a log each, copied at once where they are attached. What they acknowledge is never to be
// lost.
#include <string.h>

#include "tests/scenario/world.h"

#define EFFORT_US 1000 // a duty is reached so long after it was given

static bool open_fence(const struct world *w, unsigned node) {
  struct instant now = world_local(w, node);
  return w->machine[node].fence.us > now.us;
}

bool machine_answers(const struct world *w, unsigned node) {
  return w->machine[node].power && w->machine[node].address && open_fence(w, node);
}

static bool leads(const struct broker_model *broker) {
  return broker->running && broker->duty.mode == BROKER_LEAD;
}

void broker_obey(struct world *w, unsigned node, const struct broker_duty *duty) {
  struct broker_model *broker = &w->machine[node].broker;
  bool begins = duty->mode == BROKER_LEAD && broker->duty.mode != BROKER_LEAD;
  broker->duty = *duty;
  broker->done_at = w->now + EFFORT_US;
  broker->late = false;
  if (duty->mode != BROKER_FOLLOW)
    broker->attached = false;
  if (duty->mode == BROKER_LEAD && !duty->paused)
    promise_serve(w, node);
  if (begins)
    promise_fenced(w, node);
}

static struct position position(const struct broker_model *broker) {
  bool empty = broker->epoch == 0 && broker->count == 0;
  return empty ? (struct position){0, 0} : (struct position){broker->epoch, broker->count + 1};
}

void broker_done(struct world *w, unsigned node) {
  struct broker_model *broker = &w->machine[node].broker;
  broker->done_at = NEVER_US;
  if (!broker->running && broker->duty.mode != BROKER_HOLD)
    return; /* a dead one has reached HOLD, and nothing else */
  if (broker->duty.mode == BROKER_LEAD)
    broker->epoch = broker->duty.epoch;
  struct event event = {.type = EVENT_DONE};
  event.done.serial = broker->duty.serial;
  event.done.position = position(broker);
  world_event(w, node, &event);
}

static void replicate(struct world *w, unsigned node) {
  struct broker_model *broker = &w->machine[node].broker;
  const struct broker_model *master = &w->machine[1 - node].broker;
  bool follows = broker->running && broker->duty.mode == BROKER_FOLLOW;
  bool reach = w->machine[1 - node].power && network_joined(w, VOTER_A, VOTER_B);
  bool known = broker->attached || master->epoch == broker->duty.epoch; /* L7 does not end a link */
  if (!follows || !reach || !leads(master) || !known) {
    broker->attached = false;
    return;
  }
  if (broker->stalled)
    return;
  broker->attached = true;
  broker->epoch = master->epoch;
  broker->count = master->count;
  memcpy(w->log[node], w->log[1 - node], master->count * sizeof w->log[0][0]);
}

/* ASYNC: it may be behind by so much when something is acknowledged. */
static size_t lagging(const struct world *w, const struct broker_model *other) {
  return other->count + (w->config.replication == REPLICATION_ASYNC ? w->config.max_lag : 0);
}

static void acknowledge(struct world *w, unsigned node) {
  const struct broker_model *broker = &w->machine[node].broker, *other = &w->machine[1 - node].broker;
  if (!leads(broker) || broker->duty.paused || broker->epoch != broker->duty.epoch)
    return;
  size_t upto = broker->count;
  if (broker->duty.sync)
    upto = !other->attached ? 0 : lagging(w, other) < upto ? lagging(w, other) : upto;
  for (size_t i = 0; i < upto; i++)
    w->acknowledged[w->log[node][i]] = true;
}

static struct broker_report report_of(const struct world *w, unsigned node) {
  const struct broker_model *broker = &w->machine[node].broker, *other = &w->machine[1 - node].broker;
  struct broker_report report = {.dead = !broker->running, .position = position(broker)};
  report.health = broker->running && !broker->unfit;
  report.link = broker->attached || (leads(broker) && other->attached);
  if (leads(broker) && other->attached)
    report.peer = position(other);
  return report;
}

static bool same_report(const struct broker_report *a, const struct broker_report *b) {
  return a->health == b->health && a->dead == b->dead && a->link == b->link &&
         a->position.epoch == b->position.epoch && a->position.offset == b->position.offset &&
         a->peer.epoch == b->peer.epoch && a->peer.offset == b->peer.offset;
}

static bool report(struct world *w, unsigned node) {
  struct machine *m = &w->machine[node];
  struct broker_report now = report_of(w, node);
  if (!m->agent || m->stopped || same_report(&now, &m->broker.told))
    return false;
  m->broker.told = now;
  struct event event = {.type = EVENT_BROKER, .broker = now};
  world_event(w, node, &event);
  return true;
}

void brokers_settle(struct world *w) {
  for (bool news = true; news;) {
    news = false;
    for (unsigned node = 0; node < NODES; node++)
      replicate(w, node);
    for (unsigned node = 0; node < NODES; node++)
      acknowledge(w, node);
    for (unsigned node = 0; node < NODES; node++)
      news |= report(w, node);
  }
}

static size_t count_acknowledged(const struct world *w) {
  size_t count = 0;
  for (size_t i = 0; i < w->messages; i++)
    count += w->acknowledged[i];
  return count;
}

static unsigned server(const struct world *w) {
  for (unsigned node = 0; node < NODES; node++)
    if (machine_answers(w, node) && leads(&w->machine[node].broker))
      return node;
  return NOBODY;
}

void brokers_write(struct world *w, size_t messages) {
  unsigned node = server(w);
  if (node == NOBODY || w->messages + messages > LOG_MAX) {
    world_say(w, "nobody takes them\n");
    return;
  }
  struct broker_model *broker = &w->machine[node].broker;
  if (broker->duty.paused) {
    world_say(w, "%s is paused\n", voter_name(node));
    return;
  }
  size_t before = count_acknowledged(w);
  for (size_t i = 0; i < messages; i++) {
    w->acknowledged[w->messages] = false;
    w->log[node][broker->count++] = (uint32_t)w->messages++;
  }
  brokers_settle(w);
  world_say(w, "%s takes %zu, acknowledges %zu\n", voter_name(node), messages,
            count_acknowledged(w) - before);
}
