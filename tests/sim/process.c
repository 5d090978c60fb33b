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

static int64_t true_at(unsigned who, struct instant local) {
  const struct process *p = &sim.process[who];
  if (local.us > p->clock_base + 1000000000000)
    return INT64_MAX;
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
  p->list.count = p->at = 0;
  p->box_head = p->box_count = 0;
  p->persisting = p->disk_failed = false;
  p->stalled_until = 0;
  p->run_at = -1;
}

/* L10: address, fence and broker stay as they are. */
static bool resume(unsigned who, const struct core_config *config) {
  struct process *p = &sim.process[who];
  bool kept = p->kept;
  p->kept = false;
  if (!kept || !core_resumable(&p->core, config, &p->disk, local_now(who)))
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
  config.self = (uint8_t)who;
  if (resume(who, &config))
    return;
  begin_life(p);
  p->elected = 0;
  p->fence = INSTANT_PAST; /* L9 */
  if (who < NODES)
    broker_hold_at_start(who);
  core_init(&p->core, &config, &p->disk, local_now(who), draw());
  trace("%s starts, epoch %lu, record %lu.%u%s", voter_name(who), p->disk.epoch, p->disk.sync.epoch,
        p->disk.sync.version, p->disk.blank ? ", blank" : "");
  process_post(who, &(struct event){.type = EVENT_TIMER});
}

void process_crash(unsigned who, bool machine) {
  struct process *p = &sim.process[who];
  if (!p->up)
    return;
  trace("%s crashes%s", voter_name(who), machine ? ", the whole machine" : "");
  if (p->persisting && chance(2))
    p->disk = p->list.at[p->at].ballot; /* it had just reached the disk */
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

static void note_fact(unsigned who, const struct fact *fact) {
  const struct core *core = &sim.process[who].core;
  if (fact->type == FACT_ROLE) {
    sim.process[who].elected = 0;
    trace("%s %s -> %s (%s), epoch %lu", voter_name(who), role_name(fact->from), role_name(fact->to),
          cause_name(fact->cause), core->voter.ballot.epoch);
    if (fact->to == ROLE_MASTER)
      check_elected(who, core->reign);
    return;
  }
  trace("%s %s who=%s epoch %lu record %lu.%u %s(%s) order=%s why=%s", voter_name(who), fact_name(fact->type),
        voter_name(fact->who), fact->epoch, fact->sync.epoch, fact->sync.version,
        fact->sync.mode == RECORD_SOLE ? "SOLE" : "PAIR", voter_name(fact->sync.owner),
        order_name(fact->order), reason_text(fact->why));
  if (fact->type == FACT_REIGN)
    check_elected(who, fact->epoch);
  if (fact->type == FACT_FORMED)
    sim.process[who].wiped = false;
}

static void handle(unsigned who, struct event event) {
  struct process *p = &sim.process[who];
  event.now = local_now(who);
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
  if (sim.chaos && chance(sim.odds / 6))
    p->stalled_until = sim.now + between(0, 3 * (int64_t)sim.config.lease_ms * MS);
}

static void send(unsigned who, const struct beat *beat) {
  const struct link *link = &sim.link[who][beat->to];
  if (link->cut)
    return;
  for (unsigned copies = 1 + (below(1000) < link->twice); copies > 0; copies--) {
    if (below(1000) < link->loss)
      continue;
    uint32_t number = cargo_new();
    if (number == UINT32_MAX)
      return;
    struct cargo *cargo = &sim.cargo[number];
    cargo->from_session = sim.process[who].session;
    cargo->to_session = sim.process[beat->to].session;
    cargo->event.type = EVENT_BEAT;
    cargo->event.beat.session = cargo->from_session;
    cargo->event.beat.beat = *beat;
    int64_t delay = link->delay_us + (int64_t)below((uint64_t)link->jitter_us + 1);
    if (sim.chaos && chance(2000))
      delay += between(0, 5 * SECOND);
    schedule(sim.now + delay, WHAT_BEAT, beat->to, 0, number, 0);
  }
}

static const char *show_beat(const struct beat *b, char *text, size_t size) {
  snprintf(text, size,
           "%s>%s %s #%lu echo %lu grant %lu epoch %lu rec %lu.%u%s reign %lu lead %s@%lu free %d pos "
           "%lu/%lu%s%s%s%s",
           voter_name(b->from), voter_name(b->to), role_name(b->role), b->seq, b->echo, b->grant, b->epoch,
           b->sync.epoch, b->sync.version, b->sync.mode == RECORD_SOLE ? voter_name(b->sync.owner) : "PAIR",
           b->reign, voter_name(b->leader), b->leader_epoch, (int)b->free_ms, b->position.epoch,
           b->position.offset, b->flags & BEAT_ASK ? " ASK" : "", b->flags & BEAT_RELEASED ? " RELEASED" : "",
           b->flags & BEAT_HANDOVER ? " HANDOVER" : "", b->flags & BEAT_BLANK ? " BLANK" : "");
  return text;
}

void process_beat(unsigned who, uint32_t number) {
  struct cargo *cargo = &sim.cargo[number];
  const struct beat *beat = &cargo->event.beat.beat;
  struct process *p = &sim.process[who];
  char text[300];
  if (p->up && cargo->to_session == p->session && cargo->from_session == sim.process[beat->from].session) {
    if (sim.trace)
      trace("%s", show_beat(beat, text, sizeof text));
    process_post(who, &cargo->event);
  }
  cargo_free(number);
}

/* False: the list waits for the disk. */
static bool persist(unsigned who, const struct ballot *ballot) {
  struct process *p = &sim.process[who];
  if (!p->persisting) {
    p->persisting = true;
    p->stalled_until = sim.now + p->disk_us + (sim.chaos && chance(200) ? between(0, SECOND) : 0);
    return false;
  }
  p->persisting = false;
  if (p->disk_bad && chance(2)) {
    if (chance(2))
      p->disk = *ballot; /* written, but nobody can say so */
    trace("%s persist fails", voter_name(who));
    p->disk_failed = true;
    p->at = p->list.count;
    return true;
  }
  if (ballot->epoch < p->disk.epoch && !p->disk.blank)
    broken("an epoch only rises", "%s writes %lu after %lu", voter_name(who), ballot->epoch, p->disk.epoch);
  p->disk = *ballot;
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
    send(who, &action->beat);
    break;
  case ACTION_BROKER:
    broker_duty(who, &action->broker);
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
  if (sim.chaos && (sim.kinds & 1) != 0 && chance(sim.odds)) {
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

void process_post(unsigned who, const struct event *event) {
  struct process *p = &sim.process[who];
  if (!p->up || p->box_count == BOX_MAX)
    return;
  p->box[(p->box_head + p->box_count++) % BOX_MAX] = *event;
  process_run(who);
}
