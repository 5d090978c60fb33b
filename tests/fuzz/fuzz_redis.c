// SPDX-License-Identifier: Apache-2.0
// What a Redis says of itself (INFO) and of its troubles. Input: what to read it as, then the text.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/redis_info.h"
#include "agent/redis_trouble.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void info(const char *text, size_t length) {
  struct redis_info info;
  if (!redis_info_replication(text, length, &info))
    return;
  assert(memchr(info.id, 0, sizeof info.id) != NULL && memchr(info.host, 0, sizeof info.host) != NULL);
  assert(info.sync || info.good == 0);
}

static void value(const char *text, size_t length) {
  char value[REDIS_ID_MAX];
  redis_info_has_keys(text, length);
  if (redis_info_value(text, length, "run_id", value, sizeof value))
    assert(strlen(value) < sizeof value);
}

static void trouble(const char *text, size_t length) {
  char out[REDIS_TROUBLE_MAX];
  memset(out, 'x', sizeof out);
  redis_trouble_ends_connection(text, length);
  redis_trouble_answer(out, "broker.address", "REPLICAOF", "tanist", text, length);
  assert(memchr(out, 0, sizeof out) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static void (*const readers[])(const char *, size_t) = {info, value, trouble};
  struct input input = {bytes, size};
  unsigned kind = input_below(&input, 3);
  char *text = malloc(input.left); /* not terminated */
  if (text == NULL)
    abort();
  memcpy(text, input.at, input.left);
  readers[kind](text, input.left);
  free(text);
  return 0;
}
