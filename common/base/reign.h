// SPDX-License-Identifier: Apache-2.0
// A master's core as it was after its last step, in RUN/CLUSTER.NAME.reign, for the agent that is started after this
// one (L10). It is kept before any action of that step, in memory that outlives the process and nothing more: no
// disk is waited for, and another boot, another program or another configuration finds nothing in it.
//
// The file is locked while it is open: two agents of one node cannot share it.
#ifndef TANIST_BASE_REIGN_H
#define TANIST_BASE_REIGN_H

#include "common/core/core.h"

#define REIGN_BROKER_MAX 48 // bytes, with the 0

struct reign;

// Opens or makes the file. 0; -EBUSY: another process has it; or another negative errno: no reign can be kept, which
// is no reason not to run. `cluster` is the cluster's id (seal_cluster_id).
int reign_open(struct reign **, const char *path, uint64_t cluster, unsigned self);

// What the agent before this one kept last. False: nothing, or it is not whole, not of this boot, or not of a program
// with the same core. `base` is the start of its trace; `broker` (REIGN_BROKER_MAX) which broker it knew, "" if none.
bool reign_read(const struct reign *, struct core *, struct instant *base, char *broker);

void reign_keep(struct reign *, const struct core *, struct instant base); // some 30 µs
void reign_forget(struct reign *);                                        // this node leads no more; cheap if so
void reign_broker(struct reign *, const char *incarnation);               // kept beside it, from now on

void reign_close(struct reign *); // leaves what is kept; NULL is allowed

#endif
