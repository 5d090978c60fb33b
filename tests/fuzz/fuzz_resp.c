// SPDX-License-Identifier: Apache-2.0
// What a Redis answers, read value by value, arrays with their elements; cut short anywhere, the same bytes
// must be "not whole yet", or wrong already, and never another value.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look(const char *bytes, size_t length, const struct resp_value *value) {
  if (value->type == RESP_STATUS || value->type == RESP_ERROR || value->type == RESP_BULK)
    assert(value->text >= bytes && value->length <= length && value->text + value->length <= bytes + length);
  if (value->type != RESP_ARRAY)
    return;
  const char *at = value->text, *end = bytes + length;
  for (int64_t i = 0; i < value->integer; i++) {
    struct resp_value element;
    ssize_t taken = resp_parse(at, (size_t)(end - at), &element);
    assert(taken > 0 && taken <= end - at);
    look(at, (size_t)taken, &element);
    at += taken;
  }
  assert(at == end);
}

/* From memory of its very size, as far as there is any. */
static ssize_t parse_copy(const char *bytes, size_t length, struct resp_value *value) {
  char *copy = malloc(length);
  if (copy == NULL)
    abort();
  memcpy(copy, bytes, length);
  ssize_t taken = resp_parse(copy, length, value);
  free(copy);
  return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  const char *bytes = (const char *)input;
  struct resp_value value, shorter;
  while (size > 0) {
    ssize_t taken = resp_parse(bytes, size, &value);
    if (taken <= 0) {
      assert(taken == 0 || taken == -EBADMSG || taken == -EMSGSIZE);
      break;
    }
    assert((size_t)taken <= size);
    look(bytes, (size_t)taken, &value);
    size_t cut = (size_t)taken - 1 - input[0] % (size_t)taken;
    assert(parse_copy(bytes, cut, &shorter) <= 0);
    bytes += taken;
    size -= (size_t)taken;
  }
  return 0;
}
