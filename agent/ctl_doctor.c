// SPDX-License-Identifier: Apache-2.0
// doctor: is this machine as the cluster needs it? With the agent running or not.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/doctor.h"
#include "common/base/text.h"

#define TIMEOUT_MS 3000

static const struct {
  const char *name;
  doctor_fn *examine;
  bool needs_configuration, needs_self;
} examinations[] = {
    {"agent", doctor_agent, false, false},
    {"paths", doctor_paths, true, true},
    {"clocks", doctor_clocks, true, true},
    {"fence", doctor_fence, true, true},
    {"capabilities", doctor_capabilities, true, true},
    {"realtime", doctor_realtime, true, true},
    {"keys", doctor_keys, true, true},
    {"ports", doctor_ports, true, true},
    {"virtual_ip", doctor_virtual_ip, true, true},
    {"budget", doctor_budget, true, false},
};
#define EXAMINATIONS (sizeof examinations / sizeof *examinations)

// ---- lines ----

const char *doctor_level_name(enum doctor_level level) {
  static const char *const names[] = {"ok", "note", "unknown", "finding"};
  return names[level];
}

void doctor_say(struct doctor *d, enum doctor_level level, const char *format, ...) {
  va_list args;
  if (d->count == DOCTOR_LINES_MAX)
    d->count--; /* more than eight paths to two voters, sixteen addresses and so on can say: never seen */
  struct doctor_line *line = &d->line[d->count++];
  *line = (struct doctor_line){.examination = d->now, .level = level};
  va_start(args, format);
  vsnprintf(line->text, sizeof line->text, format, args);
  va_end(args);
  text_clean(line->text, strlen(line->text));
}

void doctor_mend(struct doctor *d, const char *format, ...) {
  struct doctor_line *line = &d->line[d->count - 1];
  va_list args;
  va_start(args, format);
  vsnprintf(line->mend, sizeof line->mend, format, args);
  va_end(args);
  text_clean(line->mend, strlen(line->mend));
}

const char *doctor_unit(const struct doctor *d, char *buf, size_t size) {
  if (d->self == VOTER_W)
    snprintf(buf, size, "tanist-witness");
  else
    snprintf(buf, size, "tanist-agent@%s", d->loaded ? d->conf.name : "CLUSTER");
  return buf;
}

// ---- what there is to look at ----

/* The witness has many: the one of this configuration, else the only one. */
static const struct json *own_status(const struct doctor *d, const struct json *status) {
  const struct json *clusters = json_get(status, "clusters");
  if (clusters == NULL)
    return status;
  for (size_t i = 0; i < json_count(clusters); i++) {
    const char *name = json_get_text(json_at(clusters, i), "cluster", "");
    if (d->loaded ? strcmp(name, d->conf.name) == 0 : json_count(clusters) == 1)
      return json_at(clusters, i);
  }
  return NULL;
}

/* Asks the daemon, in silence: that none answers is a line of ours, not a failure. */
static struct json *ask(struct doctor *d, const struct ctl *ctl) {
  char *said = NULL;
  size_t size;
  struct json *reply = NULL;
  struct ctl quiet = *ctl;
  quiet.json = false;
  quiet.err = open_memstream(&said, &size);
  if (quiet.err == NULL)
    return NULL;
  int code = ctl_ask(&quiet, ctl_request("status"), TIMEOUT_MS, &reply);
  fclose(quiet.err);
  if (code != CTL_DONE) {
    said[strcspn(said, "\n")] = 0;
    snprintf(d->silence, sizeof d->silence, "%s", strncmp(said, "tanist: ", 8) == 0 ? said + 8 : said);
    reply = NULL;
  }
  free(said);
  return reply;
}

/* -c, else the running daemon's, else the one in /etc/tanist. */
static void find_file(struct doctor *d, const struct ctl *ctl, const struct json *reply, char *path,
                      size_t size) {
  char error[CONF_ERROR_MAX];
  const char *theirs = json_get_text(json_get(reply, "status"), "configuration", NULL);
  if (ctl->conf_file != NULL)
    d->file = ctl->conf_file;
  else if (theirs != NULL)
    snprintf(path, size, "%s", theirs), d->file = path;
  else if (ctl_only_file(CTL_CONF_DIRECTORY, ".conf", path, size, error, sizeof error) == CTL_DONE)
    d->file = path;
  else
    doctor_say(d, DOCTOR_UNKNOWN, "no configuration: %s", error), doctor_mend(d, "tanist -c FILE doctor");
}

static void load(struct doctor *d) {
  struct conf_errors *errors = calloc(1, sizeof *errors);
  int rc = errors != NULL ? cluster_load(&d->conf, d->file, errors) : -1;
  d->loaded = rc == 0;
  if (rc == 0)
    doctor_say(d, DOCTOR_OK, "%s is good", d->file);
  for (size_t i = 0; rc != 0 && errors != NULL && i < errors->count; i++) {
    doctor_say(d, DOCTOR_FINDING, "%s", errors->at[i].text);
    doctor_mend(d, "correct it, then: tanist check %s", d->file);
  }
  free(errors);
}

static void find_self(struct doctor *d, const char *name) {
  char error[CONF_ERROR_MAX];
  int self = NOBODY;
  if (!d->loaded)
    return;
  if (d->status != NULL)
    self = cluster_voter_find(&d->conf, json_get_text(d->status, "node", ""));
  else if (name != NULL)
    self = cluster_voter_find(&d->conf, name);
  else if ((self = cluster_self(&d->conf, NULL, error, sizeof error)) < 0)
    self = NOBODY;
  d->self = (unsigned)self;
  if (self == NOBODY) {
    doctor_say(d, DOCTOR_UNKNOWN,
               "which of the three this machine is: neither a daemon, nor the host name, nor an "
               "address tells");
    doctor_mend(d, "tanist -c %s doctor --name NAME", d->file);
  }
}

// ---- what was found ----

static void print_line(FILE *f, const struct doctor_line *line) {
  fprintf(f, "%-8s %-13s %s\n", line->level == DOCTOR_FINDING ? "FINDING" : doctor_level_name(line->level),
          line->examination, line->text);
  if (line->mend[0] != 0)
    fprintf(f, "%22s -> %s\n", "", line->mend);
}

static size_t count_of(const struct doctor *d, enum doctor_level level) {
  size_t n = 0;
  for (size_t i = 0; i < d->count; i++)
    n += d->line[i].level == level;
  return n;
}

static void print_text(FILE *f, const struct doctor *d) {
  size_t findings = count_of(d, DOCTOR_FINDING), unknown = count_of(d, DOCTOR_UNKNOWN);
  for (size_t i = 0; i < d->count; i++)
    print_line(f, &d->line[i]);
  fprintf(f, "%zu finding%s, %zu could not be examined\n", findings, findings == 1 ? "" : "s", unknown);
}

static struct json *as_json(const struct doctor_line *line) {
  struct json *json = json_new_object();
  json_put_text(json, "examination", line->examination);
  json_put_text(json, "result", doctor_level_name(line->level));
  json_put_text(json, "text", line->text);
  json_put_text(json, "mend", line->mend[0] != 0 ? line->mend : NULL);
  return json;
}

static void print_json(const struct ctl *ctl, const struct doctor *d) {
  struct json *json = json_new_object(), *findings = json_new_array(), *all = json_new_array();
  const char *first = NULL;
  for (size_t i = 0; i < d->count; i++) {
    json_add(all, as_json(&d->line[i]));
    if (d->line[i].level != DOCTOR_FINDING)
      continue;
    first = first != NULL ? first : d->line[i].text;
    json_add(findings, as_json(&d->line[i]));
  }
  json_put_bool(json, "ok", first == NULL);
  if (first != NULL) {
    json_put_int(json, "code", CTL_FAILED);
    json_put_text(json, "error", first);
  }
  json_put_text(json, "cluster", d->loaded ? d->conf.name : json_get_text(d->status, "cluster", NULL));
  json_put_text(json, "node", d->loaded && d->self < VOTERS ? d->conf.voter[d->self].name : NULL);
  json_put_bool(json, "running", d->status != NULL);
  json_put(json, "findings", findings);
  json_put(json, "examinations", all);
  ctl_print_json(ctl, json);
  json_free(json);
}

// ---- the command ----

static bool is_examination(const char *name) {
  for (size_t i = 0; i < EXAMINATIONS; i++)
    if (strcmp(examinations[i].name, name) == 0)
      return true;
  return false;
}

static int unknown_examination(const struct ctl *ctl, const char *name) {
  char names[256] = "";
  for (size_t i = 0; i < EXAMINATIONS; i++) {
    size_t used = strlen(names);
    snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", examinations[i].name);
  }
  return ctl_usage(ctl, "doctor", "--only is \"%s\"; allowed: %s", name, names);
}

static void examine(struct doctor *d, const char *only) {
  for (size_t i = 0; i < EXAMINATIONS; i++) {
    d->now = examinations[i].name;
    if (only != NULL && strcmp(only, d->now) != 0)
      continue;
    if (examinations[i].needs_configuration && !d->loaded)
      doctor_say(d, DOCTOR_UNKNOWN, "takes a good configuration");
    else if (examinations[i].needs_self && d->self == NOBODY)
      doctor_say(d, DOCTOR_UNKNOWN, "takes to know which of the three this machine is");
    else
      examinations[i].examine(d);
  }
}

int ctl_doctor(struct ctl *ctl, int argc, char **argv) {
  const char *name = NULL, *only = NULL;
  char path[CTL_PATH_MAX];
  const struct ctl_option options[] = {{"--name", &name, NULL}, {"--only", &only, NULL}, {NULL, NULL, NULL}};
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code == CTL_DONE && only != NULL && !is_examination(only))
    code = unknown_examination(ctl, only);
  struct doctor *d = code == CTL_DONE ? calloc(1, sizeof *d) : NULL;
  if (d == NULL)
    return code != CTL_DONE ? code : ctl_fail(ctl, CTL_FAILED, "out of memory");
  d->self = NOBODY;
  d->now = "configuration";
  struct json *reply = ask(d, ctl);
  find_file(d, ctl, reply, path, sizeof path);
  if (d->file != NULL)
    load(d);
  d->status = own_status(d, json_get(reply, "status"));
  d->pid = (pid_t)json_get_int(d->status, "pid", 0);
  find_self(d, name);
  examine(d, only);
  if (ctl->json)
    print_json(ctl, d);
  else
    print_text(ctl->out, d);
  code = count_of(d, DOCTOR_FINDING) > 0 ? CTL_FAILED : CTL_DONE;
  json_free(reply);
  if (d->loaded)
    cluster_free(&d->conf);
  free(d);
  return code;
}
