// SPDX-License-Identifier: Apache-2.0
// Where histories begin: lines of a dialogue each.
#ifndef TANIST_EXPLORE_STARTS_H
#define TANIST_EXPLORE_STARTS_H

#include <stddef.h>

#define STARTS_MAX 32

struct start {
  const char *name, *lines;
  unsigned settings; // starts with equal settings of the cluster share their states
};

extern const struct start starts[];
extern const size_t start_count;

#endif
