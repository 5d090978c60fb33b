// SPDX-License-Identifier: Apache-2.0
// A bounded list of key=value: what a driver's verb is told and what it answers, and what programs of the
// operator find in their environment.
#ifndef TANIST_AGENT_WORDS_H
#define TANIST_AGENT_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORDS_MAX 28
#define WORDS_KEY_SIZE 24    // with the 0; a key is [a-z][a-z0-9_]*
#define WORDS_VALUE_SIZE 544 // with the 0: any sentence of the log fits

struct word {
  char key[WORDS_KEY_SIZE];
  char value[WORDS_VALUE_SIZE]; // UTF-8 without control characters
};

struct words {
  size_t count;
  struct word at[WORDS_MAX];
};

bool words_is_key(const char *key, size_t length);

// Replaces the value of that key, or adds it; a NULL value is left out. False: not a key, or no room; the
// value is cleaned of control characters, and cut where it is too long.
bool words_put(struct words *, const char *key, const char *value);
bool words_put_uint(struct words *, const char *key, uint64_t value);

const char *words_get(const struct words *, const char *key); // NULL: not there
// False, and *value untouched, where there is none or it is no number from 0 to 2^64 - 1.
bool words_get_uint(const struct words *, const char *key, uint64_t *value);

// "TANIST_KEY=value"; returns buf.
const char *words_variable(const struct word *, char *buf, size_t size);

// All of them so, up to NULL. `text` holds what `at` points to; neither outlives it.
struct words_environment {
  char text[WORDS_MAX][WORDS_KEY_SIZE + WORDS_VALUE_SIZE + 8];
  const char *at[WORDS_MAX + 1];
};
void words_environment(const struct words *, struct words_environment *);

#endif
