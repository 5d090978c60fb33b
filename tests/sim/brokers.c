// SPDX-License-Identifier: Apache-2.0
// The model of a broker with synchronous replication: a log, acknowledgements, a secondary that copies in
// order. What is acknowledged, or confirmed as secondary, survives a restart; nothing else need.
#include <assert.h>
#include <string.h>

#include "common/client/tanist.h"
#include "tests/sim/sim.h"

static unsigned other(unsigned node) {
  return 1 - node;
}

static struct position position(const struct broker_model *b) {
  bool empty = b->position_epoch == 0 && b->length == 0;
  return (struct position){b->position_epoch, empty ? 0 : b->length + 1};
}

static void tell_agent(unsigned node, const struct event *event) {
  struct broker_model *b = &sim.broker[node];
  uint32_t number = cargo_new();
  if (number == UINT32_MAX || !sim.process[node].up)
    return;
  sim.cargo[number].event = *event;
  int64_t at = sim.now + between(0, sim.chaos ? 20 * MS : 2 * MS);
  b->channel_at = at > b->channel_at ? at : b->channel_at;
  schedule(b->channel_at, WHAT_EVENT, node, sim.process[node].life, number, 0);
}

bool broker_serves(unsigned node) {
  const struct broker_model *b = &sim.broker[node];
  return b->alive && b->mode == BROKER_LEAD && !b->paused && fence_open(node);
}

/* Acknowledges what may be: nothing while paused or fenced; what the secondary confirmed; all if alone. */
static void acknowledge(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  if (!broker_serves(node))
    return;
  size_t to = b->length;
  if (b->sync) {
    size_t bound = b->confirmed + (size_t)sim.config.max_lag; /* 0 but with ASYNC */
    to = bound < to ? bound : to;
  }
  for (size_t i = b->acked_to; i < to; i++)
    note_acked(node, b->log[i].id);
  if (to > b->acked_to) {
    b->acked_to = to;
    trace("%s acknowledges up to %zu%s", voter_name(node), to, b->sync ? "" : " alone");
  }
  b->durable = b->acked_to > b->durable ? b->acked_to : b->durable;
}

static void leave_lead(struct broker_model *b) {
  if (b->mode == BROKER_LEAD)
    b->term++;
  b->attached = false;
}

void broker_hold_at_start(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  leave_lead(b);
  b->mode = BROKER_HOLD;
  b->duty = (struct broker_duty){.mode = BROKER_HOLD, .master = NOBODY};
}

/* The driver knows by what was kept whether this is the broker that led: of another's coming up the core hears, and
   it is held as if the driver had been there. */
void broker_resume(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  if (b->life == sim.process[node].broker_life)
    return;
  b->dead = true;
  if (b->alive)
    schedule(sim.now + (int64_t)sim.config.lease_ms * MS, WHAT_UNHOLD, node, b->life, UINT32_MAX, 0);
}

void broker_duty(unsigned node, const struct broker_duty *duty) {
  struct broker_model *b = &sim.broker[node];
  if (duty->mode == BROKER_LEAD && b->duty.mode != BROKER_LEAD)
    check_fenced(node);
  b->duty = *duty;
  int64_t delay = sim.chaos && chance(50) ? between(0, SECOND) : between(0, 5 * MS);
  schedule(sim.now + delay, WHAT_DUTY, node, sim.process[node].life, UINT32_MAX, duty->serial);
}

void broker_reach(unsigned node, uint64_t serial) {
  struct broker_model *b = &sim.broker[node];
  const struct broker_duty *duty = &b->duty;
  if (serial != duty->serial || ((!b->alive || b->dead) && duty->mode != BROKER_HOLD))
    return; /* proven dead, it serves nobody: that is HOLD */
  bool leads = b->mode == BROKER_LEAD, same_master = b->mode == BROKER_FOLLOW && b->master == duty->master;
  if (leads && duty->mode != BROKER_LEAD)
    leave_lead(b);
  if (duty->mode != BROKER_FOLLOW || !same_master)
    b->attached = false;
  if (duty->mode == BROKER_LEAD && !leads) {
    b->term++;
    b->lead_from = b->acked_to = b->length;
    b->confirmed = 0;
    b->peer_connection = 0;
  }
  b->mode = duty->mode;
  b->master = duty->master;
  b->epoch = duty->epoch;
  b->paused = duty->paused;
  b->sync = duty->sync;
  if (b->mode == BROKER_LEAD || b->attached)
    b->position_epoch = b->epoch;
  trace("%s's broker reaches %s %s epoch %lu%s%s", voter_name(node), broker_mode_name(b->mode),
        voter_name(b->master), b->epoch, b->paused ? " paused" : "", b->sync ? " sync" : "");
  acknowledge(node);
  tell_agent(node, &(struct event){.type = EVENT_DONE, .done = {(uint32_t)serial, position(b)}});
}

/* What the log's history says (section 9): the newest rows of it, as the real one keeps them. */
static struct tanist_history *history_of(const struct broker_model *b) {
  struct tanist_history_row row[TANIST_HISTORY_ROWS];
  size_t first = TANIST_HISTORY_ROWS;
  for (size_t i = b->length; i > 0 && first > 0; i--)
    if (i == 1 || b->log[i - 2].epoch != b->log[i - 1].epoch)
      row[--first] = (struct tanist_history_row){b->log[i - 1].epoch, i - 1};
  struct tanist_history *history = NULL;
  int rc = tanist_history_take(&history, row + first, TANIST_HISTORY_ROWS - first);
  assert(rc == 0);
  return history;
}

static size_t diverged_at(const struct broker_model *mine, const struct broker_model *master) {
  struct tanist_history *ours = history_of(mine), *theirs = history_of(master);
  uint64_t epoch, position = 0;
  if (tanist_history_diverged(ours, theirs, mine->length, master->length, &epoch, &position) != 0)
    position = 0;
  tanist_history_close(ours);
  tanist_history_close(theirs);
  return (size_t)position;
}

static bool connected(unsigned x, unsigned y) {
  return !sim.link[x][y].cut && !sim.link[y][x].cut;
}

static void attach(unsigned node) {
  struct broker_model *b = &sim.broker[node], *m = &sim.broker[other(node)];
  if (m->mode != BROKER_LEAD || m->epoch != b->epoch || !connected(node, other(node)))
    return;
  size_t keep = diverged_at(b, m);
  trace("%s's broker attaches in epoch %lu, keeps %zu of %zu", voter_name(node), b->epoch, keep, b->length);
  b->length = keep;
  b->durable = b->durable < keep ? b->durable : keep;
  if (sim.process[node].core.role != ROLE_MASTER) /* F1: forced already, and its broker is not told yet */
    sim.line[node] = sim.line[other(node)];
  check_prefix(node, other(node));
  b->attached = true;
  b->connection = ++sim.connections;
  b->master_term = m->term;
  b->stalled_since = -1;
  b->position_epoch = b->epoch;
  m->peer_connection = b->connection;
  m->confirmed = 0;
}

static void copy(unsigned node) {
  struct broker_model *b = &sim.broker[node], *m = &sim.broker[other(node)];
  size_t most = 1 + below(8) + (m->length - b->length) / 16; /* who is far behind asks for more at a time */
  while (b->length < m->length && most-- > 0) {
    b->log[b->length] = m->log[b->length];
    b->length++;
  }
  if (below(1000) >= 900)
    return; /* held, not yet durable */
  b->durable = b->length;
  schedule(sim.now + between(100, sim.chaos ? 50 * MS : MS), WHAT_CONFIRM, other(node), b->connection,
           (uint32_t)b->length, 0);
}

void broker_copy(unsigned node) {
  struct broker_model *b = &sim.broker[node], *m = &sim.broker[other(node)];
  schedule(sim.now + between(5 * MS, 30 * MS), WHAT_COPY, node, 0, UINT32_MAX, 0);
  if (!b->alive || b->mode != BROKER_FOLLOW || b->master == node)
    return;
  if (b->attached && (!m->alive || m->term != b->master_term || m->peer_connection != b->connection))
    b->attached = false;
  if (b->attached && !connected(node, other(node))) {
    b->stalled_since = b->stalled_since < 0 ? sim.now : b->stalled_since;
    if (sim.now - b->stalled_since > 500 * MS && chance(20))
      b->attached = false;
    return;
  }
  b->stalled_since = -1;
  if (b->attached)
    copy(node);
  else if (m->alive)
    attach(node);
}

void broker_confirm(unsigned node, uint64_t connection, uint32_t count) {
  struct broker_model *b = &sim.broker[node];
  if (!b->alive || b->mode != BROKER_LEAD || b->peer_connection != connection)
    return;
  b->confirmed = count > b->confirmed ? count : b->confirmed;
  acknowledge(node);
}

void broker_write(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  schedule(sim.now + between(10 * MS, 100 * MS), WHAT_WRITE, node, 0, UINT32_MAX, 0);
  if (!b->alive || b->mode != BROKER_LEAD || !fence_open(node) || b->length == LOG_MAX ||
      sim.ids + 1 >= IDS_MAX)
    return;
  if (!b->paused || chance(2))
    b->log[b->length++] = (struct entry){b->epoch, ++sim.ids};
  acknowledge(node);
}

static bool peer_attached(unsigned node) {
  const struct broker_model *b = &sim.broker[node], *peer = &sim.broker[other(node)];
  return b->mode == BROKER_LEAD && peer->alive && peer->attached && peer->connection == b->peer_connection &&
         peer->master_term == b->term;
}

void broker_report(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  schedule(sim.now + between(20 * MS, 120 * MS), WHAT_REPORT, node, 0, UINT32_MAX, 0);
  struct event event = {.type = EVENT_BROKER};
  struct broker_report *r = &event.broker;
  r->health = b->alive && !b->dead && !b->unfit ? 100 : 0;
  r->dead = b->dead || !b->alive;
  r->position = position(b);
  if (b->alive && b->mode == BROKER_FOLLOW)
    r->link = b->attached;
  if (b->alive && peer_attached(node)) {
    r->link = true;
    r->peer = (struct position){b->epoch, b->confirmed + 1};
  }
  tell_agent(node, &event);
}

void broker_die(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  if (!b->alive)
    return;
  trace("%s's broker dies, %zu of %zu durable", voter_name(node), b->durable, b->length);
  leave_lead(b);
  b->alive = false;
  b->dead = true;
  b->mode = BROKER_HOLD;
  b->life++;
  b->length = (size_t)between((int64_t)b->durable, (int64_t)b->length);
}

void broker_restart(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  if (b->alive)
    return;
  b->alive = true;
  b->durable = b->length;
  trace("%s's broker restarts with %zu", voter_name(node), b->length);
  b->held_until = sim.now + (int64_t)sim.config.lease_ms * MS;
  schedule(b->held_until, WHAT_UNHOLD, node, b->life, UINT32_MAX, 0);
}

void broker_unhold(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  const struct process *p = &sim.process[node];
  if (p->up && (sim.now < p->stalled_until || !p->core.broker.dead)) {
    schedule(sim.now + 10 * MS, WHAT_UNHOLD, node, b->life, UINT32_MAX, 0);
    return; /* the driver is a part of the agent, and has told the core of the death before this */
  }
  b->dead = false;
  if (!p->up)
    return; /* nobody is there to make it lead */
  broker_reach(node, b->duty.serial);
}

void broker_empty(unsigned node) {
  struct broker_model *b = &sim.broker[node];
  b->length = b->durable = b->acked_to = 0;
  b->position_epoch = 0;
}
