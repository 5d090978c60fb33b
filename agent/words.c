// SPDX-License-Identifier: Apache-2.0
#include "agent/words.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

bool words_is_key(const char *key, size_t length) {
  if (length == 0 || length >= WORDS_KEY_SIZE || key[0] < 'a' || key[0] > 'z')
    return false;
  for (size_t i = 0; i < length; i++)
    if (!(key[i] >= 'a' && key[i] <= 'z') && !(key[i] >= '0' && key[i] <= '9') && key[i] != '_')
      return false;
  return true;
}

static struct word *find(struct words *words, const char *key) {
  for (size_t i = 0; i < words->count; i++)
    if (strcmp(words->at[i].key, key) == 0)
      return &words->at[i];
  return NULL;
}

bool words_put(struct words *words, const char *key, const char *value) {
  if (value == NULL)
    return true;
  if (!words_is_key(key, strlen(key)))
    return false;
  struct word *word = find(words, key);
  if (word == NULL && words->count == WORDS_MAX)
    return false;
  word = word != NULL ? word : &words->at[words->count++];
  snprintf(word->key, sizeof word->key, "%s", key);
  snprintf(word->value, sizeof word->value, "%s", value);
  text_clean(word->value, strlen(word->value));
  return true;
}

bool words_put_uint(struct words *words, const char *key, uint64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%" PRIu64, value);
  return words_put(words, key, text);
}

const char *words_get(const struct words *words, const char *key) {
  for (size_t i = 0; i < words->count; i++)
    if (strcmp(words->at[i].key, key) == 0)
      return words->at[i].value;
  return NULL;
}

bool words_get_uint(const struct words *words, const char *key, uint64_t *value) {
  const char *text = words_get(words, key);
  if (text == NULL || text[0] == 0 || text[strspn(text, "0123456789")] != 0)
    return false;
  errno = 0;
  unsigned long long number = strtoull(text, NULL, 10);
  if (errno != 0)
    return false;
  *value = number;
  return true;
}

const char *words_variable(const struct word *word, char *buf, size_t size) {
  snprintf(buf, size, "TANIST_%s=%s", word->key, word->value);
  for (char *c = buf; *c != 0 && *c != '='; c++)
    *c = (char)toupper((unsigned char)*c);
  return buf;
}

void words_environment(const struct words *words, struct words_environment *into) {
  for (size_t i = 0; i < words->count; i++)
    into->at[i] = words_variable(&words->at[i], into->text[i], sizeof into->text[i]);
  into->at[words->count] = NULL;
}
