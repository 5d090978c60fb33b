// SPDX-License-Identifier: Apache-2.0
// What happens on this node: into the log and into the events, with one sentence for both. Facts come from
// the core; the rest (lease, address, fence, broker, paths) is seen by looking at it after each step.
#include "agent/note.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/clock.h"

static void tell(void *arg, struct json *event, enum log_level level, const char *sentence) {
  const struct agent *a = arg;
  log_line(level, "%s", sentence);
  events_add(a->events, event, level, sentence);
}

struct json *note_new(struct agent *a, const char *event, const char *what) {
  return events_new(a->events, event, what);
}

void note(struct agent *a, struct json *event, enum log_level level, const char *format, ...) {
  char sentence[SENTENCE_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(sentence, sizeof sentence, format, args);
  va_end(args);
  tell(a, event, level, sentence);
}

void note_fact(struct agent *a, const struct fact *fact) {
  char sentence[SENTENCE_MAX];
  runner_sentence(&a->conf, a->self, fact, sentence, sizeof sentence);
  history_fact(a->history, fact);
  if (fact->type == FACT_ROLE)
    hooks_reason(a->hooks, sentence);
  tell(a, events_of_fact(a->events, fact), events_fact_level(fact), sentence);
}

// ---- what is seen by looking ----

static void look_at_lease(struct agent *a) {
  static const char *const what[] = {"ended", "held", "sole"};
  const struct core *core = runner_core(a->runner);
  unsigned now = !core_leads(core, clock_now()) ? 0 : core_sole(core) ? 2 : 1;
  if (now == a->noted.lease)
    return;
  a->noted.lease = now;
  struct json *event = note_new(a, "lease", what[now]);
  json_put_uint(event, "epoch", core->reign);
  json_put_int(event, "lease_ms", core->config.lease_ms);
  if (now == 0)
    note(a, event, LOG_INFO, "the lease of epoch %" PRIu64 " has ended", core->reign);
  else if (now == 1)
    note(a, event, LOG_INFO, "a lease of %u ms is held in epoch %" PRIu64, core->config.lease_ms,
         core->reign);
  else
    note(a, event, LOG_INFO, "sole owner in epoch %" PRIu64 ": no lease is needed (S5)", core->reign);
}

static void look_at_addresses(struct agent *a) {
  for (size_t i = 0; i < a->conf.vip_count; i++) {
    bool held = vip_held(a->vip, i);
    if (held == a->noted.held[i])
      continue;
    a->noted.held[i] = held;
    struct json *event = note_new(a, "address", held ? "added" : "dropped");
    json_put_text(event, "address", a->conf.vip[i].text);
    json_put_text(event, "interface", a->conf.vip[i].interface);
    note(a, event, LOG_INFO, "virtual IP %s on %s: %s", a->conf.vip[i].text, a->conf.vip[i].interface,
         held ? "held" : "dropped");
  }
}

static void look_at_fence(struct agent *a) {
  const char *state = fence_state(a->fence);
  if (strcmp(state, a->noted.fence) == 0)
    return;
  snprintf(a->noted.fence, sizeof a->noted.fence, "%s", state);
  struct json *event = note_new(a, "fence", state);
  json_put_text(event, "mechanism", fence_mechanism(a->fence));
  note(a, event, LOG_INFO, "the kernel fence (%s) is %s", fence_mechanism(a->fence), state);
}

static void look_at_broker(struct agent *a) {
  const struct broker_view *view = broker_view(a->broker);
  if (strcmp(view->state, a->noted.broker) == 0 && strcmp(view->trouble, a->noted.trouble) == 0)
    return;
  bool worse = view->trouble[0] != 0 && strcmp(view->trouble, a->noted.trouble) != 0;
  snprintf(a->noted.broker, sizeof a->noted.broker, "%s", view->state);
  snprintf(a->noted.trouble, sizeof a->noted.trouble, "%s", view->trouble);
  struct json *event = note_new(a, "broker", "state");
  json_put_text(event, "state", view->state);
  json_put_text(event, "trouble", view->trouble[0] != 0 ? view->trouble : NULL);
  json_put_uint(event, "position", view->position.offset);
  note(a, event, worse ? LOG_WARNING : LOG_INFO, "broker: %s%s%s", view->state,
       view->trouble[0] != 0 ? ": " : "", view->trouble);
}

void note_look(struct agent *a) {
  look_at_lease(a);
  look_at_addresses(a);
  look_at_fence(a);
  look_at_broker(a);
  history_look(a->history, runner_core(a->runner));
  history_forced(a->history, a->self, marks_force_of(a->marks, a->self));
}

void note_paths(struct agent *a) {
  path_watch_look(&a->noted.paths, runner_endpoint(a->runner), &a->conf, a->self, a->events, tell, a);
}

// ---- coming up, and what goes with beats ----

int note_open(struct agent *a) {
  char trouble[512];
  a->events = events_open(a->conf.state_directory, &a->conf, a->self);
  a->history = history_open(a->conf.state_directory, &a->conf, a->self);
  if (a->events == NULL || a->history == NULL)
    return -ENOMEM;
  if (events_damaged(a->events) != 0)
    log_warning("%zu lines of the events were damaged and are left out", events_damaged(a->events));
  if (events_trouble(a->events, trouble, sizeof trouble)[0] != 0)
    log_warning("%s", trouble);
  return 0;
}

size_t note_for_others(void *arg, uint8_t to, char *buf, size_t size) {
  const struct agent *a = arg;
  const struct core *core = runner_core(a->runner);
  size_t used =
      marks_note(a->marks, &core->voter.ballot, core->role == ROLE_MASTER ? core->reign : 0, buf, size);
  if (a->clients == NULL || to == VOTER_W || used + 1 >= size)
    return used;
  size_t more = clients_write(a->clients, (uint8_t *)buf + used + 1, size - used - 1);
  buf[used] = 0;
  return more == 0 ? used : used + 1 + more;
}

static size_t take_clients(struct agent *a, const char *note, size_t size) {
  const char *end = memchr(note, 0, size);
  if (end == NULL)
    return size;
  if (a->clients != NULL)
    clients_read(a->clients, (const uint8_t *)end + 1, (size_t)(note + size - end - 1));
  return (size_t)(end - note);
}

void note_of_others(void *arg, const struct beat *beat, const char *note, size_t size) {
  struct agent *a = arg;
  if (beat->from < NODES)
    size = take_clients(a, note, size);
  marks_noted(a->marks, beat->from, beat->wall_ms, note, size);
  if (beat->from < NODES)
    history_forced(a->history, beat->from, marks_force_of(a->marks, beat->from));
}
