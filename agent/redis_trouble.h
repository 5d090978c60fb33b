// SPDX-License-Identifier: Apache-2.0
// Texts for people: what a Redis that refuses or does not answer means, and what to do about it.
#ifndef TANIST_AGENT_REDIS_TROUBLE_H
#define TANIST_AGENT_REDIS_TROUBLE_H

#include <stdbool.h>
#include <stddef.h>

#define REDIS_TROUBLE_MAX 160

// No connection, or no answer (ETIMEDOUT) from the Redis that the configuration names as `what`.
void redis_trouble_connect(char out[static REDIS_TROUBLE_MAX], const char *what, const char *address,
                           int error);

// An error that it answered `command` with; `user` is the configured user name, which may be "".
void redis_trouble_answer(char out[static REDIS_TROUBLE_MAX], const char *what, const char *command,
                          const char *user, const char *error, size_t length);

// What an answer to a write means for the node.
enum redis_refusal {
  REFUSAL_FAILS,    // writes fail here and would not there
  REFUSAL_SHARED,   // the other node's Redis would refuse them as well, or it passes
  REFUSAL_ALONE,    // NOREPLICAS
  REFUSAL_OF_PROBE, // of the agent's own write alone: nothing is known of others'
};

// An error that a write of `key` by `user` was answered with.
enum redis_refusal redis_trouble_write(char out[static REDIS_TROUBLE_MAX], const char *user, const char *key,
                                       const char *error, size_t length);

// The error makes the whole connection useless: not authenticated, or no more clients are let in.
bool redis_trouble_ends_connection(const char *error, size_t length);

#endif
