// SPDX-License-Identifier: Apache-2.0
#include "common/core/core.h"

#include <assert.h>
#include <string.h>

#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/step.h"

static void init_peer(struct peer *peer) {
  peer->heard = peer->reached = peer->asked = peer->sent_last = INSTANT_PAST;
  peer->free_at = INSTANT_NEVER;
}

void core_init(struct core *core, const struct core_config *config, const struct ballot *ballot,
               struct instant now, uint64_t random) {
  assert(config->self < VOTERS && config->preferred < NODES && config->replication < REPLICATION_COUNT);
  memset(core, 0, sizeof *core);
  core->config = *config;
  core->now = now;
  core->random = random;
  voter_init(&core->voter, config->self, ballot, now);
  for (unsigned i = 0; i < VOTERS; i++)
    init_peer(&core->peer[i]);
  core->role = config->self == VOTER_W ? ROLE_WITNESS : ROLE_SECONDARY; /* L9 */
  core->shown.fence = core->released.fence = INSTANT_PAST;
  core->follow = NOBODY;
  core->lease_end = core->retry_at = core->stand_after = INSTANT_PAST;
  core->ready_since = core->keeps_up_since = core->give_up_at = core->device_at = core->missing_since = INSTANT_NEVER;
  core->progress_at = core->witness_at = now;
  hold_down_begin(core);
}

bool is_node(const struct core *core) {
  return core->config.self < NODES;
}
unsigned other_node(const struct core *core) {
  return 1u - core->config.self;
}
const struct record *core_record(const struct core *core) {
  return &core->voter.ballot.sync;
}

static uint64_t max_epoch(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

/* The own data counts too: a node without its ballot that is forced (F1) may have nothing else to know it by.
 */
uint64_t highest_epoch(const struct core *core) {
  const struct ballot *ballot = &core->voter.ballot;
  uint64_t epoch = max_epoch(max_epoch(ballot->epoch, ballot->sync.epoch), core->broker.position.epoch);
  for (unsigned i = 0; i < VOTERS; i++) {
    const struct beat *beat = &core->peer[i].beat;
    epoch = max_epoch(epoch, max_epoch(ballot->seen[i].epoch, ballot->seen[i].sync.epoch));
    epoch = max_epoch(epoch, max_epoch(beat->epoch, max_epoch(beat->reign, beat->leader_epoch)));
  }
  return epoch;
}

bool lately(const struct core *core, struct instant at, unsigned beats) {
  return instant_us_between(at, core->now) <= (int64_t)beats * core->config.beat_ms * 1000;
}

const struct sent *find_sent(const struct peer *peer, uint64_t seq) {
  for (size_t i = 0; seq != 0 && i < SENT_MAX; i++)
    if (peer->sent[i].seq == seq)
      return &peer->sent[i];
  return NULL;
}

bool core_sole(const struct core *core) {
  const struct record *sync = core_record(core);
  bool owner = core->committed && sync_replicates(core) && sync->mode == RECORD_SOLE &&
               sync->owner == core->config.self;
  return core->role == ROLE_MASTER &&
         (owner || core->forced); /* F1 asks for no majority, whatever replicates */
}

bool core_leads(const struct core *core, struct instant now) {
  return core->role == ROLE_MASTER && (core_sole(core) || instant_before(now, core->lease_end));
}

bool core_waits(const struct core *core) {
  return core->role == ROLE_MASTER && core->unfenced != 0;
}

bool core_blank_peer(const struct core *core, unsigned voter) {
  const struct peer *peer = &core->peer[voter];
  return peer->amnesiac || (peer->session != 0 && (peer->beat.flags & BEAT_BLANK) != 0);
}

bool core_hears(const struct core *core, unsigned voter, struct instant now) {
  const struct peer *peer = &core->peer[voter];
  int64_t most_us = 3 * (int64_t)core->config.beat_ms * 1000;
  return peer->session != 0 && instant_us_between(peer->heard, now) <= most_us &&
         instant_us_between(peer->reached, now) <= most_us;
}

void tell(struct step *s, struct fact fact) {
  assert(s->fact_count < FACTS_MAX);
  s->fact[s->fact_count++] = fact;
}

void tell_record(struct step *s, enum fact_type type) {
  tell(s, (struct fact){.type = (uint8_t)type, .who = s->core->config.self, .sync = *core_record(s->core)});
}

void set_frozen(struct step *s, struct frozen frozen) {
  struct voter *voter = &s->core->voter;
  bool was = voter->ballot.frozen.on;
  voter->ballot.frozen = frozen;
  voter->dirty = true;
  if (was != frozen.on)
    tell(s, (struct fact){.type = frozen.on ? FACT_FROZEN : FACT_THAWED, .epoch = frozen.serial});
}

void become(struct step *s, enum role role, enum cause cause) {
  struct core *core = s->core;
  assert(transition_find(core->role, role, cause) != NULL);
  tell(s, (struct fact){.type = FACT_ROLE,
                        .who = core->config.self,
                        .from = core->role,
                        .to = (uint8_t)role,
                        .cause = (uint8_t)cause,
                        .epoch = core->voter.ballot.epoch});
  core->role = (uint8_t)role;
  core->ready_since = INSTANT_NEVER;
  s->ask = ALL_VOTERS; /* section 3: at every change */
}

static void refuse_order(struct step *s, const struct order *order, enum reason why) {
  tell(s, (struct fact){.type = FACT_REFUSED, .order = order->type, .why = (uint8_t)why});
}

static void freeze_order(struct step *s, const struct order *order) {
  struct frozen frozen = s->core->voter.ballot.frozen;
  bool on = order->type == ORDER_FREEZE;
  if (frozen.on == on) {
    refuse_order(s, order, REASON_ALREADY);
    return;
  }
  set_frozen(s, (struct frozen){frozen.serial + 1, on});
  tell(s, (struct fact){.type = FACT_COMPLETED, .order = order->type});
  s->ask = ALL_VOTERS;
}

static void on_order(struct step *s, const struct order *order) {
  switch ((enum order_type)order->type) {
  case ORDER_FREEZE:
  case ORDER_THAW:
    freeze_order(s, order);
    return;
  case ORDER_FORM:
    form_order(s, order);
    return;
  case ORDER_SWITCHOVER:
  case ORDER_RETIRE:
  case ORDER_FORCE:
    if (!is_node(s->core))
      refuse_order(s, order, REASON_NOT_A_NODE);
    else if (order->type == ORDER_FORCE)
      force_order(s);
    else
      handover_order(s, order);
    return;
  case ORDER_COUNT:
    break;
  }
}

/* The broker has reached the duty last shown; an answer to an older one says nothing any more. */
static void on_done(struct step *s, uint32_t serial, struct position position) {
  struct core *core = s->core;
  const struct broker_duty *duty = &core->shown.broker;
  if (serial != duty->serial)
    return;
  if (!core->quiet && duty->mode != BROKER_LEAD) {
    core->quiet = true;
    s->ask = ALL_VOTERS; /* V3: the sooner the others hear of it, the better */
  }
  core->promoted = duty->mode == BROKER_LEAD;
  if (duty->mode != BROKER_LEAD)
    return;
  if (duty->sync)
    sync_done(s, position);
  if (duty->paused)
    handover_done(s, position);
}

/* Its broker died: what only the secondary holds may be lost here, and section 9 tells data apart by epoch.
   So the broker leads again only in a later reign. */
static void on_broker(struct step *s, const struct broker_report *report) {
  struct core *core = s->core;
  bool died = report->dead && !core->broker.dead;
  core->broker = *report;
  if (died && core->role == ROLE_MASTER && sync_replicates(core) && !core_waits(core))
    core->spoilt = core->reign;
  sync_progress(s);
}

/* As after a hand-over it lets the other node try first, else it would be elected again at once, as unfenced.
 */
static void on_fence_lost(struct step *s) {
  struct core *core = s->core;
  if (core->role == ROLE_MASTER)
    end_reign(s, CAUSE_FENCE);
  core->stand_after = instant_plus_ms(s->now, 2 * (int64_t)core->config.lease_ms);
}

/* The beat that goes back is sealed for the new session too: what was had from the former one is not to be
   taken for an echo of that. */
static void on_hello(struct step *s, unsigned from) {
  if (from >= VOTERS)
    return;
  s->core->peer[from].anew = true;
  s->answer |= (uint8_t)(1u << from);
}

static void on_config(struct core *core, const struct core_settings *set) {
  assert(set->preferred < NODES);
  core->config.preferred = set->preferred;
  core->config.witness_grace_ms = set->witness_grace_ms;
  core->config.degrade_ms = set->degrade_ms;
  core->config.join_hold_ms = set->join_hold_ms;
  hold_down_config(core, set->hold_down_ms);
  core->config.config = set->config;
}

static void handle(struct step *s, const struct event *event) {
  switch (event->type) {
  case EVENT_BEAT:
    on_beat(s, event->beat.session, &event->beat.beat);
    return;
  case EVENT_BROKER:
    on_broker(s, &event->broker);
    return;
  case EVENT_DONE:
    on_done(s, event->done.serial, event->done.position);
    return;
  case EVENT_ORDER:
    on_order(s, &event->order);
    return;
  case EVENT_CONFIG:
    on_config(s->core, &event->config);
    return;
  case EVENT_FENCE_LOST:
    on_fence_lost(s);
    return;
  case EVENT_HELLO:
    on_hello(s, event->hello);
    return;
  case EVENT_DISK_FAILED:
    emit_failed(s);
    return;
  case EVENT_RESUME:
    on_resume(s);
    return;
  case EVENT_FENCED:
    if (core_waits(s->core) && s->core->unfenced == event->fenced)
      fencing_over(s, REASON_PEER_OFF);
    return;
  case EVENT_TIMER:
  case EVENT_COUNT:
    return;
  }
}

void core_step(struct core *core, const struct event *event, struct actions *actions) {
  core->now = instant_later(core->now, event->now);
  struct step s = {.core = core, .now = core->now};
  if (is_node(core))
    role_expire(&s); /* L5: before anything received is looked at */
  handle(&s, event);
  blank_timer(&s);
  if (is_node(core)) {
    sync_timer(&s);
    handover_timer(&s);
    force_timer(&s);
    fencing_timer(&s);
    role_timer(&s);
  }
  emit(&s, actions);
}
