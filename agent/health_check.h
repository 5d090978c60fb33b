// SPDX-License-Identifier: Apache-2.0
// One health check under way: shared by health.c and the kinds of check that take time, each in a file of its
// own.
#ifndef TANIST_AGENT_HEALTH_CHECK_H
#define TANIST_AGENT_HEALTH_CHECK_H

#include <sys/types.h>

#include "agent/health.h"

struct health_run {
  struct health *health;
  const struct health_check *settings;
  struct health_status *status;
  struct loop *loop;
  struct loop_timer *timer; // while `busy` the end of its time, else the next start
  struct instant started;
  uint16_t streak; // results in a row that speak against the state
  bool busy;
  int fd;                          // TCP: the socket; EXEC: the process' pidfd
  struct loop_io *io;              // on fd
  pid_t pid;                       // EXEC
  struct sockaddr_storage address; // TCP
  socklen_t address_length;
};

// A result: why = NULL for success. Ends the run.
void health_run_result(struct health_run *, const char *why);

// Each start either gives its result later, through health_run_result, or returns why it failed at once
// (NULL: it is under way). Each stop ends what is under way, without a result.
const char *health_tcp_start(struct health_run *);
void health_tcp_stop(struct health_run *);
const char *health_exec_start(struct health_run *, const char *const *environment);
void health_exec_stop(struct health_run *);
void health_exec_forget(struct health_run *); // nothing of it is watched any more

#endif
