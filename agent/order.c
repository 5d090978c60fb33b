// SPDX-License-Identifier: Apache-2.0
// What an operator asks through the control socket, and the answer when the protocol has given it.
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/log.h"

static const char *other_name(const struct agent *a) {
  return a->conf.voter[1 - a->self].name;
}

void agent_answer(struct agent *a, uint64_t connection, const char *text) {
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put_text(reply, "text", text);
  control_reply(a->control, connection, reply);
  json_free(reply);
}

static void finish(struct agent *a, bool ok, enum control_code code, const char *text) {
  a->order.waits = false;
  loop_timer_at(a->order_timer, INSTANT_NEVER);
  if (ok)
    agent_answer(a, a->order.connection, text);
  else
    control_refuse(a->control, a->order.connection, code, text);
}

static void finish_switchover(struct agent *a, const struct fact *fact) {
  char text[256];
  if (fact->type == FACT_COMPLETED && fact->order == ORDER_SWITCHOVER) {
    a->order.handed = true; /* whether the other took it is told when its first beat as master comes */
    loop_timer_in(a->order_timer, 3000 * (int64_t)a->conf.lease_ms);
  } else if (fact->type == FACT_LEADER && a->order.handed) {
    snprintf(text, sizeof text, "%s is master now, in epoch %llu", a->conf.voter[fact->who].name,
             (unsigned long long)fact->epoch);
    finish(a, true, 0, text);
  } else if (fact->type == FACT_ROLE && fact->to == ROLE_MASTER && a->order.handed) {
    finish(a, false, CONTROL_FAILED, "the other node did not take over: this node is master again");
  } else if (fact->order == ORDER_SWITCHOVER &&
             (fact->type == FACT_REFUSED || fact->type == FACT_TAKEN_BACK)) {
    snprintf(text, sizeof text, "%s: %s",
             fact->type == FACT_REFUSED ? "refused" : "taken back, nothing has changed",
             reason_text(fact->why));
    finish(a, false, CONTROL_REFUSED, text);
  }
}

/* Who is told that it is done may rely on its being durable. */
static void finish_order(struct agent *a) {
  const struct core *core = runner_core(a->runner);
  char text[256] = "done";
  if (runner_disk_error(a->runner) != 0) {
    snprintf(
        text, sizeof text,
        "ordered, but the ballot cannot be written (%s): it is tried again each beat, and does not count "
        "before; mend the disk, and see `tanist status`",
        strerror(runner_disk_error(a->runner)));
    finish(a, false, CONTROL_FAILED, text);
    return;
  }
  if (a->order.type == ORDER_FREEZE || a->order.type == ORDER_THAW)
    runner_freeze_text(&a->conf, core, text, sizeof text);
  else if (a->order.type == ORDER_FORCE)
    snprintf(text, sizeof text, "%s leads in epoch %llu, without a majority, until one exists again",
             a->conf.voter[a->self].name, (unsigned long long)core->reign);
  finish(a, true, 0, text);
}

void agent_order_fact(struct agent *a, const struct fact *fact) {
  if (!a->order.waits)
    return;
  if (a->order.type == ORDER_SWITCHOVER)
    finish_switchover(a, fact);
  else if (fact->order == a->order.type && fact->type == FACT_REFUSED)
    finish(a, false, CONTROL_REFUSED, reason_text(fact->why));
  else if (fact->order == a->order.type && fact->type == FACT_COMPLETED)
    finish_order(a);
}

void agent_order_late(void *arg) {
  struct agent *a = arg;
  if (a->order.waits)
    finish(a, false, CONTROL_FAILED,
           "handed over, but no master was heard within three leases: see `tanist status`");
}

void agent_order_give(struct agent *a) {
  struct event event = {.type = EVENT_ORDER};
  event.order = a->order.given;
  if (!a->order.held)
    return;
  a->order.held = false;
  runner_event(a->runner, event);
}

void agent_order_start(struct agent *a, uint64_t connection, struct order order) {
  if (a->order.waits) {
    control_refuse(a->control, connection, CONTROL_REFUSED, "another order is under way: wait for its end");
    return;
  }
  a->order = (struct agent_order){
      .waits = true, .type = order.type, .given = order, .held = true, .connection = connection};
  control_who(a->control, connection, a->order.who);
  struct json *note_of = note_new(a, "order", "given");
  json_put_text(note_of, "order", order_name(order.type));
  json_put_text(note_of, "by", a->order.who);
  note(a, note_of, LOG_NOTICE, "order %s by %s", order_name(order.type), a->order.who);
  if (a->started)
    agent_order_give(a);
}

static void status(struct agent *a, uint64_t connection, const struct json *request) {
  (void)request;
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put(reply, "status", agent_status(a));
  control_reply(a->control, connection, reply);
  json_free(reply);
}

static void explain_why(struct agent *a, uint64_t connection, const struct json *request) {
  (void)request;
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put(reply, "explain", agent_explain(a));
  control_reply(a->control, connection, reply);
  json_free(reply);
}

static void not_master(struct agent *a, uint64_t connection) {
  const struct promise *promise = &runner_core(a->runner)->voter.promise;
  char text[256];
  if (promise->leader < NODES)
    snprintf(text, sizeof text, "this node is not master: give the order on %s, the master's node",
             a->conf.voter[promise->leader].name);
  else
    snprintf(text, sizeof text, "this node is not master, and no master is known: see `tanist status`");
  control_refuse(a->control, connection, CONTROL_REFUSED, text);
}

static void switchover(struct agent *a, uint64_t connection, const struct json *request) {
  const char *to = json_get_text(request, "to", other_name(a));
  int target = cluster_voter_find(&a->conf, to);
  const struct core *core = runner_core(a->runner);
  char text[256];
  if (target >= NODES) {
    snprintf(text, sizeof text, "\"%s\" is no node of this cluster; allowed: %s, %s", to,
             a->conf.voter[0].name, a->conf.voter[1].name);
    control_refuse(a->control, connection, CONTROL_USAGE, text);
  } else if (core->role != ROLE_MASTER) {
    not_master(a, connection);
  } else if ((unsigned)target == a->self) {
    control_refuse(a->control, connection, CONTROL_REFUSED, "this node is master already");
  } else if (json_get_bool(request, "dry_run", false)) {
    enum reason why = core_obstacle(core);
    snprintf(text, sizeof text, "%s would become master; nothing was done", to);
    if (why == REASON_NONE)
      agent_answer(a, connection, text);
    else
      control_refuse(a->control, connection, CONTROL_REFUSED, reason_text(why));
  } else {
    agent_order_start(a, connection,
                      (struct order){.type = ORDER_SWITCHOVER,
                                     .node = (uint8_t)target,
                                     .timeout_ms = (uint32_t)json_get_int(request, "timeout_ms", 0)});
  }
}

static void events(struct agent *a, uint64_t connection, const struct json *request) {
  events_request(a->events, a->control, connection, request);
}

static void history(struct agent *a, uint64_t connection, const struct json *request) {
  history_request(a->history, a->control, connection, request);
}

static void form(struct agent *a, uint64_t connection, const struct json *request) {
  int node = cluster_voter_find(&a->conf, json_get_text(request, "data", ""));
  int64_t above = json_get_int(request, "above", 0);
  if (node >= NODES || above < 0)
    control_refuse(a->control, connection, CONTROL_USAGE,
                   "form needs the name of the node whose data counts");
  else
    agent_order_start(a, connection,
                      (struct order){.type = ORDER_FORM, .node = (uint8_t)node, .above = (uint64_t)above});
}

static void freeze(struct agent *a, uint64_t connection, const struct json *request) {
  (void)request;
  agent_order_start(a, connection, (struct order){.type = ORDER_FREEZE});
}

static void thaw(struct agent *a, uint64_t connection, const struct json *request) {
  (void)request;
  agent_order_start(a, connection, (struct order){.type = ORDER_THAW});
}

// ---- which request ----

static const struct {
  const char *name;
  bool changes; // takes the right to change something
  void (*run)(struct agent *, uint64_t connection, const struct json *request);
} requests[] = {
    {"status", false, status},   {"explain", false, explain_why},     {"events", false, events},
    {"history", false, history}, {"switchover", true, switchover},    {"report", true, suspicion_report},
    {"form", true, form},        {"force-master", true, agent_force}, {"freeze", true, freeze},
    {"thaw", true, thaw},
};

static void unknown(struct agent *a, uint64_t connection) {
  char text[256] = "unknown command; allowed:";
  for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s %s", i == 0 ? "" : ",", requests[i].name);
  }
  control_refuse(a->control, connection, CONTROL_USAGE, text);
}

void agent_request(void *arg, uint64_t connection, const struct json *request, bool may_change) {
  struct agent *a = arg;
  const char *command = json_get_text(request, "command", "");
  size_t i = 0;
  while (i < sizeof requests / sizeof requests[0] && strcmp(command, requests[i].name) != 0)
    i++;
  if (i == sizeof requests / sizeof requests[0])
    unknown(a, connection);
  else if (requests[i].changes && !may_change)
    control_refuse(
        a->control, connection, CONTROL_REFUSED,
        "not allowed: this takes root, the agent's own user, or membership of the group tanist-admin");
  else
    requests[i].run(a, connection, request);
}
