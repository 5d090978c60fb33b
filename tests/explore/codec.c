// SPDX-License-Identifier: Apache-2.0
// One walk over the fields serves three times: to collect the names in use, to write, and to read.
#include "tests/explore/codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/explore/codec_field.h"

// ---- the ballot, a beat ----

static void ballot(struct codec *c, unsigned self, struct ballot *b) {
  epoch(c, &b->epoch);
  record(c, &b->sync);
  NUMBER(c, b->lease_max_ms);
  boolean(c, &b->blank);
  NUMBER(c, b->frozen.serial);
  boolean(c, &b->frozen.on);
  for (unsigned i = 0; i < NODES; i++)
    epoch(c, &b->forced[i]);
  for (unsigned i = 0; i < VOTERS; i++) {
    if (i == self)
      continue;
    epoch(c, &b->seen[i].epoch);
    record(c, &b->seen[i].sync);
  }
  if (c->pass == READ)
    b->seen[self].sync.owner = NOBODY;
}

/* Of a reign that is over counts the number alone, and only until a newer record is known. */
static void reign(struct codec *c, unsigned role, const struct record *sync, bool forced, uint64_t *value) {
  uint64_t over = 0;
  bool counts = role == ROLE_MASTER || *value >= sync->epoch || forced;
  if (c->pass == READ || counts)
    epoch(c, value);
  else
    epoch(c, &over);
}

static void position(struct codec *c, struct position *p) {
  epoch(c, &p->epoch);
  NUMBER(c, p->offset);
}

/* What stays of a beat in its receiver. */
static void beat_kept(struct codec *c, struct beat *b) {
  NUMBER(c, b->role);
  b->flags = (uint8_t)varint(c, b->flags & (BEAT_BLANK | BEAT_WITNESS | BEAT_FORCED));
  epoch(c, &b->epoch);
  record(c, &b->sync);
  reign(c, b->role, &b->sync, (b->flags & BEAT_FORCED) != 0, &b->reign);
  NUMBER(c, b->leader);
  epoch(c, &b->leader_epoch);
  NUMBER(c, b->free_ms);
  NUMBER(c, b->health);
  position(c, &b->position);
}

static void datagram(struct codec *c, struct datagram *d) {
  struct beat *b = &d->beat;
  NUMBER(c, b->from);
  NUMBER(c, b->to);
  session(c, b->from, &d->session);
  session(c, b->to, &d->for_session);
  boolean(c, &d->late);
  uint8_t flags = b->flags;
  beat_kept(c, b);
  b->flags = (uint8_t)varint(c, flags);
  mention(c, b->from, b->to, d->session, &b->seq);
  mention(c, b->to, b->from, d->for_session, &b->echo);
  mention(c, b->to, b->from, d->for_session, &b->grant);
  NUMBER(c, b->lease_ms);
  epoch(c, &b->seen_you.epoch);
  record(c, &b->seen_you.sync);
  NUMBER(c, b->frozen.serial);
  boolean(c, &b->frozen.on);
}

// ---- a core ----

static void promise(struct codec *c, unsigned self, struct promise *p) {
  const struct core *k = &c->w->machine[self].core;
  NUMBER(c, p->leader);
  epoch(c, &p->leader_epoch);
  if (p->leader < VOTERS)
    mention(c, p->leader, self, k->peer[p->leader].session, &p->grant);
  instant(c, self, &p->until);
}

static void voter(struct codec *c, unsigned self, struct voter *v) {
  v->self = (uint8_t)self;
  ballot(c, self, &v->ballot);
  boolean(c, &v->dirty);
  promise(c, self, &v->promise);
  instant(c, self, &v->silence_until);
  NUMBER(c, v->run_lease_ms);
  instant(c, self, &v->run_since);
  if (!v->ballot.blank) {
    v->followed_since = c->pass == READ ? INSTANT_NEVER : v->followed_since;
    return;
  }
  epoch(c, &v->followed_reign);
  instant(c, self, &v->followed_since);
  threshold(c, self, c->w->machine[self].session, &v->followed_seq);
}

/* A beat under way counts if its number may come back, and not too late for anything to rest on it. */
static bool counts(const struct codec *c, unsigned self, unsigned to, const struct sent *s) {
  uint64_t name = beat_name(c->w->machine[self].session, s->seq);
  return s->seq != 0 && s->at.us > c->now[self].us - FORGOTTEN_US && name_known(&c->beats[self][to], name);
}

static void sent(struct codec *c, unsigned self, unsigned to, struct peer *p) {
  uint64_t own = c->w->machine[self].session;
  if (c->pass == READ) {
    p->sent_next = (uint8_t)(varint(c, 0) % SENT_MAX);
    for (unsigned i = 0; i < p->sent_next; i++) {
      p->sent[i].seq = varint(c, 0);
      instant(c, self, &p->sent[i].at);
      p->sent[i].lease_ms = c->w->config.lease_ms;
    }
  } else if (c->pass == WRITE) {
    uint64_t count = 0;
    for (unsigned i = 0; i < SENT_MAX; i++)
      count += counts(c, self, to, &p->sent[i]);
    varint(c, count);
    for (unsigned i = 0; i < SENT_MAX; i++) {
      struct sent *s = &p->sent[(p->sent_next + i) % SENT_MAX]; /* the oldest first */
      if (!counts(c, self, to, s))
        continue;
      varint(c, 1 + beat_rank(c, self, own, s->seq));
      instant(c, self, &s->at);
    }
  }
}

static void peer(struct codec *c, unsigned self, unsigned other, struct peer *p) {
  session(c, other, &p->session);
  mention(c, other, self, p->session, &p->echo);
  if (c->pass == READ)
    p->beat = (struct beat){.from = (uint8_t)other, .to = (uint8_t)self, .seq = p->echo};
  beat_kept(c, &p->beat);
  since(c, self, &p->heard);
  since(c, self, &p->reached);
  instant(c, self, &p->free_at);
  instant(c, self, &p->asked);
  instant(c, self, &p->sent_last);
  boolean(c, &p->amnesiac);
  boolean(c, &p->anew);
  sent(c, self, other, p);
}

/* Only whether it is the present one counts. */
static void duty(struct codec *c, struct broker_duty *d, uint32_t shown_serial) {
  uint64_t which = varint(c, d->serial == 0 ? 0 : d->serial == shown_serial ? 2 : 1);
  NUMBER(c, d->mode);
  NUMBER(c, d->master);
  epoch(c, &d->epoch);
  boolean(c, &d->paused);
  boolean(c, &d->evict);
  boolean(c, &d->sync);
  if (c->pass == READ)
    d->serial = (uint32_t)which;
}

static void report(struct codec *c, struct broker_report *r) {
  NUMBER(c, r->health);
  boolean(c, &r->dead);
  boolean(c, &r->silent);
  boolean(c, &r->link);
  position(c, &r->position);
  position(c, &r->peer);
}

static void handover(struct codec *c, unsigned self, struct handover *h) {
  NUMBER(c, h->phase);
  if (h->phase == HANDOVER_NONE)
    return;
  NUMBER(c, h->order);
  instant(c, self, &h->until);
  boolean(c, &h->evicted);
  position(c, &h->final);
}

/* What no rule looks at before a record of the reign is at work. */
static void no_record(struct codec *c, unsigned self, struct core *k) {
  if (c->pass != READ)
    return;
  k->keeps_up_since = INSTANT_NEVER;
  k->lost_at = INSTANT_PAST;
  k->missing_since = INSTANT_NEVER;
  k->progress_at = k->witness_at = c->now[self];
}

static void master(struct codec *c, unsigned self, struct core *k) {
  until(c, self, &k->lease_end);
  if (k->unfenced != 0) { /* L11 */
    no_record(c, self, k);
    return;
  }
  boolean(c, &k->forced);
  handover(c, self, &k->handover);
  boolean(c, &k->committed);
  boolean(c, &k->established);
  boolean(c, &k->joining);
  boolean(c, &k->join_known);
  if (k->join_known)
    position(c, &k->join_at);
  boolean(c, &k->synchronous);
  instant(c, self, &k->keeps_up_since);
  NUMBER(c, k->flaps);
  instant_within(c, self, &k->lost_at, FLAPPING_US);
  instant(c, self, &k->missing_since);
  instant(c, self, &k->progress_at);
  NUMBER(c, k->peer_offset);
  instant(c, self, &k->witness_at);
}

static void following(struct codec *c, struct core *k) {
  NUMBER(c, k->follow);
  if (k->follow != NOBODY)
    epoch(c, &k->follow_epoch);
}

/* L11 */
static void fencing(struct codec *c, unsigned self, struct core *k) {
  if (c->pass == READ)
    k->device_at = INSTANT_NEVER;
  if (!c->w->config.fence_required)
    return;
  if (k->role == ROLE_CANDIDATE)
    boolean(c, &k->clear);
  epoch(c, &k->unfenced);
  epoch(c, &k->shown.peer_off);
  if (k->unfenced == 0)
    return;
  boolean(c, &k->clear);
  boolean(c, &k->device_due);
  if (!k->device_due)
    instant(c, self, &k->device_at);
  following(c, k);
}

static void held_down(struct codec *c, unsigned self, struct core *k) {
  if (c->pass == READ)
    k->failover_at = INSTANT_PAST;
  if (c->w->config.hold_down_ms == 0)
    return;
  epoch(c, &k->led);
  boolean(c, &k->planned);
  instant(c, self, &k->failover_at);
}

static void not_master(struct codec *c, unsigned self, struct core *k) {
  following(c, k);
  if (c->pass == READ)
    k->lease_end = INSTANT_PAST;
  no_record(c, self, k);
}

/* A reign whose broker died: asked about are the present one and the one that the broker was last given. */
static void spoilt(struct codec *c, struct core *k) {
  bool given = k->shown.broker.mode == BROKER_LEAD && k->spoilt == k->shown.broker.epoch;
  uint64_t which = k->spoilt == 0 ? 0 : k->role == ROLE_MASTER && k->spoilt == k->reign ? 1 : given ? 2 : 0;
  which = varint(c, which);
  if (c->pass == READ)
    k->spoilt = which == 0 ? 0 : which == 1 ? k->reign : k->shown.broker.epoch;
}

static void node(struct codec *c, unsigned self, struct core *k) {
  const struct ballot *b = &k->voter.ballot;
  reign(c, k->role, &b->sync, b->forced[0] != 0 || b->forced[1] != 0, &k->reign);
  fencing(c, self, k);
  held_down(c, self, k);
  bool claims =
      k->role == ROLE_CANDIDATE || (k->role == ROLE_MASTER && (b->epoch > k->reign || k->unfenced != 0));
  if (claims)
    threshold(c, self, c->w->machine[self].session, &k->claim_seq);
  if (k->role == ROLE_CANDIDATE)
    instant(c, self, &k->give_up_at);
  else if (c->pass == READ)
    k->give_up_at = INSTANT_NEVER;
  until(c, self, &k->stand_after);
  if (k->role == ROLE_SUSPECT)
    instant(c, self, &k->ready_since);
  else if (c->pass == READ)
    k->ready_since = INSTANT_NEVER;
  boolean(c, &k->handing);
  boolean(c, &k->retired);
  NUMBER(c, k->shown.unknown);
  boolean(c, &k->shown.address);
  instant(c, self, &k->shown.fence);
  duty(c, &k->shown.broker, k->shown.broker.serial);
  if (c->pass == READ)
    k->released = k->shown;
  spoilt(c, k);
  report(c, &k->broker);
  boolean(c, &k->quiet);
  boolean(c, &k->promoted);
  if (k->role == ROLE_MASTER)
    master(c, self, k);
  else
    not_master(c, self, k);
  if (c->pass == READ && k->role == ROLE_MASTER && k->unfenced == 0)
    k->follow = NOBODY;
}

static void core(struct codec *c, unsigned self, struct core *k) {
  if (c->pass == READ) {
    memset(k, 0, sizeof *k);
    k->config = c->w->config;
    k->config.self = (uint8_t)self;
  }
  NUMBER(c, k->role);
  instant(c, self, &k->now);
  voter(c, self, &k->voter);
  for (unsigned i = 0; i < VOTERS; i++)
    if (i != self)
      peer(c, self, i, &k->peer[i]);
  boolean(c, &k->disk_failing);
  until(c, self, &k->retry_at);
  if (self < NODES)
    node(c, self, k);
  else if (c->pass == READ)
    k->shown.fence = k->released.fence = INSTANT_PAST;
  if (c->pass == READ)
    k->seq = c->beat[self].count; /* where the highest rank is kept while reading */
}

// ---- a machine ----

static void broker(struct codec *c, unsigned self, struct machine *m, bool core_runs) {
  struct broker_model *b = &m->broker;
  boolean(c, &b->running);
  boolean(c, &b->unfit);
  boolean(c, &b->stalled);
  boolean(c, &b->attached);
  duty(c, &b->duty, core_runs ? m->core.shown.broker.serial : 0);
  bool pending = varint(c, m->agent && b->done_at != NEVER_US) != 0;
  if (c->pass == READ)
    b->done_at = pending ? c->w->now : NEVER_US;
  boolean(c, &b->late);
  epoch(c, &b->epoch);
  NUMBER(c, b->count);
  for (size_t i = 0; i < b->count; i++)
    NUMBER(c, c->w->log[self][i]);
  report(c, &b->told);
}

static void machine(struct codec *c, unsigned self, struct machine *m) {
  boolean(c, &m->power);
  boolean(c, &m->agent);
  boolean(c, &m->stopped);
  boolean(c, &m->disk_fails);
  bool slow = varint(c, m->clock.ppm != 0) != 0;
  if (c->pass == READ)
    world_rate(c->w, self, slow ? -(int64_t)c->w->config.drift_ppm : 0);
  ballot(c, self, &m->disk);
  session(c, self, &m->session);
  if (m->power) { /* an agent that was killed leaves its core (L10) */
    for (unsigned i = 0; i < VOTERS; i++)
      if (i != self)
        session(c, i, &m->knows[i]);
    core(c, self, &m->core);
  } else if (c->pass == READ) {
    memset(&m->core, 0, sizeof m->core);
  }
  if (self < NODES) {
    boolean(c, &m->address);
    until(c, self, &m->fence);
    epoch(c, &m->elected);
    epoch(c, &m->peer_off);
    broker(c, self, m, m->power);
  }
}

static void world(struct codec *c) {
  struct world *w = c->w;
  for (unsigned v = 0; v < VOTERS; v++)
    machine(c, v, &w->machine[v]);
  boolean(c, &w->forced);
  boolean(c, &w->restored);
  epoch(c, &w->last_reign);
  for (unsigned i = 0; i < VOTERS; i++)
    for (unsigned j = 0; j < VOTERS; j++)
      if (i != j)
        boolean(c, &w->cut[i][j]);
  NUMBER(c, w->messages);
  for (size_t i = 0; i < w->messages; i++)
    boolean(c, &w->acknowledged[i]);
  NUMBER(c, w->queued);
  for (size_t i = 0; i < w->queued; i++)
    datagram(c, &w->queue[i]);
}

static void begin(struct codec *c, struct world *w) {
  c->w = w;
  c->epoch_min = UINT64_MAX;
  c->epoch_max = 0;
  c->version.count = 0;
  for (unsigned i = 0; i < VOTERS; i++) {
    c->now[i] = world_local(w, i);
    c->beat[i].count = c->session[i].count = 0;
    for (unsigned j = 0; j < VOTERS; j++)
      c->beats[i][j].count = 0;
  }
}

/* Even, so that each epoch keeps its owner. Forced epochs (F1) are known by their upper half: they stay. */
static uint64_t epoch_shift(const struct codec *c) {
  if (c->epoch_max == 0 || c->epoch_max >> 32 != 0)
    return 0;
  return (c->epoch_min - 1) & ~UINT64_C(1);
}

size_t codec_write(struct world *w, uint8_t out[CODE_MAX]) {
  static struct codec c;
  begin(&c, w);
  c.pass = COLLECT;
  world(&c);
  c.shift = epoch_shift(&c);
  c.pass = WRITE;
  c.at = out;
  for (unsigned v = 0; v < VOTERS; v++)
    varint(&c, beat_rank(&c, v, w->machine[v].session, UINT32_MAX));
  world(&c);
  size_t size = (size_t)(c.at - out);
  assert(size <= CODE_MAX);
  return size;
}

void codec_read(struct world *w, const uint8_t *code) {
  static struct codec c;
  union {
    const uint8_t *from;
    uint8_t *at;
  } where = {code}; /* nothing is written in this pass */
  w->now = NOW_US;
  w->past = 0;
  w->sessions = NAMES_MAX;
  w->failed = false;
  for (unsigned v = 0; v < VOTERS; v++) {
    w->machine[v].clock = (struct clock_model){.offset_us = (v + 1) * NOW_US};
    w->machine[v].cut_after = -1;
  }
  begin(&c, w);
  c.pass = READ;
  c.at = where.at;
  for (unsigned v = 0; v < VOTERS; v++)
    c.beat[v].count = varint(&c, 0);
  world(&c);
}

void codec_copy(struct world *to, const struct world *from) {
  memcpy(to, from, offsetof(struct world, queue));
  memcpy(to->queue, from->queue, from->queued * sizeof from->queue[0]);
  for (unsigned i = 0; i < NODES; i++)
    memcpy(to->log[i], from->log[i], from->machine[i].broker.count * sizeof from->log[i][0]);
  memcpy(to->acknowledged, from->acknowledged, from->messages * sizeof from->acknowledged[0]);
}
