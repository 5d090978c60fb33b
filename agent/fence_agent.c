// SPDX-License-Identifier: Apache-2.0
#include "agent/fence_agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/node_option.h"
#include "common/base/child.h"
#include "common/base/text.h"

#define INPUT_MAX 8192
#define STATUS_OFF 2 // the exit status of `status` in the fence agents' protocol; 0 is on

enum job { JOB_NONE, JOB_MONITOR, JOB_OFF, JOB_STATUS };

struct fence_agent {
  struct loop *loop;
  struct fence_agent_settings settings;
  struct fence_agent_watch watch;
  struct loop_timer *timer;
  struct child *child;
  enum job job;
  bool known;
  char trouble[FENCE_AGENT_TEXT_MAX];
  fence_agent_fn *fn; // NULL: nobody waits
  void *arg;
};

static const char *const job_names[] = {"", "monitor", "off", "status"};

static int64_t deadline_ms(const struct fence_agent *f, enum job job) {
  int64_t own = job == JOB_OFF ? f->settings.off_ms : f->settings.monitor_ms;
  return own != 0 ? own : job == JOB_OFF ? FENCE_AGENT_OFF_MS : FENCE_AGENT_MONITOR_MS;
}

// ---- what it is told ----

static bool given(const struct fence_agent *f, const char *name) {
  return node_option_find(f->settings.options, name, f->settings.node) != NULL;
}

static size_t put(char *input, size_t used, const char *name, int length, const char *value) {
  if (used >= INPUT_MAX)
    return used;
  return used + (size_t)snprintf(input + used, INPUT_MAX - used, "%.*s=%s\n", length, name, value);
}

static size_t tell(const struct fence_agent *f, const char *action, char *input) {
  const char *node = f->settings.node;
  size_t used = put(input, 0, "action", 6, action);
  used = put(input, used, "nodename", 8, node);
  if (!given(f, "plug") && !given(f, "port"))
    used = put(input, used, "plug", 4, node);
  for (size_t i = 0; i < f->settings.options->count; i++) {
    size_t length;
    if (node_option_counts(f->settings.options, i, node, &length))
      used = put(input, used, f->settings.options->at[i].key, (int)length, f->settings.options->at[i].value);
  }
  return used;
}

// ---- what it says ----

static bool may_be_secret(const char *key) {
  static const char *const words[] = {"pass", "secret", "key", "token", "community", "credential", "login_file"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (strcasestr(key, words[i]) != NULL)
      return true;
  return false;
}

// How long the longest secret is that `text` begins with: one may begin with another. 0: with none.
static size_t secret_length(const struct conf_map *options, const char *text) {
  size_t longest = 0;
  for (size_t i = 0; i < options->count; i++) {
    size_t length = strlen(options->at[i].value);
    if (length > longest && may_be_secret(options->at[i].key) && strncmp(text, options->at[i].value, length) == 0)
      longest = length;
  }
  return longest;
}

static void blot_out(char *text, const struct conf_map *options) {
  while (*text != 0) {
    size_t length = secret_length(options, text);
    memset(text, '*', length);
    text += length > 0 ? length : 1;
  }
}

// The last line, of the errors if there is one, cleaned for a log.
static void last_words(const struct fence_agent *f, const struct child_result *result, char *text, size_t size) {
  char all[CHILD_OUTPUT_MAX + 1];
  const struct child_output *from = result->err.size > 0 ? &result->err : &result->out;
  memcpy(all, from->text, sizeof all);
  char *cut = from->cut ? strrchr(all, '\n') : NULL;
  if (cut != NULL)
    *cut = 0; // the last line may end in half a secret, which nobody would know for one
  blot_out(all, f->settings.options);
  size_t length = strlen(all);
  while (length > 0 && strchr("\r\n \t", all[length - 1]) != NULL)
    all[--length] = 0;
  const char *line = strrchr(all, '\n');
  snprintf(text, size, "%.160s", line != NULL ? line + 1 : all);
  text_clean(text, strlen(text));
}

// Why the job has not been done; "" if it has.
static void judge(const struct fence_agent *f, const struct child_result *result, char *why, size_t size) {
  char said[200];
  const char *program = f->settings.command->at[0], *job = job_names[f->job];
  int wanted = f->job == JOB_STATUS ? STATUS_OFF : 0;
  last_words(f, result, said, sizeof said);
  why[0] = 0;
  if (result->timed_out)
    snprintf(why, size, "%s: \"%s\" did not end within %d s, and was killed", program, job,
             (int)(deadline_ms(f, f->job) / 1000));
  else if (f->job == JOB_STATUS && (result->status == 0 || strcasestr(result->out.text, "status: on") != NULL))
    snprintf(why, size, "%s: %s was turned off, it says, but its status is on", program, f->settings.node);
  else if (result->signal != 0)
    snprintf(why, size, "%s: \"%s\" was ended by signal %d", program, job, result->signal);
  else if (result->status != wanted)
    snprintf(why, size, "%s: \"%s\" ended with %d%s%s", program, job, result->status, said[0] != 0 ? ": " : "",
             said);
}

// ---- its work ----

static void run(struct fence_agent *f, enum job job);

static void check_again(struct fence_agent *f) {
  loop_timer_in(f->timer, (f->settings.check_ms != 0 ? f->settings.check_ms : FENCE_AGENT_CHECK_MS) * INT64_C(1000));
}

/* What came in between may have been the first look. */
static void go_on_looking(struct fence_agent *f) {
  if (f->known)
    check_again(f);
  else
    loop_timer_in(f->timer, 0);
}

static void note_check(struct fence_agent *f, const char *trouble) {
  bool differs = !f->known || strcmp(trouble, f->trouble) != 0;
  f->known = true;
  snprintf(f->trouble, sizeof f->trouble, "%s", trouble);
  if (differs)
    f->watch.checked(f->watch.arg, f->trouble);
}

static void finish_off(struct fence_agent *f, const char *why_not) {
  fence_agent_fn *fn = f->fn;
  f->fn = NULL;
  go_on_looking(f);
  if (fn != NULL)
    fn(f->arg, why_not);
}

static void on_end(void *arg, const struct child_result *result) {
  struct fence_agent *f = arg;
  char why[FENCE_AGENT_TEXT_MAX];
  enum job job = f->job;
  judge(f, result, why, sizeof why);
  f->child = NULL;
  f->job = JOB_NONE;
  if (job == JOB_MONITOR) {
    check_again(f);
    note_check(f, why);
  } else if (job == JOB_OFF && why[0] == 0) {
    run(f, JOB_STATUS);
  } else {
    finish_off(f, why);
  }
}

static void not_started(struct fence_agent *f, enum job job, int rc) {
  char why[FENCE_AGENT_TEXT_MAX];
  snprintf(why, sizeof why, "%s cannot be started: %s; is the package fence-agents installed?",
           f->settings.command->at[0], strerror(-rc));
  if (job != JOB_MONITOR) {
    finish_off(f, why);
    return;
  }
  check_again(f);
  note_check(f, why);
}

static void run(struct fence_agent *f, enum job job) {
  char input[INPUT_MAX];
  const char *argv[CONF_ITEMS_MAX + 1] = {0};
  for (size_t i = 0; i < f->settings.command->count; i++)
    argv[i] = f->settings.command->at[i];
  size_t size = tell(f, job_names[job], input);
  struct child_settings child = {.argv = argv,
                                 .input = input,
                                 .input_size = size < INPUT_MAX ? size : INPUT_MAX - 1,
                                 .timeout_ms = deadline_ms(f, job)};
  f->job = job;
  int rc = child_run(&f->child, f->loop, &child, on_end, f);
  explicit_bzero(input, sizeof input);
  if (rc == 0)
    return;
  f->child = NULL;
  f->job = JOB_NONE;
  not_started(f, job, rc);
}

static void on_timer(void *arg) {
  struct fence_agent *f = arg;
  if (f->job == JOB_NONE)
    run(f, f->fn != NULL ? JOB_OFF : JOB_MONITOR);
}

int fence_agent_open(struct fence_agent **out, struct loop *loop, const struct fence_agent_settings *settings,
                     const struct fence_agent_watch *watch) {
  struct fence_agent *f = calloc(1, sizeof *f);
  *out = f;
  if (f == NULL)
    return -ENOMEM;
  f->loop = loop;
  f->settings = *settings;
  f->watch = *watch;
  f->timer = loop_timer_new(loop, on_timer, f);
  if (f->timer == NULL) {
    free(f);
    *out = NULL;
    return -ENOMEM;
  }
  if (fence_agent_there(f))
    loop_timer_in(f->timer, 0);
  return 0;
}

bool fence_agent_there(const struct fence_agent *f) {
  return f->settings.command->count > 0;
}
bool fence_agent_known(const struct fence_agent *f) {
  return f->known;
}
const char *fence_agent_trouble(const struct fence_agent *f) {
  return f->trouble;
}

static void stop_job(struct fence_agent *f) {
  child_cancel(f->child);
  f->child = NULL;
  f->job = JOB_NONE;
}

int fence_agent_off(struct fence_agent *f, fence_agent_fn *fn, void *arg) {
  if (!fence_agent_there(f))
    return -ENOENT;
  if (f->fn != NULL)
    return -EBUSY;
  stop_job(f); // a look at the device may take half a minute
  f->fn = fn;
  f->arg = arg;
  loop_timer_in(f->timer, 0);
  return 0;
}

void fence_agent_break_off(struct fence_agent *f) {
  if (f->fn == NULL)
    return;
  stop_job(f);
  f->fn = NULL;
  go_on_looking(f);
}

void fence_agent_close(struct fence_agent *f) {
  if (f == NULL)
    return;
  child_cancel(f->child);
  loop_timer_free(f->timer);
  free(f);
}
