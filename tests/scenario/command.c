// SPDX-License-Identifier: Apache-2.0
// The commands of a dialogue: a table of words. What each does is told in tests/scenario/README.md.
#include <stdlib.h>
#include <string.h>

#include "tests/scenario/world.h"

#define WORDS_MAX 16
#define WORD_MAX 32

struct words {
  size_t count;
  char at[WORDS_MAX][WORD_MAX];
};

static void split(const char *line, struct words *words) {
  words->count = 0;
  while (words->count < WORDS_MAX) {
    line += strspn(line, " \t");
    size_t length = strcspn(line, " \t");
    if (length == 0)
      return;
    snprintf(words->at[words->count++], WORD_MAX, "%.*s", (int)length, line);
    line += length;
  }
}

// ---- what words mean ----

static bool is(const char *word, const char *text) {
  return strcmp(word, text) == 0;
}

static const char *word(const struct words *words, size_t i) {
  return i < words->count ? words->at[i] : "";
}

static unsigned voter_of(struct world *w, const char *name) {
  for (unsigned v = 0; v < VOTERS; v++)
    if (is(name, voter_name(v)))
      return v;
  world_fail(w, "\"%s\" is no voter: a, b, w", name);
  return VOTER_A;
}

static unsigned node_of(struct world *w, const char *name) {
  unsigned voter = voter_of(w, name);
  if (voter == VOTER_W)
    world_fail(w, "the witness has no broker and no address");
  return voter % NODES;
}

static int64_t number_of(struct world *w, const char *text) {
  char *end;
  long long number = strtoll(text, &end, 10);
  if (end == text || *end != 0)
    world_fail(w, "\"%s\" is no number", text);
  return number;
}

/* "500ms", "2s", "1.5s", "10min" in µs. */
static int64_t time_of(struct world *w, const char *text) {
  static const struct {
    const char *unit;
    double us;
  } units[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"min", 6e7}};
  char *end;
  double number = strtod(text, &end);
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
    if (end != text && is(end, units[i].unit))
      return (int64_t)(number * units[i].us);
  world_fail(w, "\"%s\" is no time: 500ms, 2s, 10min", text);
  return 0;
}

static bool switch_of(struct world *w, const char *text) {
  if (!is(text, "on") && !is(text, "off"))
    world_fail(w, "\"%s\" is neither on nor off", text);
  return is(text, "on");
}

/* Directions by name: "a>b" one, "a-b" both, "a" all of a voter's. */
typedef void each_direction(struct world *, unsigned from, unsigned to, int64_t value);

static void for_directions(struct world *w, const char *name, each_direction *do_it, int64_t value) {
  size_t length = strlen(name);
  char first[2] = {name[0], 0};
  unsigned from = voter_of(w, first);
  if (length == 1) {
    for (unsigned v = 0; v < VOTERS; v++)
      if (v != from) {
        do_it(w, from, v, value);
        do_it(w, v, from, value);
      }
  } else if (length == 3 && (name[1] == '>' || name[1] == '-')) {
    unsigned to = voter_of(w, name + 2);
    do_it(w, from, to, value);
    if (name[1] == '-')
      do_it(w, to, from, value);
  } else {
    world_fail(w, "\"%s\" is no direction: a>b, a-b, a", name);
  }
}

static void set_cut(struct world *w, unsigned from, unsigned to, int64_t value) {
  w->cut[from][to] = value != 0;
}
static void set_held(struct world *w, unsigned from, unsigned to, int64_t value) {
  w->held[from][to] = value != 0;
}
static void set_doubled(struct world *w, unsigned from, unsigned to, int64_t value) {
  w->doubled[from][to] = value != 0;
}
static void set_jumbled(struct world *w, unsigned from, unsigned to, int64_t value) {
  w->jumbled[from][to] = value != 0;
}
static void set_loss(struct world *w, unsigned from, unsigned to, int64_t value) {
  w->loss_percent[from][to] = (unsigned)value;
}
static void set_delay(struct world *w, unsigned from, unsigned to, int64_t value) {
  w->delay[from][to] = value;
}

// ---- the commands ----

typedef void command(struct world *, const struct words *);

static void do_cluster(struct world *w, const struct words *words) {
  struct core_config *config = &w->config;
  for (size_t i = 1; i < words->count; i += 2) {
    const char *key = word(words, i), *value = word(words, i + 1);
    if (is(key, "preferred"))
      config->preferred = (uint8_t)node_of(w, value);
    else if (is(key, "replication"))
      for (config->replication = 0;
           config->replication < REPLICATION_COUNT - 1 && !is(value, replication_name(config->replication));)
        config->replication++;
    else if (is(key, "max_lag"))
      config->max_lag = strtoull(value, NULL, 10);
    else if (is(key, "strict"))
      config->strict = switch_of(w, value);
    else if (is(key, "fence_required"))
      config->fence_required = switch_of(w, value);
    else if (is(key, "lease"))
      config->lease_ms = (uint32_t)(time_of(w, value) / 1000);
    else if (is(key, "beat"))
      config->beat_ms = (uint32_t)(time_of(w, value) / 1000);
    else if (is(key, "degrade"))
      config->degrade_ms = (uint32_t)(time_of(w, value) / 1000);
    else if (is(key, "join_hold"))
      config->join_hold_ms = (uint32_t)(time_of(w, value) / 1000);
    else if (is(key, "hold_down"))
      config->hold_down_ms = (uint32_t)(time_of(w, value) / 1000);
    else if (is(key, "witness_grace"))
      config->witness_grace_ms = (uint32_t)(time_of(w, value) / 1000);
    else if (is(key, "drift_ppm"))
      config->drift_ppm = (uint32_t)number_of(w, value);
    else
      world_fail(w, "\"%s\" is no setting of a cluster", key);
  }
}

/* Their agents read the configuration again, as `cluster` has changed it (SIGHUP). */
static void do_reload(struct world *w, const struct words *words) {
  const struct core_config *config = &w->config;
  for (size_t i = 1; i < words->count; i++) {
    struct event event = {.type = EVENT_CONFIG};
    event.config = (struct core_settings){.preferred = config->preferred,
                                          .witness_grace_ms = config->witness_grace_ms,
                                          .degrade_ms = config->degrade_ms,
                                          .join_hold_ms = config->join_hold_ms,
                                          .hold_down_ms = config->hold_down_ms};
    world_event(w, voter_of(w, word(words, i)), &event);
  }
  brokers_settle(w);
}

static void do_clock(struct world *w, const struct words *words) {
  unsigned voter = voter_of(w, word(words, 1));
  if (is(word(words, 2), "offset"))
    w->machine[voter].clock.offset_us = time_of(w, word(words, 3));
  else if (is(word(words, 2), "ppm"))
    world_rate(w, voter, number_of(w, word(words, 3)));
  else if (is(word(words, 2), "slow") || is(word(words, 2), "fast"))
    world_rate(w, voter, is(word(words, 2), "slow") ? -(int64_t)w->config.drift_ppm : 0);
  else
    world_fail(w, "a clock has an offset or a rate: clock a offset 5s, clock a ppm -5000, clock a slow");
}

static void do_start(struct world *w, const struct words *words) {
  for (size_t i = 1; i < words->count; i++)
    world_start(w, voter_of(w, word(words, i)));
}
static void do_resume(struct world *w, const struct words *words) {
  for (size_t i = 1; i < words->count; i++)
    world_resume(w, voter_of(w, word(words, i)));
}
/* What most stories begin with, told in 01-forming.txt: all three started, a master with b as its secondary.
 */
static void do_given(struct world *w, const struct words *words) {
  FILE *out = w->out;
  if (!is(word(words, 1), "pair"))
    world_fail(w, "only a pair can be given");
  w->out = fopen("/dev/null", "w");
  for (unsigned v = 0; v < VOTERS; v++)
    world_start(w, v);
  world_run(w, w->now + 3000000);
  fclose(w->out);
  w->out = out;
  show_state(w);
}

/* "a after 2": in the midst of its next list of actions. */
static bool ordered_death(struct world *w, const struct words *words, bool kills) {
  if (!is(word(words, 2), "after"))
    return false;
  struct machine *m = &w->machine[voter_of(w, word(words, 1))];
  m->cut_after = (int)number_of(w, word(words, 3));
  m->cut_kills = kills;
  return true;
}

static void do_crash(struct world *w, const struct words *words) {
  if (ordered_death(w, words, false))
    return;
  for (size_t i = 1; i < words->count; i++)
    world_crash(w, voter_of(w, word(words, i)));
  brokers_settle(w);
}
static void do_kill(struct world *w, const struct words *words) {
  if (ordered_death(w, words, true))
    return;
  for (size_t i = 1; i < words->count; i++)
    world_stop_agent(w, voter_of(w, word(words, i)));
}
static void do_stop(struct world *w, const struct words *words) {
  w->machine[voter_of(w, word(words, 1))].stopped = true;
}
static void do_cont(struct world *w, const struct words *words) {
  w->machine[voter_of(w, word(words, 1))].stopped = false;
}

static void do_wipe(struct world *w, const struct words *words) {
  struct machine *m = &w->machine[voter_of(w, word(words, 1))];
  m->disk = world_blank_ballot();
  m->broker.count = 0;
  m->broker.epoch = 0;
}
/* Like wipe, but the broker's data is still there. */
static void do_forget(struct world *w, const struct words *words) {
  w->machine[voter_of(w, word(words, 1))].disk = world_blank_ballot();
}
static void do_snapshot(struct world *w, const struct words *words) {
  struct machine *m = &w->machine[voter_of(w, word(words, 1))];
  m->snapshot = m->disk;
}
static void do_restore(struct world *w, const struct words *words) {
  struct machine *m = &w->machine[voter_of(w, word(words, 1))];
  m->disk = m->snapshot;
  w->restored = true;
}

// ---- step by step: steps.c ----

/* "12" steps of the plain schedule, or as many as begin before "3s" have passed. */
static void do_steps(struct world *w, const struct words *words) {
  const char *much = word(words, 1);
  bool counted = much[strspn(much, "0123456789")] == 0;
  int64_t most = counted ? number_of(w, much) : INT64_MAX,
          end = counted ? INT64_MAX : w->now + time_of(w, much);
  for (int64_t i = 0; i < most && w->now < end && !w->failed; i++)
    steps_take(w, steps_next(w));
}
static void do_pass(struct world *w, const struct words *words) {
  steps_pass(w, time_of(w, word(words, 1)));
}
static void do_timer(struct world *w, const struct words *words) {
  steps_take(w, (struct step_plan){STEP_TIMER, voter_of(w, word(words, 1))});
}
static void do_done(struct world *w, const struct words *words) {
  steps_take(w, (struct step_plan){STEP_DONE, node_of(w, word(words, 1))});
}
static void do_dice(struct world *w, const struct words *words) {
  w->same_dice = is(word(words, 1), "same");
}

static void do_run(struct world *w, const struct words *words) {
  world_run(w, w->now + time_of(w, word(words, 1)));
}

static void do_cut(struct world *w, const struct words *words) {
  for (size_t i = 1; i < words->count; i++)
    for_directions(w, word(words, i), set_cut, 1);
  brokers_settle(w);
}
static void do_heal(struct world *w, const struct words *words) {
  if (words->count == 1)
    memset(w->cut, 0, sizeof w->cut);
  for (size_t i = 1; i < words->count; i++)
    for_directions(w, word(words, i), set_cut, 0);
  brokers_settle(w);
}
static void do_lose(struct world *w, const struct words *words) {
  for_directions(w, word(words, 1), set_loss, number_of(w, word(words, 2)));
}
static void do_delay(struct world *w, const struct words *words) {
  for_directions(w, word(words, 1), set_delay, time_of(w, word(words, 2)));
}
static void do_double(struct world *w, const struct words *words) {
  for_directions(w, word(words, 1), set_doubled, switch_of(w, word(words, 2)));
}
static void do_jumble(struct world *w, const struct words *words) {
  for_directions(w, word(words, 1), set_jumbled, switch_of(w, word(words, 2)));
}
static void do_hold(struct world *w, const struct words *words) {
  for_directions(w, word(words, 1), set_held, 1);
}
static void do_unhold(struct world *w, const struct words *words) {
  for_directions(w, word(words, 1), set_held, 0);
}

static void do_queue(struct world *w, const struct words *words) {
  (void)words;
  show_queue(w);
}

/* The number of a queued beat as `queue` shows it, or "last". */
static bool queued(struct world *w, const struct words *words, size_t *index) {
  const char *which = word(words, 1);
  *index = is(which, "last") ? w->queued - 1 : (size_t)number_of(w, which) - 1;
  if (*index >= w->queued)
    world_fail(w, "no such beat is on its way");
  return *index < w->queued;
}
static void do_deliver(struct world *w, const struct words *words) {
  size_t index;
  if (queued(w, words, &index))
    network_deliver(w, index);
  brokers_settle(w);
}
static void do_drop(struct world *w, const struct words *words) {
  size_t index = 0;
  if (is(word(words, 1), "all"))
    w->queued = 0;
  else if (queued(w, words, &index))
    network_take(w, index);
}
static void do_copy(struct world *w, const struct words *words) {
  size_t index;
  if (queued(w, words, &index) && w->queued < QUEUE_MAX)
    w->queue[w->queued++] = w->queue[index];
}
static void do_late(struct world *w, const struct words *words) {
  size_t index;
  if (is(word(words, 1), "done"))
    w->machine[node_of(w, word(words, 2))].broker.late = true;
  else if (queued(w, words, &index))
    w->queue[index].late = true;
}
static void do_replay(struct world *w, const struct words *words) {
  const char *route = word(words, 1);
  if (strlen(route) != 3 || route[1] != '>') {
    world_fail(w, "\"%s\" is no direction: a>b", route);
    return;
  }
  network_replay(w, voter_of(w, (char[]){route[0], 0}), voter_of(w, route + 2));
}

static void do_err(struct world *w, const struct words *words) {
  unsigned voter = voter_of(w, word(words, 1));
  const char *field = word(words, 2);
  bool off = is(field, "off");
  w->errs[voter] = is(field, "grant")   ? ERR_GRANT
                   : is(field, "epoch") ? ERR_EPOCH
                   : is(field, "lease") ? ERR_LEASE
                   : is(field, "free")  ? ERR_FREE
                   : is(field, "pair")  ? ERR_PAIR
                                        : ERR_NONE;
  w->err_value[voter] = off || is(field, "pair") ? 0 : (uint64_t)number_of(w, word(words, 3));
  if (w->errs[voter] == ERR_NONE && !off)
    world_fail(w, "a voter errs in grant, epoch, lease, free or pair: err w grant 0, err w off");
}

static void do_disk(struct world *w, const struct words *words) {
  struct machine *m = &w->machine[voter_of(w, word(words, 1))];
  m->disk_fails = is(word(words, 2), "fails");
  m->disk_told = false;
}

static void do_broker(struct world *w, const struct words *words) {
  unsigned node = node_of(w, word(words, 1));
  struct broker_model *broker = &w->machine[node].broker;
  const char *what = word(words, 2);
  broker->unfit = is(what, "unfit");
  broker->stalled = is(what, "stalled");
  if (is(what, "ok") && !broker->running)
    broker->done_at = w->now; /* it is led to its duty again */
  broker->running = !is(what, "dead");
  brokers_settle(w);
}

static void do_write(struct world *w, const struct words *words) {
  brokers_write(w, (size_t)number_of(w, word(words, 1)));
}

static void do_fence(struct world *w, const struct words *words) {
  struct event event = {.type = EVENT_FENCE_LOST};
  world_event(w, node_of(w, word(words, 1)), &event);
}

/* "b": its fence device turns the other node off, and says so. */
static void do_device(struct world *w, const struct words *words) {
  world_device(w, node_of(w, word(words, 1)));
}

/* "b 3": an answer for the reign in epoch 3, of a device that was asked long ago; nothing is turned off now. */
static void do_answer(struct world *w, const struct words *words) {
  struct event event = {.type = EVENT_FENCED, .fenced = (uint64_t)number_of(w, word(words, 2))};
  world_event(w, node_of(w, word(words, 1)), &event);
  brokers_settle(w);
}

static void order_options(struct world *w, const struct words *words, struct order *order) {
  for (size_t i = 3; i < words->count; i += 2) {
    const char *key = word(words, i), *value = word(words, i + 1);
    if (is(key, "timeout"))
      order->timeout_ms = (uint32_t)(time_of(w, value) / 1000);
    else if (is(key, "node"))
      order->node = (uint8_t)node_of(w, value);
    else if (is(key, "above"))
      order->above = (uint64_t)number_of(w, value);
    else
      world_fail(w, "\"%s\" is no part of an order", key);
  }
}

static void do_order(struct world *w, const struct words *words) {
  struct event event = {.type = EVENT_ORDER};
  unsigned type = 0;
  while (type < ORDER_COUNT && !is(word(words, 2), order_name(type)))
    type++;
  if (type == ORDER_COUNT) {
    world_fail(w, "\"%s\" is no order", word(words, 2));
    return;
  }
  event.order.type = (uint8_t)type;
  order_options(w, words, &event.order);
  w->forced |= type == ORDER_FORCE;
  world_event(w, voter_of(w, word(words, 1)), &event);
  brokers_settle(w);
}

static void do_state(struct world *w, const struct words *words) {
  (void)words;
  show_state(w);
}
static void do_explain(struct world *w, const struct words *words) {
  for (unsigned v = 0; v < VOTERS; v++)
    if (words->count == 1 || voter_of(w, word(words, 1)) == v)
      show_explain(w, v);
}
static void do_verbose(struct world *w, const struct words *words) {
  w->verbose = switch_of(w, word(words, 1));
}

static const struct {
  const char *name;
  command *run;
} commands[] = {
    {"answer", do_answer},
    {"broker", do_broker},    {"clock", do_clock},       {"cluster", do_cluster}, {"cont", do_cont},
    {"copy", do_copy},        {"crash", do_crash},       {"cut", do_cut},         {"delay", do_delay},
    {"deliver", do_deliver},  {"device", do_device},     {"dice", do_dice},         {"disk", do_disk},       {"done", do_done},
    {"double", do_double},    {"drop", do_drop},         {"err", do_err},         {"explain", do_explain},
    {"fence-lost", do_fence}, {"forget", do_forget},     {"given", do_given},     {"heal", do_heal},
    {"hold", do_hold},        {"jumble", do_jumble},     {"kill", do_kill},       {"late", do_late},
    {"lose", do_lose},        {"order", do_order},       {"pass", do_pass},       {"queue", do_queue},
    {"reload", do_reload},    {"replay", do_replay},     {"restore", do_restore}, {"resume", do_resume},
    {"run", do_run},          {"snapshot", do_snapshot}, {"start", do_start},     {"state", do_state},
    {"steps", do_steps},      {"stop", do_stop},         {"timer", do_timer},     {"unhold", do_unhold},
    {"verbose", do_verbose},  {"wipe", do_wipe},         {"write", do_write},
};

void command_run(struct world *w, const char *line) {
  struct words words;
  split(line, &words);
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
    if (is(word(&words, 0), commands[i].name)) {
      commands[i].run(w, &words);
      return;
    }
  world_fail(w, "\"%s\" is no command", word(&words, 0));
}
