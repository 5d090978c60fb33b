// SPDX-License-Identifier: Apache-2.0
#include "agent/resp.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// Finds the line's end. Returns the size of the line with its CRLF, 0 if it is not whole, or a negative
// errno.
static ssize_t line_size(const char *bytes, size_t length) {
  size_t look = length < RESP_LINE_MAX ? length : RESP_LINE_MAX;
  const char *end = memchr(bytes, '\n', look);
  if (!end)
    return length < RESP_LINE_MAX ? 0 : -EMSGSIZE;
  if (end == bytes || end[-1] != '\r')
    return -EBADMSG;
  return end - bytes + 1;
}

// Digits with an optional minus, all of them, at most 18: no overflow, no locale, no leading blanks.
static bool read_integer(const char *text, size_t length, int64_t *value) {
  bool minus = length > 0 && text[0] == '-';
  size_t at = minus ? 1 : 0;
  if (length == at || length - at > 18)
    return false;
  int64_t sum = 0;
  for (; at < length; at++) {
    if (text[at] < '0' || text[at] > '9')
      return false;
    sum = sum * 10 + (text[at] - '0');
  }
  *value = minus ? -sum : sum;
  return true;
}

static ssize_t parse_bulk(const char *bytes, size_t length, size_t head, struct resp_value *value) {
  if (value->integer == -1) {
    value->type = RESP_NULL;
    value->length = 0;
    return (ssize_t)head;
  }
  if (value->integer < 0)
    return -EBADMSG;
  if (value->integer > RESP_BULK_MAX)
    return -EMSGSIZE;
  size_t size = (size_t)value->integer;
  if (length - head < size + 2)
    return 0;
  if (bytes[head + size] != '\r' || bytes[head + size + 1] != '\n')
    return -EBADMSG;
  value->type = RESP_BULK;
  value->text = bytes + head;
  value->length = size;
  return (ssize_t)(head + size + 2);
}

static ssize_t parse_at(const char *bytes, size_t length, int depth, struct resp_value *value);

static ssize_t parse_array(const char *bytes, size_t length, size_t head, int depth,
                           struct resp_value *value) {
  if (value->integer == -1) {
    value->type = RESP_NULL;
    value->length = 0;
    return (ssize_t)head;
  }
  if (value->integer < 0)
    return -EBADMSG;
  if (value->integer > RESP_ITEMS_MAX || depth >= RESP_DEPTH_MAX)
    return -EMSGSIZE;
  size_t at = head;
  for (int64_t i = 0; i < value->integer; i++) {
    struct resp_value element;
    ssize_t size = parse_at(bytes + at, length - at, depth + 1, &element);
    if (size <= 0)
      return size;
    at += (size_t)size;
  }
  value->type = RESP_ARRAY;
  value->text = bytes + head;
  value->length = at - head;
  return (ssize_t)at;
}

static ssize_t parse_at(const char *bytes, size_t length, int depth, struct resp_value *value) {
  if (length == 0)
    return 0;
  if (!strchr("+-:$*", bytes[0]) || bytes[0] == '\0')
    return -EBADMSG;
  ssize_t head = line_size(bytes, length);
  if (head <= 0)
    return head;
  *value = (struct resp_value){.text = bytes + 1, .length = (size_t)head - 3};
  if (bytes[0] == '+' || bytes[0] == '-') {
    value->type = bytes[0] == '+' ? RESP_STATUS : RESP_ERROR;
    return head;
  }
  if (!read_integer(value->text, value->length, &value->integer))
    return -EBADMSG;
  if (bytes[0] == '$')
    return parse_bulk(bytes, length, (size_t)head, value);
  if (bytes[0] == '*')
    return parse_array(bytes, length, (size_t)head, depth, value);
  value->type = RESP_INTEGER;
  return head;
}

ssize_t resp_parse(const char *bytes, size_t length, struct resp_value *value) {
  return parse_at(bytes, length, 0, value);
}

// Appends `size` bytes at *used; false when they do not fit.
static bool put(char *out, size_t room, size_t *used, const char *bytes, size_t size) {
  if (room - *used < size)
    return false;
  memcpy(out + *used, bytes, size);
  *used += size;
  return true;
}

static bool put_head(char *out, size_t room, size_t *used, char sign, size_t number) {
  char head[32];
  int size = snprintf(head, sizeof(head), "%c%zu\r\n", sign, number);
  return put(out, room, used, head, (size_t)size);
}

size_t resp_encode(char *out, size_t room, size_t count, const char *const *words) {
  assert(count > 0);
  size_t used = 0;
  if (!put_head(out, room, &used, '*', count))
    return 0;
  for (size_t i = 0; i < count; i++) {
    size_t size = strlen(words[i]);
    if (!put_head(out, room, &used, '$', size) || !put(out, room, &used, words[i], size) ||
        !put(out, room, &used, "\r\n", 2))
      return 0;
  }
  return used;
}
