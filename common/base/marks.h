// SPDX-License-Identifier: Apache-2.0
// What an operator ordered and why, beside the ballot: DIRECTORY/CLUSTER.VOTER.orders. The ballot decides;
// this is what people are told of it: since when the cluster is frozen, who forced a node, when, and for
// which reason. It goes to the other voters as the note of each beat, for as long as it matters: all three
// tell the same. A voter whose file cannot be kept works on without, but does not take a force.
#ifndef TANIST_BASE_MARKS_H
#define TANIST_BASE_MARKS_H

#include "common/base/cluster.h"
#include "common/base/json.h"

#define MARKS_REASON_MAX 400 // bytes
#define MARKS_WHO_MAX 144    // "root (uid 0) on w"
#define MARKS_NOTE_MAX 1000  // bytes of a note

struct marks;

struct marks_force {
  int64_t wall_ms;                      // 0: nothing is known
  uint64_t epoch;                       // the reign it led to; 0: not yet
  char who[MARKS_WHO_MAX];              // "root (uid 0)"
  char confirmed[CLUSTER_NAME_MAX + 1]; // the node that the operator says is down
  char reason[MARKS_REASON_MAX + 1];
};

// Never NULL but for want of memory. *error is 0, or the negative errno with which the file could not be
// opened or made (a damaged one is set aside first); then the marks are kept in memory alone.
struct marks *marks_open(const char *directory, const char *cluster, const char *voter, unsigned self,
                         int *error);
void marks_close(struct marks *); // NULL is allowed

// After each step: takes up what is new in the ballot. `who` ordered it here, on the voter of this name; ""
// if it came from another voter.
void marks_look(struct marks *, const struct ballot *, const char *who, const char *here);

// What the others are to be told now: its length, 0 for nothing. `reign`: this voter's own, 0 if it does not
// lead.
size_t marks_note(const struct marks *, const struct ballot *, uint64_t reign, char *buf, size_t size);
// Takes up what came with a beat of `from`, whose clock showed `wall_ms`. Anything but such a note is
// ignored.
void marks_noted(struct marks *, unsigned from, int64_t wall_ms, const char *note, size_t size);
// The word behind the last forced reign of a node; wall_ms 0: none is known.
const struct marks_force *marks_force_of(const struct marks *, unsigned node);

// On the disk when it returns 0; only then may the core be told. A negative errno otherwise: no force.
int marks_keep_force(struct marks *, const struct marks_force *);

// For status: "frozen_since" (RFC 3339), "frozen_ms" and "frozen_by" while frozen, "forced" (a list) always.
// frozen_ms counts by CLOCK_BOOTTIME within a boot, so that no step of the wall clock changes it.
void marks_put_status(const struct marks *, const struct cluster_conf *, const struct ballot *,
                      struct json *status);
void marks_warn(const struct marks *, const struct cluster_conf *, const struct ballot *,
                struct json *warnings);

#endif
