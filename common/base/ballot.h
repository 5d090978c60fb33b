// SPDX-License-Identifier: Apache-2.0
// Where a voter's ballot is kept: DIRECTORY/CLUSTER.VOTER.ballot, a durable file whose identity is cluster
// and voter.
#ifndef TANIST_BASE_BALLOT_H
#define TANIST_BASE_BALLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/core/types.h"

#define BALLOT_RECORD_BYTES (8 + 4 + 1 + 1)
#define BALLOT_BYTES                                                                                         \
  (4 + 8 + BALLOT_RECORD_BYTES + 4 + 1 + (4 + 1) + VOTERS * (8 + BALLOT_RECORD_BYTES) + NODES * 8)

struct ballot_store;

// Reads the ballot. Where there is none, *out is a blank one, which is on the disk before this returns (B1),
// and *fresh is true. On a negative errno *error says what is wrong with which file and what to do; it is
// valid until the next call. -EBADMSG damaged, -EXDEV of another cluster or voter, -EPROTONOSUPPORT of a
// newer Tanist, -EBUSY in use by another process, -ENOTDIR no such directory, -EINVAL or -ENAMETOOLONG a
// cluster or voter that can be no file's name, or what the system says. Never guesses.
int ballot_open(struct ballot_store **, const char *directory, const char *cluster, const char *voter,
                struct ballot *out, bool *fresh, const char **error);

// The last write before the one that was read had been torn (or its slot has gone bad since: then this voter
// may have forgotten its newest promise, and B2 finds that out). For the log; repaired by the next write.
bool ballot_torn(const struct ballot_store *);

// 0 once it is on the disk, by one write and one sync; after an error the former ballot is untouched, and the
// write may be tried again. Allocates nothing.
int ballot_write(struct ballot_store *, const struct ballot *);

// What the file holds of it. Decoding: 0, -EBADMSG for what no ballot can be, -EPROTONOSUPPORT for a newer
// layout.
void ballot_encode(uint8_t bytes[BALLOT_BYTES], const struct ballot *ballot);
int ballot_decode(struct ballot *ballot, const uint8_t *bytes, size_t size);

void ballot_close(struct ballot_store *); // NULL is allowed

// For reset-voter: renames the ballot, whole or damaged, to the name that goes to kept_as (in the same
// directory). -EBUSY while a daemon has it open; -ENOENT, and others as durable_set_aside.
int ballot_set_aside(const char *directory, const char *cluster, const char *voter, char *kept_as,
                     size_t size);

#endif
