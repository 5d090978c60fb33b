// SPDX-License-Identifier: Apache-2.0
// A voter's process: its clock, its disk, its list of actions, its pauses, its deaths.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/core/lease.h"
#include "tests/sim/sim.h"

struct instant local_now(unsigned who) {
  const struct process *p = &sim.process[who];
  return (struct instant){p->clock_base + (sim.now - p->true_base) * p->rate_ppm / 1000000};
}

int64_t true_at(unsigned who, struct instant local) {
  const struct process *p = &sim.process[who];
  if (local.us > p->clock_base + 1000000000000)
    return INT64_MAX;
  if (local.us < p->clock_base - 1000000000000)
    return INT64_MIN;
  return p->true_base + ((local.us - p->clock_base) * 1000000 + p->rate_ppm - 1) / p->rate_ppm;
}

void set_rate(unsigned who, int64_t rate_ppm) {
  struct process *p = &sim.process[who];
  p->clock_base = local_now(who).us;
  p->true_base = sim.now;
  p->rate_ppm = rate_ppm;
}

bool fence_open(unsigned who) {
  return instant_before(local_now(who), sim.process[who].fence);
}

/* Also what every start does with what its predecessor left half done. */
static void begin_life(struct process *p) {
  p->up = true;
  p->life++;
  p->session = ++sim.sessions;
  memset(p->knows, 0, sizeof p->knows);
  p->list.count = p->at = 0;
  p->box_head = p->box_count = 0;
  p->persisting = p->disk_failed = false;
  p->stalled_until = 0;
  p->run_at = -1;
  p->peer_off = 0;
}

/* L10: address, fence and broker stay as they are. */
static bool resume(unsigned who, const struct core_config *config, const struct ballot *disk) {
  struct process *p = &sim.process[who];
  bool kept = p->kept;
  p->kept = false;
  if (!kept || !core_resumable(&p->core, config, disk, local_now(who)))
    return false;
  begin_life(p);
  sim.resumptions++;
  broker_resume(who);
  trace("%s resumes its reign %lu", voter_name(who), p->core.reign);
  process_post(who, &(struct event){.type = EVENT_RESUME});
  return true;
}

void process_start(unsigned who) {
  struct process *p = &sim.process[who];
  struct core_config config = sim.config;
  struct ballot ballot;
  config.self = (uint8_t)who;
  disk_read(who, &ballot);
  if (resume(who, &config, &ballot))
    return;
  begin_life(p);
  p->elected = 0;
  p->fence = INSTANT_PAST; /* L9 */
  if (who < NODES) {
    broker_hold_at_start(who);
    p->broker_life = sim.broker[who].life; /* whose life the driver knows from here on */
  }
  core_init(&p->core, &config, &ballot, local_now(who), draw());
  trace("%s starts, epoch %lu, record %lu.%u%s", voter_name(who), ballot.epoch, ballot.sync.epoch,
        ballot.sync.version, ballot.blank ? ", blank" : "");
  process_post(who, &(struct event){.type = EVENT_TIMER});
}

void process_crash(unsigned who, bool machine) {
  struct process *p = &sim.process[who];
  if (!p->up)
    return;
  trace("%s crashes%s", voter_name(who), machine ? ", the whole machine" : "");
  if (p->persisting)
    disk_cut(who, &p->list.at[p->at].ballot);
  if (!machine && who < NODES && chance(2))
    broker_reach(who, sim.broker[who].duty.serial); /* it was told, and nobody is left to hear of it */
  p->up = false;
  p->life++;
  p->kept = !machine && !chance(8);
  if (!machine)
    return;
  p->fence = INSTANT_PAST;
  p->clock_base = between(0, 1000) * SECOND;
  p->true_base = sim.now;
  if (who < NODES)
    broker_die(who);
}

static void note_role(unsigned who, const struct fact *fact) {
  const struct core *core = &sim.process[who].core;
  sim.process[who].elected = 0;
  sim.process[who].vouched = false;
  trace("%s %s -> %s (%s), epoch %lu", voter_name(who), role_name(fact->from), role_name(fact->to),
        cause_name(fact->cause), core->voter.ballot.epoch);
  if (fact->to != ROLE_MASTER)
    return;
  if (fact->cause == CAUSE_FORCED)
    note_forced(who);
  check_elected(who, core->reign);
}

static void note_fact(unsigned who, const struct fact *fact) {
  digest(fact->type);
  digest(fact->epoch);
  if (fact->type == FACT_ROLE) {
    note_role(who, fact);
    return;
  }
  trace("%s %s who=%s epoch %lu record %lu.%u %s(%s) order=%s why=%s", voter_name(who), fact_name(fact->type),
        voter_name(fact->who), fact->epoch, fact->sync.epoch, fact->sync.version,
        fact->sync.mode == RECORD_SOLE ? "SOLE" : "PAIR", voter_name(fact->sync.owner),
        order_name(fact->order), reason_text(fact->why));
  if (fact->type == FACT_REIGN)
    check_elected(who, fact->epoch);
  if (fact->type == FACT_CLEARED)
    sim.process[who].vouched = fact->why == REASON_PEER_DOWN;
  if (fact->type == FACT_COMPLETED && fact->order == ORDER_FORM)
    sim.forms++;
  if (fact->type == FACT_FORMED)
    sim.process[who].wiped = false;
}

/* Beats are shown where they arrive; what repeats itself all the time is left out. */
static void show_event(unsigned who, const struct event *event) {
  if (event->type == EVENT_ORDER)
    trace("%s is ordered to %s", voter_name(who), order_name(event->order.type));
  else if (event->type == EVENT_DONE)
    trace("%s hears that its broker has reached duty #%u at %lu/%lu", voter_name(who), event->done.serial,
          event->done.position.epoch, event->done.position.offset);
  else if (event->type == EVENT_DISK_FAILED || event->type == EVENT_FENCE_LOST || event->type == EVENT_HELLO ||
           event->type == EVENT_FENCED)
    trace("%s %s", voter_name(who), event_name(event->type));
}

static void handle(unsigned who, struct event event) {
  struct process *p = &sim.process[who];
  event.now = local_now(who);
  show_event(who, &event);
  core_step(&p->core, &event, &p->list);
  p->at = 0;
  for (size_t i = 0; i < p->list.count; i++)
    if (p->list.at[i].type == ACTION_TELL)
      note_fact(who, &p->list.at[i].fact);
  if (event.type == EVENT_BROKER && event.broker.dead)
    p->broker_life = sim.broker[who].life;
  unsigned number = core_check(&p->core);
  if (number != 0)
    broken(core_invariant(number), "core_check of %s", voter_name(who));
  check_promises(who);
  if (sim.chaos && chance(sim.odds / 6))
    p->stalled_until = sim.now + between(0, 3 * (int64_t)sim.config.lease_ms * MS);
}

/* False: the list waits for the disk. */
static bool persist(unsigned who, const struct ballot *ballot) {
  struct process *p = &sim.process[who];
  if (!p->persisting) {
    p->persisting = true;
    p->stalled_until = sim.now + p->disk.sync_us + (sim.chaos && chance(200) ? between(0, SECOND) : 0);
    return false;
  }
  p->persisting = false;
  if (!disk_write(who, ballot)) {
    trace("%s persist fails", voter_name(who));
    p->disk_failed = true;
    p->at = p->list.count;
  }
  return true;
}

static bool perform(unsigned who, const struct action *action) {
  struct process *p = &sim.process[who];
  switch (action->type) {
  case ACTION_FENCE_CLOSE:
    p->fence = INSTANT_PAST;
    break;
  case ACTION_FENCE_ARM:
    if (instant_before(p->fence, action->until)) /* else it takes something away */
      check_shown(who);
    p->fence = action->until;
    break;
  case ACTION_PERSIST:
    return persist(who, &action->ballot);
  case ACTION_SEND:
    check_shown(who);
    network_send(who, &action->beat);
    break;
  case ACTION_BROKER:
    broker_duty(who, &action->broker);
    break;
  case ACTION_FENCE_PEER:
    device_order(who, action->peer_off);
    break;
  case ACTION_SPARE_PEER:
    device_order(who, 0);
    break;
  case ACTION_ADDRESS_DROP:
  case ACTION_ADDRESS_ADD:
  case ACTION_TELL:
  case ACTION_COUNT:
    break;
  }
  return true;
}

static void run_at(unsigned who, int64_t at) {
  struct process *p = &sim.process[who];
  if (at == p->run_at || at == INT64_MAX)
    return;
  p->run_at = at;
  schedule(at, WHAT_RUN, who, p->life, UINT32_MAX, 0);
}

static bool step_list(unsigned who) {
  struct process *p = &sim.process[who];
  if (sim.chaos && (sim.kinds & KIND_CRASH) && chance(sim.odds)) {
    process_crash(who, chance(3));
    schedule(sim.now + between(0, 4 * SECOND), WHAT_RESTART, who, p->life, UINT32_MAX, 0);
    return false;
  }
  if (!perform(who, &p->list.at[p->at]))
    return true;
  p->at++;
  if (sim.chaos && chance(sim.odds))
    p->stalled_until = sim.now + between(0, 3 * (int64_t)sim.config.lease_ms * MS);
  return true;
}

/* A clean stop, as the agent has it: nothing of the reign runs any more. */
static bool has_retired(unsigned who) {
  const struct core *core = &sim.process[who].core;
  return core->retired && core->role != ROLE_MASTER && core->quiet;
}

static void stop(unsigned who) {
  struct process *p = &sim.process[who];
  trace("%s has stopped", voter_name(who));
  sim.stops++;
  if (broker_serves(who) || fence_open(who))
    broken("L8: who stops leaves nothing behind", "%s stopped with its fence open", voter_name(who));
  p->up = false;
  p->life++;
  schedule(sim.now + (sim.chaos ? between(0, 6 * SECOND) : 0), WHAT_RESTART, who, p->life, UINT32_MAX, 0);
}

void process_run(unsigned who) {
  struct process *p = &sim.process[who];
  for (unsigned turns = 0; p->up && sim.broken == NULL; turns++) {
    if (turns > 4000) {
      broken("a process comes to rest", "%s spins", voter_name(who));
      return;
    }
    if (sim.now < p->stalled_until) {
      run_at(who, p->stalled_until);
      return;
    }
    if (p->at < p->list.count) {
      if (!step_list(who))
        return;
      check_promises(who);
    } else if (p->disk_failed) {
      p->disk_failed = false;
      handle(who, (struct event){.type = EVENT_DISK_FAILED});
    } else if (has_retired(who)) {
      stop(who);
    } else if (p->box_count > 0) {
      struct event event = p->box[p->box_head];
      p->box_head = (p->box_head + 1) % BOX_MAX;
      p->box_count--;
      handle(who, event);
    } else {
      struct instant deadline = core_deadline(&p->core);
      if (instant_before(local_now(who), deadline)) {
        run_at(who, true_at(who, deadline));
        return;
      }
      handle(who, (struct event){.type = EVENT_TIMER});
    }
  }
}

/* What comes again anyway is lost where a process does not read for long: a socket's buffer is full. */
void process_post(unsigned who, const struct event *event) {
  struct process *p = &sim.process[who];
  bool again = event->type == EVENT_BEAT || event->type == EVENT_BROKER;
  if (!p->up || p->box_count >= (again ? BOX_MAX - BOX_KEPT : BOX_MAX))
    return;
  p->box[(p->box_head + p->box_count++) % BOX_MAX] = *event;
  process_run(who);
}
