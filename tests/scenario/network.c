// SPDX-License-Identifier: Apache-2.0
// Beats on their way, and what the seal would do with them: sessions, and nothing twice.
#include <string.h>

#include "common/base/trace.h"
#include "common/core/wire.h"
#include "tests/scenario/world.h"

static uint32_t draw(struct world *w, uint32_t below) {
  w->random ^= w->random << 13;
  w->random ^= w->random >> 7;
  w->random ^= w->random << 17;
  return (uint32_t)(w->random % below);
}

bool network_joined(const struct world *w, unsigned one, unsigned other) {
  return !w->cut[one][other] && !w->cut[other][one];
}

/* What is sent can be sent: the bytes of it read as the same beat. */
static void through_wire(struct world *w, const struct beat *beat) {
  unsigned char bytes[WIRE_BEAT_SIZE];
  struct action sent = {.type = ACTION_SEND, .beat = *beat}, got = sent;
  memset(&got.beat, 0, sizeof got.beat);
  got.beat.from = beat->from, got.beat.to = beat->to, got.beat.seq = beat->seq;
  wire_encode(beat, bytes);
  char one[TRACE_LINE_MAX], other[TRACE_LINE_MAX];
  trace_action(one, sizeof one, (struct instant){0}, &sent);
  bool sane = wire_decode(bytes, sizeof bytes, &got.beat);
  trace_action(other, sizeof other, (struct instant){0}, &got);
  if (!sane || strcmp(one, other) != 0)
    world_fail(w, "no beat for the wire: %s", one);
}

static void enqueue(struct world *w, const struct datagram *datagram) {
  if (w->queued == QUEUE_MAX)
    world_fail(w, "too many beats are on their way");
  else
    w->queue[w->queued++] = *datagram;
}

static void err(const struct world *w, struct beat *beat) {
  uint64_t value = w->err_value[beat->from];
  if (w->errs[beat->from] == ERR_GRANT)
    beat->grant = value;
  else if (w->errs[beat->from] == ERR_EPOCH)
    beat->epoch = value;
  else if (w->errs[beat->from] == ERR_LEASE)
    beat->lease_ms = (uint32_t)value;
  else if (w->errs[beat->from] == ERR_FREE)
    beat->free_ms = (uint32_t)value;
  else if (w->errs[beat->from] == ERR_PAIR)
    beat->sync = (struct record){beat->sync.epoch, beat->sync.version, RECORD_PAIR, NOBODY};
}

void network_send(struct world *w, unsigned from, const struct beat *beat) {
  const struct machine *m = &w->machine[from];
  unsigned to = beat->to;
  if (!w->direct)
    through_wire(w, beat);
  if (w->cut[from][to] || draw(w, 100) < w->loss_percent[from][to])
    return;
  struct datagram datagram = {.id = ++w->ids,
                              .session = m->session,
                              .for_session = m->knows[to],
                              .due = w->now + w->delay[from][to],
                              .beat = *beat};
  err(w, &datagram.beat);
  if (w->jumbled[from][to])
    datagram.due += draw(w, 120) * INT64_C(1000);
  enqueue(w, &datagram);
  if (w->doubled[from][to]) {
    datagram.due += 30000;
    enqueue(w, &datagram);
  }
}

int64_t network_next(const struct world *w, size_t *index) {
  int64_t soonest = NEVER_US;
  for (size_t i = 0; i < w->queued; i++) {
    const struct datagram *d = &w->queue[i];
    if (w->held[d->beat.from][d->beat.to] || w->machine[d->beat.to].stopped || d->due >= soonest)
      continue;
    soonest = d->due;
    *index = i;
  }
  return soonest;
}

void network_take(struct world *w, size_t index) {
  memmove(&w->queue[index], &w->queue[index + 1], (--w->queued - index) * sizeof w->queue[0]);
}

/* Section 8: a beat for session 0 or a former one only tells a session to answer to; a peer's session is
   taken by a beat for one's own, and never goes back. Sessions are numbered in the order of the starts here.
 */
static bool opened(const struct machine *m, const struct datagram *d) {
  return d->for_session == m->session && d->session >= m->core.peer[d->beat.from].session;
}

/* It tells of a session not known before: a beat goes back at once, for that session. */
static void note_hello(struct world *w, const struct datagram *d) {
  struct machine *m = &w->machine[d->beat.to];
  if (d->session <= m->knows[d->beat.from])
    return;
  m->knows[d->beat.from] = d->session;
  struct event event = {.type = EVENT_HELLO, .hello = d->beat.from};
  world_event(w, d->beat.to, &event);
}

static void receive(struct world *w, const struct datagram *d) {
  struct machine *m = &w->machine[d->beat.to];
  if (!m->agent)
    return;
  note_hello(w, d);
  if (!opened(m, d))
    return;
  struct event event = {.type = EVENT_BEAT};
  event.beat.session = d->session;
  event.beat.beat = d->beat;
  world_event(w, d->beat.to, &event);
}

void network_deliver(struct world *w, size_t index) {
  struct datagram datagram = w->queue[index];
  network_take(w, index);
  if (w->cut[datagram.beat.from][datagram.beat.to])
    return;
  w->recorded[w->past++ % PAST_MAX] = datagram;
  receive(w, &datagram);
}

void network_replay(struct world *w, unsigned from, unsigned to) {
  size_t first = w->past > PAST_MAX ? w->past - PAST_MAX : 0;
  size_t played = 0;
  for (size_t i = first; i < w->past; i++) {
    const struct datagram *d = &w->recorded[i % PAST_MAX];
    if (d->beat.from != from || d->beat.to != to)
      continue;
    receive(w, d);
    played++;
  }
  fprintf(w->out, "%zu beats played back\n", played);
}
