// SPDX-License-Identifier: Apache-2.0
// Internal to trace.c: a structure as a row of words, `key value key value`, and back. One table a structure
// says how: what equals the standard value is left out.
#ifndef TANIST_BASE_TRACE_FIELD_H
#define TANIST_BASE_TRACE_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_WORD_MAX 80 // no word of a line is longer

enum field_kind {
  FIELD_U8,
  FIELD_U16,
  FIELD_U32,
  FIELD_U64,
  FIELD_I64,
  FIELD_HEX32,
  FIELD_HEX64,
  FIELD_FREE, // free_ms: a number, or never
  FIELD_BOOL, // the key alone, when true
  FIELD_VOTER,
  FIELD_REPLICATION,
  FIELD_POSITION,
  FIELD_RECORD, // (4,2,pair), (4,3,sole-a)
  FIELD_SEEN,   // 4/(4,2,pair)
  FIELD_FROZEN, // 3:on
  FIELD_LEADER, // a@4; `second` is the epoch
  // Without a key: the value tells what it is.
  FIELD_ROUTE, // b>a; `second` is where to
  FIELD_SEQ,   // #12
  FIELD_ROLE,
  FIELD_FLAGS, // one word a flag
};

struct field {
  const char *key; // "" where the value needs none
  enum field_kind kind;
  size_t offset, second;
};

struct fields {
  const struct field *at;
  size_t count;
};

// A line under way; what does not fit is cut off, the end is always there.
struct trace_text {
  char *at;
  size_t left;
  size_t length; // as long as it would be with room enough
};

void trace_put(struct trace_text *, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ` key value` for each field of *object that differs from *standard.
void fields_print(struct trace_text *, struct fields, const void *object, const void *standard);

// The next word of *line into `word`; false at its end. A word that is too long is cut: it will not be
// understood.
bool trace_word(const char **line, char word[TRACE_WORD_MAX]);

// One field of *object from its word, and from the next one of *line if it has a key. 1: done; 0: the table
// knows no such word; -1: the value is not one of this kind.
int field_parse(struct fields, void *object, const char *word, const char **line);

bool trace_number(const char *word, int base, uint64_t max, uint64_t *out); // all of the word

#endif
