// SPDX-License-Identifier: Apache-2.0
// tanist-agent: the options.
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/pg_keep.h"
#include "common/base/log.h"

enum { OPTION_CHECK = 256, OPTION_VERSION, OPTION_TRACE, OPTION_PRINT, OPTION_HELP };

static const struct option options[] = {
    {"check", no_argument, NULL, OPTION_CHECK},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"trace", required_argument, NULL, OPTION_TRACE},
    {"print-default-config", no_argument, NULL, OPTION_PRINT},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int usage(FILE *to, int code) {
  fputs("usage: tanist-agent -c FILE [-n NAME] [--check] [--trace FILE]\n"
        "       tanist-agent --print-default-config | --version\n",
        to);
  return code;
}

static int check(const char *file) {
  struct cluster_conf conf;
  struct conf_errors *errors = calloc(1, sizeof *errors);
  int rc = errors != NULL ? cluster_load(&conf, file, errors) : -1;
  if (rc == 0)
    cluster_free(&conf);
  else if (errors != NULL)
    cluster_print_errors(stderr, errors);
  free(errors);
  return rc == 0 ? 0 : 2;
}

int main(int argc, char **argv) {
  struct agent_options agent = {0};
  bool only_check = false;
  int c;
  if (argc > 1 && strcmp(argv[1], PG_KEEP_OPTION) == 0)
    return pg_keep_main(argc - 2, argv + 2);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN); /* until the loop takes it for a reload */
  log_open("tanist-agent");
  while ((c = getopt_long(argc, argv, "c:n:", options, NULL)) != -1) {
    switch (c) {
    case 'c':
      agent.file = optarg;
      break;
    case 'n':
      agent.name = optarg;
      break;
    case OPTION_CHECK:
      only_check = true;
      break;
    case OPTION_TRACE:
      agent.trace = optarg;
      break;
    case OPTION_VERSION:
      puts("tanist-agent " TANIST_VERSION);
      return 0;
    case OPTION_PRINT:
      return cluster_print_defaults(stdout) == 0 ? 0 : 1;
    case OPTION_HELP:
      return usage(stdout, 0);
    default:
      return usage(stderr, 2);
    }
  }
  if (agent.file == NULL || optind != argc)
    return usage(stderr, 2);
  return only_check ? check(agent.file) : agent_run(&agent);
}
