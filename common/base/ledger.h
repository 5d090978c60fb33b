// SPDX-License-Identifier: Apache-2.0
// A bounded file of lines for people: the newest ones in DIRECTORY/NAME, those before them in
// DIRECTORY/NAME.1. A line is a JSON object that begins with {"serial":N, and N rises by one a line, over
// restarts too.
//
// All of them are in memory as well: who reads never waits for a disk, and where the disk fails the ledger
// goes on without, and writes later what it owes. Appended with one write a line, not synced: a process that
// is killed loses nothing, a machine that loses power the last seconds. What a crash leaves of a line, and
// whatever else is no such line, is passed over when the file is read.
#ifndef TANIST_BASE_LEDGER_H
#define TANIST_BASE_LEDGER_H

#include <stddef.h>
#include <stdint.h>

struct ledger;

struct ledger_line {
  const char *text; // without its end; no 0 behind it. Valid until the next ledger_add
  size_t length;
  uint64_t serial;
};

// Takes up what is there. Never NULL but for want of memory; a file that cannot be read or written is told by
// ledger_error. `bytes_max` bounds the memory, and both files together.
struct ledger *ledger_open(const char *directory, const char *name, size_t bytes_max);
void ledger_close(struct ledger *); // NULL is allowed

uint64_t ledger_next_serial(const struct ledger *);

// Appends a line that bears that serial. 0, or the negative errno for which it is in memory alone so far;
// -EMSGSIZE: it is longer than a quarter of bytes_max and was dropped.
int ledger_add(struct ledger *, const char *line, size_t length);

// The first line with a serial above `after`; length 0: none.
struct ledger_line ledger_after(const struct ledger *, uint64_t after);
struct ledger_line ledger_following(const struct ledger *, const struct ledger_line *); // the next one

int ledger_error(const struct ledger *); // the errno of the last attempt at the disk, 0 while all is well
size_t ledger_damaged(const struct ledger *);   // lines that were passed over when it was opened
const char *ledger_path(const struct ledger *); // DIRECTORY/NAME

#endif
