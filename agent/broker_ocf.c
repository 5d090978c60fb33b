// SPDX-License-Identifier: Apache-2.0
// The driver "ocf": any OCF resource agent that needs no cluster manager's database.
//
// A promotable one runs on both nodes; any other one is a service, started on the master alone. Each verb is an action, with its `notify` before and after where the agent knows that.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/broker_verbs.h"
#include "agent/ocf_agent.h"
#include "common/base/log.h"

#define STEPS_MAX 4

struct ocf {
  struct verbs *verbs;
  struct loop *loop;
  struct ocf_agent agent;
  bool notifies;
  uint32_t every_ms;
  struct child *child; // NULL: none runs

  enum verb verb; // under way
  uint32_t deadline_ms;
  struct words words;
  size_t step, steps;
  struct ocf_call call[STEPS_MAX];
  size_t main; // which of them is the verb's action: what it says is the answer
  struct verb_reply reply;
  char master[OCF_NAME_SIZE]; // whose promotion the agent was told of last
};

static int start_step(struct ocf *o);

// ---- what a verb consists of ----

static const char *action_of(const struct ocf *o, enum verb verb) {
  switch (verb) {
  case VERB_PROBE:
  case VERB_MONITOR:
    return "monitor";
  case VERB_START:
    return "start";
  case VERB_PROMOTE:
    return o->agent.promotable ? "promote" : "start";
  case VERB_DEMOTE:
    return o->agent.promotable ? "demote" : "stop";
  case VERB_STOP:
    return "stop";
  case VERB_HELLO:
  case VERB_POS:
  case VERB_FENCE:
  case VERB_PAUSE:
  case VERB_RESUME:
  case VERB_EVICT:
  case VERB_WAITPOS:
  case VERB_REJOIN:
  case VERB_SYNC:
  case VERB_COUNT:
    break;
  }
  return NULL;
}

static struct ocf_call *add(struct ocf *o, const char *action) {
  struct ocf_call *call = &o->call[o->steps++];
  *call = (struct ocf_call){.action = action, .deadline_ms = o->deadline_ms, .words = &o->words};
  call->master = words_get(&o->words, "master");
  return call;
}

static void add_notice(struct ocf *o, const char *type, const char *operation, const char *of) {
  struct ocf_call *call = add(o, "notify");
  call->type = type;
  call->operation = operation;
  call->of = of;
}

// The engine's depths are of the protocol (1), the write path (2), a replicated write (3); OCF's levels are 0, 10, 20.
static void add_monitor(struct ocf *o) {
  uint64_t depth = 1;
  words_get_uint(&o->words, "depth", &depth);
  struct ocf_call *call = add(o, "monitor");
  call->level = ocf_metadata_level(&o->agent.about, depth < 2 ? 0 : depth == 2 ? 10 : 20);
  call->interval_ms = o->verb == VERB_PROBE ? 0 : o->every_ms;
}

// A secondary hears that the other node was promoted when the agent hears of it: cluster managers tell all of them.
static void add_news(struct ocf *o) {
  const char *master = words_get(&o->words, "master");
  if (!o->notifies || !o->agent.promotable || master == NULL || strcmp(master, o->master) == 0)
    return;
  snprintf(o->master, sizeof o->master, "%.60s", master);
  if (strcmp(master, o->agent.node) != 0)
    add_notice(o, "post", "promote", o->agent.peer);
}

static void plan(struct ocf *o) {
  const char *action = action_of(o, o->verb);
  o->step = o->steps = 0;
  if (o->verb == VERB_PROBE || o->verb == VERB_MONITOR) {
    if (o->verb == VERB_MONITOR)
      add_news(o);
    o->main = o->steps;
    add_monitor(o);
    return;
  }
  if (o->notifies)
    add_notice(o, "pre", action, o->agent.node);
  o->main = o->steps;
  add(o, action);
  if (o->notifies)
    add_notice(o, "post", action, o->agent.node);
}

// ---- what it answers ----

static bool is_look(const struct ocf *o) {
  return o->verb == VERB_PROBE || o->verb == VERB_MONITOR;
}

// Of a service, running is serving. What is degraded says itself what it is.
static int rc_of(struct ocf *o, int status) {
  if (status == OCF_DEGRADED || status == OCF_DEGRADED_MASTER) {
    bool master = status == OCF_DEGRADED_MASTER || !o->agent.promotable;
    words_put(&o->reply.words, "role", master ? "master" : "secondary");
    return VERB_DEGRADED;
  }
  if (is_look(o) && !o->agent.promotable && status == VERB_OK)
    return VERB_MASTER;
  return status >= VERB_OK && status <= VERB_FAILED_MASTER ? status : VERB_FAILED;
}

static void take_result(struct ocf *o, const struct child_result *result) {
  o->reply.rc = result->timed_out ? VERB_DEADLINE : rc_of(o, result->status);
  ocf_agent_reason(result, o->reply.said, sizeof o->reply.said);
  bool down = o->verb == VERB_DEMOTE || o->verb == VERB_STOP; // what steps down has done so, whatever it asked for
  if (!down && ocf_agent_refused(&o->agent, o->reply.said, sizeof o->reply.said))
    o->reply.rc = VERB_CONFIGURED;
  if (!result->timed_out && result->signal != 0) {
    o->reply.rc = VERB_FAILED;
    snprintf(o->reply.said, sizeof o->reply.said, "the resource agent was ended by signal %d", result->signal);
  }
}

static void answer(struct ocf *o) {
  struct verb_reply reply = o->reply;
  verbs_answer(o->verbs, &reply);
}

// A notify that fails changes nothing, as in any cluster; an action that failed has none behind it.
static void on_end(void *arg, const struct child_result *result) {
  struct ocf *o = arg;
  size_t ended = o->step++;
  o->child = NULL;
  if (ended == o->main)
    take_result(o, result);
  bool over = o->step == o->steps || (ended == o->main && o->reply.rc != VERB_OK);
  int rc = over ? 0 : start_step(o);
  if (rc < 0 && o->step <= o->main) {
    o->reply.rc = VERB_FAILED;
    snprintf(o->reply.said, sizeof o->reply.said, "%s", strerror(-rc));
  }
  if (over || rc < 0)
    answer(o);
}

static int start_step(struct ocf *o) {
  return ocf_agent_call(&o->agent, &o->child, o->loop, &o->call[o->step], on_end, o);
}

// ---- the transport ----

static int ocf_begin(void *state, enum verb verb, uint32_t deadline_ms, const struct words *words) {
  struct ocf *o = state;
  o->verb = verb;
  o->deadline_ms = deadline_ms;
  o->words = *words;
  memset(&o->reply, 0, sizeof o->reply);
  plan(o);
  return start_step(o);
}

static void ocf_kill(void *state) {
  struct ocf *o = state;
  child_cancel(o->child);
  o->child = NULL;
}

static void ocf_close(void *state) {
  ocf_kill(state);
  free(state);
}

// Agents advise how long their actions may take; less is the operator's own decision.
static void advise(const struct ocf *o, const struct broker_settings *s) {
  static const char *const actions[] = {"start", "stop", "promote", "demote"};
  uint32_t longest = 0;
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
    uint32_t wants = ocf_metadata_timeout_ms(&o->agent.about, actions[i]);
    longest = wants > longest ? wants : longest;
  }
  if (longest > s->verb_timeout_ms)
    log_notice("broker: %s advises up to %u ms for start, stop, promote and demote; broker.verb_timeout_ms ends them "
               "after %u ms",
               s->agent, longest, s->verb_timeout_ms);
}

static int ocf_open(void **state, struct verbs *verbs, struct loop *loop, const struct broker_settings *settings,
                    uint32_t *supports, const char **error) {
  static char why[OCF_WHY_SIZE];
  *error = "out of memory";
  struct ocf *o = calloc(1, sizeof *o);
  if (o == NULL)
    return -ENOMEM;
  *error = why;
  int rc = ocf_agent_open(&o->agent, settings, why, sizeof why);
  if (rc < 0) {
    free(o);
    return rc;
  }
  o->verbs = verbs;
  o->loop = loop;
  o->every_ms = settings->probe_every_ms;
  o->notifies = ocf_metadata_has(&o->agent.about, "notify");
  advise(o, settings);
  *supports = VERB_BIT(VERB_PROBE) | VERB_BIT(VERB_MONITOR) | VERB_BIT(VERB_PROMOTE) | VERB_BIT(VERB_DEMOTE) |
              VERB_BIT(VERB_STOP) | (o->agent.promotable ? VERB_BIT(VERB_START) : 0);
  *state = o;
  return 0;
}

static const struct verbs_transport transport = {
    .open = ocf_open, .begin = ocf_begin, .kill = ocf_kill, .close = ocf_close};

static int open_ocf(void **state, struct loop *loop, const struct broker_settings *settings,
                    const struct broker_watch *watch, const char **error) {
  return verbs_open(state, loop, settings, watch, &transport, error);
}

const struct broker_driver broker_ocf = VERBS_DRIVER("ocf", false, open_ocf);
