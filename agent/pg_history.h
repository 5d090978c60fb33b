// SPDX-License-Identifier: Apache-2.0
// PostgreSQL's timelines: each promotion begins one, and a history file says where each before it ended. Where
// two servers' histories part is where their data do (protocol.md section 9). Pure.
#ifndef TANIST_AGENT_PG_HISTORY_H
#define TANIST_AGENT_PG_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_HISTORY_MAX 4096 // timelines
#define PG_NO_END UINT64_MAX

struct pg_history {
  size_t count; // 0: unknown
  struct {
    uint32_t timeline;
    uint64_t end; // where the next one begins; PG_NO_END of the last one, which goes on
  } at[PG_HISTORY_MAX];
};

// Reads the text of a history file ("" for timeline 1), which lists what was before `timeline`. False: no such
// file, or too many timelines.
bool pg_history_read(struct pg_history *, uint32_t timeline, const char *text);

enum pg_parting {
  PG_SAME,     // on the same timeline, or the other one went on from a timeline that ours is not past
  PG_PERHAPS,  // the other one left our timeline at `at`: it depends on whether we wrote anything past it
  PG_DIVERGED, // ours went on past `at` on other timelines
};

struct pg_fork {
  uint32_t timeline; // the last common one
  uint64_t at;       // where it was left
};

// Where `own` parts from `master`, the history of the server that leads.
enum pg_parting pg_history_part(const struct pg_history *own, const struct pg_history *master, struct pg_fork *);

// "16/B374D848", as PostgreSQL writes a position.
bool pg_position_read(const char *text, uint64_t *position);

#endif
