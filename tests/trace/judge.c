// SPDX-License-Identifier: Apache-2.0
#include "tests/trace/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/lease.h"
#include "common/core/record.h"

/* Time in which a node leads, by lease or as sole owner; of one reign, without a gap. */
struct span {
  uint8_t who;
  uint64_t reign;
  struct instant from, to;
  struct place place; // where it began
};

/* A voter over all its runs, as an onlooker knows it: beside the core, which forgets in a restart. */
struct view {
  bool known;             // it has run before
  struct instant last;    // the newest event
  uint64_t durable;       // the highest epoch that is on its disk for sure
  uint64_t pending;       // the epoch of the newest PERSIST, which may have been cut short
  struct instant founded; // when it last founded the cluster (B3): epochs may begin anew with it
  struct promise promise;
  struct place promised;
  bool leads, sole; // since the last step
  struct instant lease_end;
  size_t span; // the newest one of its own, + 1
};

struct judge {
  bool one_clock;
  struct view view[VOTERS];
  struct span *span;
  size_t spans, room;
  struct instant forced; // F1: from here on an operator's word stands for P1
  unsigned long runs, steps, votes;
};

static double seconds(struct instant at) {
  return (double)at.us / 1e6;
}

// ---- P1: when it leads ----

static void add_span(struct judge *j, const struct span *span) {
  if (j->spans == j->room) {
    j->room = j->room * 2 + 64;
    j->span = realloc(j->span, j->room * sizeof *j->span);
    if (j->span == NULL)
      abort();
  }
  j->span[j->spans++] = *span;
}

/* From the last step until `now` it led as that step left it. */
static void led_until(struct judge *j, unsigned who, struct instant now) {
  struct view *view = &j->view[who];
  if (view->leads)
    j->span[view->span - 1].to = view->sole ? now : instant_earlier(now, view->lease_end);
}

static void note_lead(struct judge *j, const struct place *place, const struct core *core) {
  struct view *view = &j->view[core->config.self];
  bool leads = core_leads(core, core->now);
  bool goes_on = leads && view->leads && j->span[view->span - 1].reign == core->reign;
  if (leads && !goes_on) {
    add_span(j, &(struct span){core->config.self, core->reign, core->now, core->now, *place});
    view->span = j->spans;
  }
  view->leads = leads;
  view->sole = core_sole(core);
  view->lease_end = core->lease_end;
  if (core->forced)
    j->forced = instant_earlier(j->forced, core->now);
}

// ---- P2: epochs ----

static void note_disk(struct view *view, const struct event *event, const struct actions *actions) {
  if (event->type != EVENT_DISK_FAILED)
    view->durable = view->pending;
  view->pending = view->durable;
  for (size_t i = 0; i < actions->count; i++)
    if (actions->at[i].type == ACTION_PERSIST)
      view->pending = actions->at[i].ballot.epoch;
}

static void note_founding(struct view *view, const struct actions *actions, struct instant now) {
  for (size_t i = 0; i < actions->count; i++) {
    const struct action *action = &actions->at[i];
    bool formed = action->type == ACTION_TELL && action->fact.type == FACT_FORMED;
    if (formed && action->fact.sync.version == 0)
      view->founded = now;
  }
}

static void check_epoch(const struct place *place, const struct core *before, const struct core *after) {
  if (after->voter.ballot.epoch < before->voter.ballot.epoch)
    finding(place, "P2 is broken: the epoch of %s falls from %" PRIu64 " to %" PRIu64,
            voter_name(after->config.self), before->voter.ballot.epoch, after->voter.ballot.epoch);
}

// ---- promises ----

static bool binds(const struct promise *promise, unsigned other, struct instant now) {
  return promise->leader != NOBODY && promise->leader != other && instant_before(now, promise->until);
}

static void break_promise(const struct view *view, const struct place *place, const char *what, unsigned whom,
                          struct instant now) {
  finding(place, "a promise is broken: %s %s at %.6f s, though it is promised to %s until %.6f s (%s:%lu)",
          what, voter_name(whom), seconds(now), voter_name(view->promise.leader),
          seconds(view->promise.until), view->promised.file, view->promised.line);
}

/* V3: the one it is promised to says that nothing of any reign runs there. */
static void note_release(struct view *view, const struct event *event) {
  const struct beat *beat = &event->beat.beat;
  if (event->type == EVENT_BEAT && (beat->flags & BEAT_RELEASED) != 0 && beat->from == view->promise.leader)
    view->promise.leader = NOBODY;
}

static void check_vote(struct judge *j, const struct place *place, const struct event *event,
                       const struct core *after) {
  const struct view *view = &j->view[after->config.self];
  const struct beat *beat = &event->beat.beat;
  const struct promise *promise = &after->voter.promise;
  bool asked = event->type == EVENT_BEAT && beat->role == ROLE_CANDIDATE;
  if (!asked || promise->leader != beat->from || promise->leader_epoch != beat->epoch ||
      promise->grant != beat->seq)
    return;
  j->votes++;
  if (binds(&view->promise, beat->from, after->now))
    break_promise(view, place, "a vote for", beat->from, after->now);
}

/* L2: a node stands only when its own promise is over; then it has made none since (V4). */
static void check_stand(struct judge *j, const struct place *place, const struct core *before,
                        const struct core *after) {
  struct view *view = &j->view[after->config.self];
  bool stands = after->role == ROLE_CANDIDATE && before->role != ROLE_CANDIDATE;
  if (stands && binds(&view->promise, after->config.self, after->now))
    break_promise(view, place, "a candidacy of", after->config.self, after->now);
  if (stands || after->forced)
    view->promise.leader = NOBODY;
}

static void note_promise(struct view *view, const struct place *place, const struct core *after) {
  const struct promise *promise = &after->voter.promise;
  if (promise->leader == NOBODY || !instant_before(after->now, promise->until))
    return;
  view->promise = *promise;
  view->promised = *place;
}

// ---- what the replay shows ----

static void on_started(void *arg, const struct place *place, const struct trace_start *start) {
  struct judge *j = arg;
  struct view *view = &j->view[start->config.self];
  const char *name = voter_name(start->config.self);
  bool back = view->known && instant_before(start->base, view->last);
  if (back && j->one_clock)
    finding(place, "this run of %s begins at %.6f s, before the one before it has ended, at %.6f s", name,
            seconds(start->base), seconds(view->last));
  if (back)
    view->promise.leader = NOBODY; /* the machine started again, and its clock with it */
  if (view->known && !start->ballot.blank && start->ballot.epoch < view->durable)
    finding(place,
            "P2 is broken: %s starts with epoch %" PRIu64 ", and had %" PRIu64
            " on its disk before: a ballot was restored, or the disk does not keep what it has synced",
            name, start->ballot.epoch, view->durable);
  led_until(j, start->config.self, start->base);
  if (!view->known)
    view->promise.leader = NOBODY;
  view->known = true;
  view->leads = false;
  view->last = start->base;
  view->durable = view->pending = start->ballot.epoch;
  j->runs++;
}

static void on_stepped(void *arg, const struct place *place, const struct core *before,
                       const struct event *event, const struct actions *actions, const struct core *after) {
  struct judge *j = arg;
  struct view *view = &j->view[after->config.self];
  led_until(j, after->config.self, after->now);
  note_lead(j, place, after);
  note_disk(view, event, actions);
  note_founding(view, actions, after->now);
  check_epoch(place, before, after);
  note_release(view, event);
  check_vote(j, place, event, after);
  check_stand(j, place, before, after);
  note_promise(view, place, after);
  view->last = after->now;
  j->steps++;
}

/* Its lease, if it has one, runs to its end; whether it still is sole owner is not known. */
static void on_lost(void *arg, const struct place *place, const struct core *core) {
  struct judge *j = arg;
  struct view *view = &j->view[core->config.self];
  led_until(j, core->config.self, view->sole ? view->last : INSTANT_NEVER);
  view->leads = false;
  view->pending = view->durable;
  printf("%s:%lu: steps are missing: the disk was full? They are not judged, nor is what follows up to the "
         "next start\n",
         place->file, place->line);
}

// ---- merged ----

static int by_time(const void *one, const void *other) {
  const struct span *a = one, *b = other;
  return (a->from.us > b->from.us) - (a->from.us < b->from.us);
}

/* Epochs rise from reign to reign; not over a founding, nor where two nodes that do not hear each other were
   both forced. */
static bool may_fall(const struct judge *j, const struct span *a, const struct span *b) {
  struct instant founded = j->view[a->who].founded;
  bool anew = instant_before(a->from, founded) && !instant_before(b->from, founded);
  return !j->one_clock || anew || !instant_before(b->from, j->forced);
}

/* `b` began to lead later than `a`. */
static void check_epochs(const struct judge *j, const struct span *a, const struct span *b) {
  if (b->reign == a->reign || (b->reign < a->reign && !may_fall(j, a, b)))
    finding(&b->place,
            "P2 is broken: %s leads in epoch %" PRIu64 ", after %s did in epoch %" PRIu64 " (%s:%lu)",
            voter_name(b->who), b->reign, voter_name(a->who), a->reign, a->place.file, a->place.line);
}

static void check_leads(const struct judge *j, const struct span *a, const struct span *b) {
  if (j->one_clock && instant_before(b->from, a->to) && instant_before(b->from, j->forced))
    finding(&b->place,
            "P1 is broken: %s leads from %.6f s in epoch %" PRIu64 ", and %s in epoch %" PRIu64
            " until %.6f s (%s:%lu)",
            voter_name(b->who), seconds(b->from), b->reign, voter_name(a->who), a->reign, seconds(a->to),
            a->place.file, a->place.line);
}

void judge_verdict(struct judge *j) {
  for (unsigned who = 0; who < NODES; who++)
    led_until(j, who,
              INSTANT_NEVER); /* a killed agent's kernel goes on to the lease's end, or as sole owner */
  if (j->spans > 0)
    qsort(j->span, j->spans, sizeof j->span[0], by_time);
  for (size_t b = 1; b < j->spans; b++)
    for (size_t a = 0; a < b; a++)
      if (j->span[a].who != j->span[b].who) {
        check_epochs(j, &j->span[a], &j->span[b]);
        check_leads(j, &j->span[a], &j->span[b]);
      }
}

void judge_summary(const struct judge *j) {
  printf("%lu runs, %lu steps, %lu votes, %zu spans of a lead; %s%u findings\n", j->runs, j->steps, j->votes,
         j->spans, j->one_clock ? "" : "no common clock, so P1 was not looked at; ", findings());
}

struct judge *judge_new(bool one_clock) {
  struct judge *j = calloc(1, sizeof *j);
  if (j == NULL)
    abort();
  j->one_clock = one_clock;
  for (unsigned v = 0; v < VOTERS; v++)
    j->view[v].founded = INSTANT_PAST;
  j->forced = INSTANT_NEVER;
  return j;
}

struct watcher judge_watcher(struct judge *j) {
  return (struct watcher){j, on_started, on_stepped, on_lost};
}

void judge_free(struct judge *j) {
  free(j->span);
  free(j);
}
