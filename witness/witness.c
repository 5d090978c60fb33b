// SPDX-License-Identifier: Apache-2.0
#include "witness/witness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

#define ERROR_SIZE 512

// ---- at work ----

static void answer(struct witnessed *one, const struct fact *fact) {
  uint64_t connection = one->waits;
  bool ends = fact->type == FACT_REFUSED || fact->type == FACT_COMPLETED;
  if (connection == 0 || !ends || fact->order != one->order)
    return;
  one->waits = 0;
  if (fact->type == FACT_REFUSED) {
    control_refuse(one->witness->control, connection, CONTROL_REFUSED, reason_text(fact->why));
    return;
  }
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put_text(reply, "text", "done");
  control_reply(one->witness->control, connection, reply);
  json_free(reply);
}

static void perform(void *arg, const struct action *action) {
  struct witnessed *one = arg;
  char text[320];
  if (action->type != ACTION_TELL)
    return; /* a witness has no address, fence or broker */
  log_notice("%s: %s", one->conf.name,
             runner_sentence(&one->conf, VOTER_W, &action->fact, text, sizeof text));
  answer(one, &action->fact);
}

static void stepped(void *arg) {
  (void)arg;
}

static struct witnessed *find(struct witness *w, const char *name) {
  for (size_t i = 0; i < w->count; i++)
    if (strcmp(w->at[i]->conf.name, name) == 0 || (name[0] == 0 && w->count == 1))
      return w->at[i];
  return NULL;
}

// The cluster that a request names; none is needed where there is one alone. NULL: refused, with the names.
static struct witnessed *named(struct witness *w, uint64_t connection, const struct json *request) {
  struct witnessed *one = find(w, json_get_text(request, "cluster", ""));
  char text[512] = "which cluster? Name one with -c FILE or --cluster:";
  for (size_t i = 0; one == NULL && i < w->count; i++) {
    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s %s", i == 0 ? "" : ",", w->at[i]->conf.name);
  }
  if (one == NULL)
    control_refuse(w->control, connection, CONTROL_USAGE, text);
  return one;
}

static void start_order(struct witnessed *one, uint64_t connection, struct order order) {
  struct event event = {.type = EVENT_ORDER};
  event.order = order;
  one->waits = connection;
  one->order = order.type;
  log_notice("%s: order %s by uid %u", one->conf.name, order_name(order.type),
             (unsigned)control_uid(one->witness->control, connection));
  runner_event(one->runner, event);
}

static void form(struct witness *w, uint64_t connection, const struct json *request) {
  struct witnessed *one = named(w, connection, request);
  if (one == NULL)
    return;
  int node = cluster_voter_find(&one->conf, json_get_text(request, "data", ""));
  int64_t above = json_get_int(request, "above", 0);
  if (node >= NODES || above < 0)
    control_refuse(w->control, connection, CONTROL_USAGE,
                   "form needs the name of the node whose data counts");
  else
    start_order(one, connection,
                (struct order){.type = ORDER_FORM, .node = (uint8_t)node, .above = (uint64_t)above});
}

static void status(struct witness *w, uint64_t connection, const struct json *request) {
  (void)request;
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put(reply, "status", witness_status(w));
  control_reply(w->control, connection, reply);
  json_free(reply);
}

static void explain_why(struct witness *w, uint64_t connection, const struct json *request) {
  (void)request;
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put(reply, "explain", witness_explain(w));
  control_reply(w->control, connection, reply);
  json_free(reply);
}

static const struct {
  const char *name;
  bool changes; // takes the right to change something
  void (*run)(struct witness *, uint64_t connection, const struct json *request);
} requests[] = {
    {"status", false, status},
    {"explain", false, explain_why},
    {"form", true, form},
};

static void on_request(void *arg, uint64_t connection, const struct json *request, bool may_change) {
  struct witness *w = arg;
  const char *command = json_get_text(request, "command", "");
  size_t i = 0;
  while (i < sizeof requests / sizeof requests[0] && strcmp(command, requests[i].name) != 0)
    i++;
  if (i == sizeof requests / sizeof requests[0])
    control_refuse(w->control, connection, CONTROL_REFUSED,
                   "the witness never leads: give this order to an agent");
  else if (requests[i].changes && !may_change)
    control_refuse(
        w->control, connection, CONTROL_REFUSED,
        "not allowed: this takes root, the witness' own user, or membership of the group tanist-admin");
  else
    requests[i].run(w, connection, request);
}

static void on_signal(void *arg, int signo) {
  struct witness *w = arg;
  log_notice("%s: stopping", signo == SIGTERM ? "SIGTERM" : "SIGINT");
  loop_stop(w->loop);
}

int witness_open_one(struct witnessed *one, char *error, size_t size) {
  const struct witness *w = one->witness;
  char trace[1024];
  struct runner_shared shared = {.loop = w->loop,
                                 .net = w->net,
                                 .crypto = w->crypto,
                                 .state_directory = w->options->state_directory,
                                 .trace = w->options->trace};
  if (shared.trace != NULL && w->traces) { /* a trace is one core's */
    snprintf(trace, sizeof trace, "%s.%s", shared.trace, one->conf.name);
    shared.trace = trace;
  }
  struct runner_hands hands = {.arg = one, .perform = perform, .stepped = stepped};
  return runner_open(&one->runner, &shared, &one->conf, VOTER_W, &hands, error, size);
}

static int open_clusters(struct witness *w) {
  char error[ERROR_SIZE];
  w->traces = w->count > 1;
  for (size_t i = 0; i < w->count; i++) {
    int rc = witness_open_one(w->at[i], error, sizeof error);
    if (rc != 0) {
      log_error("%s: %s", w->at[i]->conf.name, error);
      return rc;
    }
  }
  return 0;
}

static int open_control(struct witness *w, const char *directory) {
  char path[512];
  struct control_handler handler = {.arg = w, .request = on_request};
  snprintf(path, sizeof path, "%s/witness.sock", directory);
  int rc = control_listen(&w->control, w->loop, path, &handler);
  if (rc != 0)
    log_error("%s: %s", path, rc == -EADDRINUSE ? "another witness answers there" : strerror(-rc));
  return rc;
}

static int serve(struct witness *w, const struct witness_options *options) {
  w->loop = loop_new();
  w->net = w->loop != NULL ? net_new(w->loop) : NULL;
  w->crypto = crypto_new();
  if (w->net == NULL || w->crypto == NULL) {
    log_error("no memory, or OpenSSL lacks X25519, HKDF or AES-256-GCM");
    return -ENOMEM;
  }
  int rc = open_clusters(w);
  rc = rc != 0 ? rc : open_control(w, options->run_directory);
  struct loop_signal *term = loop_signal_new(w->loop, SIGTERM, on_signal, w);
  struct loop_signal *interrupt = loop_signal_new(w->loop, SIGINT, on_signal, w);
  struct loop_signal *hangup = loop_signal_new(w->loop, SIGHUP, witness_reload, w);
  if (rc != 0 || term == NULL || interrupt == NULL || hangup == NULL)
    return rc != 0 ? rc : -ENOMEM;
  for (size_t i = 0; i < w->count; i++)
    runner_start(w->at[i]->runner);
  log_notice("witness of %zu cluster%s", w->count, w->count == 1 ? "" : "s");
  return loop_run(w->loop);
}

int witness_run(const struct witness_options *options) {
  struct witness w = {.options = options};
  int rc = witness_read(&w);
  if (rc != 0) {
    witness_forget(&w);
    return 2;
  }
  rc = serve(&w, options);
  control_close(w.control);
  witness_forget(&w);
  crypto_free(w.crypto);
  net_free(w.net);
  loop_free(w.loop);
  /* a key or an address that cannot be used is a mistake of the configuration's */
  return rc == 0 ? 0 : rc == -EPERM || rc == -ENOENT || rc == -EBADMSG || rc == -EKEYREJECTED ? 2 : 1;
}
