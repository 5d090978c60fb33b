// SPDX-License-Identifier: Apache-2.0
// An object as text: the same text for the same settings, however the file wrote them.
#include "common/base/conf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

struct sink {
  char *buf;
  size_t size, used; // used counts on past the end
};

static void put(struct sink *, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct sink *s, const char *format, ...) {
  bool room = s->used < s->size;
  va_list args;
  va_start(args, format);
  s->used += (size_t)vsnprintf(room ? s->buf + s->used : NULL, room ? s->size - s->used : 0, format, args);
  va_end(args);
}

// With its length: no text can be mistaken for two, whatever it holds.
static void put_text(struct sink *s, const char *text) {
  put(s, " %zu:%s", strlen(text), text);
}

static void put_texts(struct sink *s, const struct conf_texts *texts) {
  for (size_t i = 0; i < texts->count; i++)
    put_text(s, texts->at[i]);
}

static void put_numbers(struct sink *s, const struct conf_numbers *numbers) {
  for (size_t i = 0; i < numbers->count; i++)
    put(s, " %" PRIu32, numbers->at[i]);
}

static void put_map(struct sink *s, const struct conf_map *map) {
  for (size_t i = 0; i < map->count; i++) {
    put_text(s, map->at[i].key);
    put_text(s, map->at[i].value);
  }
}

static void put_value(struct sink *s, const struct conf_key *key, const void *value) {
  char word[64];
  switch (key->type) {
  case CONF_TEXT:
    put_text(s, *(const char *const *)value);
    break;
  case CONF_WORD:
    put_text(s, conf_word_at(key->words, *(const int *)value, word, sizeof word));
    break;
  case CONF_U32:
    put(s, " %" PRIu32, *(const uint32_t *)value);
    break;
  case CONF_U64:
    put(s, " %" PRIu64, *(const uint64_t *)value);
    break;
  case CONF_REAL:
    put(s, " %.6f", *(const double *)value);
    break;
  case CONF_BOOL:
    put(s, " %d", *(const bool *)value);
    break;
  case CONF_WORD_OR_U32:
    put(s, " %" PRId64, *(const int64_t *)value);
    break;
  case CONF_TEXTS:
    put_texts(s, value);
    break;
  case CONF_NUMBERS:
    put_numbers(s, value);
    break;
  case CONF_MAP:
    put_map(s, value);
    break;
  case CONF_GROUP:
  case CONF_LIST:
    break;
  }
}

static bool same_value(const struct conf_key *key, const void *one, const void *other) {
  char a[8192], b[8192]; /* sixteen texts of the longest kind fit */
  struct sink x = {.buf = a, .size = sizeof a}, y = {.buf = b, .size = sizeof b};
  put_value(&x, key, one);
  put_value(&y, key, other);
  return x.used == y.used && memcmp(a, b, x.used < sizeof a ? x.used : sizeof a) == 0;
}

static const struct conf_key *list_of(const struct conf_table *t, const struct conf_key *key) {
  const char *end = strstr(key->path, "[].");
  for (size_t i = 0; end != NULL && i < t->count; i++)
    if (strlen(t->at[i].path) == (size_t)(end - key->path) &&
        strncmp(t->at[i].path, key->path, (size_t)(end - key->path)) == 0)
      return &t->at[i];
  return NULL;
}

static size_t count_of(const struct conf_key *list, const char *object) {
  return *(const size_t *)(const void *)(object + list->count_at);
}

static bool same_key(const struct conf_table *t, const struct conf_key *key, const char *one,
                     const char *other) {
  const struct conf_key *list = list_of(t, key);
  if (key->type == CONF_LIST)
    return count_of(key, one) == count_of(key, other);
  if (list == NULL)
    return same_value(key, one + key->at, other + key->at);
  size_t n = list->reload || count_of(list, one) != count_of(list, other) ? 0 : count_of(list, one);
  for (size_t i = 0; i < n; i++)
    if (!same_value(key, one + list->at + i * list->stride + key->at,
                    other + list->at + i * list->stride + key->at))
      return false;
  return true;
}

size_t conf_restart_keys(const struct conf_table *t, const void *one, const void *other, char *buf,
                         size_t size) {
  struct sink s = {.buf = buf, .size = size};
  size_t found = 0;
  if (size > 0)
    buf[0] = '\0';
  for (size_t i = 0; i < t->count; i++)
    if (!t->at[i].reload && !same_key(t, &t->at[i], one, other))
      put(&s, "%s%s", found++ > 0 ? ", " : "", t->at[i].path);
  return found;
}

static void put_group(struct sink *s, const struct conf_table *t, const char *pattern, const char *object);

static void put_list(struct sink *s, const struct conf_table *t, const struct conf_key *key,
                     const char *object) {
  char pattern[CONF_PATH_MAX];
  size_t n = *(const size_t *)(const void *)(object + key->count_at);
  snprintf(pattern, sizeof pattern, "%s[]", key->path);
  put(s, "%s %zu\n", key->path, n);
  for (size_t i = 0; i < n; i++)
    put_group(s, t, pattern, object + key->at + i * key->stride);
}

static void put_key(struct sink *s, const struct conf_table *t, const struct conf_key *key,
                    const char *object) {
  if (key->local)
    return;
  if (key->type == CONF_GROUP) {
    put_group(s, t, key->path, object);
  } else if (key->type == CONF_LIST) {
    put_list(s, t, key, object);
  } else {
    put(s, "%s", key->path);
    put_value(s, key, object + key->at);
    put(s, "\n");
  }
}

static void put_group(struct sink *s, const struct conf_table *t, const char *pattern, const char *object) {
  for (size_t i = 0; i < t->count; i++)
    if (conf_name_in(&t->at[i], pattern))
      put_key(s, t, &t->at[i], object);
}

size_t conf_canonical(const struct conf_table *table, const void *object, char *buf, size_t size) {
  struct sink s = {.buf = buf, .size = size};
  if (size > 0)
    buf[0] = '\0';
  put_group(&s, table, "", object);
  return s.used;
}
