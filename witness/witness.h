// SPDX-License-Identifier: Apache-2.0
// The witness: any number of clusters, one voter each, answering from its own record alone.
#ifndef TANIST_WITNESS_WITNESS_H
#define TANIST_WITNESS_WITNESS_H

#include "common/base/control.h"
#include "common/base/events.h"
#include "common/base/history.h"
#include "common/base/marks.h"
#include "common/base/path_watch.h"
#include "common/base/runner.h"

#define WITNESS_FILES_MAX 64 // of -c on the command line

struct witness_options {
  const char *file[WITNESS_FILES_MAX]; // files, or directories of which every *.conf is taken
  size_t file_count;
  const char *run_directory, *state_directory;
  const char *trace;
};

// One cluster served here.
struct witnessed {
  struct witness *witness;
  struct cluster_conf conf;
  struct runner *runner;
  uint64_t waits; // the connection whose order is under way; 0: none
  uint8_t order;  // enum order_type of it
  char who[CONTROL_WHO_SIZE];
  struct marks *marks; // what people are told of orders
  struct events *events;
  struct history *history;
  struct path_watch paths;
  struct http *http; // NULL: none, or another cluster's with the same address
};

struct witness {
  struct loop *loop;
  struct net *net;
  struct crypto *crypto;
  struct control *control;
  struct witnessed **at;
  size_t count;
};

int witness_check(const struct witness_options *); // 0, or 2 with the errors on stderr
int witness_run(const struct witness_options *);   // until SIGTERM: 0, 1 failed, 2 the configuration is wrong

// witness_status.c
struct json *witness_status(const struct witness *);
struct json *witness_cluster_status(const struct witnessed *);
struct json *witness_explain(const struct witness *);

// witness_web.c: listens wherever a configuration says so; what cannot be had is told in the log.
void witness_web_open(struct witness *);

#endif
