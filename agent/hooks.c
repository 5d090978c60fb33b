// SPDX-License-Identifier: Apache-2.0
#include "agent/hooks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/child.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/core/lease.h"

#define VARIABLES_MAX 12
#define VARIABLE_SIZE (SENTENCE_MAX + 32)
#define INPUT_MAX 4096

struct environment {
  char text[VARIABLES_MAX][VARIABLE_SIZE];
  const char *at[VARIABLES_MAX + 1];
  size_t count;
};

struct told { // an event that waits for its programs
  struct environment environment;
  char input[INPUT_MAX];
  size_t input_size;
};

// A list of programs, one after the other.
struct run {
  struct hooks *hooks;
  const char *kind; // "event", "before_promote", "before_demote"
  const struct conf_texts *programs;
  size_t next;
  struct child *child; // NULL: none runs
  const struct environment *environment;
  const char *input;
  size_t input_size;
  int64_t each_ms;
  struct instant until; // all of it; NEVER: each has its own time
  void (*done)(struct hooks *);
};

struct hooks {
  struct agent *agent;
  char reason[SENTENCE_MAX];
  // Before a change: the duty that waits
  struct run before;
  struct environment before_environment;
  struct broker_duty duty;
  bool due;     // its programs start when the step is over, and what it was about has been told
  uint8_t mode; // enum broker_mode, as it was applied last
  // Events: a ring, allocated where programs are to be told of them
  struct run event;
  struct told *ring;
  size_t first, count;
  uint64_t lost;
  char trouble[256];
};

// ---- what they are told ----

static void put(struct environment *e, const char *name, const char *value) {
  if (value == NULL || e->count == VARIABLES_MAX)
    return;
  snprintf(e->text[e->count], VARIABLE_SIZE, "%s=%s", name, value);
  e->at[e->count] = e->text[e->count];
  e->at[++e->count] = NULL;
}

static unsigned master_of(const struct agent *a) {
  const struct core *core = runner_core(a->runner);
  return core->role == ROLE_MASTER && !core_waits(core) ? a->self : core->follow;
}

void hooks_words(const struct agent *a, uint64_t epoch, const char *reason, struct words *words) {
  char since[CLOCK_WALL_TEXT_SIZE];
  unsigned master = master_of(a);
  words_put(words, "cluster", a->conf.name);
  words_put(words, "node", a->conf.voter[a->self].name);
  words_put(words, "peer", a->conf.voter[1 - a->self].name);
  words_put_uint(words, "epoch", epoch);
  words_put(words, "role", role_name(runner_core(a->runner)->role));
  words_put(words, "reason", reason != NULL ? reason : a->hooks->reason);
  if (master >= NODES || words_get(words, "master") != NULL)
    return;
  words_put(words, "master", a->conf.voter[master].name);
  words_put(words, "master_address", a->conf.broker.peers[master]);
  words_put(words, "since", history_since(a->history, since));
}

static void fill(struct environment *e, const struct agent *a, uint64_t epoch, const char *reason) {
  struct words words = {0};
  hooks_words(a, epoch, reason, &words);
  for (e->count = 0; e->count < words.count; e->count++)
    e->at[e->count] = words_variable(&words.at[e->count], e->text[e->count], VARIABLE_SIZE);
  e->at[e->count] = NULL;
}

// ---- running them ----

static void step(struct run *run);

static void failed(const struct run *run, const char *program, const char *why) {
  struct hooks *h = run->hooks;
  char text[sizeof h->trouble];
  snprintf(text, sizeof text, "the hook %s (hooks.%s) failed: %.80s", program, run->kind, why);
  if (strcmp(text, h->trouble) != 0) /* at each event again: told once */
    log_warning("%s", text);
  memcpy(h->trouble, text, sizeof text);
}

static void on_end(void *arg, const struct child_result *result) {
  struct run *run = arg;
  const char *program = run->programs->at[run->next - 1];
  char why[128];
  run->child = NULL;
  if (result->timed_out)
    failed(run, program, "it was not done in time and was killed");
  else if (result->signal != 0 || result->status != 0) {
    snprintf(why, sizeof why, result->signal != 0 ? "ended by signal %d" : "exit %d",
             result->signal != 0 ? result->signal : result->status);
    failed(run, program, why);
  } else if (strstr(run->hooks->trouble, program) != NULL) {
    run->hooks->trouble[0] = 0; /* it works again */
  }
  step(run);
}

static int64_t time_left_ms(const struct run *run) {
  int64_t ms = instant_us_between(clock_now(), run->until) / 1000;
  return run->until.us == INSTANT_NEVER.us || ms > run->each_ms ? run->each_ms : ms;
}

static int start_one(struct run *run, const char *program) {
  const char *argv[] = {program, NULL};
  struct child_settings settings = {.argv = argv,
                                    .environment = run->environment->at,
                                    .input = run->input,
                                    .input_size = run->input_size,
                                    .timeout_ms = time_left_ms(run)};
  return child_run(&run->child, run->hooks->agent->loop, &settings, on_end, run);
}

/* The next program that can be started; after the last, done. */
static void step(struct run *run) {
  while (run->next < run->programs->count && time_left_ms(run) > 0) {
    const char *program = run->programs->at[run->next++];
    int rc = start_one(run, program);
    if (rc == 0)
      return;
    run->child = NULL;
    failed(run, program, strerror(-rc));
  }
  run->done(run->hooks);
}

// ---- before a change ----

static bool under_way(const struct run *run) {
  return run->child != NULL;
}

static void before_done(struct hooks *h) {
  h->mode = h->duty.mode;
  agent_apply(h->agent, &h->duty);
}

static const struct conf_texts *programs_before(const struct hooks *h, const struct broker_duty *duty,
                                                const char **kind) {
  bool leads = h->mode == BROKER_LEAD, shall = duty->mode == BROKER_LEAD;
  *kind = shall ? "before_promote" : "before_demote";
  if (leads == shall)
    return NULL;
  return shall ? &h->agent->conf.hooks.before_promote : &h->agent->conf.hooks.before_demote;
}

bool hooks_before(struct hooks *h, const struct broker_duty *duty) {
  const char *kind;
  const struct conf_texts *programs = programs_before(h, duty, &kind);
  bool running = h->due || under_way(&h->before);
  h->duty = *duty;
  if (running && programs == h->before.programs)
    return true; /* the same change, in another epoch */
  child_cancel(h->before.child);
  h->before.child = NULL;
  h->due = false;
  if (programs == NULL || programs->count == 0) {
    h->mode = duty->mode;
    return false;
  }
  h->before = (struct run){.hooks = h,
                           .kind = kind,
                           .programs = programs,
                           .environment = &h->before_environment,
                           .each_ms = h->agent->conf.lease_ms,
                           .until = instant_in_ms(h->agent->conf.lease_ms),
                           .done = before_done};
  h->due = true;
  return true;
}

bool hooks_busy(const struct hooks *h) {
  return h->due || under_way(&h->before);
}

void hooks_stepped(struct hooks *h) {
  if (!h->due)
    return;
  h->due = false;
  fill(&h->before_environment, h->agent, h->duty.epoch, h->reason);
  step(&h->before);
}

void hooks_reason(struct hooks *h, const char *sentence) {
  snprintf(h->reason, sizeof h->reason, "%s", sentence);
}

// ---- at events ----

/* One a turn of the loop: a list of programs none of which can be started must not hold it up. */
static void event_done(struct hooks *h) {
  h->first = (h->first + 1) % HOOKS_WAITING_MAX;
  h->count--;
  loop_timer_in(h->agent->hooks_timer, 0);
}

static void next_event(struct hooks *h) {
  const struct told *told = &h->ring[h->first];
  h->event = (struct run){.hooks = h,
                          .kind = "event",
                          .programs = &h->agent->conf.hooks.event,
                          .environment = &told->environment,
                          .input = told->input,
                          .input_size = told->input_size,
                          .each_ms = HOOKS_EVENT_MS,
                          .until = INSTANT_NEVER,
                          .done = event_done};
}

static void on_turn(void *arg) {
  struct hooks *h = arg;
  if (h->count == 0 || under_way(&h->event))
    return;
  next_event(h);
  step(&h->event);
}

static void on_event(void *arg, const struct json *event) {
  struct hooks *h = arg;
  if (h->count == HOOKS_WAITING_MAX) {
    if (h->lost++ == 0)
      log_warning("the hooks (hooks.event) do not keep up: some events are not told to them");
    return;
  }
  struct told *told = &h->ring[(h->first + h->count) % HOOKS_WAITING_MAX];
  const struct core *core = runner_core(h->agent->runner);
  uint64_t epoch = core->role == ROLE_MASTER ? core->reign : core->voter.ballot.epoch;
  fill(&told->environment, h->agent, epoch, json_get_text(event, "sentence", ""));
  put(&told->environment, "TANIST_EVENT", json_get_text(event, "event", ""));
  put(&told->environment, "TANIST_WHAT", json_get_text(event, "what", ""));
  int length = json_write(event, told->input, sizeof told->input - 1);
  told->input_size = length > 0 ? (size_t)length : 0;
  if (length > 0)
    told->input[told->input_size++] = '\n';
  h->count++;
  loop_timer_in(h->agent->hooks_timer, 0);
}

// ---- coming and going ----

int hooks_open(struct hooks **out, struct agent *a) {
  struct hooks *h = calloc(1, sizeof *h);
  *out = h;
  if (h == NULL)
    return -ENOMEM;
  h->agent = a;
  h->mode = resume_wanted(a) ? runner_core(a->runner)->released.broker.mode : BROKER_HOLD;
  if (a->conf.hooks.event.count == 0)
    return 0;
  h->ring = calloc(HOOKS_WAITING_MAX, sizeof *h->ring);
  a->hooks_timer = loop_timer_new(a->loop, on_turn, h);
  if (h->ring == NULL || a->hooks_timer == NULL)
    return -ENOMEM;
  events_sink(a->events, on_event, h);
  return 0;
}

void hooks_close(struct hooks *h) {
  if (h == NULL)
    return;
  child_cancel(h->before.child);
  child_cancel(h->event.child);
  loop_timer_free(h->agent->hooks_timer);
  events_sink(h->agent->events, NULL, NULL);
  free(h->ring);
  free(h);
}

const char *hooks_trouble(const struct hooks *h) {
  return h->trouble;
}
