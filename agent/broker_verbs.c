// SPDX-License-Identifier: Apache-2.0
// The verb engine: its outside, its timers, and the one verb under way. Everything happens on an answer, on an
// event of the transport or on a timer; each ends in settle(), the only place that calls out.
#include "agent/broker_verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/verbs_engine.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/core/lease.h"

// ---- telling ----

static void tell_cleared(struct verbs *e) {
  loop_timer_at(e->clearing, INSTANT_NEVER);
  for (; e->clears > 0; e->clears--)
    e->watch.cleared(e->watch.arg);
}

static void on_clearing(void *arg) {
  tell_cleared(arg);
}

static void tell(struct verbs *e) {
  verbs_update_view(e);
  if (verbs_view_differs(&e->view, &e->told)) {
    e->told = e->view;
    e->watch.changed(e->watch.arg);
  }
  if (!e->untold) // also when `changed` brought a newer duty
    return;
  e->untold = false;
  e->watch.done(e->watch.arg, e->duty.serial, e->view.position);
}

// ---- the verb under way ----

// Looks have health's time-out, what changes the broker takes its time, the rest must not last.
static uint32_t limit_ms(const struct verbs *e, enum verb verb) {
  const struct broker_settings *s = &e->settings;
  uint32_t brief = s->lease_ms > s->probe_timeout_ms ? s->lease_ms : s->probe_timeout_ms;
  switch (verb) {
  case VERB_PROBE:
  case VERB_MONITOR:
  case VERB_POS:
  case VERB_EVICT:
    return s->probe_timeout_ms;
  case VERB_WAITPOS:
    return 2 * s->beat_ms;
  case VERB_FENCE:
  case VERB_PAUSE:
  case VERB_RESUME:
  case VERB_SYNC:
    return brief < s->verb_timeout_ms ? brief : s->verb_timeout_ms;
  case VERB_HELLO:
  case VERB_START:
  case VERB_PROMOTE:
  case VERB_DEMOTE:
  case VERB_REJOIN:
  case VERB_STOP:
  case VERB_COUNT:
    break;
  }
  return s->verb_timeout_ms;
}

void verbs_describe(const struct verbs *e, struct words *words) {
  const struct broker_settings *s = &e->settings;
  words_put(words, "cluster", s->cluster);
  words_put(words, "node", s->names[s->self]);
  words_put(words, "peer", s->names[1 - s->self]);
  words_put(words, "address", s->address);
  words_put(words, "peer_address", s->peers[1 - s->self]);
  words_put(words, "username", s->username);
  words_put(words, "password_file", s->password_file);
  words_put(words, "replication", replication_name(s->replication));
  if (words_get(words, "epoch") == NULL)
    words_put_uint(words, "epoch", e->has_duty ? e->duty.epoch : 0);
  if (s->describe != NULL)
    s->describe(s->describe_arg, e->has_duty ? e->duty.epoch : 0, words);
}

static void ended(struct verbs *e) {
  e->busy = e->preempted = false;
  loop_timer_at(e->deadline, INSTANT_NEVER);
}

// Its answer, for want of one.
static void take_rc(struct verbs *e, int rc, const char *said) {
  struct verb_reply reply = {.rc = rc};
  snprintf(reply.said, sizeof reply.said, "%s", said);
  verbs_take(e, e->verb, &reply);
}

static void begin(struct verbs *e, enum verb verb) {
  e->verb = verb;
  e->begun = clock_now();
  e->limit_ms = limit_ms(e, verb);
  words_put(&e->words, "verb", verb_name(verb));
  words_put_uint(&e->words, "deadline_ms", e->limit_ms);
  verbs_describe(e, &e->words);
  if (verb == VERB_PROBE || verb == VERB_MONITOR)
    e->look_at = instant_plus_ms(e->begun, e->settings.probe_every_ms);
  int rc = e->transport->begin(e->carrier, verb, e->limit_ms, &e->words);
  if (rc == 0) {
    e->busy = true;
    // A program that was ended because it took too long to start would never get beyond that.
    e->until = instant_plus_ms(e->begun, e->limit_ms + (e->fresh ? VERBS_FRESH_MS : 0));
    loop_timer_at(e->deadline, e->until);
    return;
  }
  if (rc == -EAGAIN) // what comes next comes from the transport
    return;
  take_rc(e, rc == -ENOENT ? VERB_INSTALLED : rc == -EACCES ? VERB_PERMISSION : VERB_FAILED, strerror(-rc));
  loop_timer_in(e->tick, 1000); // never again from within
}

// One verb at most: a step that could not be begun is looked at by the timer.
static void advance(struct verbs *e) {
  enum verb verb;
  if (e->busy)
    return;
  e->words.count = 0;
  loop_timer_at(e->tick, INSTANT_NEVER);
  if (verbs_next(e, &verb))
    begin(e, verb);
  else if (e->lost[0] == 0)
    loop_timer_at(e->tick, verbs_due(e));
}

static void settle(struct verbs *e) {
  verbs_judge(e);
  verbs_update_view(e);
  advance(e);
  tell(e);
}

static void on_tick(void *arg) {
  settle(arg);
}

static void on_deadline(void *arg) {
  struct verbs *e = arg;
  if (!e->busy)
    return;
  bool preempted = e->preempted;
  e->transport->kill(e->carrier);
  ended(e);
  if (!preempted)
    take_rc(e, VERB_DEADLINE, "");
  e->stale = true;
  settle(e);
}

// The newest duty alone counts: what another mode asked for gets no more than a beat.
static void preempt(struct verbs *e) {
  bool steps_down = e->verb == VERB_DEMOTE || e->verb == VERB_FENCE || e->verb == VERB_STOP;
  if (!e->busy || e->preempted || steps_down)
    return;
  struct instant soon = instant_in_ms(e->settings.beat_ms);
  if (!instant_before(soon, e->until))
    return;
  e->preempted = true;
  loop_timer_at(e->deadline, soon);
}

// ---- what transports say ----

void verbs_answer(struct verbs *e, const struct verb_reply *reply) {
  if (!e->busy)
    return;
  ended(e);
  e->fresh = false;
  if (e->verb == VERB_EVICT && e->clears > 0)
    loop_timer_in(e->clearing, 0);
  verbs_take(e, e->verb, reply);
  settle(e);
}

void verbs_event(struct verbs *e, const char *name, const struct words *words) {
  verbs_take_words(e, words);
  if (strcmp(name, "position") != 0)
    e->stale = true;
  settle(e);
}

void verbs_lost(struct verbs *e, const char *why) {
  bool was_busy = e->busy;
  ended(e);
  e->greeted = !verbs_can(e, VERB_HELLO);
  e->stale = true;
  e->fresh = why == NULL;
  e->missing[0] = 0;
  snprintf(e->lost, sizeof e->lost, "%s", why != NULL ? why : "");
  if (why != NULL && was_busy)
    e->well = false;
  settle(e);
}

// ---- opening ----

#define OWNED(X) X(cluster) X(address) X(peers[0]) X(peers[1]) X(username) X(password_file) X(orphans) \
  X(names[0]) X(names[1])

static bool copy_settings(struct verbs *e, const struct broker_settings *settings) {
  bool whole = true;
  e->settings = *settings;
#define COPY(field)                                                                                          \
  e->settings.field = strdup(settings->field != NULL ? settings->field : "");                                \
  whole = whole && e->settings.field != NULL;
  OWNED(COPY)
#undef COPY
  if (e->settings.verb_timeout_ms == 0)
    e->settings.verb_timeout_ms = VERBS_TIMEOUT_MS;
  return whole;
}

void verbs_close(void *state) {
  struct verbs *e = state;
  if (e->carrier != NULL)
    e->transport->close(e->carrier);
  loop_timer_free(e->tick);
  loop_timer_free(e->deadline);
  loop_timer_free(e->clearing);
#define FREE(field) free((void *)(uintptr_t)e->settings.field);
  OWNED(FREE)
#undef FREE
  free(e);
}

static int check_verbs(const struct verbs *e, const char **error) {
  static char text[256];
  char names[96];
  uint32_t lacks = verb_needed(e->settings.replication) & ~e->supports;
  if (e->transport->blind)
    lacks &= ~VERB_BIT(VERB_POS);
  if (lacks == 0)
    return 0;
  snprintf(text, sizeof text, "broker.replication = \"%s\" needs verbs that the driver lacks here: %s; give them, or set another",
           replication_name(e->settings.replication), verb_names(lacks, names, sizeof names));
  *error = text;
  return -EINVAL;
}

static int open_parts(struct verbs *e, const struct broker_settings *settings, const char **error) {
  *error = "out of memory";
  e->tick = loop_timer_new(e->loop, on_tick, e);
  e->deadline = loop_timer_new(e->loop, on_deadline, e);
  e->clearing = loop_timer_new(e->loop, on_clearing, e);
  if (!e->tick || !e->deadline || !e->clearing || !copy_settings(e, settings))
    return -ENOMEM;
  int rc = e->transport->open(&e->carrier, e, e->loop, &e->settings, &e->carries, error);
  e->supports = e->carries;
  return rc < 0 ? rc : check_verbs(e, error);
}

int verbs_open(void **state, struct loop *loop, const struct broker_settings *settings,
               const struct broker_watch *watch, const struct verbs_transport *transport, const char **error) {
  *error = "out of memory";
  struct verbs *e = calloc(1, sizeof *e);
  if (e == NULL)
    return -ENOMEM;
  e->loop = loop;
  e->watch = *watch;
  e->transport = transport;
  int rc = open_parts(e, settings, error);
  if (rc < 0) {
    verbs_close(e);
    return rc;
  }
  e->greeted = !verbs_can(e, VERB_HELLO);
  e->resumed = e->seen = e->had_data = settings->incarnation != NULL && settings->incarnation[0] != 0; // L10
  snprintf(e->incarnation, sizeof e->incarnation, "%s", settings->incarnation != NULL ? settings->incarnation : "");
  verbs_update_view(e);
  e->told = e->view;
  loop_timer_in(e->tick, 0);
  *state = e;
  return 0;
}

// ---- the driver ----

void verbs_apply(void *state, const struct broker_duty *duty) {
  struct verbs *e = state;
  struct broker_duty former = e->has_duty ? e->duty : (struct broker_duty){.mode = BROKER_MODE_COUNT};
  bool other_mode = former.mode != duty->mode;
  if (e->distrust && (other_mode || former.epoch != duty->epoch)) {
    e->distrust = e->dead = false;
    e->stale = true;
  }
  e->duty = *duty;
  e->has_duty = true;
  if (other_mode && (duty->mode == BROKER_HOLD || (duty->mode == BROKER_FOLLOW && former.mode == BROKER_LEAD)))
    e->held = false;
  if (former.master != duty->master)
    e->joined = false;
  e->reached = e->untold = e->doubtful = false;
  e->unplaced = verbs_replicates(e); // never without an answer to a question asked from now on
  e->since = clock_now();
  e->pos_at = e->since;
  e->stage = 0;
  e->evict = e->evict && duty->mode == BROKER_LEAD;
  e->failure.again = e->since;
  e->failure.times = 0;
  if (other_mode || e->verb == VERB_WAITPOS)
    preempt(e);
  advance(e);
  if (!e->busy)
    loop_timer_in(e->tick, 0); // it may be reached already
}

void verbs_kill_clients(void *state) {
  struct verbs *e = state;
  e->clears++;
  e->evict = verbs_can(e, VERB_EVICT) && e->lost[0] == 0;
  loop_timer_in(e->clearing, e->evict ? BROKER_CLEAR_MS * 1000 : 0);
  advance(e);
}

const struct broker_view *verbs_view(const void *state) {
  return &((const struct verbs *)state)->view;
}
