// SPDX-License-Identifier: Apache-2.0
#include "common/base/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/text.h"

// `struct json` is never defined: behind each pointer to one is a json_t.
static json_t *inner(const struct json *json) {
  return (json_t *)(uintptr_t)json;
}
static struct json *outer(json_t *json) {
  return (struct json *)json;
}

#define STYLE (JSON_COMPACT | JSON_REAL_PRECISION(6))

static bool short_of_memory; // since the last time that a text was made

// ---- building ----

struct json *json_new_object(void) {
  return outer(json_object());
}
struct json *json_new_array(void) {
  return outer(json_array());
}
void json_free(struct json *json) {
  json_decref(inner(json));
}

// jansson refuses a NULL on either side: a failure further in is noticed here, one further out at the next
// call.
static void set(struct json *object, const char *key, json_t *value) {
  if (json_object_set_new(inner(object), key, value) != 0)
    short_of_memory = true;
}

static void append(struct json *array, json_t *value) {
  if (json_array_append_new(inner(array), value) != 0)
    short_of_memory = true;
}

// jansson takes UTF-8 alone; what it refuses is cleaned first.
static json_t *text_value(const char *text) {
  if (text == NULL)
    return json_null();
  json_t *value = json_string(text);
  char *copy = value == NULL ? strdup(text) : NULL;
  if (copy != NULL) {
    text_clean(copy, strlen(copy));
    value = json_string(copy);
    free(copy);
  }
  return value;
}

void json_put_text(struct json *object, const char *key, const char *text) {
  set(object, key, text_value(text));
}
void json_put_int(struct json *object, const char *key, int64_t value) {
  set(object, key, json_integer(value));
}

void json_put_uint(struct json *object, const char *key, uint64_t value) {
  json_put_int(object, key, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void json_put_real(struct json *object, const char *key, double value) {
  set(object, key, isfinite(value) ? json_real(value) : json_null());
}

void json_put_bool(struct json *object, const char *key, bool value) {
  set(object, key, json_boolean(value));
}
void json_put_null(struct json *object, const char *key) {
  set(object, key, json_null());
}
void json_put(struct json *object, const char *key, struct json *child) {
  set(object, key, inner(child));
}

void json_add_text(struct json *array, const char *text) {
  append(array, text_value(text));
}
void json_add_int(struct json *array, int64_t value) {
  append(array, json_integer(value));
}
void json_add(struct json *array, struct json *child) {
  append(array, inner(child));
}

// ---- as text ----

static bool is_complete(const struct json *json) {
  bool complete = json != NULL && !short_of_memory;
  short_of_memory = false;
  return complete;
}

int json_write(const struct json *json, char *buffer, size_t size) {
  if (!is_complete(json))
    return -ENOMEM;
  size_t length = json_dumpb(inner(json), buffer, size, STYLE);
  if (length == 0)
    return -ENOMEM;
  if (length >= size)
    return -EMSGSIZE;
  buffer[length] = 0;
  return (int)length;
}

char *json_text(const struct json *json) {
  return is_complete(json) ? json_dumps(inner(json), STYLE) : NULL;
}

// ---- reading ----

struct json *json_parse(const char *text, size_t length, char *error, size_t size) {
  json_error_t details;
  json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &details);
  if (json == NULL && error != NULL) {
    snprintf(error, size, "byte %d: %s", details.position, details.text);
    text_clean(error, strlen(error)); // it quotes what it was given
  }
  return outer(json);
}

const struct json *json_get(const struct json *object, const char *key) {
  json_t *value = json_object_get(inner(object), key);
  return json_is_null(value) ? NULL : outer(value);
}

const char *json_get_text(const struct json *object, const char *key, const char *otherwise) {
  return json_as_text(json_get(object, key), otherwise);
}

int64_t json_get_int(const struct json *object, const char *key, int64_t otherwise) {
  return json_as_int(json_get(object, key), otherwise);
}

int64_t json_get_time(const struct json *object, const char *key) {
  int64_t time = json_get_int(object, key, 0);
  return time >= -JSON_TIME_MAX && time <= JSON_TIME_MAX ? time : 0;
}

double json_get_real(const struct json *object, const char *key, double otherwise) {
  const json_t *value = inner(json_get(object, key));
  return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool json_get_bool(const struct json *object, const char *key, bool otherwise) {
  const json_t *value = inner(json_get(object, key));
  return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

size_t json_count(const struct json *array) {
  return json_array_size(inner(array));
}

const struct json *json_at(const struct json *array, size_t index) {
  return outer(json_array_get(inner(array), index));
}

const char *json_as_text(const struct json *json, const char *otherwise) {
  const char *text = json_string_value(inner(json));
  return text == NULL ? otherwise : text;
}

int64_t json_as_int(const struct json *json, int64_t otherwise) {
  return json_is_integer(inner(json)) ? json_integer_value(inner(json)) : otherwise;
}

enum json_kind json_kind(const struct json *json) {
  static const enum json_kind kind[] = {
      [JSON_OBJECT] = JSON_KIND_OBJECT, [JSON_ARRAY] = JSON_KIND_ARRAY, [JSON_STRING] = JSON_KIND_TEXT,
      [JSON_INTEGER] = JSON_KIND_INT,   [JSON_REAL] = JSON_KIND_REAL,   [JSON_TRUE] = JSON_KIND_BOOL,
      [JSON_FALSE] = JSON_KIND_BOOL,    [JSON_NULL] = JSON_KIND_NULL,
  };
  return json == NULL ? JSON_KIND_NULL : kind[json_typeof(inner(json))];
}
