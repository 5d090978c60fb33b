// SPDX-License-Identifier: Apache-2.0
// What explain (common/core) found, for people and programs.
#ifndef TANIST_BASE_EXPLAIN_TEXT_H
#define TANIST_BASE_EXPLAIN_TEXT_H

#include "common/base/cluster.h"
#include "common/base/json.h"
#include "common/core/explain.h"

// "V2: w is promised to a for another 640 ms". `name` has the voters' names. Returns buf.
const char *explain_text(const char *const name[VOTERS], unsigned node, const struct hurdle *, char *buf,
                         size_t size);

// The object of `tanist explain` for a cluster: what this voter knows of both nodes at `now`. `health` says
// what is wrong with the own broker ("check port down since 4 s"); NULL or "" where nothing is known of it.
struct json *explain_json(const struct cluster_conf *, const struct core *, struct instant now,
                          const char *health);

#endif
