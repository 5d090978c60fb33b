// SPDX-License-Identifier: Apache-2.0
// explore [--states N] [--depth N] [--history FILE] [--any-rows]: every small history of a cluster, breadth
// first.
//
// Ends with 0: no promise was broken, and each row of the transition table was reached; 1: something was
// broken, its history is in FILE; 2: it could not run; 3: rows were missed.
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common/core/transition.h"
#include "tests/explore/history.h"
#include "tests/explore/starts.h"

#define UNFAITHFUL_ONE_IN 10000 // so rare may a state be that codec.c does not bring back as it was

struct options {
  struct limits limits;
  const char *history;
  bool any_rows;
};

static unsigned long number_of(const char *text, unsigned long most) {
  char *end;
  unsigned long number = strtoul(text, &end, 10);
  if (end == text || *end != 0 || number == 0 || number > most) {
    fprintf(stderr, "explore: \"%s\" is no number from 1 to %lu\n", text, most);
    exit(2);
  }
  return number;
}

static struct options read_options(int argc, char **argv) {
  static const struct option known[] = {{"states", required_argument, NULL, 's'},
                                        {"depth", required_argument, NULL, 'd'},
                                        {"history", required_argument, NULL, 'h'},
                                        {"any-rows", no_argument, NULL, 'a'},
                                        {0}};
  struct options options = {.limits = {2000000, 100}, .history = "history.txt"};
  for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    if (c == 's')
      options.limits.states = number_of(optarg, 1000000000);
    else if (c == 'd')
      options.limits.depth = (unsigned)number_of(optarg, 250);
    else if (c == 'h')
      options.history = optarg;
    else if (c == 'a')
      options.any_rows = true;
    else
      exit(2);
  }
  return options;
}

static void tell_violation(const struct options *options, const struct findings *found) {
  FILE *out = fopen(options->history, "w");
  if (out == NULL) {
    perror(options->history);
    exit(2);
  }
  printf("!!! %s\nits history is in %s, to be played with tests/scenario/run BUILD %s\n",
         found->violation.what, options->history, options->history);
  fflush(stdout);
  bool same = history_write(&found->violation, out);
  fclose(out);
  if (!same)
    printf("but the dialogue ends well: tests/explore and tests/scenario disagree\n");
}

/* Returns how many rows were missed. */
static unsigned tell_rows(const struct findings *found) {
  unsigned missed = 0;
  for (size_t i = 0; i < transition_count; i++) {
    const struct transition *row = &transition_table[i];
    bool reached = (found->rows >> i & 1) != 0;
    printf("%12" PRIu64 "  %s>%s by %s (%s)%s\n", found->reached[i], role_name(row->from), role_name(row->to),
           cause_name(row->cause), row->rule, reached ? "" : "  NOT REACHED");
    missed += !reached;
  }
  return missed;
}

static void tell_search(const struct findings *found) {
  for (unsigned kind = 0; kind < CHOICE_KINDS; kind++)
    printf("%12" PRIu64 "  %s\n", found->tried[kind], choice_name(kind));
  for (unsigned cost = 1; cost <= found->complete; cost++)
    printf("%12zu  states in all histories of cost %u\n", found->level[cost], cost);
}

int main(int argc, char **argv) {
  struct options options = read_options(argc, argv);
  static struct findings found;
  struct timespec began, ended;
  struct rusage usage;
  clock_gettime(CLOCK_MONOTONIC, &began);
  search(&options.limits, &found);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  getrusage(RUSAGE_SELF, &usage);
  tell_search(&found);
  if (found.broken)
    tell_violation(&options, &found);
  unsigned missed = tell_rows(&found);
  bool blurred = found.unfaithful > found.compared / UNFAITHFUL_ONE_IN;
  printf("%12" PRIu64 "  of %" PRIu64 " states looked at again had another normal form%s\n", found.unfaithful,
         found.compared, blurred ? ": TOO MANY, see codec.c" : "");
  size_t checked = transition_count + 2;
  size_t failed = (options.any_rows ? 0 : missed) + found.broken + blurred;
  printf("%zu passed, %zu failed\n", checked - failed, failed);
  printf("%zu distinct states, all histories of cost %u from %zu starts, up to %u reigns; %" PRIu64
         " steps, %.1f s, %ld MB\n",
         store_count(), found.complete, start_count, found.reigns, found.steps,
         (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9,
         usage.ru_maxrss / 1024);
  return found.broken || blurred ? 1 : missed > 0 && !options.any_rows ? 3 : 0;
}
