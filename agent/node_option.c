// SPDX-License-Identifier: Apache-2.0
#include "agent/node_option.h"

#include <string.h>

bool node_option(const char *key, const char *node, size_t *length) {
  const char *mark = strstr(key, "__");
  bool marked = mark != NULL && mark != key;
  *length = marked ? (size_t)(mark - key) : strlen(key);
  return !marked || strcmp(mark + 2, node) == 0;
}

static const char *find(const struct conf_map *options, const char *name, size_t name_length, const char *node) {
  const char *found = NULL;
  for (size_t i = 0; i < options->count; i++) {
    size_t length;
    bool here = node_option(options->at[i].key, node, &length);
    if (!here || name_length != length || memcmp(options->at[i].key, name, length) != 0)
      continue;
    if (found == NULL || options->at[i].key[length] != 0)
      found = options->at[i].value;
  }
  return found;
}

bool node_option_counts(const struct conf_map *options, size_t key, const char *node, size_t *length) {
  const char *name = options->at[key].key;
  return node_option(name, node, length) && find(options, name, *length, node) == options->at[key].value;
}

const char *node_option_find(const struct conf_map *options, const char *name, const char *node) {
  return find(options, name, strlen(name), node);
}
