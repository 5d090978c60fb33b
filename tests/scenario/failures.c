// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/failures.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenario/world.h"

#define SETTLE_US INT64_C(10000000) // ten leases: whatever an outcome is, it stands by then
#define SLICE_US INT64_C(50000)     // shorter than any reign

static const struct failure {
  const char *name, *happens, *mended;
  const char *both_ways; // of a link one way
  const char *within;    // it is lost already with this
} failures[] = {
    {"a", "crash a", "start a", NULL, NULL},      {"broker a", "broker a dead", "broker a ok", NULL, "a"},
    {"b", "crash b", "start b", NULL, NULL},      {"broker b", "broker b dead", "broker b ok", NULL, "b"},
    {"w", "crash w", "start w", NULL, NULL},      {"w…", "crash w\nrun 31s", "start w", NULL, NULL},
    {"a-b", "cut a-b", "heal a-b", NULL, NULL},   {"a>b", "cut a>b", "heal a>b", "a-b", "a-b"},
    {"b>a", "cut b>a", "heal b>a", "a-b", "a-b"}, {"a-w", "cut a-w", "heal a-w", NULL, NULL},
    {"a>w", "cut a>w", "heal a>w", "a-w", "a-w"}, {"w>a", "cut w>a", "heal w>a", "a-w", "a-w"},
    {"b-w", "cut b-w", "heal b-w", NULL, NULL},   {"b>w", "cut b>w", "heal b>w", "b-w", "b-w"},
    {"w>b", "cut w>b", "heal w>b", "b-w", "b-w"},
};
#define FAILURES (sizeof failures / sizeof failures[0])

static const struct failure *find(const char *name) {
  for (size_t i = 0; i < FAILURES; i++)
    if (strcmp(failures[i].name, name) == 0)
      return &failures[i];
  return NULL;
}

const char *failure_name(size_t index) {
  return index < FAILURES ? failures[index].name : NULL;
}

bool failure_one_way(const char *name) {
  const struct failure *failure = find(name);
  return failure != NULL && failure->both_ways != NULL;
}

const char *failure_both_ways(const char *name) {
  return failure_one_way(name) ? find(name)->both_ways : name;
}

bool failures_differ(const char *first, const char *then) {
  const struct failure *second = find(then);
  bool within = second->within != NULL && strcmp(second->within, first) == 0;
  return !within && strcmp(first, then) != 0 && strcmp(then, "w…") != 0 &&
         (strcmp(first, "w…") != 0 || strcmp(then, "w") != 0);
}

// ---- one play ----

static void tell(struct world *w, const char *commands) {
  char text[64], *rest = NULL;
  snprintf(text, sizeof text, "%s", commands);
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    fprintf(w->out, "%s\n", line);
    command_run(w, line);
  }
}

/* How many reigns began in that time. */
static unsigned settle(struct world *w) {
  unsigned reigns = 0;
  for (int64_t end = w->now + SETTLE_US; w->now < end;) {
    uint64_t before = w->last_reign;
    world_run(w, w->now + SLICE_US);
    reigns += w->last_reign != before;
  }
  return reigns;
}

static const char *leader(const struct world *w) {
  for (unsigned node = 0; node < NODES; node++)
    if (w->machine[node].agent && core_leads(&w->machine[node].core, world_local(w, node)))
      return voter_name(node);
  return "-";
}

static bool newer(const struct record *a, const struct record *b) {
  return a->epoch != b->epoch ? a->epoch > b->epoch : a->version > b->version;
}

static void put_record(const struct world *w, char text[OUTCOME_MAX]) {
  const struct record *newest = &w->machine[VOTER_W].disk.sync;
  for (unsigned v = 0; v < VOTERS; v++)
    if (newer(&w->machine[v].disk.sync, newest))
      newest = &w->machine[v].disk.sync;
  bool sole = newest->mode == RECORD_SOLE;
  snprintf(text, OUTCOME_MAX, "%s%s", sole ? "sole-" : "pair", sole ? voter_name(newest->owner) : "");
}

/* Who acknowledges ten messages, when they are written. */
static void put_server(struct world *w, char text[OUTCOME_MAX]) {
  char *said;
  size_t size;
  FILE *out = w->out;
  w->out = open_memstream(&said, &size);
  brokers_write(w, 10);
  fclose(w->out);
  w->out = out;
  bool served = strstr(said, "acknowledges 10") != NULL;
  snprintf(text, OUTCOME_MAX, "%.1s", served ? said : "-");
  fputs(said, w->out);
  free(said);
}

static void look(struct world *w, struct outcome *outcome) {
  snprintf(outcome->leads, OUTCOME_MAX, "%s", leader(w));
  put_record(w, outcome->record);
  put_server(w, outcome->serves);
}

static void put_short(char text[OUTCOME_MAX], const struct outcome *outcome) {
  bool whole = strcmp(outcome->leads, outcome->serves) == 0 && strcmp(outcome->record, "pair") == 0 &&
               strcmp(outcome->leads, "-") != 0;
  if (whole)
    snprintf(text, OUTCOME_MAX, "%.1s", outcome->leads);
  else
    snprintf(text, OUTCOME_MAX, "%.1s %.8s %.1s", outcome->leads, outcome->record, outcome->serves);
}

static void mend(struct world *w, const struct failure *first, const struct failure *then,
                 char text[OUTCOME_MAX]) {
  struct outcome healed;
  tell(w, first->mended);
  if (then != NULL)
    tell(w, then->mended);
  settle(w);
  look(w, &healed);
  put_short(text, &healed);
}

static void play(struct world *w, const struct failure *first, const struct failure *then, bool at_once,
                 struct outcome *outcome) {
  unsigned reigns = 0;
  tell(w, "cluster witness_grace 30s"); /* longer than a play of two failures, else as usual */
  tell(w, "given pair");
  tell(w, "write 10");
  tell(w, first->happens);
  if (!at_once) {
    reigns += settle(w);
    tell(w, "write 10");
  }
  if (then != NULL)
    tell(w, then->happens);
  reigns += settle(w);
  look(w, outcome);
  snprintf(outcome->reigns, OUTCOME_MAX, "%u", reigns);
  mend(w, first, then, outcome->healed);
}

/* In a world of its own. False: a promise was broken. */
static bool play_in_world(const struct failure *first, const struct failure *then, bool at_once,
                          struct outcome *outcome) {
  struct world *w = calloc(1, sizeof *w);
  char *told = NULL;
  size_t size;
  if (w == NULL)
    abort();
  world_init(w, open_memstream(&told, &size));
  w->direct = true;
  play(w, first, then, at_once, outcome);
  bool kept = !w->failed;
  fclose(w->out);
  if (!kept)
    printf("%s, then %s%s:\n%s", first->name, then == NULL ? "nothing" : then->name,
           at_once ? " in the same instant" : "", told);
  free(told);
  free(w);
  return kept;
}

bool failures_play(const char *first_name, const char *then_name, struct outcome *outcome) {
  const struct failure *first = find(first_name), *then = find(then_name);
  bool single = strcmp(then_name, "-") == 0;
  if (first == NULL || (then == NULL && !single)) {
    printf("\"%s\" is nothing that can fail\n", first == NULL ? first_name : then_name);
    return false;
  }
  bool kept = play_in_world(first, then, false, outcome);
  snprintf(outcome->at_once, OUTCOME_MAX, "=");
  if (single || strcmp(first_name, "w…") == 0)
    return kept;
  struct outcome both;
  kept &= play_in_world(first, then, true, &both);
  bool same = strcmp(both.leads, outcome->leads) == 0 && strcmp(both.record, outcome->record) == 0 &&
              strcmp(both.serves, outcome->serves) == 0;
  if (!same)
    snprintf(outcome->at_once, OUTCOME_MAX, "%.1s %.8s %.1s", both.leads, both.record, both.serves);
  return kept;
}
