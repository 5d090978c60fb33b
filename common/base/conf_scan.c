// SPDX-License-Identifier: Apache-2.0
// One pass over the text for what libconfig 1.5 accepts and should not.
#include "common/base/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct scan {
  const char *at, *end;
  unsigned line;
  bool fresh; // nothing but blanks in this line yet
  char *why;
  size_t size;
};

static bool refuse(struct scan *s, const char *why) {
  snprintf(s->why, s->size, "%s", why);
  return false;
}

static bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '*' || c == '.';
}

static void step(struct scan *s) {
  if (*s->at == '\n')
    s->line++, s->fresh = true;
  else if (*s->at != ' ' && *s->at != '\t')
    s->fresh = false;
  s->at++;
}

static bool starts(const struct scan *s, const char *text) {
  size_t n = strlen(text);
  return (size_t)(s->end - s->at) >= n && memcmp(s->at, text, n) == 0;
}

static void skip_line(struct scan *s) {
  while (s->at < s->end && *s->at != '\n')
    s->at++;
}

// libconfig would take the end of the file for the end of the text, and drop the key in silence.
static bool skip_text(struct scan *s) {
  unsigned began = s->line;
  for (step(s); s->at < s->end && *s->at != '"'; step(s))
    if (*s->at == '\\' && s->at + 1 < s->end)
      step(s);
  if (s->at < s->end)
    return step(s), true;
  s->line = began;
  return refuse(s, "a text begins here and does not end; allowed: \"…\"");
}

static bool skip_comment(struct scan *s) {
  unsigned began = s->line;
  for (s->at += 2; s->at < s->end && !starts(s, "*/");)
    step(s);
  if (s->at < s->end)
    return s->at += 2, true;
  s->line = began;
  return refuse(s, "a comment begins here and does not end; allowed: /* … */");
}

// Decimal without an L is read with atoi, hexadecimal is cut to 32 bits, both in silence.
static bool number_fits(const char *word) {
  char *end;
  errno = 0;
  long long value = strtoll(word, &end, 10);
  if (strncmp(word, "0x", 2) == 0 || strncmp(word, "0X", 2) == 0)
    value = strtoll(word, &end, 16);
  bool wide = *end == 'L';
  bool whole = *end == '\0' || wide;
  return !whole || (errno == 0 && (wide || (value >= INT32_MIN && value <= INT32_MAX)));
}

static bool scan_word(struct scan *s) {
  char word[64];
  const char *from = s->at;
  while (s->at < s->end && (is_name_char(*s->at) || *s->at == '+'))
    step(s);
  size_t n = (size_t)(s->at - from);
  bool number = strchr("+-0123456789", *from) != NULL;
  if (number && n >= sizeof word)
    return refuse(s, "this number is too long; allowed: at most 18 digits");
  if (!number)
    return true;
  memcpy(word, from, n);
  word[n] = '\0';
  if (number_fits(word))
    return true;
  snprintf(s->why, s->size,
           "the number %s is too large; allowed: up to 2147483647, or up to 18 digits and an L, as in %s",
           word, "5000000000L");
  return false;
}

static bool scan_one(struct scan *s) {
  if (*s->at == '\0')
    return refuse(s, "a zero byte stands here; allowed: text");
  if (s->fresh && starts(s, "@include"))
    return refuse(s,
                  "@include is not allowed: the configuration is one file, the same on all three machines");
  if (*s->at == '"')
    return skip_text(s);
  if (starts(s, "/*"))
    return skip_comment(s);
  if (*s->at == '#' || starts(s, "//"))
    return skip_line(s), true;
  if (is_name_char(*s->at) || *s->at == '+')
    return scan_word(s);
  return step(s), true;
}

bool conf_scan(const char *text, size_t length, unsigned *line, char *why, size_t size) {
  struct scan s = {.at = text, .end = text + length, .line = 1, .fresh = true, .why = why, .size = size};
  bool good = true;
  // A zero byte within a text or a comment would end the file early for libconfig.
  const char *zero = memchr(text, '\0', length);
  if (zero)
    s.end = zero + 1;
  while (good && s.at < s.end)
    good = scan_one(&s);
  if (good && zero)
    good = refuse(&s, "a zero byte stands here; allowed: text");
  *line = s.line;
  return good;
}
