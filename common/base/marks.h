// SPDX-License-Identifier: Apache-2.0
// What an operator ordered and why, beside the ballot: DIRECTORY/CLUSTER.VOTER.orders. The ballot decides;
// this is what people are told of it: since when the cluster is frozen, who forced this node, when, and for
// which reason. A voter whose file cannot be kept works on without, but does not take a force.
#ifndef TANIST_BASE_MARKS_H
#define TANIST_BASE_MARKS_H

#include "common/base/cluster.h"
#include "common/base/json.h"

#define MARKS_REASON_MAX 400 // bytes
#define MARKS_WHO_MAX 96

struct marks;

struct marks_force {
  int64_t wall_ms;
  char who[MARKS_WHO_MAX];          // "root (uid 0)"
  char confirmed[CLUSTER_NAME_MAX]; // the node that the operator says is down
  char reason[MARKS_REASON_MAX + 1];
};

// Never NULL but for want of memory. *error is 0, or the negative errno with which the file could not be
// opened or made (a damaged one is set aside first); then the marks are kept in memory alone.
struct marks *marks_open(const char *directory, const char *cluster, const char *voter, int *error);
void marks_close(struct marks *); // NULL is allowed

// After each step: takes up a freeze or a thaw that is new. `who` ordered it here; "" if it came from
// another voter.
void marks_look(struct marks *, const struct ballot *, const char *who);

// On the disk when it returns 0; only then may the core be told. A negative errno otherwise: no force.
int marks_keep_force(struct marks *, const struct marks_force *);

// For status: "frozen_since" (RFC 3339), "frozen_ms" and "frozen_by" while frozen, "forced" (a list) always.
// frozen_ms counts by CLOCK_BOOTTIME within a boot, so that no step of the wall clock changes it.
void marks_put_status(const struct marks *, const struct cluster_conf *, unsigned self, const struct ballot *,
                      struct json *status);
void marks_warn(const struct marks *, const struct cluster_conf *, unsigned self, const struct ballot *,
                struct json *warnings);

#endif
