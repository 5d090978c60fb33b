// SPDX-License-Identifier: Apache-2.0
// When a path of an endpoint comes up, goes down or works one way only: told once it has been so at two
// looks, so that a single late beat is no event.
#ifndef TANIST_BASE_PATH_WATCH_H
#define TANIST_BASE_PATH_WATCH_H

#include "common/base/cluster.h"
#include "common/base/endpoint.h"
#include "common/base/events.h"

struct path_watch { // all zeros: every path is down
  struct {
    uint8_t told, newest; // enum path_state + 1, 0: none yet
  } at[VOTERS][CLUSTER_PATHS_MAX];
};

// One path that has changed, as an event and its sentence: the caller logs the one and adds the other.
typedef void path_watch_fn(void *arg, struct json *event, enum log_level, const char *sentence);

// To be called about once a beat.
void path_watch_look(struct path_watch *, const struct endpoint *, const struct cluster_conf *, unsigned self,
                     struct events *, path_watch_fn *, void *arg);

#endif
