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
  if (runner_disk_error(one->runner) != 0) {
    control_refuse(
        one->witness->control, connection, CONTROL_FAILED,
        "ordered, but the ballot cannot be written: it is tried again each beat, and does not count "
        "before; mend the disk");
    return;
  }
  char text[256] = "done";
  if (fact->order != ORDER_FORM)
    runner_freeze_text(&one->conf, runner_core(one->runner), text, sizeof text);
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put_text(reply, "text", text);
  control_reply(one->witness->control, connection, reply);
  json_free(reply);
}

/* Into the log and into the events, with one sentence for both. */
static void tell(void *arg, struct json *event, enum log_level level, const char *sentence) {
  struct witnessed *one = arg;
  log_line(level, "%s: %s", one->conf.name, sentence);
  events_add(one->events, event, level, sentence);
}

static void perform(void *arg, const struct action *action) {
  struct witnessed *one = arg;
  const struct fact *fact = &action->fact;
  char text[SENTENCE_MAX];
  if (action->type != ACTION_TELL)
    return; /* a witness has no address, fence or broker */
  runner_sentence(&one->conf, VOTER_W, fact, text, sizeof text);
  history_fact(one->history, fact);
  tell(one, events_of_fact(one->events, fact), events_fact_level(fact), text);
  answer(one, fact);
}

static void stepped(void *arg) {
  struct witnessed *one = arg;
  marks_look(one->marks, &runner_core(one->runner)->voter.ballot, one->who, one->conf.voter[VOTER_W].name);
  one->who[0] = 0;
  history_look(one->history, runner_core(one->runner));
  path_watch_look(&one->paths, runner_endpoint(one->runner), &one->conf, VOTER_W, one->events, tell, one);
}

static size_t on_note(void *arg, uint8_t to, char *buf, size_t size) {
  (void)to;
  const struct witnessed *one = arg;
  return marks_note(one->marks, &runner_core(one->runner)->voter.ballot, 0, buf, size);
}

static void on_noted(void *arg, const struct beat *beat, const char *note, size_t size) {
  struct witnessed *one = arg;
  marks_noted(one->marks, beat->from, beat->wall_ms, note, size);
  if (beat->from < NODES)
    history_forced(one->history, beat->from, marks_force_of(one->marks, beat->from));
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
  char text[CONTROL_WHO_SIZE + 64];
  control_who(one->witness->control, connection, one->who);
  snprintf(text, sizeof text, "order %s by %s", order_name(order.type), one->who);
  struct json *given = events_new(one->events, "order", "given");
  json_put_text(given, "order", order_name(order.type));
  json_put_text(given, "by", one->who);
  tell(one, given, LOG_NOTICE, text);
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

static void freeze(struct witness *w, uint64_t connection, const struct json *request) {
  struct witnessed *one = named(w, connection, request);
  if (one != NULL)
    start_order(one, connection, (struct order){.type = ORDER_FREEZE});
}

static void thaw(struct witness *w, uint64_t connection, const struct json *request) {
  struct witnessed *one = named(w, connection, request);
  if (one != NULL)
    start_order(one, connection, (struct order){.type = ORDER_THAW});
}

static void events(struct witness *w, uint64_t connection, const struct json *request) {
  struct witnessed *one = named(w, connection, request);
  if (one != NULL)
    events_request(one->events, w->control, connection, request);
}

static void history(struct witness *w, uint64_t connection, const struct json *request) {
  struct witnessed *one = named(w, connection, request);
  if (one != NULL)
    history_request(one->history, w->control, connection, request);
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
    {"status", false, status}, {"explain", false, explain_why},
    {"events", false, events}, {"history", false, history},
    {"form", true, form},      {"freeze", true, freeze},
    {"thaw", true, thaw},
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

static int open_marks(struct witnessed *one, const char *directory) {
  int error;
  one->marks = marks_open(directory, one->conf.name, one->conf.voter[VOTER_W].name, VOTER_W, &error);
  if (one->marks != NULL && error != 0)
    log_warning(
        "%s: the file of orders cannot be kept (%s): a restart forgets since when the cluster is frozen",
        one->conf.name, strerror(-error));
  return one->marks == NULL ? -ENOMEM : 0;
}

static int open_events(struct witnessed *one, const char *directory) {
  char trouble[ERROR_SIZE];
  one->events = events_open(directory, &one->conf, VOTER_W);
  one->history = history_open(directory, &one->conf, VOTER_W);
  if (one->events == NULL || one->history == NULL)
    return -ENOMEM;
  if (events_damaged(one->events) != 0)
    log_warning("%s: %zu lines of the events were damaged and are left out", one->conf.name,
                events_damaged(one->events));
  if (events_trouble(one->events, trouble, sizeof trouble)[0] != 0)
    log_warning("%s: %s", one->conf.name, trouble);
  return 0;
}

int witness_open_one(struct witnessed *one, char *error, size_t size) {
  const struct witness *w = one->witness;
  const char *directory = w->options->state_directory;
  char trace[1024];
  struct runner_shared shared = {.loop = w->loop,
                                 .net = w->net,
                                 .crypto = w->crypto,
                                 .state_directory = directory,
                                 .trace = w->options->trace};
  if (shared.trace != NULL && w->traces) { /* a trace is one core's */
    snprintf(trace, sizeof trace, "%s.%s", shared.trace, one->conf.name);
    shared.trace = trace;
  }
  struct runner_hands hands = {
      .arg = one, .perform = perform, .stepped = stepped, .note = on_note, .noted = on_noted};
  int rc = runner_open(&one->runner, &shared, &one->conf, VOTER_W, &hands, error, size);
  if (rc == 0 && (open_marks(one, directory) != 0 || open_events(one, directory) != 0)) {
    snprintf(error, size, "out of memory");
    rc = -ENOMEM;
  }
  return rc;
}

void witness_start_one(struct witnessed *one) {
  struct json *event = events_new(one->events, "daemon", "started");
  json_put_text(event, "version", TANIST_VERSION);
  events_add(one->events, event, LOG_NOTICE, "the witness has started");
  runner_start(one->runner);
}

void witness_tell(struct witnessed *one, const char *what, enum log_level level, const char *sentence) {
  tell(one, events_new(one->events, "daemon", what), level, sentence);
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
  witness_web_open(w);
  for (size_t i = 0; i < w->count; i++)
    witness_start_one(w->at[i]);
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
