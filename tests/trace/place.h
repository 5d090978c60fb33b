// SPDX-License-Identifier: Apache-2.0
// Where in which trace, and what is told about it: FILE:LINE: sentence.
#ifndef TANIST_TRACE_PLACE_H
#define TANIST_TRACE_PLACE_H

struct place {
  const char *file; // lives as long as the program
  unsigned long line;
};

// Something that must not be: counted, told on stdout.
void finding(const struct place *, const char *format, ...) __attribute__((format(printf, 2, 3)));
unsigned findings(void);
// Something that is no trace: told on stderr; does not return (exit 2).
_Noreturn void malformed(const struct place *, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
