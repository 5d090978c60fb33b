// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/search.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/transition.h"
#include "tests/explore/codec.h"
#include "tests/explore/starts.h"

#define CHAIN_MAX 20000 // plain steps without anything new: then a name is missing in codec.c

struct level {
  uint32_t *head;
  size_t count, room;
};

static struct {
  const struct limits *limits;
  struct findings *found;
  struct level *level; // heads by cost
  struct world *begin[STARTS_MAX];
  struct world now, next;
  struct violation where; // what is done now
  uint8_t code[CODE_MAX];
} s;

static sigjmp_buf aborted;

/* An assertion of the core is a finding like any other. */
static void on_abort(int number) {
  (void)number;
  siglongjmp(aborted, 1);
}

static void catch_aborts(void) {
  struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_NODEFER};
  sigaction(SIGABRT, &action, NULL);
}

void search_begin(struct world *w, unsigned start) {
  char lines[1024], *rest = NULL;
  FILE *out = w->out;
  world_init(w, out);
  w->direct = out == NULL;
  snprintf(lines, sizeof lines, "%s", starts[start].lines);
  for (char *line = strtok_r(lines, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
    command_run(w, line);
}

static void violated(const char *what) {
  s.found->broken = true;
  s.found->violation = s.where;
  snprintf(s.found->violation.what, sizeof s.found->violation.what, "%s", what);
}

/* Counts rows and looks for what is broken; false: something is. */
static bool sound(struct world *w) {
  for (uint32_t rows = w->rows; rows != 0; rows &= rows - 1)
    s.found->reached[__builtin_ctz(rows)]++;
  s.found->rows |= w->rows;
  w->rows = 0;
  s.found->steps++;
  if (w->failed)
    violated(w->failure);
  return !w->failed;
}

static bool full(void) {
  return s.found->broken || store_count() >= s.limits->states;
}

static void into_level(uint32_t number, unsigned cost) {
  struct level *level = &s.level[cost];
  if (level->count == level->room) {
    level->room = level->room == 0 ? 1024 : 2 * level->room;
    level->head = realloc(level->head, level->room * sizeof *level->head);
    if (level->head == NULL)
      exit(2);
  }
  level->head[level->count++] = number;
}

/* The states that follow plainly, up to one that is known. */
static void follow(uint32_t number, struct world *w) {
  struct head *head = store_head_at(number);
  unsigned reigns = head->reigns;
  s.where = (struct violation){.head = number};
  for (head->length = 1; !full(); head->length++) {
    uint64_t last = w->last_reign;
    steps_take(w, steps_next(w));
    s.where.steps++;
    reigns += w->last_reign != last;
    if (!sound(w) || !store_add(s.code, codec_write(w, s.code), starts[head->start].settings))
      break;
    if (head->length == CHAIN_MAX)
      violated("the plain schedule never comes round: a name grows without end");
  }
  s.found->reigns = reigns > s.found->reigns ? reigns : s.found->reigns;
}

/* A world that was just made: if it is new, it is kept with all that follows plainly. */
static void found(struct world *w, const struct head *made) {
  size_t size = codec_write(w, s.code);
  if (!store_add(s.code, size, starts[made->start].settings))
    return;
  uint32_t number = store_head(made, s.code, size);
  into_level(number, made->cost);
  follow(number, w);
}

static void take(const struct head *head, const struct choice *choice, struct head made) {
  codec_copy(&s.next, &s.now);
  s.where = (struct violation){.head = made.parent, .steps = made.steps, .chosen = true, .choice = *choice};
  s.found->tried[choice->kind]++;
  choice_take(&s.next, choice);
  if (!sound(&s.next))
    return;
  made.choice = *choice;
  made.reigns = (uint8_t)(made.reigns + (s.next.last_reign != s.now.last_reign));
  made.start = head->start;
  found(&s.next, &made);
}

/* Is what was written down what was there: the state is among those known? Else names that differ were taken
   for one or the other way round, and what follows in this head is left out, which the last lines tell. */
static bool faithful(const struct head *head) {
  s.found->compared++;
  if (store_knows(s.code, codec_write(&s.now, s.code), starts[head->start].settings))
    return true;
  s.found->unfaithful++;
  return false;
}

/* All choices of this weight, at each state of a head. */
static void depart(uint32_t number, unsigned weight) {
  const struct head *head = store_head_at(number);
  struct choice choices[CHOICES_MAX];
  unsigned reigns = head->reigns;
  codec_copy(&s.now, s.begin[head->start]);
  codec_read(&s.now, store_code(head));
  for (uint32_t i = 0; i < head->length && !full(); i++) {
    s.where = (struct violation){.head = number, .steps = i};
    if (!faithful(head))
      return;
    size_t count = choices_of(&s.now, weight, choices);
    for (size_t k = 0; k < count && !full(); k++)
      take(head, &choices[k],
           (struct head){.parent = number,
                         .steps = i,
                         .cost = (uint8_t)(head->cost + weight),
                         .reigns = (uint8_t)reigns});
    uint64_t last = s.now.last_reign;
    steps_take(&s.now, steps_next(&s.now));
    reigns += s.now.last_reign != last;
  }
}

static void begin(unsigned start) {
  s.begin[start] = calloc(1, sizeof(struct world));
  if (s.begin[start] == NULL)
    exit(2);
  s.where = (struct violation){.head = HEAD_NONE, .start = start};
  search_begin(s.begin[start], start);
  if (!sound(s.begin[start]))
    return;
  codec_copy(&s.now, s.begin[start]);
  found(&s.now, &(struct head){.parent = HEAD_NONE, .start = (uint8_t)start});
}

static void deepen(unsigned cost) {
  for (unsigned weight = 1; weight <= WEIGHT_MAX && weight <= cost; weight++) {
    const struct level *level = &s.level[cost - weight];
    for (size_t i = 0; i < level->count && !full(); i++)
      depart(level->head[i], weight);
  }
  s.found->level[cost] = store_count();
  if (!full())
    s.found->complete = cost;
}

void search(const struct limits *limits, struct findings *findings) {
  s.limits = limits;
  s.found = findings;
  store_init(limits->states + CHAIN_MAX);
  s.level = calloc(limits->depth + 1, sizeof *s.level);
  if (s.level == NULL)
    exit(2);
  catch_aborts();
  if (sigsetjmp(aborted, 0) != 0) {
    violated("an assertion of the core failed");
    return;
  }
  for (unsigned start = 0; start < start_count && !full(); start++)
    begin(start);
  for (unsigned cost = 1; cost <= limits->depth && !full(); cost++)
    deepen(cost);
}
