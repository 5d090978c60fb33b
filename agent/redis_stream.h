// SPDX-License-Identifier: Apache-2.0
// Entries of a stream as XRANGE tells them, and the command that adds one: pure functions over RESP.
#ifndef TANIST_AGENT_REDIS_STREAM_H
#define TANIST_AGENT_REDIS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/resp.h"

#define STREAM_ID_MAX 48 // "MS-SEQ", both of up to 20 digits

struct stream_entry {
  char id[STREAM_ID_MAX];
  const char *raw; // all of it, in RESP, within what was parsed
  size_t size;
  const char *words; // its fields and values, the bulk strings one behind the other
  size_t words_size;
  int64_t word_count;
};

// Takes the next entry of XRANGE's answer, *at being 0 first. False: there is none, or it is no entry.
bool redis_stream_next(const struct resp_value *answer, size_t *at, struct stream_entry *);

// -1, 0 or 1 as the first id is before, the same as or behind the second.
int redis_stream_compare(const char *one, const char *other);

// How long the command that adds the entry to the stream `key` is; written to `out` if it is not NULL.
size_t redis_stream_xadd(char *out, const char *key, const struct stream_entry *);

#endif
