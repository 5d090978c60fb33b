// SPDX-License-Identifier: Apache-2.0
#include "agent/ocf_agent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/node_option.h"
#include "common/base/text.h"

#define ROOT "/usr/lib/ocf"
#define STANDINS "lib/tanist/ocf" // beside the directory of the program
#define FEATURES "3.19.0"         // Pacemaker 2.1.7's: who reads it asks for promotion scores by crm_attribute
#define REASON "ocf-exit-reason:"
#define ENTRIES_MAX 160
#define GRACE_MS 60000 // beyond the deadline that it is told, which another keeps

// ---- its environment ----

struct environment {
  size_t count, used;
  const char *at[ENTRIES_MAX + 1];
  char text[24576];
};

static void put(struct environment *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct environment *e, const char *format, ...) {
  va_list arguments;
  size_t room = sizeof e->text - e->used;
  va_start(arguments, format);
  int length = vsnprintf(e->text + e->used, room, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= room || e->count == ENTRIES_MAX)
    return;
  e->at[e->count++] = e->text + e->used;
  e->used += (size_t)length + 1;
}

static void put_agent(struct environment *e, const struct ocf_agent *a) {
  const char *path = getenv("PATH");
  put(e, "OCF_ROOT=%s", a->root);
  put(e, "OCF_RA_VERSION_MAJOR=1");
  put(e, "OCF_RA_VERSION_MINOR=1");
  put(e, "OCF_RESOURCE_INSTANCE=%s", a->instance);
  put(e, "OCF_RESOURCE_PROVIDER=%s", a->provider);
  put(e, "OCF_RESOURCE_TYPE=%s", a->type);
  put(e, "OCF_EXIT_REASON_PREFIX=" REASON);
  put(e, "HA_RSCTMP=%s", a->scratch);
  put(e, "HA_debug=0");
  if (a->standins[0] == 0)
    return;
  put(e, "HA_SBIN_DIR=%s", a->standins);
  put(e, "PATH=%s:%s", a->standins, path != NULL ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
}

static void put_options(struct environment *e, const struct ocf_agent *a) {
  for (size_t i = 0; i < a->options->count; i++) {
    size_t length;
    if (node_option_counts(a->options, i, a->node, &length))
      put(e, "OCF_RESKEY_%.*s=%s", (int)length, a->options->at[i].key, a->options->at[i].value);
  }
}

static void put_meta(struct environment *e, const struct ocf_agent *a, const struct ocf_call *call) {
  put(e, "OCF_RESKEY_crm_feature_set=%s", FEATURES);
  put(e, "OCF_RESKEY_CRM_meta_name=%s", call->action);
  put(e, "OCF_RESKEY_CRM_meta_timeout=%" PRIu32, call->deadline_ms);
  put(e, "OCF_RESKEY_CRM_meta_interval=%" PRIu32, call->interval_ms);
  put(e, "OCF_RESKEY_CRM_meta_on_node=%s", a->node);
  put(e, "OCF_RESKEY_CRM_meta_clone=0");
  put(e, "OCF_RESKEY_CRM_meta_clone_max=%d", a->promotable ? 2 : 1);
  put(e, "OCF_RESKEY_CRM_meta_clone_node_max=1");
  put(e, "OCF_RESKEY_CRM_meta_notify=%s", ocf_metadata_has(&a->about, "notify") ? "true" : "false");
  put(e, "OCF_CHECK_LEVEL=%u", call->level);
  if (!a->promotable)
    return;
  put(e, "OCF_RESKEY_CRM_meta_master_max=1");
  put(e, "OCF_RESKEY_CRM_meta_promoted_max=1");
  put(e, "OCF_RESKEY_CRM_meta_promotable=true");
}

// A list of the one instance at `node`, or of none.
static void put_list(struct environment *e, const struct ocf_agent *a, const char *list, const char *node) {
  bool there = node != NULL && node[0] != 0;
  put(e, "OCF_RESKEY_CRM_meta_notify_%s_uname=%s ", list, there ? node : "");
  put(e, "OCF_RESKEY_CRM_meta_notify_%s_resource=%s ", list, there ? a->instance : "");
}

static void put_notice(struct environment *e, const struct ocf_agent *a, const struct ocf_call *call) {
  static const char *const operations[] = {"start", "stop", "promote", "demote"};
  const char *slave = call->master == NULL                       ? NULL
                      : strcmp(call->master, a->node) == 0 ? a->peer
                                                                 : a->node;
  if (call->type == NULL)
    return;
  put(e, "OCF_RESKEY_CRM_meta_notify_type=%s", call->type);
  put(e, "OCF_RESKEY_CRM_meta_notify_operation=%s", call->operation);
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
    put_list(e, a, operations[i], strcmp(operations[i], call->operation) == 0 ? call->of : NULL);
  put_list(e, a, "master", call->master);
  put_list(e, a, "promoted", call->master);
  put_list(e, a, "slave", slave);
  put_list(e, a, "unpromoted", slave);
  put_list(e, a, "active", a->node);
  put_list(e, a, "inactive", NULL);
  put(e, "OCF_RESKEY_CRM_meta_notify_available_uname=%s %s ", a->node, a->peer);
  put(e, "OCF_RESKEY_CRM_meta_notify_all_uname=%s %s ", a->node, a->peer);
}

static void put_words(struct environment *e, const struct words *words) {
  static _Thread_local struct words_environment told; // too large for the stack, and copied at once
  if (words == NULL)
    return;
  words_environment(words, &told);
  for (size_t i = 0; told.at[i] != NULL; i++)
    put(e, "%s", told.at[i]);
}

int ocf_agent_call(const struct ocf_agent *a, struct child **child, struct loop *loop, const struct ocf_call *call,
                   child_fn *fn, void *arg) {
  const char *const argv[] = {a->path, call->action, NULL};
  struct environment e = {0};
  put_agent(&e, a);
  put_options(&e, a);
  put_meta(&e, a, call);
  put_notice(&e, a, call);
  put_words(&e, call->words);
  const struct child_settings settings = {.argv = argv,
                                          .environment = e.at,
                                          .timeout_ms = (int64_t)call->deadline_ms + GRACE_MS,
                                          .output = call->output,
                                          .output_size = call->output_size};
  return child_run(child, loop, &settings, fn, arg);
}

// ---- its words ----

void ocf_agent_reason(const struct child_result *result, char *said, size_t size) {
  char text[CHILD_OUTPUT_MAX + 1], *rest = NULL;
  bool given = false;
  memcpy(text, result->err.text, sizeof text);
  said[0] = 0;
  for (char *line = strtok_r(text, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
    bool reason = strncmp(line, REASON, strlen(REASON)) == 0;
    if (reason || !given)
      snprintf(said, size, "%s", reason ? line + strlen(REASON) : line);
    given = given || reason;
  }
  text_clean(said, strlen(said));
}

static const char *note_of(const struct ocf_agent *a, char path[OCF_PATH_SIZE]) {
  snprintf(path, OCF_PATH_SIZE, "%.500s/refused", a->scratch); // by packaging/ocf/crm_attribute
  return path;
}

bool ocf_agent_refused(const struct ocf_agent *a, char *said, size_t size) {
  char path[OCF_PATH_SIZE], line[80] = "";
  FILE *f = fopen(note_of(a, path), "r");
  if (f == NULL)
    return false;
  if (fgets(line, sizeof line, f) == NULL)
    line[0] = 0;
  fclose(f);
  line[strcspn(line, "\n")] = 0;
  text_clean(line, strlen(line));
  snprintf(said, size, "%s:%s needs a cluster manager's database, which there is none of here (it called %s)",
           a->provider, a->type, line);
  return true;
}

// ---- opening ----

struct look {
  struct loop *loop;
  struct child_result result;
};

static void on_look(void *arg, const struct child_result *result) {
  struct look *look = arg;
  look->result = *result;
  loop_stop(look->loop);
}

// Runs to its end on a loop of its own.
static int run_metadata(const struct ocf_agent *a, struct look *look, char *xml, size_t size) {
  const struct ocf_call call = {
      .action = "meta-data", .deadline_ms = OCF_LOOK_MS, .output = xml, .output_size = size};
  struct child *child = NULL;
  look->loop = loop_new();
  if (look->loop == NULL)
    return -ENOMEM;
  int rc = ocf_agent_call(a, &child, look->loop, &call, on_look, look);
  if (rc == 0)
    rc = loop_run(look->loop);
  loop_free(look->loop);
  return rc;
}

static int read_metadata(struct ocf_agent *a, char *why, size_t size) {
  static char xml[OCF_METADATA_MAX + 1];
  static struct look look; // both are large; this runs once, at start
  char what[OCF_PATH_SIZE] = "";
  int rc = run_metadata(a, &look, xml, sizeof xml);
  if (rc < 0) {
    snprintf(why, size, "%s cannot be run: %s", a->path, strerror(-rc));
    return -EINVAL;
  }
  if (look.result.timed_out)
    snprintf(what, sizeof what, "it did not end within %d s", OCF_LOOK_MS / 1000);
  else if (look.result.status != 0)
    snprintf(what, sizeof what, "it ended with %d", look.result.status);
  if (what[0] == 0 && ocf_metadata_read(&a->about, xml, look.result.out.size, what, sizeof what))
    return 0;
  snprintf(why, size, "%s meta-data does not say what the resource agent is: %s", a->path, what);
  return -EINVAL;
}

static void find_standins(struct ocf_agent *a) {
  char program[OCF_PATH_SIZE];
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  a->standins[0] = 0;
  if (getenv("HA_SBIN_DIR") != NULL || length <= 0)
    return;
  program[length] = 0;
  *strrchr(program, '/') = 0;
  snprintf(a->standins, sizeof a->standins, "%.400s/../" STANDINS, program);
  if (access(a->standins, X_OK) != 0)
    a->standins[0] = 0;
}

static bool part(const char **from, char *to, const char *end) {
  size_t length = strcspn(*from, ":");
  if (length == 0 || length >= OCF_NAME_SIZE || (*from)[length] != end[0])
    return false;
  memcpy(to, *from, length);
  to[length] = 0;
  *from += length + (end[0] != 0);
  return strchr(to, '/') == NULL && to[0] != '.';
}

static bool find(struct ocf_agent *a, const char *name) {
  const char *root = getenv("OCF_ROOT"), *rest = name;
  char standard[OCF_NAME_SIZE];
  if (!part(&rest, standard, ":") || strcmp(standard, "ocf") != 0 || !part(&rest, a->provider, ":") ||
      !part(&rest, a->type, ""))
    return false;
  snprintf(a->root, sizeof a->root, "%.300s", root != NULL && root[0] != 0 ? root : ROOT);
  snprintf(a->path, sizeof a->path, "%.300s/resource.d/%s/%s", a->root, a->provider, a->type);
  return true;
}

int ocf_agent_open(struct ocf_agent *a, const struct broker_settings *s, char *why, size_t size) {
  static const struct conf_map none;
  char note[OCF_PATH_SIZE];
  a->options = s->options != NULL ? s->options : &none;
  snprintf(a->instance, sizeof a->instance, "%.60s", s->cluster);
  snprintf(a->node, sizeof a->node, "%.60s", s->names[s->self]);
  snprintf(a->peer, sizeof a->peer, "%.60s", s->names[1 - s->self]);
  snprintf(a->scratch, sizeof a->scratch, "%.300s/%.60s.%.60s.ocf", s->run_directory, s->cluster, a->node);
  if (s->agent == NULL || !find(a, s->agent)) {
    snprintf(why, size, "broker.agent: no resource agent is given; wanted is \"ocf:PROVIDER:TYPE\", as in "
                        "\"ocf:heartbeat:pgsql\"");
    return -EINVAL;
  }
  if (access(a->path, X_OK) != 0) {
    snprintf(why, size, "broker.agent: there is no resource agent %s; is its package (resource-agents) installed?",
             a->path);
    return -EINVAL;
  }
  if (mkdir(a->scratch, 0755) != 0 && errno != EEXIST) {
    snprintf(why, size, "%s, which resource agents keep their state in, cannot be made: %s", a->scratch,
             strerror(errno));
    return -EINVAL;
  }
  unlink(note_of(a, note));
  find_standins(a);
  if (read_metadata(a, why, size) < 0)
    return -EINVAL;
  a->promotable = ocf_metadata_promotable(&a->about) && s->replication != REPLICATION_SHARED;
  return ocf_metadata_takes(&a->about, a->options, a->node, why, size) ? 0 : -EINVAL;
}
