// SPDX-License-Identifier: Apache-2.0
// The driver "exec": a command of the operator's for each verb. It is told in its environment, and answers by its
// exit status and by lines key=value on standard output; the last line on standard error is for people.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/broker_verbs.h"
#include "common/base/child.h"
#include "common/base/conf.h"
#include "common/base/text.h"

#define GRACE_MS 60000 // beyond the engine's deadline, which ends it first

struct exec {
  struct verbs *verbs;
  struct loop *loop;
  const struct conf_texts *commands;
  struct child *child; // NULL: none runs
};

// A line that is no key=value is for nobody: programs talk.
static void take_line(struct words *words, char *line) {
  char *mark = strchr(line, '=');
  if (mark == NULL || !words_is_key(line, (size_t)(mark - line)))
    return;
  *mark = 0;
  words_put(words, line, mark + 1);
}

// Of more than is kept, the last line is a piece: half a position would be another one.
static void drop_piece(struct child_output *out) {
  char *end = strrchr(out->text, '\n');
  if (out->cut)
    *(end != NULL ? end : out->text) = 0;
}

static void take_lines(struct words *words, char *text) {
  char *rest = NULL;
  for (char *line = strtok_r(text, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest))
    take_line(words, line);
}

static void last_line(char *text, char *said, size_t size) {
  size_t length = strlen(text);
  while (length > 0 && strchr("\r\n \t", text[length - 1]) != NULL)
    text[--length] = 0;
  const char *line = strrchr(text, '\n');
  snprintf(said, size, "%.*s", (int)size - 1, line != NULL ? line + 1 : text);
  text_clean(said, strlen(said));
}

static void on_end(void *arg, const struct child_result *result) {
  struct exec *x = arg;
  struct verb_reply reply = {.rc = result->timed_out ? VERB_DEADLINE : result->status};
  struct child_output out = result->out, err = result->err;
  x->child = NULL;
  drop_piece(&out);
  take_lines(&reply.words, out.text);
  last_line(err.text, reply.said, sizeof reply.said);
  if (!result->timed_out && result->signal != 0) {
    reply.rc = VERB_FAILED;
    snprintf(reply.said, sizeof reply.said, "the command was ended by signal %d", result->signal);
  }
  verbs_answer(x->verbs, &reply);
}

static int exec_begin(void *state, enum verb verb, uint32_t deadline_ms, const struct words *words) {
  struct exec *x = state;
  struct words_environment environment;
  const char *argv[CONF_ITEMS_MAX + 1] = {0};
  for (size_t i = 0; i < x->commands[verb].count; i++)
    argv[i] = x->commands[verb].at[i];
  words_environment(words, &environment);
  struct child_settings settings = {
      .argv = argv, .environment = environment.at, .timeout_ms = (int64_t)deadline_ms + GRACE_MS};
  return child_run(&x->child, x->loop, &settings, on_end, x);
}

static void exec_kill(void *state) {
  struct exec *x = state;
  child_cancel(x->child);
  x->child = NULL;
}

static void exec_close(void *state) {
  exec_kill(state);
  free(state);
}

static int exec_open(void **state, struct verbs *verbs, struct loop *loop, const struct broker_settings *settings,
                     uint32_t *supports, const char **error) {
  *error = "broker.commands: driver \"exec\" needs commands";
  if (settings->commands == NULL)
    return -EINVAL;
  *error = "out of memory";
  struct exec *x = calloc(1, sizeof *x);
  if (x == NULL)
    return -ENOMEM;
  *x = (struct exec){.verbs = verbs, .loop = loop, .commands = settings->commands};
  *supports = 0;
  for (enum verb verb = 0; verb < VERB_COUNT; verb++)
    if (x->commands[verb].count > 0)
      *supports |= VERB_BIT(verb);
  *state = x;
  return 0;
}

static const struct verbs_transport transport = {
    .open = exec_open, .begin = exec_begin, .kill = exec_kill, .close = exec_close};

static int open_exec(void **state, struct loop *loop, const struct broker_settings *settings,
                     const struct broker_watch *watch, const char **error) {
  return verbs_open(state, loop, settings, watch, &transport, error);
}

const struct broker_driver broker_exec = VERBS_DRIVER("exec", true, open_exec);
