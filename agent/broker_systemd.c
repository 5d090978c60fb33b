// SPDX-License-Identifier: Apache-2.0
// The driver "systemd": a service that runs on the master alone, started and stopped by systemd.
//
// Whatever was asked for, what counts is what systemd then says of the unit. Its InvocationID is the broker's
// incarnation: a service that systemd has started again by itself has not led without interruption.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/broker_verbs.h"
#include "agent/unit_bus.h"
#include "common/base/log.h"

struct service {
  struct verbs *verbs;
  struct unit_bus *bus;
  struct loop_timer *soon; // an answer that needs no systemd
  char unit[UNIT_NAME_MAX + 1];
  bool busy;
  enum verb verb;
  char why[UNIT_TEXT_SIZE]; // of the call that the verb began
  bool lost;                // the engine was told so
  struct unit_state told;
  char warned[64]; // of which settings of the unit
};

// ---- what systemd says, as an answer ----

static bool is(const char *word, const char *other) {
  return strcmp(word, other) == 0;
}

static bool runs(const struct unit_state *s) {
  return is(s->active, "active") || is(s->active, "reloading");
}

static bool is_down(const struct unit_state *s) {
  return s->known && (is(s->active, "inactive") || is(s->active, "failed"));
}

// Why systemd could not start it at all; "" if it could.
static void unusable(const struct service *v, const struct unit_state *s, char *said, size_t size) {
  said[0] = 0;
  if (is(s->load, "masked"))
    snprintf(said, size, "%.80s is masked, so that nothing starts it: systemctl unmask it", v->unit);
  else if (is(s->load, "not-found"))
    snprintf(said, size, "there is no unit %.80s: is the broker's package installed, is broker.unit right?", v->unit);
  else if (s->load[0] != 0 && !is(s->load, "loaded"))
    snprintf(said, size, "systemd could not load %.80s (%s): see systemctl status", v->unit, s->load);
}

// What makes systemd start the broker where the agent has not: no failure, but it will be one.
static void warn(struct service *v, const struct unit_state *s, struct words *words) {
  char text[UNIT_TEXT_SIZE] = "", of[sizeof v->warned];
  bool restarts = s->restart[0] != 0 && !is(s->restart, "no"), enabled = is(s->file, "enabled");
  if (restarts)
    snprintf(text, sizeof text, "%.80s has Restart=%s: systemd starts it again behind the agent's back; set Restart=no "
             "(systemctl edit)", v->unit, s->restart);
  else if (enabled)
    snprintf(text, sizeof text, "%.80s is enabled: at boot it starts before anybody knows who leads; systemctl disable it",
             v->unit);
  snprintf(of, sizeof of, "%.24s %d", restarts ? s->restart : "", enabled);
  if (text[0] != 0 && !is(of, v->warned))
    log_warning("broker: %s", text);
  memcpy(v->warned, of, sizeof of);
  words_put(words, "note", text[0] != 0 ? text : NULL);
}

static void answer_look(struct service *v, const struct unit_state *s, struct verb_reply *reply) {
  char said[UNIT_TEXT_SIZE];
  unusable(v, s, said, sizeof said);
  if (runs(s)) {
    reply->rc = VERB_MASTER;
    words_put(&reply->words, "incarnation", s->invocation);
  } else if (said[0] != 0) {
    reply->rc = VERB_INSTALLED;
    snprintf(reply->said, sizeof reply->said, "%.190s", said);
  } else if (is_down(s)) {
    reply->rc = VERB_NOT_RUNNING;
    if (is(s->active, "failed"))
      snprintf(reply->said, sizeof reply->said, "%.80s has failed (%s)", v->unit, s->result);
  } else if (is(s->sub, "auto-restart")) { // it died, and must be stopped all the same
    reply->rc = VERB_FAILED_MASTER;
    snprintf(reply->said, sizeof reply->said, "%.80s has died, and systemd starts it again", v->unit);
  } else { // on its way up or down: it may serve, so whoever is to hold must stop it
    reply->rc = VERB_DEGRADED;
    words_put(&reply->words, "role", "master");
    snprintf(reply->said, sizeof reply->said, "%.80s is %s", v->unit, s->active);
  }
  warn(v, s, &reply->words);
}

static void answer_act(struct service *v, const struct unit_state *s, struct verb_reply *reply) {
  char said[UNIT_TEXT_SIZE];
  bool done = v->verb == VERB_PROMOTE ? runs(s) && v->why[0] == 0 : is_down(s);
  if (done && v->verb == VERB_PROMOTE)
    words_put(&reply->words, "incarnation", s->invocation);
  if (done)
    return;
  unusable(v, s, said, sizeof said);
  reply->rc = said[0] != 0 ? VERB_INSTALLED : VERB_FAILED;
  if (said[0] == 0 && v->why[0] != 0)
    snprintf(said, sizeof said, "%.120s: see systemctl status %.80s", v->why, v->unit);
  else if (said[0] == 0)
    snprintf(said, sizeof said, "%.80s is %s (%s): see its log", v->unit, s->active, s->result);
  snprintf(reply->said, sizeof reply->said, "%.190s", said);
}

static void answer(struct service *v, const char *trouble) {
  const struct unit_state *s = unit_bus_state(v->bus);
  struct verb_reply reply = {.rc = VERB_OK};
  v->busy = false;
  if (trouble[0] != 0) {
    reply.rc = VERB_FAILED;
    snprintf(reply.said, sizeof reply.said, "%.190s", trouble);
  } else if (v->verb == VERB_PROBE || v->verb == VERB_MONITOR) {
    answer_look(v, s, &reply);
  } else {
    answer_act(v, s, &reply);
  }
  v->told = *s;
  verbs_answer(v->verbs, &reply);
}

// ---- what happens ----

static void on_look(void *arg, const char *why) {
  answer(arg, why);
}

static void look(struct service *v) {
  if (unit_bus_call(v->bus, UNIT_LOOK, on_look, v) < 0)
    loop_timer_in(v->soon, 0);
}

static void on_act(void *arg, const char *why) {
  struct service *v = arg;
  snprintf(v->why, sizeof v->why, "%s", why);
  look(v);
}

static void on_soon(void *arg) {
  struct service *v = arg;
  const char *trouble = unit_bus_trouble(v->bus);
  if (v->busy)
    answer(v, trouble[0] != 0 ? trouble : "systemd cannot be asked yet");
}

static bool differs(const struct unit_state *a, const struct unit_state *b) {
  return strcmp(a->active, b->active) != 0 || strcmp(a->invocation, b->invocation) != 0 ||
         strcmp(a->load, b->load) != 0;
}

static void on_changed(void *arg) {
  struct service *v = arg;
  const struct unit_state *s = unit_bus_state(v->bus);
  const struct words nothing = {.count = 0};
  if (!s->known) {
    v->lost = true;
    verbs_lost(v->verbs, unit_bus_trouble(v->bus));
    return;
  }
  if (v->lost) {
    v->lost = false;
    verbs_lost(v->verbs, NULL);
  } else if (!v->busy && differs(s, &v->told)) {
    v->told = *s;
    verbs_event(v->verbs, "unit", &nothing);
  }
}

// ---- the transport ----

static enum unit_call call_of(enum verb verb) {
  switch (verb) {
  case VERB_PROMOTE:
    return UNIT_START;
  case VERB_DEMOTE:
    return UNIT_STOP;
  case VERB_FENCE:
  case VERB_STOP:
    return UNIT_KILL;
  case VERB_HELLO:
  case VERB_PROBE:
  case VERB_MONITOR:
  case VERB_POS:
  case VERB_START:
  case VERB_PAUSE:
  case VERB_RESUME:
  case VERB_EVICT:
  case VERB_WAITPOS:
  case VERB_REJOIN:
  case VERB_SYNC:
  case VERB_COUNT:
    break;
  }
  return UNIT_LOOK;
}

static int service_begin(void *state, enum verb verb, uint32_t deadline_ms, const struct words *words) {
  struct service *v = state;
  (void)deadline_ms, (void)words;
  enum unit_call call = call_of(verb);
  v->busy = true;
  v->verb = verb;
  v->why[0] = 0;
  if (unit_bus_call(v->bus, call, call == UNIT_LOOK ? on_look : on_act, v) < 0)
    loop_timer_in(v->soon, 0);
  return 0;
}

static void service_kill(void *state) {
  struct service *v = state;
  v->busy = false;
  unit_bus_forget(v->bus);
  loop_timer_at(v->soon, INSTANT_NEVER);
}

static void service_close(void *state) {
  struct service *v = state;
  unit_bus_close(v->bus);
  loop_timer_free(v->soon);
  free(v);
}

static int service_open(void **state, struct verbs *verbs, struct loop *loop, const struct broker_settings *settings,
                        uint32_t *supports, const char **error) {
  *error = "out of memory";
  struct service *v = calloc(1, sizeof *v);
  if (v == NULL)
    return -ENOMEM;
  const struct unit_watch watch = {v, on_changed};
  const char *unit = settings->unit != NULL ? settings->unit : "";
  snprintf(v->unit, sizeof v->unit, "%s", unit);
  v->verbs = verbs;
  v->soon = loop_timer_new(loop, on_soon, v);
  int rc = v->soon != NULL ? unit_bus_open(&v->bus, loop, unit, &watch) : -ENOMEM;
  if (rc < 0) {
    if (rc == -EINVAL)
      *error = "broker.unit: no name of a service; wanted is one of systemd's, as in \"activemq.service\"";
    service_close(v);
    return rc;
  }
  *supports = VERB_BIT(VERB_PROBE) | VERB_BIT(VERB_MONITOR) | VERB_BIT(VERB_PROMOTE) | VERB_BIT(VERB_DEMOTE) |
              VERB_BIT(VERB_FENCE) | VERB_BIT(VERB_STOP);
  *state = v;
  return 0;
}

static const struct verbs_transport transport = {
    .open = service_open, .begin = service_begin, .kill = service_kill, .close = service_close};

static int open_systemd(void **state, struct loop *loop, const struct broker_settings *settings,
                        const struct broker_watch *watch, const char **error) {
  return verbs_open(state, loop, settings, watch, &transport, error);
}

const struct broker_driver broker_systemd = VERBS_DRIVER("systemd", false, open_systemd);
