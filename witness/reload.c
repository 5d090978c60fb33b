// SPDX-License-Identifier: Apache-2.0
// SIGHUP: all configurations are read again and take effect in place, all of them or none. What is wrong, or
// needs a restart, leaves all former ones in force; status says so until a good reload. Clusters whose file
// is new are served from now on, those whose file is gone no more.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "witness/witness.h"

#define ERROR_SIZE 512

__attribute__((format(printf, 2, 3))) static bool refuse(struct witness *w, const char *format, ...) {
  char text[sizeof w->trouble - 96];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  snprintf(w->trouble, sizeof w->trouble,
           "the configuration was not reloaded, the former one stays in force: %s", text);
  log_error("%s", w->trouble);
  for (size_t i = 0; i < w->count; i++)
    events_add(w->at[i]->events, events_new(w->at[i]->events, "daemon", "not-reloaded"), LOG_ERROR,
               w->trouble);
  return false;
}

static struct witnessed **find(const struct witness *w, const char *name) {
  for (size_t i = 0; i < w->count; i++)
    if (strcmp(w->at[i]->conf.name, name) == 0)
      return &w->at[i];
  return NULL;
}

static bool in_place(struct witness *w, const struct witness *next) {
  char keys[ERROR_SIZE];
  for (size_t i = 0; i < next->count; i++) {
    const struct cluster_conf *conf = &next->at[i]->conf;
    struct witnessed **former = find(w, conf->name);
    if (former != NULL && cluster_restart_keys(&(*former)->conf, conf, keys, sizeof keys) != 0)
      return refuse(w, "cluster %s: needs a restart of the witness: %s", conf->name, keys);
  }
  return true;
}

static bool open_new(struct witness *w, struct witness *next) {
  char error[ERROR_SIZE];
  for (size_t i = 0; i < next->count; i++) {
    struct witnessed *one = next->at[i];
    one->witness = w;
    if (find(w, one->conf.name) == NULL && witness_open_one(one, error, sizeof error) != 0)
      return refuse(w, "cluster %s: %s", one->conf.name, error);
  }
  return true;
}

/* The former object goes on, with all that points into it, under the fresh configuration. */
static void take_over(struct witnessed **fresh, struct witnessed **former) {
  struct witnessed *stays = *former;
  struct cluster_conf conf = stays->conf;
  stays->conf = (*fresh)->conf;
  (*fresh)->conf = conf;
  *former = *fresh;
  *fresh = stays;
  witness_tell(stays, "reloaded", LOG_NOTICE, "the configuration was read again and is in force");
  runner_reload(stays->runner);
}

/* Served no more, or the rest of one that goes on in `next`. */
static void let_go(struct witness *w, struct witnessed *one) {
  if (one->runner != NULL)
    witness_tell(one, "stopped", LOG_NOTICE, "its configuration is gone: it is served here no more");
  if (one->waits != 0)
    control_refuse(w->control, one->waits, CONTROL_REFUSED, "the cluster is no longer served here");
  witness_forget_one(one);
}

static void exchange(struct witness *w, struct witness *next) {
  for (size_t i = 0; i < next->count; i++) {
    struct witnessed **former = find(w, next->at[i]->conf.name);
    if (former != NULL)
      take_over(&next->at[i], former);
    else
      witness_start_one(next->at[i]);
  }
  for (size_t i = 0; i < w->count; i++)
    let_go(w, w->at[i]);
  free(w->at);
  w->at = next->at;
  w->count = next->count;
}

void witness_reload(void *arg, int signo) {
  struct witness *w = arg;
  struct witness next = {.options = w->options};
  (void)signo;
  if (witness_read(&next) != 0)
    refuse(w, "%s", next.trouble[0] != 0 ? next.trouble : "out of memory");
  else {
    w->traces |= next.count > 1;
    if (in_place(w, &next) && open_new(w, &next)) {
      w->trouble[0] = 0;
      exchange(w, &next);
      witness_web_open(w);
      log_notice("configuration read again: witness of %zu cluster%s", w->count, w->count == 1 ? "" : "s");
      return;
    }
  }
  witness_forget(&next);
}
