// SPDX-License-Identifier: Apache-2.0
#include "agent/redis_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool take(const char **at, size_t *left, struct resp_value *value) {
  ssize_t size = resp_parse(*at, *left, value);
  if (size <= 0)
    return false;
  *at += size;
  *left -= (size_t)size;
  return true;
}

bool redis_stream_next(const struct resp_value *answer, size_t *at, struct stream_entry *entry) {
  struct resp_value whole, id, words;
  if (answer->type != RESP_ARRAY || *at >= answer->length)
    return false;
  const char *next = answer->text + *at, *begin = next;
  size_t left = answer->length - *at;
  if (!take(&next, &left, &whole) || whole.type != RESP_ARRAY || whole.integer != 2)
    return false;
  *at = answer->length - left;
  const char *inner = whole.text;
  size_t inside = whole.length;
  if (!take(&inner, &inside, &id) || id.type != RESP_BULK || id.length >= STREAM_ID_MAX || !take(&inner, &inside, &words) ||
      words.type != RESP_ARRAY)
    return false;
  *entry = (struct stream_entry){.raw = begin,
                                 .size = (size_t)(next - begin),
                                 .words = words.text,
                                 .words_size = words.length,
                                 .word_count = words.integer};
  memcpy(entry->id, id.text, id.length);
  return true;
}

int redis_stream_compare(const char *one, const char *other) {
  char *dash_one, *dash_other;
  unsigned long long a = strtoull(one, &dash_one, 10), b = strtoull(other, &dash_other, 10);
  if (a == b) {
    a = *dash_one == '-' ? strtoull(dash_one + 1, NULL, 10) : 0;
    b = *dash_other == '-' ? strtoull(dash_other + 1, NULL, 10) : 0;
  }
  return (a > b) - (a < b);
}

size_t redis_stream_xadd(char *out, const char *key, const struct stream_entry *entry) {
  char head[512];
  int size = snprintf(head, sizeof(head), "*%" PRId64 "\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                      entry->word_count + 3, strlen(key), key, strlen(entry->id), entry->id);
  if (out) {
    memcpy(out, head, (size_t)size);
    memcpy(out + size, entry->words, entry->words_size);
  }
  return (size_t)size + entry->words_size;
}
