// SPDX-License-Identifier: Apache-2.0
// The lines between the agent and a co-process (tanist-drivers(7)):
//   ID VERB DEADLINE_MS key=value ...   asked
//   ID RC key=value ...                 answered
//   * NAME key=value ...                said unasked
// Words are parted by one blank; in a value, '%' and what is not printable ASCII stand as %XX.
#ifndef TANIST_AGENT_COPROCESS_LINE_H
#define TANIST_AGENT_COPROCESS_LINE_H

#include "agent/words.h"
#include "common/base/verb.h"

#define COPROCESS_LINE_MAX 8192 // bytes that a co-process's line may have, with its end
#define COPROCESS_ASKED_MAX (WORDS_MAX * (WORDS_KEY_SIZE + 3 * WORDS_VALUE_SIZE) + 64) // ours are never longer

struct coprocess_line {
  bool event;
  uint64_t id;               // of an answer
  int rc;                    // 0 to 255
  char name[WORDS_KEY_SIZE]; // of an event
  struct words words;
};

// `text` without the line end. False: it is no such line, and *line is not to be looked at.
bool coprocess_parse(const char *text, size_t length, struct coprocess_line *line);

// Writes a request with its line end. Returns its length.
size_t coprocess_ask(char *buf, size_t size, uint64_t id, enum verb, uint32_t deadline_ms, const struct words *);

#endif
