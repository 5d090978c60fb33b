// SPDX-License-Identifier: Apache-2.0
// What the agent says over HTTP (http.listen): to load balancers, metrics collectors and people.
#include "agent/web.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/base/http.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

#define JSON_TYPE "application/json"
#define LINES_TYPE "application/x-ndjson"

static void put_json(struct http_answer *out, struct json *json) { // takes it over
  out->body = json_text(json);
  out->size = out->body != NULL ? strlen(out->body) : 0;
  out->type = JSON_TYPE;
  json_free(json);
}

static uint64_t number_of(const char *query, const char *key, uint64_t otherwise) {
  size_t length = strlen(key);
  if (strncmp(query, key, length) != 0 || query[length] != '=')
    return otherwise;
  char *end;
  uint64_t value = strtoull(query + length + 1, &end, 10);
  return end != query + length + 1 && *end == 0 ? value : otherwise;
}

static void put_word(const struct agent *a, struct http_answer *out, bool yes) {
  const struct core *core = runner_core(a->runner);
  struct json *json = json_new_object();
  json_put_bool(json, "ok", yes);
  json_put_text(json, "role", role_name(core->role));
  json_put_uint(json, "epoch", core->role == ROLE_MASTER ? core->reign : core->voter.ballot.epoch);
  put_json(out, json);
  out->code = yes ? 200 : 503;
}

static void master(const struct agent *a, const char *query, struct http_answer *out) {
  (void)query;
  const struct core *core = runner_core(a->runner);
  put_word(a, out, core_leads(core, clock_now()) && !core_waits(core));
}

/* Follows a master that it hears, its broker is attached to that one's, and it lacks no more than `lag`. */
static void secondary(const struct agent *a, const char *query, struct http_answer *out) {
  const struct core *core = runner_core(a->runner);
  const struct broker_view *view = broker_view(a->broker);
  const struct position *theirs = &core->peer[1 - a->self].beat.position, *mine = &core->broker.position;
  uint64_t lag =
      mine->epoch == theirs->epoch && theirs->offset > mine->offset ? theirs->offset - mine->offset : 0;
  bool attached = view->link || a->conf.broker.driver == DRIVER_NONE;
  bool follows = core->role == ROLE_SECONDARY && core_hears(core, 1 - a->self, clock_now()) && attached &&
                 !core->voter.ballot.blank && health_result(a->health)->healthy;
  put_word(a, out, follows && lag <= number_of(query, "lag", UINT64_MAX));
}

static void health(const struct agent *a, const char *query, struct http_answer *out) {
  (void)query;
  put_word(a, out, health_result(a->health)->healthy);
}

static void status(const struct agent *a, const char *query, struct http_answer *out) {
  (void)query;
  put_json(out, agent_status(a));
}

static void metrics(const struct agent *a, const char *query, struct http_answer *out) {
  (void)query;
  struct json *json = agent_status(a);
  out->body = metrics_text(json, &out->size);
  out->type = METRICS_TYPE;
  json_free(json);
}

static void events(const struct agent *a, const char *query, struct http_answer *out) {
  out->body = events_text(a->events, number_of(query, "after", 0), &out->size);
  out->type = LINES_TYPE;
}

static void page(const struct agent *a, const char *query, struct http_answer *out) {
  (void)a, (void)query;
  out->body = strdup(web_page);
  out->size = out->body != NULL ? strlen(out->body) : 0;
  out->type = "text/html; charset=utf-8";
}

static const struct {
  const char *path;
  void (*get)(const struct agent *, const char *query, struct http_answer *);
} routes[] = {
    {"/master", master},   {"/secondary", secondary}, {"/health", health}, {"/status", status},
    {"/metrics", metrics}, {"/events", events},       {"/", page},
};

static void get(void *arg, const char *path, const char *query, struct http_answer *out) {
  for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
    if (strcmp(routes[i].path, path) == 0) {
      out->code = 200;
      routes[i].get(arg, query, out);
      return;
    }
}

int web_open(struct agent *a) {
  struct http_handler handler = {.arg = a, .get = get};
  if (a->conf.http_listen[0] == 0)
    return 0;
  int rc = http_listen(&a->http, a->loop, a->conf.http_listen, &handler);
  if (rc == -ENOMEM)
    return rc;
  if (rc == 0)
    return 0;
  snprintf(a->http_trouble, sizeof a->http_trouble,
           "nothing is told over HTTP: cannot listen on %s (http.listen): %s; all else goes on",
           a->conf.http_listen, strerror(-rc));
  log_warning("%s", a->http_trouble); /* no failover depends on who looks on */
  return 0;
}
