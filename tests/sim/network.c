// SPDX-License-Identifier: Apache-2.0
// Links, beats under way, and what the seal does with sessions (section 8).
#include <stdio.h>

#include "tests/sim/sim.h"

void spoil_link(unsigned from, unsigned to) {
  struct link *link = &sim.link[from][to];
  link->cut = chance(2);
  link->loss = chance(2) ? (uint32_t)below(600) : 0;
  link->twice = chance(3) ? (uint32_t)below(500) : 0;
  link->delay_us = chance(4) ? between(0, chance(4) ? 1500 * MS : 400 * MS) : between(100, 5 * MS);
  link->jitter_us = chance(3) ? between(0, 300 * MS) : between(0, 2 * MS);
  if ((sim.kinds & KIND_FLAP) && link->flap_us == 0 && chance(4)) {
    link->flap_us = between(5 * MS, chance(2) ? 200 * MS : 3 * SECOND);
    network_flap(from, to);
  }
}

void mend_link(unsigned from, unsigned to) {
  sim.link[from][to] = (struct link){.delay_us = 200, .jitter_us = 300};
}

void mend_links(void) {
  for (unsigned from = 0; from < VOTERS; from++)
    for (unsigned to = 0; to < VOTERS; to++)
      mend_link(from, to);
}

void isolate(unsigned who, unsigned ways) {
  for (unsigned i = 0; i < VOTERS; i++) {
    sim.link[i][who].cut |= i != who && (ways & 1);
    sim.link[who][i].cut |= i != who && (ways & 2);
  }
}

void network_flap(unsigned from, unsigned to) {
  struct link *link = &sim.link[from][to];
  if (link->flap_us == 0)
    return; /* mended meanwhile */
  link->cut = !link->cut;
  schedule(sim.now + between(MS, link->flap_us), WHAT_FLAP, from, 0, UINT32_MAX, to);
}

void network_send(unsigned who, const struct beat *beat) {
  const struct link *link = &sim.link[who][beat->to];
  digest(beat->seq);
  digest(beat->epoch);
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
    cargo->to_session = sim.process[who].knows[beat->to];
    cargo->event.type = EVENT_BEAT;
    cargo->event.beat.session = cargo->from_session;
    cargo->event.beat.beat = *beat;
    int64_t delay = link->delay_us + (int64_t)below((uint64_t)link->jitter_us + 1);
    if (sim.chaos && (sim.kinds & KIND_LATE) && chance(2000))
      delay += between(0, 10 * SECOND);
    schedule(sim.now + delay, WHAT_BEAT, beat->to, 0, number, 0);
  }
}

static void show_beat(const struct beat *b) {
  trace("%s>%s %s #%lu echo %lu grant %lu epoch %lu rec %lu.%u%s reign %lu lead %s@%lu free %d pos "
        "%lu/%lu%s%s%s%s%s",
        voter_name(b->from), voter_name(b->to), role_name(b->role), b->seq, b->echo, b->grant, b->epoch,
        b->sync.epoch, b->sync.version, b->sync.mode == RECORD_SOLE ? voter_name(b->sync.owner) : "PAIR",
        b->reign, voter_name(b->leader), b->leader_epoch, (int)b->free_ms, b->position.epoch,
        b->position.offset, b->flags & BEAT_ASK ? " ASK" : "", b->flags & BEAT_RELEASED ? " RELEASED" : "",
        b->flags & BEAT_HANDOVER ? " HANDOVER" : "", b->flags & BEAT_BLANK ? " BLANK" : "",
        b->flags & BEAT_FORCED ? " FORCED" : b->flags & BEAT_WAITS ? " WAITS" : "");
}

/* A beat for session 0 only tells a session to answer to; one for a former session cannot be opened. A
   session that was replaced is never taken back; here they are numbered in the order of the starts. */
static void receive(unsigned who, const struct cargo *cargo) {
  struct process *p = &sim.process[who];
  const struct beat *beat = &cargo->event.beat.beat;
  uint64_t *known = &p->knows[beat->from];
  bool new = cargo->from_session > *known, ours = cargo->to_session == p->session;
  if (!p->up || cargo->from_session < *known || (cargo->to_session != 0 && !ours))
    return;
  *known = cargo->from_session;
  if (ours) {
    if (sim.trace)
      show_beat(beat);
    process_post(who, &cargo->event);
  } else if (new) {
    process_post(who, &(struct event){.type = EVENT_HELLO, .hello = beat->from});
  }
}

void network_arrive(unsigned who, uint32_t number) {
  receive(who, &sim.cargo[number]);
  cargo_free(number);
}
