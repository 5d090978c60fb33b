// SPDX-License-Identifier: Apache-2.0
// What the witness says over HTTP, at each address that a configuration's http.listen names: for all its
// clusters at once, or for the one that ?cluster=NAME names.
#include <string.h>

#include "common/base/http.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "witness/witness.h"

/* The cluster that a request is about; there is no question where there is one alone. */
static const struct witnessed *asked(const struct witness *w, const char *query) {
  const char *name = strncmp(query, "cluster=", 8) == 0 ? query + 8 : "";
  for (size_t i = 0; i < w->count; i++)
    if (strcmp(w->at[i]->conf.name, name) == 0 || (name[0] == 0 && w->count == 1))
      return w->at[i];
  return NULL;
}

static void put_metrics(const struct witnessed *one, struct http_answer *out) {
  struct json *status = witness_cluster_status(one);
  out->body = metrics_text(status, &out->size);
  out->type = METRICS_TYPE;
  json_free(status);
}

static void put_status(const struct witness *w, struct http_answer *out) {
  struct json *status = witness_status(w);
  out->body = json_text(status);
  out->size = out->body != NULL ? strlen(out->body) : 0;
  out->type = "application/json";
  json_free(status);
}

static void get(void *arg, const char *path, const char *query, struct http_answer *out) {
  const struct witness *w = arg;
  const struct witnessed *one = asked(w, query);
  out->code = 200;
  if (strcmp(path, "/status") == 0) {
    put_status(w, out);
  } else if (strcmp(path, "/metrics") == 0 && one != NULL) {
    put_metrics(one, out);
  } else if (strcmp(path, "/events") == 0 && one != NULL) {
    out->body = events_text(one->events, 0, &out->size);
    out->type = "application/x-ndjson";
  } else if (strcmp(path, "/master") == 0 || strcmp(path, "/secondary") == 0) {
    out->code = 503; /* it never leads, and follows nobody */
  } else if (strcmp(path, "/health") != 0) {
    out->code = 404;
  }
}

void witness_web_open(struct witness *w) {
  struct http_handler handler = {.arg = w, .get = get};
  for (size_t i = 0; i < w->count; i++) {
    const char *address = w->at[i]->conf.http_listen;
    bool had = address[0] == 0;
    for (size_t k = 0; k < w->count; k++)
      had |= (k < i || w->at[k]->http != NULL) && strcmp(w->at[k]->conf.http_listen, address) == 0;
    int rc = had ? 0 : http_listen(&w->at[i]->http, w->loop, address, &handler);
    if (rc != 0)
      log_warning("%s: nothing is told over HTTP: cannot listen on %s (http.listen): %s; all else goes on",
                  w->at[i]->conf.name, address, strerror(-rc));
  }
}
