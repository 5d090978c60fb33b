// SPDX-License-Identifier: Apache-2.0
#include "common/base/trace_field.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/types.h"

static const struct {
  unsigned flag;
  const char *name;
} flag_names[] = {
    {BEAT_ASK, "ask"},     {BEAT_RELEASED, "released"}, {BEAT_HANDOVER, "handover"},
    {BEAT_BLANK, "blank"}, {BEAT_WITNESS, "hears-w"},   {BEAT_FORCED, "forced"},
    {BEAT_WAITS, "waits"},
};
#define FLAG_NAMES (sizeof flag_names / sizeof flag_names[0])
static_assert(BEAT_FLAGS_ALL == (1 << FLAG_NAMES) - 1, "each flag has a word");

// ---- to text ----

void trace_put(struct trace_text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text->at, text->left, format, arguments);
  va_end(arguments);
  size_t wanted = length > 0 ? (size_t)length : 0;
  size_t put = wanted < text->left ? wanted : text->left > 0 ? text->left - 1 : 0;
  text->at += put;
  text->left -= put;
  text->length += wanted;
}

static void put_record(struct trace_text *text, const struct record *record) {
  const char *mode = record->mode == RECORD_SOLE ? "sole" : "pair";
  trace_put(text, "(%" PRIu64 ",%" PRIu32 ",%s", record->epoch, record->version, mode);
  if (record->owner != NOBODY)
    trace_put(text, "-%s", voter_name(record->owner));
  trace_put(text, ")");
}

static void put_flags(struct trace_text *text, unsigned flags) {
  const char *gap = "";
  for (size_t i = 0; i < FLAG_NAMES; i++)
    if (flags & flag_names[i].flag) {
      trace_put(text, "%s%s", gap, flag_names[i].name);
      gap = " ";
    }
}

static size_t width(enum field_kind kind) {
  if (kind == FIELD_U64 || kind == FIELD_HEX64 || kind == FIELD_SEQ)
    return 8;
  return kind == FIELD_U8 ? 1 : kind == FIELD_U16 ? 2 : 4;
}

static uint64_t number_at(enum field_kind kind, const void *at) {
  switch (width(kind)) {
  case 1:
    return *(const uint8_t *)at;
  case 2:
    return *(const uint16_t *)at;
  case 4:
    return *(const uint32_t *)at;
  default:
    return *(const uint64_t *)at;
  }
}

/* Values of several parts. */
static void put_parts(struct trace_text *text, const struct field *field, const void *object) {
  const void *at = (const char *)object + field->offset;
  const void *second = (const char *)object + field->second;
  if (field->kind == FIELD_POSITION) {
    const struct position *position = at;
    trace_put(text, "%" PRIu64 ":%" PRIu64, position->epoch, position->offset);
  } else if (field->kind == FIELD_SEEN) {
    const struct seen *seen = at;
    trace_put(text, "%" PRIu64 "/", seen->epoch);
    put_record(text, &seen->sync);
  } else if (field->kind == FIELD_FROZEN) {
    const struct frozen *frozen = at;
    trace_put(text, "%" PRIu32 ":%s", frozen->serial, frozen->on ? "on" : "off");
  } else if (field->kind == FIELD_LEADER) {
    trace_put(text, "%s@%" PRIu64, voter_name(*(const uint8_t *)at), *(const uint64_t *)second);
  } else {
    trace_put(text, "%s>%s", voter_name(*(const uint8_t *)at), voter_name(*(const uint8_t *)second));
  }
}

static void put_value(struct trace_text *text, const struct field *field, const void *object) {
  const void *at = (const char *)object + field->offset;
  switch (field->kind) {
  case FIELD_FREE:
    if (*(const uint32_t *)at == FREE_NEVER) {
      trace_put(text, "never");
      return;
    }
    /* fall through */
  case FIELD_U8:
  case FIELD_U16:
  case FIELD_U32:
  case FIELD_U64:
    trace_put(text, "%" PRIu64, number_at(field->kind, at));
    return;
  case FIELD_SEQ:
    trace_put(text, "#%" PRIu64, number_at(field->kind, at));
    return;
  case FIELD_HEX32:
  case FIELD_HEX64:
    trace_put(text, "%" PRIx64, number_at(field->kind, at));
    return;
  case FIELD_I64:
    trace_put(text, "%" PRId64, *(const int64_t *)at);
    return;
  case FIELD_BOOL:
    trace_put(text, "%s", *(const bool *)at ? field->key : "");
    return;
  case FIELD_VOTER:
    trace_put(text, "%s", voter_name(*(const uint8_t *)at));
    return;
  case FIELD_REPLICATION:
    trace_put(text, "%s", replication_name(*(const uint8_t *)at));
    return;
  case FIELD_ROLE:
    trace_put(text, "%s", role_name(*(const uint8_t *)at));
    return;
  case FIELD_FLAGS:
    put_flags(text, *(const uint8_t *)at);
    return;
  case FIELD_RECORD:
    put_record(text, at);
    return;
  case FIELD_POSITION:
  case FIELD_SEEN:
  case FIELD_FROZEN:
  case FIELD_LEADER:
  case FIELD_ROUTE:
    put_parts(text, field, object);
    return;
  }
}

void fields_print(struct trace_text *text, struct fields fields, const void *object, const void *standard) {
  for (size_t i = 0; i < fields.count; i++) {
    const struct field *field = &fields.at[i];
    char mine[TRACE_WORD_MAX], usual[TRACE_WORD_MAX];
    put_value(&(struct trace_text){mine, sizeof mine, 0}, field, object);
    put_value(&(struct trace_text){usual, sizeof usual, 0}, field, standard);
    if (strcmp(mine, usual) == 0)
      continue;
    bool keyed = field->key[0] != 0 && field->kind != FIELD_BOOL;
    trace_put(text, " %s%s%s", keyed ? field->key : "", keyed ? " " : "", mine);
  }
}

// ---- and back ----

bool trace_word(const char **line, char word[TRACE_WORD_MAX]) {
  const char *at = *line + strspn(*line, " \t\r\n");
  size_t length = strcspn(at, " \t\r\n");
  *line = at + length;
  snprintf(word, TRACE_WORD_MAX, "%.*s", (int)(length < TRACE_WORD_MAX ? length : TRACE_WORD_MAX - 1), at);
  return length > 0;
}

bool trace_number(const char *word, int base, uint64_t max, uint64_t *out) {
  char *end;
  if (!isxdigit((unsigned char)word[0]))
    return false;
  errno = 0;
  *out = strtoull(word, &end, base);
  return errno == 0 && *end == 0 && *out <= max;
}

static bool get_signed(const char *word, int64_t *out) {
  char *end;
  errno = 0;
  *out = strtoll(word, &end, 10);
  return errno == 0 && end != word && *end == 0;
}

static bool get_name(const char *word, const char *(*name)(unsigned), unsigned count, uint8_t *out) {
  for (unsigned i = 0; i < count; i++)
    if (strcmp(word, name(i)) == 0) {
      *out = (uint8_t)i;
      return true;
    }
  return false;
}

/* Takes `word` apart at the first `mark`: the rest of it, or NULL. */
static char *split(char *word, char mark) {
  char *at = strchr(word, mark);
  if (at != NULL)
    *at++ = 0;
  return at;
}

static bool get_record(char *word, struct record *record) {
  size_t length = strlen(word);
  if (word[0] != '(' || word[length - 1] != ')')
    return false;
  word[length - 1] = 0;
  char *version = split(word + 1, ',');
  char *mode = version == NULL ? NULL : split(version, ',');
  uint64_t number;
  if (mode == NULL || !trace_number(word + 1, 10, UINT64_MAX, &record->epoch) ||
      !trace_number(version, 10, UINT32_MAX, &number))
    return false;
  record->version = (uint32_t)number;
  char *owner = split(mode, '-');
  record->mode = strcmp(mode, "sole") == 0 ? RECORD_SOLE : RECORD_PAIR;
  record->owner = NOBODY;
  return (record->mode == RECORD_SOLE || strcmp(mode, "pair") == 0) &&
         (owner == NULL || get_name(owner, voter_name, NOBODY, &record->owner));
}

static bool get_seen(char *word, struct seen *seen) {
  char *record = split(word, '/');
  return record != NULL && trace_number(word, 10, UINT64_MAX, &seen->epoch) &&
         get_record(record, &seen->sync);
}

static bool get_frozen(char *word, struct frozen *frozen) {
  char *on = split(word, ':');
  uint64_t serial;
  if (on == NULL || !trace_number(word, 10, UINT32_MAX, &serial))
    return false;
  *frozen = (struct frozen){(uint32_t)serial, strcmp(on, "on") == 0};
  return frozen->on || strcmp(on, "off") == 0;
}

static bool get_position(char *word, struct position *position) {
  char *offset = split(word, ':');
  return offset != NULL && trace_number(word, 10, UINT64_MAX, &position->epoch) &&
         trace_number(offset, 10, UINT64_MAX, &position->offset);
}

static bool get_flag(const char *word, uint8_t *flags) {
  for (size_t i = 0; i < FLAG_NAMES; i++)
    if (strcmp(word, flag_names[i].name) == 0) {
      *flags = (uint8_t)(*flags | flag_names[i].flag);
      return true;
    }
  return false;
}

static bool get_number_of(enum field_kind kind, const char *word, void *at) {
  bool hex = kind == FIELD_HEX32 || kind == FIELD_HEX64;
  size_t size = width(kind);
  uint64_t number;
  if (!trace_number(word, hex ? 16 : 10, UINT64_MAX >> (64 - 8 * size), &number))
    return false;
  if (size == 1)
    *(uint8_t *)at = (uint8_t)number;
  else if (size == 2)
    *(uint16_t *)at = (uint16_t)number;
  else if (size == 4)
    *(uint32_t *)at = (uint32_t)number;
  else
    *(uint64_t *)at = number;
  return true;
}

static bool get_pair(const struct field *field, char *word, uint8_t *first, void *second) {
  bool leader = field->kind == FIELD_LEADER;
  char *rest = split(word, leader ? '@' : '>');
  if (rest == NULL || !get_name(word, voter_name, VOTERS + 1, first))
    return false;
  return leader ? trace_number(rest, 10, UINT64_MAX, second) : get_name(rest, voter_name, VOTERS, second);
}

static bool get_value(const struct field *field, void *object, const char *text) {
  void *at = (char *)object + field->offset;
  char word[TRACE_WORD_MAX];
  snprintf(word, sizeof word, "%s", text);
  switch (field->kind) {
  case FIELD_U8:
  case FIELD_U16:
  case FIELD_U32:
  case FIELD_U64:
  case FIELD_HEX32:
  case FIELD_HEX64:
    return get_number_of(field->kind, word, at);
  case FIELD_I64:
    return get_signed(word, at);
  case FIELD_FREE:
    if (strcmp(word, "never") != 0)
      return get_number_of(field->kind, word, at);
    *(uint32_t *)at = FREE_NEVER;
    return true;
  case FIELD_BOOL:
    *(bool *)at = true;
    return true;
  case FIELD_VOTER:
    return get_name(word, voter_name, VOTERS + 1, at);
  case FIELD_REPLICATION:
    return get_name(word, replication_name, REPLICATION_COUNT, at);
  case FIELD_POSITION:
    return get_position(word, at);
  case FIELD_RECORD:
    return get_record(word, at);
  case FIELD_SEEN:
    return get_seen(word, at);
  case FIELD_FROZEN:
    return get_frozen(word, at);
  case FIELD_LEADER:
  case FIELD_ROUTE:
    return get_pair(field, word, at, (char *)object + field->second);
  case FIELD_SEQ:
    return word[0] == '#' && get_number_of(field->kind, word + 1, at);
  case FIELD_ROLE:
    return get_name(word, role_name, ROLE_COUNT, at);
  case FIELD_FLAGS:
    return get_flag(word, at);
  }
  return false;
}

int field_parse(struct fields fields, void *object, const char *word, const char **line) {
  for (size_t i = 0; i < fields.count; i++) {
    const struct field *field = &fields.at[i];
    if (field->key[0] == 0) {
      if (get_value(field, object, word))
        return 1;
    } else if (strcmp(word, field->key) == 0) {
      char value[TRACE_WORD_MAX] = "";
      bool complete = field->kind == FIELD_BOOL || trace_word(line, value);
      return complete && get_value(field, object, value) ? 1 : -1;
    }
  }
  return 0;
}
