// SPDX-License-Identifier: Apache-2.0
// Voters without a memory, how they get one, and how a cluster is formed: rules B1-B3 of protocol.md.
#include "common/core/record.h"
#include "common/core/step.h"

static bool shows_less(const struct beat *beat, const struct seen *seen) {
  return beat->epoch < seen->epoch || record_newer(&seen->sync, &beat->sync);
}

static void lost_memory(struct step *s) {
  struct core *core = s->core;
  voter_blank(&core->voter);
  tell(s, (struct fact){.type = FACT_BLANKED, .who = core->config.self});
  if (core->role == ROLE_MASTER)
    end_reign(s, CAUSE_UNFIT);
  else if (core->role == ROLE_CANDIDATE)
    become(s, ROLE_SUSPECT, CAUSE_UNFIT);
}

static void check_peer(struct step *s, unsigned from) {
  struct core *core = s->core;
  struct peer *peer = &core->peer[from];
  struct seen *seen = &core->voter.ballot.seen[from];
  bool less = shows_less(&peer->beat, seen);
  if (less && !peer->amnesiac && !(peer->beat.flags & BEAT_BLANK))
    tell(s, (struct fact){.type = FACT_AMNESIAC, .who = (uint8_t)from});
  peer->amnesiac = less;
  if (peer->beat.epoch > seen->epoch) {
    seen->epoch = peer->beat.epoch;
    core->voter.dirty = true;
  }
  if (record_newer(&peer->beat.sync, &seen->sync)) {
    seen->sync = peer->beat.sync;
    core->voter.dirty = true;
  }
}

void blank_memory(struct step *s, unsigned from) {
  struct core *core = s->core;
  const struct ballot *ballot = &core->voter.ballot;
  const struct seen *shown = &core->peer[from].beat.seen_you;
  if (!ballot->blank && (shown->epoch > ballot->epoch || record_newer(&shown->sync, &ballot->sync)))
    lost_memory(s); /* B2 */
  if (ballot->blank && shown->epoch > ballot->epoch)
    voter_recall(&core->voter, shown->epoch);
  check_peer(s, from);
}

static void formed(struct step *s) {
  tell(s, (struct fact){
              .type = FACT_FORMED, .epoch = s->core->voter.ballot.epoch, .sync = *core_record(s->core)});
  s->ask = ALL_VOTERS;
}

void blank_follow(struct step *s, unsigned from) {
  struct core *core = s->core;
  bool needs_sole = is_node(core) && sync_replicates(core);
  if (!voter_lifts(&core->voter, &core->peer[from].beat, needs_sole))
    return;
  core->voter.ballot.blank = false; /* B1 */
  core->voter.dirty = true;
  formed(s);
}

static bool blank_at_zero(const struct beat *beat) {
  return (beat->flags & BEAT_BLANK) && beat->epoch == 0;
}

/* Formed, and nobody has stood since: only founding records have version 0. */
static bool founded(const struct beat *beat) {
  return !(beat->flags & BEAT_BLANK) && beat->sync.version == 0 && beat->sync.epoch == beat->epoch;
}

/* B3's "only where both brokers are empty"; where nothing is replicated there is no data that could count. */
static bool node_empty(const struct core *core, unsigned node) {
  if (!sync_replicates(core))
    return true;
  bool self = node == core->config.self;
  const struct position *at = self ? &core->broker.position : &core->peer[node].beat.position;
  uint16_t health = self ? core->broker.health : core->peer[node].beat.health;
  return health > 0 && at->epoch == 0 && at->offset == 0;
}

static bool empty(const struct core *core) {
  return node_empty(core, VOTER_A) && node_empty(core, VOTER_B);
}

void blank_timer(struct step *s) {
  struct core *core = s->core;
  struct ballot *ballot = &core->voter.ballot;
  if (!ballot->blank || ballot->epoch != 0)
    return;
  const struct beat *founder = NULL;
  for (unsigned i = 0; i < VOTERS; i++) {
    const struct beat *beat = &core->peer[i].beat;
    if (i == core->config.self)
      continue;
    if (!core_hears(core, i, s->now) || !(blank_at_zero(beat) || founded(beat)))
      return;
    if (founded(beat) && (founder == NULL || beat->epoch > founder->epoch))
      founder = beat;
  }
  if (founder == NULL && !empty(core))
    return; /* an operator says whose data counts */
  struct record sync = founder != NULL ? ballot->sync : (struct record){.mode = RECORD_PAIR, .owner = NOBODY};
  voter_form(&core->voter, founder != NULL ? founder->epoch : 0,
             &sync); /* B3; V6 has brought the founder's record */
  formed(s);
}

static bool all_blank(const struct core *core) {
  if (!core->voter.ballot.blank || core->voter.ballot.epoch != 0)
    return false;
  for (unsigned i = 0; i < VOTERS; i++)
    if (i != core->config.self && !(core_hears(core, i, core->now) && blank_at_zero(&core->peer[i].beat)))
      return false;
  return true;
}

void form_order(struct step *s, const struct order *order) {
  struct core *core = s->core;
  enum reason why = order->above >= EPOCH_FOUND_MAX ? REASON_NO_EPOCH
                    : !all_blank(core)             ? REASON_NOT_ALL_BLANK
                                                   : REASON_NONE;
  if (why != REASON_NONE) {
    tell(s, (struct fact){.type = FACT_REFUSED, .order = order->type, .why = (uint8_t)why});
    return;
  }
  struct record sync = {.epoch = order->above, .mode = RECORD_PAIR, .owner = NOBODY};
  if (sync_replicates(core) && order->node < NODES) {
    sync.mode = RECORD_SOLE;
    sync.owner = order->node;
  }
  voter_form(&core->voter, order->above, &sync);
  tell(s, (struct fact){.type = FACT_COMPLETED, .order = order->type});
  formed(s);
}
