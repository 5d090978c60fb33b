// SPDX-License-Identifier: Apache-2.0
// The reference broker's log: one file, entries one behind the other, each with its sum. Positions count
// entries from 1. What log_append took is in the file after log_write and on the disk after log_sync.
#ifndef TANIST_TESTS_BROKER_LOG_H
#define TANIST_TESTS_BROKER_LOG_H

#include <stddef.h>
#include <stdint.h>

struct log;

struct log_entry {
  uint64_t epoch, producer, number;
  const void *data; // of one that was read: valid until the next call
  size_t size;
};

// Opens or makes it. An entry that a crash tore is cut off, with what follows it. 0 or a negative errno.
int log_open(struct log **, const char *path);
void log_close(struct log *);

uint64_t log_end(const struct log *);     // the position of the last entry; 0: empty
uint64_t log_durable(const struct log *); // of the last one on the disk
uint64_t log_epoch(const struct log *);   // of the last entry; 0: empty

int log_append(struct log *, const struct log_entry *); // at log_end + 1
int log_write(struct log *);                            // a negative errno: nothing more can be appended
int log_sync(struct log *);
int log_read(struct log *, uint64_t position, struct log_entry *entry); // -ENOENT: it ends before

// Cuts off everything past the position, on the disk too.
int log_cut(struct log *, uint64_t position);

#endif
