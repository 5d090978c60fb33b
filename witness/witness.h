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
  const struct witness_options *options;
  struct loop *loop;
  struct net *net;
  struct crypto *crypto;
  struct control *control;
  struct witnessed **at;
  size_t count;
  bool traces;        // a trace a cluster, each with its name behind the file's
  char trouble[1024]; // why the last reload was not, or not wholly, taken; "" after a good one
};

int witness_check(const struct witness_options *); // 0, or 2 with the errors on stderr
int witness_run(const struct witness_options *);   // until SIGTERM: 0, 1 failed, 2 the configuration is wrong

// configurations.c: reads all files into `at`, without runners. 0, or a negative errno with all errors on
// stderr and the first in `trouble`.
int witness_read(struct witness *);
void witness_forget(struct witness *); // closes all of them

void witness_forget_one(struct witnessed *);

// One cluster's runner and files, not started yet. 0 or a negative errno with `error`.
int witness_open_one(struct witnessed *, char *error, size_t size);
void witness_start_one(struct witnessed *);
// Into its log and events: a daemon's.
void witness_tell(struct witnessed *, const char *what, enum log_level, const char *sentence);

// reload.c: SIGHUP.
void witness_reload(void *witness, int signo);

// witness_status.c
struct json *witness_status(const struct witness *);
struct json *witness_cluster_status(const struct witnessed *);
struct json *witness_explain(const struct witness *);

// witness_web.c: listens wherever a configuration says so; what cannot be had is told in the log.
// After a reload again: for what is new, and for an address whose holder is gone.
void witness_web_open(struct witness *);

#endif
