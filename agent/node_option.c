// SPDX-License-Identifier: Apache-2.0
#include "agent/node_option.h"

#include <string.h>

bool node_option(const char *key, const char *node, size_t *length) {
  const char *mark = strstr(key, "__");
  bool marked = mark != NULL && mark != key;
  *length = marked ? (size_t)(mark - key) : strlen(key);
  return !marked || strcmp(mark + 2, node) == 0;
}

const char *node_option_find(const struct conf_map *options, const char *name, const char *node) {
  const char *found = NULL;
  for (size_t i = 0; i < options->count; i++) {
    size_t length;
    bool here = node_option(options->at[i].key, node, &length);
    if (!here || strlen(name) != length || memcmp(options->at[i].key, name, length) != 0)
      continue;
    if (found == NULL || options->at[i].key[length] != 0)
      found = options->at[i].value;
  }
  return found;
}
