// SPDX-License-Identifier: Apache-2.0
#include "tests/trace/place.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned count;

void finding(const struct place *place, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("%s:%lu: ", place->file, place->line);
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  count++;
}

unsigned findings(void) {
  return count;
}

void malformed(const struct place *place, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s:%lu: ", place->file, place->line);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  exit(2);
}
