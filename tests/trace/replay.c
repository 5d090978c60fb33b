// SPDX-License-Identifier: Apache-2.0
#include "tests/trace/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct replay {
  const struct watcher *watcher;
  FILE *in;
  struct place place;
  char *line; // without its end
  size_t room;
  bool cut;     // the line has no end, or the runner gave it one
  bool runs;    // a start was seen, and no difference since
  bool started; // a start was seen at all
  struct instant base;
  struct core core, before;
  struct actions actions;
  size_t compared; // actions of the step that the file has shown
  bool open;       // a step is under way
  struct place step;
};

static struct place now_at;

const struct place *replay_place(void) {
  return &now_at;
}

static bool next_line(struct replay *r) {
  ssize_t length = getline(&r->line, &r->room, r->in);
  if (length <= 0)
    return false;
  r->place.line++;
  r->cut = r->line[length - 1] != '\n';
  r->line[strcspn(r->line, "\n")] = 0;
  size_t size = strlen(r->line), mark = strlen(TRACE_CUT);
  r->cut |= size >= mark && strcmp(r->line + size - mark, TRACE_CUT) == 0;
  return true;
}

// ---- a step ----

static void differs(struct replay *r, const struct place *place, const char *recorded, const char *again) {
  finding(place, "the core does otherwise with the event of line %lu\n  recorded: %s\n  replayed: %s",
          r->step.line, recorded, again);
  r->runs = r->open = false; /* what follows belongs to another history */
}

/* The step is over when the next event comes; at a run's end it may be cut short. */
static void close_step(struct replay *r, bool run_ends) {
  if (!r->open)
    return;
  r->open = false;
  if (r->compared < r->actions.count && !run_ends) {
    char line[TRACE_LINE_MAX];
    trace_action(line, sizeof line, r->base, &r->actions.at[r->compared]);
    differs(r, &r->place, "nothing more", line);
  }
}

static void open_step(struct replay *r, const struct event *event) {
  now_at = r->step = r->place;
  r->before = r->core;
  core_step(&r->core, event, &r->actions);
  r->open = true;
  r->compared = 0;
  unsigned broken = core_check(&r->core);
  if (broken != 0)
    finding(&r->place, "invariant %u is broken: %s", broken, core_invariant(broken));
  r->watcher->stepped(r->watcher->arg, &r->place, &r->before, event, &r->actions, &r->core);
}

static void compare_action(struct replay *r) {
  char line[TRACE_LINE_MAX] = "nothing more";
  const char *recorded = r->line + strspn(r->line, " ");
  if (!r->open)
    malformed(&r->place, "an action stands where no event is before it: \"%s\"", recorded);
  if (r->compared < r->actions.count)
    trace_action(line, sizeof line, r->base, &r->actions.at[r->compared]);
  r->compared++;
  if (strcmp(line, recorded) != 0)
    differs(r, &r->place, recorded, line);
}

// ---- a run ----

static void begin_run(struct replay *r) {
  struct trace_start start;
  const char *error = "";
  if (!trace_parse_start(r->line, &start, &error))
    malformed(&r->place, "%s", error);
  now_at = r->place;
  r->base = start.base;
  core_init(&r->core, &start.config, &start.ballot, start.base, start.random);
  r->runs = r->started = true;
  r->watcher->started(r->watcher->arg, &r->place, &start);
}

static bool is_start(const char *line) {
  return strncmp(line, "start ", 6) == 0;
}

static bool is_lost(const char *line) {
  return strncmp(line, TRACE_LOST " ", strlen(TRACE_LOST " ")) == 0;
}

static void take_event(struct replay *r) {
  struct event event;
  const char *error = "";
  if (!trace_parse_event(r->line, r->base, &event, &error))
    malformed(&r->place, "%s", error);
  close_step(r, false);
  if (r->runs)
    open_step(r, &event);
}

static void lose_steps(struct replay *r) {
  close_step(r, true);
  if (r->runs)
    r->watcher->lost(r->watcher->arg, &r->place, &r->core);
  r->runs = false;
}

static bool is_resumed(const char *line) {
  return strncmp(line, TRACE_RESUMED " ", strlen(TRACE_RESUMED " ")) == 0;
}

/* L10: another process goes on with the core as it was kept, maybe before the last step that was traced. The one
   before may not have traced at all: then there is nothing to go on from. */
static void resume_run(struct replay *r) {
  long long at = r->base.us + strtoll(r->line + strlen(TRACE_RESUMED " "), NULL, 10);
  close_step(r, true);
  r->started = true;
  if (r->runs && r->core.now.us != at && r->before.now.us == at)
    r->core = r->before;
  if (r->runs && r->core.now.us != at)
    differs(r, &r->place, r->line, "no step ended at this moment");
}

static void take_line(struct replay *r) {
  if (is_start(r->line)) {
    close_step(r, true);
    begin_run(r);
  } else if (is_resumed(r->line)) {
    resume_run(r);
  } else if (!r->started) {
    malformed(&r->place, "a trace begins with a line \"start self a …\", not with \"%.40s\"", r->line);
  } else if (is_lost(r->line)) {
    lose_steps(r);
  } else if (r->runs && strncmp(r->line, "  ", 2) == 0) {
    compare_action(r);
  } else if (r->runs) {
    take_event(r);
  }
}

/* What a SIGKILL or a full disk left of a line says nothing; only another run, or a gap, may follow it. */
static bool skip_cut(struct replay *r) {
  struct place cut = r->place;
  close_step(r, true);
  if (!next_line(r))
    return false;
  if (!is_start(r->line) && !is_lost(r->line) && !is_resumed(r->line))
    malformed(&cut, "a line is cut off, and the run goes on behind it");
  return true;
}

static FILE *open_trace(const char *file) {
  FILE *in = fopen(file, "re");
  if (in == NULL) {
    fprintf(stderr, "%s: %s\n", file, strerror(errno));
    exit(2);
  }
  return in;
}

void replay_file(const char *file, const struct watcher *watcher) {
  struct replay *r = calloc(1, sizeof *r);
  if (r == NULL)
    abort();
  r->watcher = watcher;
  r->place.file = file;
  r->in = open_trace(file);
  for (bool more = next_line(r); more; more = next_line(r)) {
    if (r->cut && !skip_cut(r))
      break;
    take_line(r);
  }
  close_step(r, true);
  fclose(r->in);
  free(r->line);
  free(r);
}

bool replay_first(const char *file, struct trace_start *start) {
  struct replay r = {.place.file = file, .in = open_trace(file)};
  const char *error = "";
  bool found = next_line(&r) && !r.cut;
  if (found && !trace_parse_start(r.line, start, &error))
    malformed(&r.place, "%s", error);
  fclose(r.in);
  free(r.line);
  return found;
}
