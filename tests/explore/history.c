// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/history.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/explore/starts.h"

#define HEADS_DEEP 256

struct telling {
  struct world *world;
  FILE *out;
};

/* A block of commands and what happens on them. */
static void block(struct telling *t, const char *commands) {
  char *copy = strdup(commands), *rest = NULL, *happened;
  size_t size;
  fprintf(t->out, "%s----\n", commands);
  fflush(t->out);
  t->world->out = open_memstream(&happened, &size);
  for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
    command_run(t->world, line);
  fclose(t->world->out);
  fprintf(t->out, "%s\n", happened);
  free(happened);
  free(copy);
}

static void plainly(struct telling *t, uint32_t steps) {
  char line[32];
  snprintf(line, sizeof line, "steps %" PRIu32 "\n", steps);
  if (steps > 0)
    block(t, line);
}

static void depart(struct telling *t, const struct choice *choice) {
  char text[CHOICE_TEXT_MAX];
  choice_text(choice, text);
  block(t, text);
}

static void heads(struct telling *t, uint32_t number) {
  uint32_t path[HEADS_DEEP];
  size_t count = 0;
  for (; number != HEAD_NONE && count < HEADS_DEEP; number = store_head_at(number)->parent)
    path[count++] = number;
  block(t, starts[store_head_at(path[count - 1])->start].lines);
  for (size_t i = count - 1; i > 0; i--) {
    const struct head *head = store_head_at(path[i - 1]);
    plainly(t, head->steps);
    depart(t, &head->choice);
  }
}

bool history_write(const struct violation *violation, FILE *out) {
  struct telling t = {calloc(1, sizeof(struct world)), out};
  if (t.world == NULL)
    return false;
  world_init(t.world, NULL);
  fprintf(out, "# Found by tests/explore: %s\n", violation->what);
  if (violation->head == HEAD_NONE)
    block(&t, starts[violation->start].lines);
  else
    heads(&t, violation->head);
  plainly(&t, violation->steps);
  if (violation->chosen)
    depart(&t, &violation->choice);
  bool failed = t.world->failed;
  if (!failed)
    fprintf(out, "# In the dialogue nothing is broken: tests/explore and tests/scenario disagree.\n");
  free(t.world);
  return failed;
}
