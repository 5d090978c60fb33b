// SPDX-License-Identifier: Apache-2.0
// Redis' wire protocol (RESP2) as a client needs it: pure functions over buffers, no state, no heap.
#ifndef TANIST_AGENT_RESP_H
#define TANIST_AGENT_RESP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RESP_LINE_MAX 4096    // a status, an error or a number: real ones have under 200 bytes
#define RESP_BULK_MAX 1048576 // a string: the longest that the driver asks for, INFO, has a few KiB
#define RESP_ITEMS_MAX 65536  // elements of one array
#define RESP_DEPTH_MAX 4      // arrays within arrays

enum resp_type { RESP_STATUS, RESP_ERROR, RESP_INTEGER, RESP_BULK, RESP_NULL, RESP_ARRAY };

struct resp_value {
  enum resp_type type;
  const char
      *text; // STATUS, ERROR, BULK: within the buffer that was parsed, not terminated. ARRAY: its elements
  size_t length;   // of text
  int64_t integer; // INTEGER: the number; ARRAY: how many elements
};

// Reads the one value that begins at `bytes`. Returns how many bytes it takes; 0 when it is not whole yet;
// -EBADMSG for bytes that are no RESP2; -EMSGSIZE for a value beyond the limits above.
ssize_t resp_parse(const char *bytes, size_t length, struct resp_value *);

// Writes a command, an array of `count` words, to `out`. Returns its size, or 0 when `room` does not suffice
// (nothing useful is written then).
size_t resp_encode(char *out, size_t room, size_t count, const char *const *words);

#endif
