// SPDX-License-Identifier: Apache-2.0
#include "common/base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/types.h"

enum kind { GAUGE, COUNTER };

// A value of the status: of the object itself, or of each element of a list in it, with a label from there.
static const struct metric {
  const char *name, *help;
  enum kind kind;
  const char *object; // "" the status itself
  const char *key;
  double scale; // 0: 1
} metrics[] = {
    {"tanist_epoch", "The highest epoch this voter has promised, accepted or stood for", GAUGE, "", "epoch",
     0},
    {"tanist_reign", "The epoch in which this node is master, or was last", GAUGE, "", "reign", 0},
    {"tanist_frozen", "1: no automatic failover until thawed", GAUGE, "", "frozen", 0},
    {"tanist_frozen_seconds", "How long the cluster has been frozen", GAUGE, "", "frozen_ms", 1e-3},
    {"tanist_blank", "1: this voter has no memory that counts", GAUGE, "", "blank", 0},
    {"tanist_lease_valid", "1: master with a valid lease or sole ownership", GAUGE, "lease", "valid", 0},
    {"tanist_lease_sole", "1: sole owner, which needs no lease", GAUGE, "lease", "sole", 0},
    {"tanist_lease_remaining_seconds", "What is left of the lease", GAUGE, "lease", "remaining_ms", 1e-3},
    {"tanist_record_epoch", "The epoch of the sync record", GAUGE, "record", "epoch", 0},
    {"tanist_record_version", "Its version within that epoch", GAUGE, "record", "version", 0},
    {"tanist_broker_healthy", "1: the own broker is fit to lead", GAUGE, "broker", "healthy", 0},
    {"tanist_broker_in_sync", "1: both nodes hold everything acknowledged", GAUGE, "broker", "in_sync", 0},
    {"tanist_broker_position", "How far the own broker's data reaches", GAUGE, "broker", "position", 0},
    {"tanist_broker_peer_position", "How far the other node's reaches", GAUGE, "broker", "peer_position", 0},
    {"tanist_datagrams_received", "UDP datagrams that came", COUNTER, "traffic", "datagrams_in", 0},
    {"tanist_datagrams_sent", "UDP datagrams that left", COUNTER, "traffic", "datagrams_out", 0},
    {"tanist_received_bytes", "Their payload", COUNTER, "traffic", "bytes_in", 0},
    {"tanist_sent_bytes", "Their payload", COUNTER, "traffic", "bytes_out", 0},
    {"tanist_events", "Events told by this voter, over restarts", COUNTER, "", "events", 0},
    {"tanist_reigns", "Reigns seen by this voter, over restarts", COUNTER, "", "reigns", 0},
};

static const struct metric voter_metrics[] = {
    {"tanist_voter_reachable", "1: heard both ways", GAUGE, "voters", "reachable", 0},
    {"tanist_voter_healthy", "1: fit to lead, or a witness that is heard", GAUGE, "voters", "healthy", 0},
    {"tanist_voter_blank", "1: without a memory that counts", GAUGE, "voters", "blank", 0},
    {"tanist_voter_epoch", "The epoch it shows", GAUGE, "voters", "epoch", 0},
};

static const struct metric path_metrics[] = {
    {"tanist_path_rtt_seconds", "Round trip, smoothed", GAUGE, "paths", "rtt_us", 1e-6},
    {"tanist_path_loss_ratio", "Beats lost on this path lately", GAUGE, "paths", "loss_percent", 1e-2},
};

#define COUNT(table) (sizeof table / sizeof *(table))

struct output {
  FILE *file;
  const struct json *status;
};

static void head(const struct output *o, const char *name, const char *help, enum kind kind) {
  fprintf(o->file, "# TYPE %s %s\n# HELP %s %s.\n", name, kind == COUNTER ? "counter" : "gauge", name, help);
}

/* In a label's value a backslash, a quote and a line end are written with a backslash. */
static void put_label(FILE *f, const char *name, const char *value) {
  fprintf(f, ",%s=\"", name);
  for (; *value != 0; value++)
    if (*value == '\n')
      fputs("\\n", f);
    else
      fprintf(f, "%s%c", *value == '\\' || *value == '"' ? "\\" : "", *value);
  fputc('"', f);
}

/* NAME{cluster="…",node="…", and two more where they are given */
static void start(const struct output *o, const char *name, enum kind kind, const char *label,
                  const char *value, const char *label2, const char *value2) {
  fprintf(o->file, "%s%s{cluster=\"%s\"", name, kind == COUNTER ? "_total" : "",
          json_get_text(o->status, "cluster", "")); /* of letters, digits and - alone, by the configuration */
  put_label(o->file, "node", json_get_text(o->status, "node", ""));
  if (label != NULL)
    put_label(o->file, label, value);
  if (label2 != NULL)
    put_label(o->file, label2, value2);
  fputs("} ", o->file);
}

static bool known(const struct json *value) {
  enum json_kind kind = json_kind(value);
  return kind == JSON_KIND_INT || kind == JSON_KIND_REAL || kind == JSON_KIND_BOOL;
}

static void put_value(const struct output *o, const struct json *object, const struct metric *m) {
  if (json_kind(json_get(object, m->key)) == JSON_KIND_BOOL)
    fprintf(o->file, "%d\n", json_get_bool(object, m->key, false));
  else if (m->scale == 0)
    fprintf(o->file, "%" PRId64 "\n", json_get_int(object, m->key, 0));
  else
    fprintf(o->file, "%.6g\n", json_get_real(object, m->key, 0) * m->scale);
}

static void put_simple(const struct output *o) {
  for (size_t i = 0; i < COUNT(metrics); i++) {
    const struct metric *m = &metrics[i];
    const struct json *object = m->object[0] != 0 ? json_get(o->status, m->object) : o->status;
    if (!known(json_get(object, m->key)))
      continue;
    head(o, m->name, m->help, m->kind);
    start(o, m->name, m->kind, NULL, NULL, NULL, NULL);
    put_value(o, object, m);
  }
}

/* One of several words as OpenMetrics' own convention has it: a series a word, 1 for the one that holds. */
static void put_words(const struct output *o, const char *name, const char *help, const char *label,
                      const char *const *words, size_t count, const char *now) {
  fprintf(o->file, "# TYPE %s stateset\n# HELP %s %s.\n", name, name, help);
  for (size_t i = 0; i < count; i++) {
    start(o, name, GAUGE, label, words[i], NULL, NULL);
    fprintf(o->file, "%d\n", strcmp(words[i], now) == 0);
  }
}

static void put_voters(const struct output *o) {
  const struct json *list = json_get(o->status, "voters");
  for (size_t m = 0; m < COUNT(voter_metrics); m++) {
    head(o, voter_metrics[m].name, voter_metrics[m].help, GAUGE);
    for (size_t i = 0; i < json_count(list); i++) {
      const struct json *voter = json_at(list, i);
      start(o, voter_metrics[m].name, GAUGE, "voter", json_get_text(voter, "name", ""), NULL, NULL);
      put_value(o, voter, &voter_metrics[m]);
    }
  }
}

typedef void put_path_fn(const struct output *, const struct json *voter, const struct json *path,
                         const struct metric *);

static void each_path(const struct output *o, const struct metric *m, put_path_fn *put) {
  const struct json *list = json_get(o->status, "voters");
  head(o, m->name, m->help, GAUGE);
  for (size_t i = 0; i < json_count(list); i++) {
    const struct json *paths = json_get(json_at(list, i), "paths");
    for (size_t k = 0; k < json_count(paths); k++)
      put(o, json_at(list, i), json_at(paths, k), m);
  }
}

static void start_path(const struct output *o, const struct json *voter, const struct json *path,
                       const struct metric *m) {
  start(o, m->name, GAUGE, "voter", json_get_text(voter, "name", ""), "address",
        json_get_text(path, "address", ""));
}

static void put_path(const struct output *o, const struct json *voter, const struct json *path,
                     const struct metric *m) {
  if (!known(json_get(path, m->key)))
    return;
  start_path(o, voter, path, m);
  put_value(o, path, m);
}

static void put_path_up(const struct output *o, const struct json *voter, const struct json *path,
                        const struct metric *m) {
  start_path(o, voter, path, m);
  fprintf(o->file, "%d\n", strcmp(json_get_text(path, "state", ""), "up") == 0);
}

static void put_paths(const struct output *o) {
  static const struct metric up = {"tanist_path_up", "1: it works both ways", GAUGE, "paths", "state", 0};
  each_path(o, &up, put_path_up);
  for (size_t m = 0; m < COUNT(path_metrics); m++)
    each_path(o, &path_metrics[m], put_path);
}

static void put_rejected(const struct output *o) {
  static const char *const kinds[] = {"replay", "forged", "version", "cluster", "malformed", "limited"};
  const struct json *rejected = json_get(o->status, "rejected");
  head(o, "tanist_datagrams_rejected", "Datagrams that were not what they should be, by kind", COUNTER);
  for (size_t i = 0; i < COUNT(kinds); i++) {
    start(o, "tanist_datagrams_rejected", COUNTER, "kind", kinds[i], NULL, NULL);
    fprintf(o->file, "%" PRId64 "\n", json_get_int(rejected, kinds[i], 0));
  }
}

static void put_addresses(const struct output *o) {
  const struct json *list = json_get(o->status, "virtual_ip");
  head(o, "tanist_virtual_ip_held", "1: this node has the address", GAUGE);
  for (size_t i = 0; i < json_count(list); i++) {
    const struct json *one = json_at(list, i);
    start(o, "tanist_virtual_ip_held", GAUGE, "address", json_get_text(one, "address", ""), NULL, NULL);
    fprintf(o->file, "%d\n", json_get_bool(one, "held", false));
  }
}

static void put_one(const struct output *o, const char *name, const char *help, int64_t value) {
  head(o, name, help, GAUGE);
  start(o, name, GAUGE, NULL, NULL, NULL, NULL);
  fprintf(o->file, "%" PRId64 "\n", value);
}

static void put_info(const struct output *o) {
  const struct json *fence = json_get(o->status, "fence");
  const char *mechanism = json_get_text(fence, "mechanism", NULL);
  fprintf(o->file, "# TYPE tanist_build info\n# HELP tanist_build The version that runs.\n");
  start(o, "tanist_build_info", GAUGE, "version", TANIST_VERSION, NULL, NULL);
  fputs("1\n", o->file);
  if (mechanism == NULL)
    return;
  fprintf(o->file, "# TYPE tanist_fence info\n# HELP tanist_fence What enforces the lease.\n");
  start(o, "tanist_fence_info", GAUGE, "mechanism", mechanism, "watchdog",
        json_get_text(fence, "watchdog", ""));
  fputs("1\n", o->file);
  put_one(o, "tanist_fence_armed", "1: the kernel lets the address pass, until the lease's end",
          strcmp(json_get_text(fence, "kernel", ""), "armed") == 0);
  put_one(o, "tanist_fence_device_awaited", "1: elected, and waiting for the fence device to turn the other node off",
          json_get_bool(fence, "awaited", false));
}

static void put_uncovered(const struct output *o) {
  const struct json *words = json_get(json_get(o->status, "fence"), "uncovered");
  if (json_count(words) == 0)
    return;
  head(o, "tanist_fence_uncovered", "What the kernel fence does not see to, as status explains it", GAUGE);
  for (size_t i = 0; i < json_count(words); i++) {
    start(o, "tanist_fence_uncovered", GAUGE, "what", json_as_text(json_at(words, i), ""), NULL, NULL);
    fputs("1\n", o->file);
  }
}

static void put_all(const struct output *o) {
  static const char *const roles[] = {"master", "secondary", "suspect", "candidate", "witness"};
  static const char *const modes[] = {"pair", "sole"};
  const char *role = json_get_text(o->status, "role", "");
  put_info(o);
  put_uncovered(o);
  put_words(o, "tanist_role", "What this voter is", "tanist_role", roles, COUNT(roles), role);
  put_words(o, "tanist_record_mode", "Who may be elected: both, or the owner alone", "tanist_record_mode",
            modes, COUNT(modes), json_get_text(json_get(o->status, "record"), "mode", ""));
  put_simple(o);
  put_one(o, "tanist_forced", "Forced reigns that are not over (F1)",
          (int64_t)json_count(json_get(o->status, "forced")));
  put_one(o, "tanist_warnings", "What the operator must know, as status tells it",
          (int64_t)json_count(json_get(o->status, "warnings")));
  put_addresses(o);
  put_voters(o);
  put_paths(o);
  put_rejected(o);
  fputs("# EOF\n", o->file);
}

char *metrics_text(const struct json *status, size_t *size) {
  char *text = NULL;
  struct output o = {.file = open_memstream(&text, size), .status = status};
  if (o.file == NULL)
    return NULL;
  put_all(&o);
  if (fclose(o.file) == 0)
    return text;
  free(text);
  return NULL;
}
