// SPDX-License-Identifier: Apache-2.0
#include "witness/witness.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/http.h"
#include "common/base/log.h"

#define ERROR_SIZE 512

// ---- configurations ----

static int add_file(struct witness *w, const char *path) {
  struct witnessed *one = calloc(1, sizeof *one);
  struct conf_errors *errors = calloc(1, sizeof *errors);
  struct witnessed **more = realloc(w->at, (w->count + 1) * sizeof(struct witnessed *));
  w->at = more != NULL ? more : w->at;
  int rc = one == NULL || errors == NULL || more == NULL ? -ENOMEM : cluster_load(&one->conf, path, errors);
  if (rc != 0 && errors != NULL)
    cluster_print_errors(stderr, errors);
  free(errors);
  for (size_t i = 0; rc == 0 && i < w->count; i++) {
    if (strcmp(w->at[i]->conf.name, one->conf.name) != 0)
      continue;
    fprintf(stderr, "%s:1: cluster \"%s\" has a configuration already; allowed: one file a cluster\n", path,
            one->conf.name);
    cluster_free(&one->conf);
    rc = -EINVAL;
  }
  if (rc != 0) {
    free(one);
    return rc;
  }
  one->witness = w;
  w->at[w->count++] = one;
  return 0;
}

static int is_configuration(const struct dirent *entry) {
  size_t length = strlen(entry->d_name);
  return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int add_directory(struct witness *w, const char *directory) {
  struct dirent **entries;
  char path[1024];
  int rc = 0, count = scandir(directory, &entries, is_configuration, alphasort);
  if (count < 0)
    return -errno;
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
    int one = add_file(w, path); /* all errors are told, not the first alone */
    rc = rc != 0 ? rc : one;
    free(entries[i]);
  }
  free(entries);
  return rc;
}

static int add_all(struct witness *w, const struct witness_options *options) {
  int rc = 0;
  for (size_t i = 0; i < options->file_count; i++) {
    struct stat at;
    bool directory = stat(options->file[i], &at) == 0 && S_ISDIR(at.st_mode);
    int one = directory ? add_directory(w, options->file[i]) : add_file(w, options->file[i]);
    rc = rc != 0 ? rc : one;
  }
  return rc;
}

static void forget_all(struct witness *w) {
  for (size_t i = 0; i < w->count; i++) {
    http_close(w->at[i]->http);
    runner_close(w->at[i]->runner);
    marks_close(w->at[i]->marks);
    events_close(w->at[i]->events);
    history_close(w->at[i]->history);
    cluster_free(&w->at[i]->conf);
    free(w->at[i]);
  }
  free(w->at);
}

int witness_check(const struct witness_options *options) {
  struct witness w = {0};
  int rc = add_all(&w, options);
  forget_all(&w);
  return rc == 0 ? 0 : 2;
}

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

static size_t on_note(void *arg, char *buf, size_t size) {
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

static int open_clusters(struct witness *w, const struct witness_options *options) {
  struct runner_shared shared = {.loop = w->loop,
                                 .net = w->net,
                                 .crypto = w->crypto,
                                 .state_directory = options->state_directory,
                                 .trace = options->trace};
  char error[ERROR_SIZE], trace[1024];
  for (size_t i = 0; i < w->count; i++) {
    struct witnessed *one = w->at[i];
    if (options->trace != NULL && w->count > 1) { /* a trace is one core's */
      snprintf(trace, sizeof trace, "%s.%s", options->trace, one->conf.name);
      shared.trace = trace;
    }
    struct runner_hands hands = {
        .arg = one, .perform = perform, .stepped = stepped, .note = on_note, .noted = on_noted};
    int rc = runner_open(&one->runner, &shared, &one->conf, VOTER_W, &hands, error, sizeof error);
    if (rc != 0)
      log_error("%s: %s", one->conf.name, error);
    rc = rc != 0 ? rc : open_marks(one, options->state_directory);
    rc = rc != 0 ? rc : open_events(one, options->state_directory);
    if (rc != 0)
      return rc;
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
  int rc = open_clusters(w, options);
  rc = rc != 0 ? rc : open_control(w, options->run_directory);
  struct loop_signal *term = loop_signal_new(w->loop, SIGTERM, on_signal, w);
  struct loop_signal *interrupt = loop_signal_new(w->loop, SIGINT, on_signal, w);
  if (rc != 0 || term == NULL || interrupt == NULL)
    return rc != 0 ? rc : -ENOMEM;
  witness_web_open(w);
  for (size_t i = 0; i < w->count; i++) {
    struct json *event = events_new(w->at[i]->events, "daemon", "started");
    json_put_text(event, "version", TANIST_VERSION);
    events_add(w->at[i]->events, event, LOG_NOTICE, "the witness has started");
    runner_start(w->at[i]->runner);
  }
  log_notice("witness of %zu cluster%s", w->count, w->count == 1 ? "" : "s");
  return loop_run(w->loop);
}

int witness_run(const struct witness_options *options) {
  struct witness w = {0};
  int rc = add_all(&w, options);
  if (rc != 0) {
    forget_all(&w);
    return 2;
  }
  rc = serve(&w, options);
  control_close(w.control);
  forget_all(&w);
  crypto_free(w.crypto);
  net_free(w.net);
  loop_free(w.loop);
  /* a key or an address that cannot be used is a mistake of the configuration's */
  return rc == 0 ? 0 : rc == -EPERM || rc == -ENOENT || rc == -EBADMSG || rc == -EKEYREJECTED ? 2 : 1;
}
