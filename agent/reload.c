// SPDX-License-Identifier: Apache-2.0
// SIGHUP: the configuration is read again and takes effect in place, whole or not at all. What is wrong, or
// needs a restart, leaves the former one in force; status says so until a good reload.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/log.h"

__attribute__((format(printf, 2, 3))) static void refuse(struct agent *a, const char *format, ...) {
  char text[sizeof a->reload_trouble - 96];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  snprintf(a->reload_trouble, sizeof a->reload_trouble,
           "the configuration was not reloaded, the former one stays in force: %s", text);
  note(a, note_new(a, "daemon", "not-reloaded"), LOG_ERROR, "%s", a->reload_trouble);
}

/* Every error goes to the log, the first one to status. */
static bool read_again(struct agent *a, struct cluster_conf *fresh) {
  struct conf_errors *errors = calloc(1, sizeof *errors);
  int rc = errors != NULL ? cluster_load(fresh, a->file, errors) : -1;
  for (size_t i = 1; rc != 0 && errors != NULL && i < errors->count; i++)
    log_error("%s", errors->at[i].text);
  if (rc != 0)
    refuse(a, "%s", errors != NULL && errors->count > 0 ? errors->at[0].text : "out of memory");
  free(errors);
  return rc == 0;
}

/* The driver was opened with the timing of its own check. */
static bool same_probe(const struct cluster_conf *one, const struct cluster_conf *other) {
  const struct cluster_check *a = cluster_broker_check(one), *b = cluster_broker_check(other);
  return (a == NULL) == (b == NULL) &&
         (a == NULL || (a->every_ms == b->every_ms && a->timeout_ms == b->timeout_ms));
}

static bool in_place(struct agent *a, const struct cluster_conf *fresh) {
  char keys[512];
  if (cluster_restart_keys(&a->conf, fresh, keys, sizeof keys) != 0) {
    refuse(a, "%s: needs a restart of the agent: %s", a->file, keys);
    return false;
  }
  if (!same_probe(&a->conf, fresh)) {
    refuse(a, "%s: needs a restart of the agent: health (every_ms and timeout_ms of the check \"broker\")",
           a->file);
    return false;
  }
  return true;
}

/* Broker, addresses and fence hold texts of the configuration that they were opened with: those stay. */
static void swap(struct agent *a, const struct cluster_conf *fresh) {
  if (a->first_texts == NULL)
    a->first_texts = a->conf.texts;
  else
    free(a->conf.texts);
  a->conf = *fresh;
}

void agent_reload(void *arg, int signo) {
  struct agent *a = arg;
  struct cluster_conf fresh;
  struct health *health = NULL;
  const char *error = NULL;
  (void)signo;
  if (a->stopping || !read_again(a, &fresh))
    return;
  if (!in_place(a, &fresh)) {
    cluster_free(&fresh);
    return;
  }
  if (agent_open_health(a, &fresh, &health, &error) != 0) {
    refuse(a, "%s: %s", a->file, error);
    cluster_free(&fresh);
    return;
  }
  health_take_over(health, a->health);
  health_close(a->health);
  a->health = health;
  swap(a, &fresh);
  broker_reload(a->broker);
  a->failback_at = INSTANT_NEVER; /* counted anew, by what is in force now */
  a->reload_trouble[0] = 0;
  note(a, note_new(a, "daemon", "reloaded"), LOG_NOTICE,
       "%s: the configuration was read again and is in force", a->file);
  agent_report(a);
  runner_reload(a->runner);
}
