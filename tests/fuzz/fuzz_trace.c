// SPDX-License-Identifier: Apache-2.0
// The lines of a trace: what is understood must be written again so that it is understood as the same.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct instant base = {5000000};

/* Written, read, and written again: one text. */
static void event(const char *line) {
  static char once[TRACE_LINE_MAX], twice[TRACE_LINE_MAX];
  const char *error = NULL;
  struct event event;
  memset(&event, 0, sizeof event);
  if (!trace_parse_event(line, base, &event, &error)) {
    assert(error != NULL && *error != 0);
    return;
  }
  assert(trace_event(once, sizeof once, base, &event) < sizeof once);
  assert(trace_parse_event(once, base, &event, &error));
  trace_event(twice, sizeof twice, base, &event);
  assert(strcmp(once, twice) == 0);
}

static void start(const char *line) {
  static char once[TRACE_LINE_MAX], twice[TRACE_LINE_MAX];
  const char *error = NULL;
  struct trace_start start;
  memset(&start, 0, sizeof start);
  if (!trace_parse_start(line, &start, &error)) {
    assert(error != NULL && *error != 0);
    return;
  }
  assert(trace_start(once, sizeof once, &start) < sizeof once);
  assert(trace_parse_start(once, &start, &error));
  trace_start(twice, sizeof twice, &start);
  assert(strcmp(once, twice) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  char *text = malloc(size + 1), *rest = text;
  if (text == NULL)
    abort();
  memcpy(text, bytes, size);
  text[size] = 0;
  for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
    event(line);
    start(line);
  }
  free(text);
  return 0;
}
