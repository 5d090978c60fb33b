// SPDX-License-Identifier: Apache-2.0
// What the rows of the table say by themselves, without a file: names, defaults, what is allowed.
#include "common/base/conf.h"

#include <stdlib.h>
#include <string.h>

// ---- words ----

int conf_word_index(const char *words, const char *word) {
  size_t n = strlen(word);
  int index = 0;
  for (const char *w = words; *w; index++) {
    size_t length = strcspn(w, "|");
    if (length == n && n > 0 && memcmp(w, word, n) == 0)
      return index;
    w += length + (w[length] == '|');
  }
  return CONF_UNSET;
}

const char *conf_word_at(const char *words, int index, char *buf, size_t size) {
  for (; index > 0 && *words; index--) {
    words += strcspn(words, "|");
    words += *words == '|';
  }
  snprintf(buf, size, "%.*s", index < 0 ? 0 : (int)strcspn(words, "|"), words);
  return buf;
}

const char *conf_name_in(const struct conf_key *key, const char *pattern) {
  size_t n = strlen(pattern);
  if (strncmp(key->path, pattern, n) != 0 || (n > 0 && key->path[n] != '.'))
    return NULL;
  const char *name = key->path + n + (n > 0);
  return strchr(name, '.') ? NULL : name;
}

void conf_list_names(const struct conf_table *t, const char *pattern, char *buf, size_t size) {
  size_t used = 0;
  buf[0] = '\0';
  for (size_t i = 0; i < t->count; i++) {
    const char *name = conf_name_in(&t->at[i], pattern);
    if (name && used < size)
      used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "", name);
  }
}

bool conf_is_known(const struct conf_table *t, const char *pattern, const char *name) {
  for (size_t i = 0; i < t->count; i++) {
    const char *known = conf_name_in(&t->at[i], pattern);
    if (known && strcmp(known, name) == 0)
      return true;
  }
  return false;
}

// ---- errors ----

void conf_add_error(struct conf_errors *e, const char *file, unsigned line, const char *text) {
  if (e->count == CONF_ERRORS_MAX) {
    e->more++;
    return;
  }
  size_t i = e->count++;
  for (; i > 0 && e->at[i - 1].line > line; i--)
    e->at[i] = e->at[i - 1];
  e->at[i].line = line;
  snprintf(e->at[i].text, CONF_ERROR_MAX, "%s:%u: %s", file, line, text);
}

// ---- what is allowed ----

// `"a", "b"`: the words that are not among the later ones.
static void list_words(const char *words, const char *later, char *buf, size_t size) {
  char word[64];
  size_t used = 0;
  buf[0] = '\0';
  for (int i = 0; *conf_word_at(words, i, word, sizeof word); i++)
    if ((!later || conf_word_index(later, word) < 0) && used < size)
      used += (size_t)snprintf(buf + used, size - used, "%s\"%s\"", used ? ", " : "", word);
}

const char *conf_quote_words(const char *words, char *buf, size_t size) {
  list_words(words, NULL, buf, size);
  return buf;
}

static void allow_text(const struct conf_key *key, char *buf, size_t size) {
  if (key->allowed)
    snprintf(buf, size, "%s", key->allowed);
  else
    snprintf(buf, size, "a text of %.0f to %.0f characters", key->min, key->max);
}

static void allow_texts(const struct conf_key *key, char *buf, size_t size) {
  snprintf(buf, size, "[ … ] of %.0f to %.0f texts, each %s", key->min, key->max,
           key->allowed ? key->allowed : "up to 1023 characters");
}

static void allow_list(const struct conf_key *key, char *buf, size_t size) {
  if (key->min >= key->max)
    snprintf(buf, size, "( { … }, … ) of exactly %.0f groups", key->max);
  else
    snprintf(buf, size, "( { … }, … ) of %.0f to %.0f groups", key->min, key->max);
}

static void allow(const struct conf_key *key, char *buf, size_t size) {
  char words[256];
  switch (key->type) {
  case CONF_GROUP:
    snprintf(buf, size, "a group { … }");
    break;
  case CONF_LIST:
    allow_list(key, buf, size);
    break;
  case CONF_TEXT:
    allow_text(key, buf, size);
    break;
  case CONF_WORD:
    list_words(key->words, key->later, buf, size);
    break;
  case CONF_U32:
  case CONF_U64:
    snprintf(buf, size, "a whole number from %.0f to %.0f", key->min, key->max);
    break;
  case CONF_REAL:
    snprintf(buf, size, "a number from %g to %g", key->min, key->max);
    break;
  case CONF_BOOL:
    snprintf(buf, size, "true, false");
    break;
  case CONF_TEXTS:
    allow_texts(key, buf, size);
    break;
  case CONF_NUMBERS:
    snprintf(buf, size, "[ … ] of up to %d whole numbers, each from %.0f to %.0f", CONF_ITEMS_MAX, key->min,
             key->max);
    break;
  case CONF_MAP:
    snprintf(buf, size, "{ NAME = \"…\"; } with up to %.0f names, each value %s", key->max,
             key->allowed ? key->allowed : "a text");
    break;
  case CONF_WORD_OR_U32:
    list_words(key->words, key->later, words, sizeof words);
    snprintf(buf, size, "%s, or a whole number from %.0f to %.0f", words, key->min, key->max);
    break;
  }
}

const char *conf_allowed(const struct conf_key *key, char *buf, size_t size) {
  allow(key, buf, size);
  return buf;
}

// ---- defaults ----

void conf_store_default(const struct conf_key *key, void *to) {
  const char *text = key->fallback;
  switch (key->type) {
  case CONF_TEXT:
    *(const char **)to = text;
    break;
  case CONF_WORD:
    *(int *)to = conf_word_index(key->words, text); // "": CONF_UNSET
    break;
  case CONF_U32:
    *(uint32_t *)to = (uint32_t)strtoul(text, NULL, 10);
    break;
  case CONF_U64:
    *(uint64_t *)to = strtoull(text, NULL, 10);
    break;
  case CONF_REAL:
    *(double *)to = strtod(text, NULL);
    break;
  case CONF_BOOL:
    *(bool *)to = strcmp(text, "true") == 0;
    break;
  case CONF_WORD_OR_U32:
    *(int64_t *)to = -1 - (int64_t)conf_word_index(key->words, text);
    break;
  case CONF_GROUP:
  case CONF_LIST:
  case CONF_TEXTS:
  case CONF_NUMBERS:
  case CONF_MAP:
    break; // empty: the object was cleared
  }
}

bool conf_differs(const struct conf_key *key, const void *value) {
  union {
    const char *text;
    int word;
    uint32_t u32;
    uint64_t u64;
    double real;
    bool on;
    int64_t mixed;
  } normal = {0};
  switch (key->type) {
  case CONF_TEXT:
    return strcmp(*(const char *const *)value, key->fallback) != 0;
  case CONF_TEXTS:
    return ((const struct conf_texts *)value)->count > 0;
  case CONF_NUMBERS:
    return ((const struct conf_numbers *)value)->count > 0;
  case CONF_MAP:
    return ((const struct conf_map *)value)->count > 0;
  case CONF_U64:
    conf_store_default(key, &normal);
    return *(const uint64_t *)value != normal.u64;
  case CONF_U32:
    conf_store_default(key, &normal);
    return *(const uint32_t *)value != normal.u32;
  case CONF_BOOL:
    conf_store_default(key, &normal);
    return *(const bool *)value != normal.on;
  case CONF_WORD:
    conf_store_default(key, &normal);
    return *(const int *)value != normal.word;
  case CONF_REAL:
    conf_store_default(key, &normal);
    return *(const double *)value < normal.real || *(const double *)value > normal.real;
  case CONF_WORD_OR_U32:
    conf_store_default(key, &normal);
    return *(const int64_t *)value != normal.mixed;
  case CONF_GROUP:
  case CONF_LIST:
    break;
  }
  return false;
}
