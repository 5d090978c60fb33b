// SPDX-License-Identifier: Apache-2.0
// Whether a Redis would still have, after a restart, what it confirmed (protocol.md section 1, brokers.md
// rule 7). WAIT confirms from memory, so a member whose file cannot be written must not count. Nor must one
// right after a full resynchronisation: until its append-only file has been rewritten from the copy, all that
// it confirms is in memory alone, and a restart brings back the data of before, while INFO says that the last
// write was fine.
#ifndef TANIST_AGENT_REDIS_KEPT_H
#define TANIST_AGENT_REDIS_KEPT_H

#include "agent/redis_info.h"

struct redis_kept {
  bool known;             // INFO persistence has been answered since redis_kept_forget
  struct redis_disk disk; // that answer
  bool told;              // it has told of its link; some users may not ask
  uint64_t link;          // redis_info_master_link
  uint64_t filed;         // the link whose copy is in the append-only file
};

// Another process may answer from now on.
void redis_kept_forget(struct redis_kept *);

// The answers to CLIENT LIST TYPE master and, asked behind it, to INFO persistence.
void redis_kept_link(struct redis_kept *, const char *text, size_t length);
void redis_kept_disk(struct redis_kept *, const char *text, size_t length);

// Its file takes what it is told. True also while that is not known, and with no append-only file at all: such
// a broker is a member for as long as it runs.
bool redis_kept_written(const struct redis_kept *);

// As an attached secondary: the copy that it got, and all since, is in its file.
bool redis_kept_filed(const struct redis_kept *);

// A rewrite is due and the last one failed. Redis tries again by itself, but later each time, up to an hour.
bool redis_kept_stuck(const struct redis_kept *);

// What is wrong with it and what to do, for people; "" if nothing is. `secondary`: it is attached to a master.
const char *redis_kept_trouble(const struct redis_kept *, bool secondary);

#endif
