// SPDX-License-Identifier: Apache-2.0
// A small valid cluster, "orders" of the nodes "a" and "b" and the witness "w", all on 127.0.0.0/8.
#ifndef TANIST_FUZZ_CLUSTER_H
#define TANIST_FUZZ_CLUSTER_H

#include "common/base/cluster.h"

const struct cluster_conf *fuzz_cluster(void);

// Its file, made with its keys in input_directory() at the first call.
const char *fuzz_cluster_file(void);

#endif
