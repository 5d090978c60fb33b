// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/starts.h"

// Coarse on purpose: all that is counted in time is a small multiple of a quarter of a beat, and the slowest
// clock runs at three quarters of the fastest. Production's settings keep the same proportions within the
// budget.
#define CLUSTER(more)                                                                                        \
  "cluster lease 400ms beat 100ms drift_ppm 250000 degrade 200ms join_hold 25ms witness_grace 400ms" more    \
  "\n"                                                                                                       \
  "dice same\n"
#define PAIR "start a b w\nsteps 3s\n"

const struct start starts[] = {
    {"a new cluster", CLUSTER("") "start a b w\n", 0},
    {"a pair", CLUSTER("") PAIR, 0},
    {"b leads, a was away", CLUSTER("") PAIR "write 1\ncrash a\nsteps 1s\nstart a\nsteps 2s\n", 0},
    {"a pair, never alone", CLUSTER(" strict on") PAIR, 1},
    {"shared storage", CLUSTER(" replication shared") PAIR, 2},
    {"shared storage, b hears nothing of a", CLUSTER(" replication shared") PAIR "cut a>b\nsteps 200ms\n", 2},
    {"no state", CLUSTER(" replication none") PAIR, 3},
    {"a pair that is behind", CLUSTER(" replication async") PAIR, 4},
    {"a pair with a fence device", CLUSTER(" fence_required on") PAIR, 5},
    {"b waits for its fence device", CLUSTER(" fence_required on") PAIR "write 1\nstop a\nsteps 1s\n", 5},
    {"a came back from an old snapshot",
     CLUSTER("") PAIR
     "crash a\nsnapshot a\nstart a\ncut w\nsteps 2s\ncrash a b\nwipe a\nrestore a\nheal\nstart a\nsteps 2s\n",
     0},
};
const size_t start_count = sizeof starts / sizeof starts[0];
