// SPDX-License-Identifier: Apache-2.0
// SIGHUP: all configurations are read again. One that is wrong leaves all former ones in force. Clusters that
// are new are served from now on, those that are gone no more, and one whose keys need it is opened anew, as
// a restart would: its ballot and the silence after a start (V4) cover what was promised before.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "witness/witness.h"

#define ERROR_SIZE 512

static void swap(struct witnessed **one, struct witnessed **other) {
  struct witnessed *kept = *one;
  *one = *other;
  *other = kept;
}

static struct witnessed **find(const struct witness *w, const char *name) {
  for (size_t i = 0; i < w->count; i++)
    if (strcmp(w->at[i]->conf.name, name) == 0)
      return &w->at[i];
  return NULL;
}

/* The former object goes on, with its runner, under the fresh configuration. */
static void take_over(struct witnessed **fresh, struct witnessed **former) {
  struct cluster_conf conf = (*former)->conf;
  swap(fresh, former);
  (*fresh)->conf = (*former)->conf;
  (*former)->conf = conf;
  runner_reload((*fresh)->runner);
}

static void let_go(struct witnessed *one) {
  if (one->runner == NULL)
    return;
  if (one->waits != 0)
    control_refuse(one->witness->control, one->waits, CONTROL_REFUSED,
                   "the cluster is no longer served here");
  one->waits = 0;
  runner_close(one->runner);
  one->runner = NULL;
}

/* False: it cannot be opened; `trouble` says why. */
static bool open_anew(struct witness *w, struct witnessed *one) {
  char error[ERROR_SIZE];
  if (witness_open_one(one, error, sizeof error) == 0) {
    runner_start(one->runner);
    return true;
  }
  snprintf(w->trouble, sizeof w->trouble, "cluster %s could not be reloaded: %s", one->conf.name, error);
  log_error("%s", w->trouble);
  return false;
}

/* `fresh` is to be served in place of `former`, which may be NULL; whoever is served in the end is in *fresh.
 */
static bool replace(struct witness *w, struct witnessed **fresh, struct witnessed **former) {
  char keys[ERROR_SIZE];
  const char *name = (*fresh)->conf.name;
  if (former != NULL && cluster_restart_keys(&(*fresh)->conf, &(*former)->conf, keys, sizeof keys) == 0) {
    take_over(fresh, former);
    return true;
  }
  if (former == NULL) {
    log_notice("cluster %s is served from now on", name);
    return open_anew(w, *fresh);
  }
  log_notice("cluster %s is opened anew: changed are %s", name, keys);
  let_go(*former);
  if (open_anew(w, *fresh))
    return true;
  swap(fresh, former); /* the former one was served a moment ago */
  char kept[sizeof w->trouble];
  memcpy(kept, w->trouble, sizeof kept);
  bool back = open_anew(w, *fresh);
  memcpy(w->trouble, kept, sizeof kept);
  return back;
}

static void drop(struct witness *w, size_t i) {
  let_go(w->at[i]);
  cluster_free(&w->at[i]->conf);
  free(w->at[i]);
  w->at[i] = w->at[--w->count];
}

static void exchange(struct witness *w, struct witness *next) {
  for (size_t i = next->count; i-- > 0;) {
    next->at[i]->witness = w;
    if (!replace(w, &next->at[i], find(w, next->at[i]->conf.name)))
      drop(next, i);
  }
  for (size_t i = 0; i < w->count; i++)
    if (find(next, w->at[i]->conf.name) == NULL)
      log_notice("cluster %s is no longer served", w->at[i]->conf.name);
  while (w->count > 0)
    drop(w, 0);
  free(w->at);
  w->at = next->at;
  w->count = next->count;
}

void witness_reload(void *arg, int signo) {
  struct witness *w = arg;
  struct witness next = {.options = w->options};
  (void)signo;
  if (witness_read(&next) != 0) {
    snprintf(w->trouble, sizeof w->trouble,
             "the configuration was not reloaded, the former one stays in force: %.800s", next.trouble);
    log_error("%s", w->trouble);
    witness_forget(&next);
    return;
  }
  w->trouble[0] = 0;
  w->traces |= next.count > 1;
  exchange(w, &next);
  log_notice("configuration read again: witness of %zu cluster%s", w->count, w->count == 1 ? "" : "s");
}
