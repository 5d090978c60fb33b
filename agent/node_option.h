// SPDX-License-Identifier: Apache-2.0
// Options whose file is the same on both nodes, but whose value is not: NAME__NODE is NAME for that node alone, and wins
// there over NAME.
#ifndef TANIST_AGENT_NODE_OPTION_H
#define TANIST_AGENT_NODE_OPTION_H

#include "common/base/conf.h"

// Does this key hold on this node? `length` is that of the option's own name in it, in any case.
bool node_option(const char *key, const char *node, size_t *length);

// The same, but not where another key wins there.
bool node_option_counts(const struct conf_map *, size_t key, const char *node, size_t *length);

// The value that the option has on this node; NULL: it is not given.
const char *node_option_find(const struct conf_map *, const char *name, const char *node);

#endif
