// SPDX-License-Identifier: Apache-2.0
// tracecheck [--one-clock] FILE...: checks what --trace wrote, of one cluster, any number of files a voter.
// Exit 0: nothing found; 1: findings, each with FILE:LINE; 2: usage, or no trace, with FILE:LINE.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/trace/judge.h"

struct file {
  const char *name;
  bool empty;
  struct trace_start start;
};

/* The core asserts what it owes: with an event that never happened it may end the process. */
static void on_abort(int signal_number) {
  char text[512];
  const struct place *place = replay_place();
  (void)signal_number;
  int length = snprintf(text, sizeof text, "%s:%lu: an assertion of the core fails with this event\n",
                        place->file == NULL ? "?" : place->file, place->line);
  fflush(stdout);
  if (length > 0 && write(STDOUT_FILENO, text, (size_t)length) < 0)
    _exit(2);
  _exit(1);
}

/* Voter by voter, the older run first. */
static int by_voter_and_time(const void *one, const void *other) {
  const struct file *a = one, *b = other;
  if (a->start.config.self != b->start.config.self)
    return a->start.config.self < b->start.config.self ? -1 : 1;
  return (a->start.base.us > b->start.base.us) - (a->start.base.us < b->start.base.us);
}

static struct file *sorted(char **names, size_t count) {
  struct file *files = calloc(count, sizeof *files);
  if (files == NULL)
    abort();
  for (size_t i = 0; i < count; i++) {
    files[i].name = names[i];
    files[i].empty = !replay_first(names[i], &files[i].start);
  }
  qsort(files, count, sizeof *files, by_voter_and_time);
  return files;
}

int main(int argc, char **argv) {
  bool one_clock = argc > 1 && strcmp(argv[1], "--one-clock") == 0;
  int first = one_clock ? 2 : 1;
  if (argc <= first || argv[first][0] == '-') {
    fprintf(stderr, "usage: tracecheck [--one-clock] FILE...   the traces of one cluster's voters\n"
                    "  --one-clock   they ran on one machine: compare their instants, and look at P1\n");
    return 2;
  }
  signal(SIGABRT, on_abort);
  size_t count = (size_t)(argc - first);
  struct file *files = sorted(argv + first, count);
  struct judge *judge = judge_new(one_clock);
  struct watcher watcher = judge_watcher(judge);
  for (size_t i = 0; i < count; i++)
    if (!files[i].empty)
      replay_file(files[i].name, &watcher);
  judge_verdict(judge);
  judge_summary(judge);
  judge_free(judge);
  free(files);
  return findings() > 0;
}
