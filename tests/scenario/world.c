// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/world.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/trace.h"
#include "common/core/lease.h"

#define MILLION 1000000

struct ballot world_blank_ballot(void) {
  struct ballot ballot = {.blank = true, .sync = {.mode = RECORD_PAIR, .owner = NOBODY}};
  for (unsigned i = 0; i < VOTERS; i++)
    ballot.seen[i].sync.owner = NOBODY;
  return ballot;
}

void world_init(struct world *w, FILE *out) {
  memset(w, 0, sizeof *w);
  w->out = out;
  w->random = 0x5eed;
  w->config = (struct core_config){.preferred = VOTER_A,
                                   .replication = REPLICATION_SYNC,
                                   .withholds = true,
                                   .lease_ms = 1000,
                                   .beat_ms = 100,
                                   .drift_ppm = 10000,
                                   .witness_grace_ms = 600000,
                                   .degrade_ms = 500,
                                   .join_hold_ms = 2000};
  for (unsigned v = 0; v < VOTERS; v++) {
    struct machine *m = &w->machine[v];
    m->power = true;
    m->disk = m->snapshot = world_blank_ballot();
    m->fence = INSTANT_PAST;
    m->clock.offset_us = (v + 1) * INT64_C(1000000000); /* nobody's clock agrees with another's */
    m->broker.running = v < NODES;
    m->broker.done_at = NEVER_US;
    m->cut_after = -1;
    for (unsigned to = 0; to < VOTERS; to++)
      w->delay[v][to] = 1000;
  }
}

void world_fail(struct world *w, const char *format, ...) {
  va_list arguments;
  char text[sizeof w->failure];
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (w->out != NULL)
    fprintf(w->out, "!!! %s\n", text);
  if (!w->failed)
    memcpy(w->failure, text, sizeof text);
  w->failed = true;
}

void world_say(struct world *w, const char *format, ...) {
  va_list arguments;
  if (w->out == NULL)
    return;
  va_start(arguments, format);
  vfprintf(w->out, format, arguments);
  va_end(arguments);
}

// ---- time ----

static int64_t local_at(const struct clock_model *clock, int64_t true_us) {
  return clock->offset_us + true_us + true_us * clock->ppm / MILLION;
}

struct instant world_local(const struct world *w, unsigned voter) {
  return (struct instant){local_at(&w->machine[voter].clock, w->now)};
}

void world_rate(struct world *w, unsigned voter, int64_t ppm) {
  struct clock_model *clock = &w->machine[voter].clock;
  int64_t local = local_at(clock, w->now);
  clock->ppm = ppm;
  clock->offset_us += local - local_at(clock, w->now);
}

/* The first true µs at which this clock shows `local`. */
static int64_t true_when(const struct clock_model *clock, struct instant local) {
  if (local.us == INSTANT_NEVER.us)
    return NEVER_US;
  int64_t at = ((local.us - clock->offset_us) * MILLION / (MILLION + clock->ppm)) - 2;
  while (local_at(clock, at) < local.us)
    at++;
  return at;
}

// ---- one event of one voter ----

static void perform_one(struct world *w, unsigned voter, const struct action *action) {
  struct machine *m = &w->machine[voter];
  switch (action->type) {
  case ACTION_ADDRESS_DROP:
    m->address = false;
    return;
  case ACTION_ADDRESS_ADD:
    m->address = true;
    return;
  case ACTION_FENCE_CLOSE:
    m->fence = INSTANT_PAST;
    return;
  case ACTION_FENCE_ARM:
    promise_shown(w, voter);
    m->fence = action->until;
    return;
  case ACTION_PERSIST:
    m->disk = action->ballot;
    return;
  case ACTION_SEND:
    promise_shown(w, voter);
    network_send(w, voter, &action->beat);
    return;
  case ACTION_BROKER:
    broker_obey(w, voter, &action->broker);
    return;
  case ACTION_FENCE_PEER:
    m->peer_off = action->peer_off;
    return;
  case ACTION_SPARE_PEER:
    m->peer_off = 0;
    return;
  case ACTION_TELL:
  case ACTION_COUNT:
    return;
  }
}

/* The machine or its agent dies between two actions, as a dialogue has ordered. */
static bool cut_short(struct world *w, unsigned voter, int performed, bool at_end) {
  struct machine *m = &w->machine[voter];
  if (m->cut_after < 0 || (m->cut_after > performed && !at_end))
    return false;
  m->cut_after = -1;
  if (m->cut_kills)
    world_stop_agent(w, voter);
  else
    world_crash(w, voter);
  return true;
}

/* False: the disk failed; nothing behind it was done but the telling. */
static bool perform(struct world *w, unsigned voter, const struct actions *list) {
  bool failed = false;
  int performed = 0;
  size_t actions = 0;
  for (size_t i = 0; i < list->count; i++) {
    const struct action *action = &list->at[i];
    bool told = action->type == ACTION_TELL;
    actions += !told;
    w->persists |= action->type == ACTION_PERSIST;
    if (failed && !told)
      continue;
    if (!told && cut_short(w, voter, performed++, false))
      return true;
    failed |= action->type == ACTION_PERSIST && w->machine[voter].disk_fails;
    show_action(w, voter, action);
    if (!failed)
      perform_one(w, voter, action);
  }
  w->actions = actions > w->actions ? actions : w->actions;
  return cut_short(w, voter, performed, true) || !failed;
}

/* What the core is given is what the trace says, so that a trace is proved to be all that a replay needs. */
static void through_trace(struct world *w, struct event *event) {
  char line[TRACE_LINE_MAX];
  const struct instant base = {12345};
  const char *error = NULL;
  struct event back;
  trace_event(line, sizeof line, base, event);
  if (trace_parse_event(line, base, &back, &error))
    *event = back;
  else
    world_fail(w, "the trace does not come back: %s: %s", line, error);
}

void world_event(struct world *w, unsigned voter, struct event *event) {
  struct machine *m = &w->machine[voter];
  struct actions list;
  event->now = world_local(w, voter);
  if (!w->direct)
    through_trace(w, event);
  show_event(w, voter, event);
  if (w->same_dice)
    m->core.random = voter + 1;
  core_step(&m->core, event, &list);
  promise_decided(w, voter, &list);
  unsigned broken = core_check(&m->core);
  if (broken != 0)
    world_fail(w, "%s breaks invariant %u: %s", voter_name(voter), broken, core_invariant(broken));
  if (!perform(w, voter, &list)) {
    struct event failed = {.type = EVENT_DISK_FAILED};
    world_event(w, voter, &failed);
  }
  promises_check(w);
}

// ---- start and end ----

static struct core_config config_of(const struct world *w, unsigned voter) {
  struct core_config config = w->config;
  config.self = (uint8_t)voter;
  return config;
}

void world_start(struct world *w, unsigned voter) {
  struct machine *m = &w->machine[voter];
  struct core_config config = config_of(w, voter);
  m->broker.running |= voter < NODES && !m->power;
  m->power = m->agent = true;
  m->stopped = false;
  m->session = ++w->sessions;
  memset(m->knows, 0, sizeof m->knows);
  m->address = false; /* L9: before anything else */
  m->fence = INSTANT_PAST;
  m->broker.done_at = NEVER_US;
  m->broker.told = (struct broker_report){0};
  m->elected = 0;
  core_init(&m->core, &config, &m->disk, world_local(w, voter), voter + 1);
  struct event first = {.type = EVENT_TIMER};
  world_event(w, voter, &first);
  brokers_settle(w);
}

void world_resume(struct world *w, unsigned voter) {
  struct machine *m = &w->machine[voter];
  struct core_config config = config_of(w, voter);
  if (!core_resumable(&m->core, &config, &m->disk, world_local(w, voter))) {
    world_start(w, voter);
    return;
  }
  m->agent = true;
  m->stopped = false;
  m->session = ++w->sessions;
  memset(m->knows, 0, sizeof m->knows);
  m->broker.done_at = NEVER_US;
  struct event first = {.type = EVENT_RESUME};
  world_event(w, voter, &first);
  brokers_settle(w);
}

void world_stop_agent(struct world *w, unsigned voter) {
  w->machine[voter].agent = false;
  w->machine[voter].peer_off = 0;
}

/* Also where nobody waits for it any more: the core is to leave such an answer alone. */
void world_device(struct world *w, unsigned voter) {
  struct machine *m = &w->machine[voter];
  struct event event = {.type = EVENT_FENCED, .fenced = m->peer_off};
  world_crash(w, 1 - voter);
  if (m->agent && !m->stopped) {
    m->peer_off = 0;
    world_event(w, voter, &event);
  }
  brokers_settle(w);
}

void world_crash(struct world *w, unsigned voter) {
  struct machine *m = &w->machine[voter];
  m->power = m->agent = m->address = false;
  m->peer_off = 0;
  m->fence = INSTANT_PAST;
  m->broker.running = m->broker.attached = false;
  m->broker.duty = (struct broker_duty){.mode = BROKER_HOLD, .master = NOBODY};
  m->broker.done_at = NEVER_US;
}

// ---- the run of time ----

enum due { DUE_NOTHING, DUE_BEAT, DUE_DONE, DUE_TIMER };

struct next {
  enum due what;
  int64_t at;
  size_t index; // of the beat, or the voter
};

static void consider(struct next *next, enum due what, int64_t at, size_t index) {
  if (at < next->at)
    *next = (struct next){what, at, index};
}

static struct next find_next(const struct world *w) {
  struct next next = {DUE_NOTHING, NEVER_US, 0};
  size_t beat = 0;
  int64_t arrives = network_next(w, &beat);
  consider(&next, DUE_BEAT, arrives, beat);
  for (unsigned v = 0; v < VOTERS; v++) {
    const struct machine *m = &w->machine[v];
    if (!m->agent || m->stopped)
      continue;
    consider(&next, DUE_DONE, m->broker.done_at, v);
    consider(&next, DUE_TIMER, true_when(&m->clock, core_deadline(&m->core)), v);
  }
  return next;
}

void world_run(struct world *w, int64_t until) {
  for (struct next next = find_next(w); next.at <= until; next = find_next(w)) {
    w->now = next.at > w->now ? next.at : w->now;
    struct event timer = {.type = EVENT_TIMER};
    if (next.what == DUE_BEAT)
      network_deliver(w, next.index);
    else if (next.what == DUE_DONE)
      broker_done(w, (unsigned)next.index);
    else
      world_event(w, (unsigned)next.index, &timer);
    brokers_settle(w);
  }
  w->now = until;
  promises_check(w);
}
