// SPDX-License-Identifier: Apache-2.0
// JSON: what the control socket speaks, and `tanist --json`. The one file that knows jansson.
//
// Building needs no checks on the way: what fails for want of memory is remembered, and the next json_write
// or json_text says -ENOMEM instead of giving half an object. Texts may hold anything: what is not UTF-8
// becomes '?'. Single-threaded.
#ifndef TANIST_BASE_JSON_H
#define TANIST_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;

// ---- building: the caller owns what these return, until it is put into another ----

struct json *json_new_object(void);
struct json *json_new_array(void);
void json_free(struct json *); // with all that is in it; NULL is allowed

// Each sets one key of an object, replacing what it had. Keys come out in the order of their first setting.
void json_put_text(struct json *, const char *key, const char *text); // NULL: null
void json_put_int(struct json *, const char *key, int64_t);
void json_put_uint(struct json *, const char *key, uint64_t); // above INT64_MAX: INT64_MAX
void json_put_real(struct json *, const char *key, double);   // six digits; not finite: null
void json_put_bool(struct json *, const char *key, bool);
void json_put_null(struct json *, const char *key);
void json_put(struct json *, const char *key, struct json *child); // takes the child over

// Each appends to an array.
void json_add_text(struct json *, const char *text);
void json_add_int(struct json *, int64_t);
void json_add(struct json *, struct json *child); // takes the child over

// ---- as text: compact, one line, without a line end ----

// The length, and the text with a 0 after it in the buffer; -EMSGSIZE when it does not fit, -ENOMEM.
int json_write(const struct json *, char *buffer, size_t size);
char *json_text(const struct json *); // to be freed by the caller; NULL: -ENOMEM

// ---- reading ----

// Parses one value, an object or an array, and nothing after it. NULL on anything else, on a key that comes
// twice, on a NUL character and beyond the depth of 2048; then `error` (size bytes, may be NULL) says what is
// wrong, and where.
struct json *json_parse(const char *text, size_t length, char *error, size_t size);

// What a key of an object holds; NULL where there is none, where it is null, and where `object` is no object
// or NULL.
const struct json *json_get(const struct json *object, const char *key);

// The same as a value of one type; `otherwise` where it is none of that type.
const char *json_get_text(const struct json *object, const char *key, const char *otherwise);
int64_t json_get_int(const struct json *object, const char *key, int64_t otherwise);
// A time or a span, in ms or µs, that can be reckoned with: 0 for none, and for what lies beyond
// ±JSON_TIME_MAX, which is how far all readers of JSON are exact. Times 1000 it is an int64_t still.
#define JSON_TIME_MAX (INT64_C(1) << 53)
int64_t json_get_time(const struct json *object, const char *key);
double json_get_real(const struct json *object, const char *key, double otherwise); // of an integer, too
bool json_get_bool(const struct json *object, const char *key, bool otherwise);

size_t json_count(const struct json *array);                        // 0 for what is no array, NULL included
const struct json *json_at(const struct json *array, size_t index); // NULL past the end

// A value by itself, an array's element for one.
const char *json_as_text(const struct json *, const char *otherwise);
int64_t json_as_int(const struct json *, int64_t otherwise);

enum json_kind {
  JSON_KIND_NULL, // also of no value at all
  JSON_KIND_OBJECT,
  JSON_KIND_ARRAY,
  JSON_KIND_TEXT,
  JSON_KIND_INT,
  JSON_KIND_REAL,
  JSON_KIND_BOOL,
};
enum json_kind json_kind(const struct json *);

#endif
