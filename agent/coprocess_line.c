// SPDX-License-Identifier: Apache-2.0
#include "agent/coprocess_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_DIGITS_MAX 19 // below 10^19 no number wraps

// ---- reading ----

struct text {
  const char *at, *end;
};

// The next word, without the blank behind it. False at the end, and for an empty one.
static bool take_word(struct text *text, struct text *word) {
  if (text->at == text->end)
    return false;
  const char *blank = memchr(text->at, ' ', (size_t)(text->end - text->at));
  *word = (struct text){text->at, blank != NULL ? blank : text->end};
  text->at = blank != NULL ? blank + 1 : text->end;
  bool trailing = blank != NULL && text->at == text->end;
  return word->at < word->end && !trailing;
}

static bool take_number(const struct text *word, uint64_t *number) {
  if (word->end - word->at > ID_DIGITS_MAX)
    return false;
  *number = 0;
  for (const char *c = word->at; c < word->end; c++) {
    if (*c < '0' || *c > '9')
      return false;
    *number = *number * 10 + (uint64_t)(*c - '0');
  }
  return true;
}

static int digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_value(const char *at, const char *end, char *value, size_t size) {
  size_t used = 0;
  for (; at < end; at++, used++) {
    if (used + 1 >= size || (unsigned char)*at < ' ')
      return false;
    value[used] = *at;
    if (*at != '%')
      continue;
    int high = end - at > 2 ? digit(at[1]) : -1, low = end - at > 2 ? digit(at[2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0))
      return false;
    value[used] = (char)(high * 16 + low);
    at += 2;
  }
  value[used] = 0;
  return true;
}

static bool take_pair(const struct text *word, struct words *words) {
  char key[WORDS_KEY_SIZE], value[WORDS_VALUE_SIZE];
  const char *mark = memchr(word->at, '=', (size_t)(word->end - word->at));
  if (mark == NULL || !words_is_key(word->at, (size_t)(mark - word->at)))
    return false;
  snprintf(key, sizeof key, "%.*s", (int)(mark - word->at), word->at);
  return take_value(mark + 1, word->end, value, sizeof value) && words_put(words, key, value);
}

static bool take_head(struct text *text, struct coprocess_line *line) {
  struct text word;
  uint64_t number;
  if (!take_word(text, &word))
    return false;
  line->event = word.end - word.at == 1 && *word.at == '*';
  if (line->event) {
    if (!take_word(text, &word) || !words_is_key(word.at, (size_t)(word.end - word.at)))
      return false;
    snprintf(line->name, sizeof line->name, "%.*s", (int)(word.end - word.at), word.at);
    return true;
  }
  if (!take_number(&word, &line->id) || !take_word(text, &word) || !take_number(&word, &number) || number > 255)
    return false;
  line->rc = (int)number;
  return true;
}

bool coprocess_parse(const char *bytes, size_t length, struct coprocess_line *line) {
  struct text text = {bytes, bytes + length}, word;
  memset(line, 0, sizeof *line);
  if (memchr(bytes, 0, length) != NULL || !take_head(&text, line))
    return false;
  while (text.at < text.end)
    if (!take_word(&text, &word) || !take_pair(&word, &line->words))
      return false;
  return true;
}

// ---- writing ----

static size_t put_value(char *buf, size_t size, size_t used, const char *value) {
  for (const unsigned char *c = (const unsigned char *)value; *c != 0; c++) {
    bool plain = *c > ' ' && *c < 0x7f && *c != '%';
    if (used + 4 < size)
      used += (size_t)snprintf(buf + used, size - used, plain ? "%c" : "%%%02X", *c);
  }
  return used;
}

size_t coprocess_ask(char *buf, size_t size, uint64_t id, enum verb verb, uint32_t deadline_ms,
                     const struct words *words) {
  size_t used = (size_t)snprintf(buf, size, "%" PRIu64 " %s %" PRIu32, id, verb_name(verb), deadline_ms);
  for (size_t i = 0; i < words->count; i++) {
    used += (size_t)snprintf(buf + used, size - used, " %s=", words->at[i].key);
    used = put_value(buf, size, used, words->at[i].value);
  }
  buf[used++] = '\n';
  return used;
}
