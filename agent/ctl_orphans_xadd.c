// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl_orphans_xadd.h"

#include <stdlib.h>
#include <string.h>

// Behind the RESP bulk string at *at, "$LENGTH\r\n…\r\n"; NULL if there is none.
static const char *behind_bulk(const char *at, const char *end) {
  if (end - at < 2 || *at != '$')
    return NULL;
  const char *line = memchr(at, '\n', (size_t)(end - at));
  if (line == NULL)
    return NULL;
  unsigned long length = 0;
  for (const char *digit = at + 1; digit < line - 1; digit++) {
    if (*digit < '0' || *digit > '9' || length > (unsigned long)(end - at))
      return NULL;
    length = length * 10 + (unsigned long)(*digit - '0');
  }
  return length + 2 <= (unsigned long)(end - line - 1) ? line + 1 + length + 2 : NULL;
}

char *ctl_xadd_with_new_id(const char *data, size_t size, size_t *new_size) {
  static const char command[] = "$4\r\nXADD\r\n", id[] = "$1\r\n*\r\n";
  const char *end = data + size, *at = size > 0 && *data == '*' ? memchr(data, '\n', size) : NULL;
  if (at == NULL || (size_t)(end - ++at) < sizeof command || memcmp(at, command, sizeof command - 1) != 0)
    return NULL;
  const char *key = behind_bulk(at, end), *old = key != NULL ? behind_bulk(key, end) : NULL;
  const char *rest = old != NULL ? behind_bulk(old, end) : NULL;
  char *fresh = rest != NULL ? malloc(size + sizeof id) : NULL;
  if (fresh == NULL)
    return NULL;
  size_t head = (size_t)(old - data), tail = (size_t)(end - rest);
  memcpy(fresh, data, head);
  memcpy(fresh + head, id, sizeof id - 1);
  memcpy(fresh + head + sizeof id - 1, rest, tail);
  *new_size = head + sizeof id - 1 + tail;
  return fresh;
}
