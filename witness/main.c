// SPDX-License-Identifier: Apache-2.0
// tanist-witness: the options.
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "common/base/log.h"
#include "witness/witness.h"

enum { OPTION_CHECK = 256, OPTION_VERSION, OPTION_TRACE, OPTION_RUN, OPTION_STATE, OPTION_HELP };

static const struct option options[] = {
    {"check", no_argument, NULL, OPTION_CHECK},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"trace", required_argument, NULL, OPTION_TRACE},
    {"run-directory", required_argument, NULL, OPTION_RUN},
    {"state-directory", required_argument, NULL, OPTION_STATE},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int usage(FILE *to, int code) {
  fputs("usage: tanist-witness -c FILE_OR_DIRECTORY [-c …] [--run-directory DIR] [--state-directory DIR]\n"
        "                      [--check] [--trace FILE]\n"
        "       tanist-witness --version\n",
        to);
  return code;
}

int main(int argc, char **argv) {
  struct witness_options witness = {.run_directory = "/run/tanist", .state_directory = "/var/lib/tanist"};
  bool only_check = false;
  int c;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN); /* until the loop takes it for a reload */
  log_open("tanist-witness");
  while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
    switch (c) {
    case 'c':
      if (witness.file_count == WITNESS_FILES_MAX)
        return usage(stderr, 2);
      witness.file[witness.file_count++] = optarg;
      break;
    case OPTION_CHECK:
      only_check = true;
      break;
    case OPTION_TRACE:
      witness.trace = optarg;
      break;
    case OPTION_RUN:
      witness.run_directory = optarg;
      break;
    case OPTION_STATE:
      witness.state_directory = optarg;
      break;
    case OPTION_VERSION:
      puts("tanist-witness " TANIST_VERSION);
      return 0;
    case OPTION_HELP:
      return usage(stdout, 0);
    default:
      return usage(stderr, 2);
    }
  }
  if (witness.file_count == 0 || optind != argc)
    return usage(stderr, 2);
  return only_check ? witness_check(&witness) : witness_run(&witness);
}
