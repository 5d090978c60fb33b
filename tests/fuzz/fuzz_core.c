// SPDX-License-Identifier: Apache-2.0
// The core, fed with whatever can happen to one voter in whatever order: beats that decode, whoever made them
// up; reports, orders, failed disks, crashes between two actions, restarts, pauses. Held to: core_check, its
// own assertions, the order of its actions, beats that others can decode, epochs that never fall on the disk,
// and a deadline that is not already over.
//
// With TRACE in the environment each step is told, as in a trace of --trace.
//
// Input: the configuration and the ballot it starts with, then one byte an event and what that one takes.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/trace.h"
#include "common/core/core.h"
#include "common/core/lease.h"
#include "common/core/wire.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define STEPS_MAX 400
#define RESTARTS_MAX 8

struct world {
  struct core_config config;
  struct core core;
  struct ballot disk;
  struct actions actions;
  struct instant now;
  uint64_t session[VOTERS], seq[VOTERS]; // of who is played, newest
  uint32_t serial;                       // of the newest duty
  bool persisting;                       // the last list had a PERSIST
  unsigned restarts;
};

// ---- values: near what the core knows, since those are the ones that rules compare ----

static uint64_t about_epoch(const struct world *w, struct input *input) {
  uint64_t own = w->core.voter.ballot.epoch;
  uint8_t how = input_u8(input);
  switch (how >> 5) {
  case 0:
    return how & 0x1f;
  case 1:
    return own + (how & 0x1f);
  case 2:
    return own - (how & 0x1f) % (own + 1);
  case 3:
    return w->core.reign + (how & 1);
  case 4:
    return core_record(&w->core)->epoch + (how & 3);
  case 5:
    return ((own >> 32) + 1) << 32 | (how & 3);
  case 6:
    return EPOCH_MAX - 1 - (how & 0x1f);
  default:
    return input_u64(input);
  }
}

static uint64_t any_epoch(const struct world *w, struct input *input) {
  return about_epoch(w, input) % EPOCH_MAX;
}

/* An epoch of that node's own. */
static uint64_t own_epoch(const struct world *w, struct input *input, unsigned node) {
  return (any_epoch(w, input) & ~UINT64_C(1)) | node;
}

static struct record any_record(const struct world *w, struct input *input) {
  uint8_t how = input_u8(input);
  struct record record = {any_epoch(w, input), (uint32_t)(how >> 2), RECORD_PAIR, NOBODY};
  if ((how & 3) < NODES) {
    record.mode = RECORD_SOLE;
    record.owner = how & 3;
    record.epoch = record.version == 0 ? record.epoch : own_epoch(w, input, record.owner);
  }
  return (how & 3) == 3 ? *core_record(&w->core) : record;
}

static struct position any_position(const struct world *w, struct input *input) {
  uint8_t how = input_u8(input);
  if (how == 0)
    return (struct position){0, 0};
  return (struct position){any_epoch(w, input), how == 255 ? input_u64(input) : how};
}

static uint64_t near(struct input *input, uint64_t value) {
  uint8_t back = input_u8(input);
  return back == 255 ? input_u64(input) : back > value ? 0 : value - back;
}

// ---- events ----

/* What the sender might be, then what it might say. Only what would decode is delivered. */
static bool make_beat(struct world *w, struct input *input, struct event *event) {
  unsigned char bytes[WIRE_BEAT_SIZE];
  uint8_t from = (uint8_t)((w->config.self + 1 + input_below(input, 2)) % VOTERS), bits = input_u8(input);
  struct beat *beat = &event->beat.beat;
  if (w->session[from] == 0 || (bits & 7) == 7) {
    w->session[from]++;
    w->seq[from] = 0;
  }
  memset(event, 0, sizeof *event);
  event->type = EVENT_BEAT;
  event->beat.session = w->session[from] + ((uint64_t)from << 32);
  beat->role = from == VOTER_W ? ROLE_WITNESS : (uint8_t)(ROLE_SECONDARY + (bits >> 3) % 4);
  beat->flags = input_u8(input) & BEAT_FLAGS_ALL;
  beat->echo = near(input, w->core.seq);
  beat->grant = near(input, w->core.seq);
  beat->epoch = beat->role == ROLE_CANDIDATE ? own_epoch(w, input, from) : any_epoch(w, input);
  beat->sync = any_record(w, input);
  beat->reign = from < NODES ? own_epoch(w, input, from) : 0;
  beat->leader = input_below(input, VOTERS) == 2 ? NOBODY : (uint8_t)(bits >> 7);
  beat->leader_epoch = beat->leader == NOBODY ? 0 : own_epoch(w, input, beat->leader);
  beat->free_ms = (bits & 0x40) != 0 ? FREE_NEVER : input_u8(input);
  beat->lease_ms = input_u8(input) % 2 == 0 ? w->config.lease_ms : input_u16(input) % (LEASE_MS_MAX + 1);
  beat->health = input_u8(input) != 0;
  beat->position = any_position(w, input);
  beat->seen_you = (struct seen){any_epoch(w, input), any_record(w, input)};
  beat->frozen = (struct frozen){input_u8(input), (bits & 1) != 0};
  wire_encode(beat, bytes);
  *beat = (struct beat){.from = from, .to = w->config.self, .seq = ++w->seq[from]};
  return wire_decode(bytes, sizeof bytes, beat);
}

static void make_report(struct world *w, struct input *input, struct event *event) {
  uint8_t bits = input_u8(input);
  event->type = EVENT_BROKER;
  event->broker = (struct broker_report){.health = bits & 1,
                                         .dead = (bits & 2) != 0,
                                         .silent = (bits & 4) != 0,
                                         .link = (bits & 8) != 0,
                                         .position = any_position(w, input),
                                         .peer = any_position(w, input)};
}

static void make_done(struct world *w, struct input *input, struct event *event) {
  event->type = EVENT_DONE;
  event->done.serial = w->serial - input_below(input, 2);
  event->done.position = any_position(w, input);
}

static void make_order(struct world *w, struct input *input, struct event *event) {
  uint8_t bits = input_u8(input);
  event->type = EVENT_ORDER;
  event->order =
      (struct order){.type = bits % ORDER_COUNT, .node = bits >> 7, .timeout_ms = input_u16(input)};
  if (event->order.type == ORDER_FORM)
    event->order.above = any_epoch(w, input);
}

// ---- what a list must be ----

static const unsigned rank[ACTION_COUNT] = {
    [ACTION_ADDRESS_DROP] = 0, [ACTION_FENCE_CLOSE] = 0, [ACTION_PERSIST] = 1, [ACTION_SEND] = 2,
    [ACTION_SPARE_PEER] = 0,   [ACTION_FENCE_ARM] = 3,   [ACTION_ADDRESS_ADD] = 3, [ACTION_FENCE_PEER] = 3,
    [ACTION_TELL] = 4,
};

/* A broker is held or paused among the releases, and led among the claims. */
static unsigned rank_of(const struct action *action, unsigned before) {
  if (action->type == ACTION_BROKER)
    return before == 0 ? 0 : 3;
  if (action->type == ACTION_FENCE_ARM && before == 0)
    return 0; /* to a nearer end: from sole ownership back to a lease */
  return rank[action->type];
}

static void check_beat(const struct world *w, const struct beat *sent) {
  unsigned char bytes[WIRE_BEAT_SIZE];
  struct beat beat = {.from = sent->from, .to = sent->to, .seq = sent->seq};
  assert(sent->from == w->config.self && sent->to < VOTERS && sent->to != sent->from && sent->seq != 0);
  wire_encode(sent, bytes);
  assert(wire_decode(bytes, sizeof bytes, &beat));
}

static void check_list(struct world *w) {
  unsigned before = 0;
  w->persisting = false;
  for (size_t i = 0; i < w->actions.count; i++) {
    const struct action *action = &w->actions.at[i];
    unsigned at = rank_of(action, before);
    assert(at >= before);
    before = at;
    if (action->type == ACTION_SEND)
      check_beat(w, &action->beat);
    if (action->type == ACTION_BROKER)
      w->serial = action->broker.serial;
    w->persisting |= action->type == ACTION_PERSIST;
  }
}

/* As far as the disk goes. `formed`: the epochs may begin anew. */
static void write_ballot(struct world *w) {
  for (size_t i = 0; i < w->actions.count; i++)
    if (w->actions.at[i].type == ACTION_PERSIST) {
      assert(w->actions.at[i].ballot.epoch >= w->disk.epoch);
      w->disk = w->actions.at[i].ballot;
    }
}

static void show_event(const struct event *event) {
  char line[TRACE_LINE_MAX];
  if (getenv("TRACE") == NULL)
    return;
  trace_event(line, sizeof line, (struct instant){0}, event);
  fprintf(stderr, "%s\n", line);
}

static void show_actions(const struct world *w) {
  char text[ACTIONS_MAX * TRACE_LINE_MAX];
  if (getenv("TRACE") == NULL)
    return;
  trace_actions(text, sizeof text, (struct instant){0}, &w->actions);
  fprintf(stderr, "%s", text);
}

static void step(struct world *w, struct event *event) {
  event->now = w->now;
  show_event(event);
  core_step(&w->core, event, &w->actions);
  show_actions(w);
  unsigned broken = core_check(&w->core);
  assert(broken == 0);
  check_list(w);
  struct instant deadline = core_deadline(&w->core);
  assert(event->type != EVENT_TIMER || w->persisting || instant_before(w->now, deadline));
}

static void start(struct world *w, struct input *input) {
  struct trace_start start = {
      .config = w->config, .ballot = w->disk, .base = w->now, .random = input_u8(input)};
  char line[TRACE_LINE_MAX];
  trace_start(line, sizeof line, &start);
  if (getenv("TRACE") != NULL)
    fprintf(stderr, "%s\n", line);
  core_init(&w->core, &start.config, &start.ballot, start.base, start.random);
  w->serial = 0;
  w->persisting = false;
  struct event timer = {.type = EVENT_TIMER};
  step(w, &timer);
}

// ---- the input ----

/* One that a voter can have been shown. */
static bool is_record(const struct record *record) {
  unsigned char bytes[WIRE_BEAT_SIZE];
  struct beat beat = {.role = ROLE_WITNESS, .sync = *record, .leader = NOBODY, .seen_you.sync.owner = NOBODY};
  wire_encode(&beat, bytes);
  beat = (struct beat){.from = VOTER_W, .to = VOTER_A, .seq = 1};
  return wire_decode(bytes, sizeof bytes, &beat);
}

static void set_up(struct world *w, struct input *input) {
  static const uint32_t leases[] = {1000, 50, 300, 60000};
  uint8_t bits = input_u8(input), more = input_u8(input);
  uint32_t lease = leases[more & 3];
  memset(w, 0, sizeof *w);
  w->config = (struct core_config){.self = bits % VOTERS,
                                   .preferred = (bits >> 2) & 1,
                                   .replication = (bits >> 3) & 3,
                                   .strict = (bits & 0x20) != 0,
                                   .lease_ms = lease,
                                   .beat_ms = lease / 10,
                                   .drift_ppm = (bits & 0x40) != 0 ? DRIFT_PPM_MAX : 10000,
                                   .witness_grace_ms = (more & 4) != 0 ? 5000 : 0,
                                   .degrade_ms = 500,
                                   .max_lag = (more & 0x80) != 0 ? 100 : 0,
                                   .withholds = (bits & 0x80) != 0,
                                   .fence_required = (more & 0x40) != 0,
                                   .join_hold_ms = (more & 8) != 0 ? 2000 : 0};
  w->now = (struct instant){1000000};
  w->disk = (struct ballot){.sync = {.owner = NOBODY}, .blank = (more & 0x10) != 0};
  for (unsigned i = 0; i < VOTERS; i++)
    w->disk.seen[i].sync.owner = NOBODY;
  if ((more & 0x20) == 0)
    return;
  w->core.voter.ballot = w->disk; /* what any_record looks at */
  w->disk.epoch = any_epoch(w, input);
  struct record record = any_record(w, input);
  if (is_record(&record))
    w->disk.sync = record;
  w->disk.lease_max_ms = (more & 0x40) != 0 ? lease : 0;
}

static void wait(struct world *w, struct input *input) {
  uint8_t how = input_u8(input);
  struct instant deadline = core_deadline(&w->core);
  if (how == 0 && instant_before(w->now, deadline) && deadline.us != INSTANT_NEVER.us)
    w->now = deadline;
  else
    w->now =
        instant_plus_us(w->now, how < 128 ? how * 1000 : (how - 127) * (int64_t)w->config.lease_ms * 100);
}

/* The process ends between two actions of its last list; another takes up the reign (L10), or starts anew. */
static void restart(struct world *w, struct input *input, uint8_t what) {
  struct event resume = {.type = EVENT_RESUME};
  if (w->restarts++ >= RESTARTS_MAX)
    return;
  if ((what & 0x10) != 0)
    write_ballot(w);
  w->now = instant_plus_us(w->now, input_u8(input) * INT64_C(10000));
  if ((what & 0x20) != 0 && core_resumable(&w->core, &w->config, &w->disk, w->now))
    step(w, &resume);
  else
    start(w, input);
}

static void disk_failed(struct world *w) {
  struct event event = {.type = EVENT_DISK_FAILED};
  step(w, &event);
}

static void happen(struct world *w, struct input *input) {
  struct event event = {.type = EVENT_TIMER};
  uint8_t what = input_u8(input);
  if (w->persisting && what % 16 == 15) {
    disk_failed(w);
    return;
  }
  if (what % 16 == 14) {
    restart(w, input, what);
    return;
  }
  write_ballot(w);
  if ((what & 0x40) != 0)
    wait(w, input);
  switch (what % 16) {
  case 0:
    make_report(w, input, &event);
    break;
  case 1:
    make_done(w, input, &event);
    break;
  case 2:
    make_order(w, input, &event);
    break;
  case 3:
    event.type = EVENT_HELLO;
    event.hello = (uint8_t)((w->config.self + 1 + input_below(input, 2)) % VOTERS);
    break;
  case 4:
    event.type = EVENT_FENCE_LOST;
    break;
  case 5:
    break;
  case 6: /* mostly what was asked for */
    event.type = EVENT_FENCED;
    event.fenced = (what & 0x20) != 0 ? any_epoch(w, input) : w->core.shown.peer_off;
    break;
  default:
    if (!make_beat(w, input, &event))
      return;
  }
  step(w, &event);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static struct world w;
  struct input input = {bytes, size};
  set_up(&w, &input);
  start(&w, &input);
  for (unsigned i = 0; input.left > 0 && i < STEPS_MAX; i++)
    happen(&w, &input);
  return 0;
}
