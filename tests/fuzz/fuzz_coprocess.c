// SPDX-License-Identifier: Apache-2.0
// What a co-process sends, line by line. What is taken for a line must be one: keys, values and numbers within their
// bounds, and said again in our own words it is read as the same.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/coprocess_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look(const struct coprocess_line *line) {
  assert(line->words.count <= WORDS_MAX && line->rc >= 0 && line->rc <= 255);
  assert(!line->event || words_is_key(line->name, strlen(line->name)));
  for (size_t i = 0; i < line->words.count; i++) {
    const struct word *word = &line->words.at[i];
    assert(words_is_key(word->key, strnlen(word->key, sizeof word->key)));
    assert(memchr(word->value, 0, sizeof word->value) != NULL && strpbrk(word->value, "\r\n\t\033") == NULL);
  }
}

// A request has verb and deadline where an answer has its number.
static void again(const struct coprocess_line *line) {
  static char text[COPROCESS_ASKED_MAX], answer[COPROCESS_ASKED_MAX + 32];
  static struct coprocess_line second;
  size_t length = coprocess_ask(text, sizeof text, line->id, VERB_POS, 0, &line->words);
  assert(length > 0 && length < sizeof text && text[length - 1] == '\n');
  text[length - 1] = 0;
  char *words = strchr(strstr(text, " pos 0") + 5, ' ');
  int size = snprintf(answer, sizeof answer, "%llu 0%s", (unsigned long long)line->id, words != NULL ? words : "");
  assert(coprocess_parse(answer, (size_t)size, &second));
  assert(second.id == line->id && second.words.count == line->words.count);
  for (size_t i = 0; i < line->words.count; i++)
    assert(strcmp(second.words.at[i].value, line->words.at[i].value) == 0);
}

static void play(const uint8_t *bytes, size_t size) {
  static struct coprocess_line line;
  char *copy = malloc(size > 0 ? size : 1); // of its very size, so that a sanitizer sees who reads past it
  if (copy == NULL)
    abort();
  memcpy(copy, bytes, size);
  if (coprocess_parse(copy, size, &line)) {
    look(&line);
    if (!line.event)
      again(&line);
  }
  free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  while (size > 0) {
    const uint8_t *end = memchr(bytes, '\n', size);
    size_t length = end != NULL ? (size_t)(end - bytes) : size;
    play(bytes, length);
    size -= end != NULL ? length + 1 : length;
    bytes += end != NULL ? length + 1 : length;
  }
  return 0;
}
