// SPDX-License-Identifier: Apache-2.0
#include "agent/pg_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool pg_position_read(const char *text, uint64_t *position) {
  uint32_t high, low;
  int used = 0;
  if (sscanf(text, "%8" SCNx32 "/%8" SCNx32 "%n", &high, &low, &used) != 2 || used == 0)
    return false;
  *position = (uint64_t)high << 32 | low;
  return true;
}

static bool add(struct pg_history *h, uint32_t timeline, uint64_t end) {
  if (h->count == PG_HISTORY_MAX || (h->count > 0 && h->at[h->count - 1].timeline >= timeline))
    return false;
  h->at[h->count].timeline = timeline;
  h->at[h->count++].end = end;
  return true;
}

static bool read_line(struct pg_history *h, const char *line) {
  uint32_t timeline, high, low;
  line += strspn(line, " \t");
  if (*line == '#' || *line == '\n' || *line == '\r' || *line == 0)
    return true;
  return sscanf(line, "%" SCNu32 " %8" SCNx32 "/%8" SCNx32, &timeline, &high, &low) == 3 &&
         add(h, timeline, (uint64_t)high << 32 | low);
}

bool pg_history_read(struct pg_history *h, uint32_t timeline, const char *text) {
  h->count = 0;
  bool good = timeline > 0;
  for (const char *line = text; good && line != NULL && *line != 0;) {
    good = read_line(h, line);
    line = strchr(line, '\n');
    line += line != NULL;
  }
  good = good && add(h, timeline, PG_NO_END) && (timeline == 1 || h->count > 1);
  h->count = good ? h->count : 0;
  return good;
}

enum pg_parting pg_history_part(const struct pg_history *own, const struct pg_history *master,
                                struct pg_fork *fork) {
  *fork = (struct pg_fork){0, 0};
  for (size_t i = 0; i < own->count && i < master->count && own->at[i].timeline == master->at[i].timeline; i++) {
    uint64_t ours = own->at[i].end, theirs = master->at[i].end;
    *fork = (struct pg_fork){own->at[i].timeline, ours < theirs ? ours : theirs};
    if (ours == PG_NO_END)
      return theirs == PG_NO_END ? PG_SAME : PG_PERHAPS;
    if (ours != theirs)
      return PG_DIVERGED;
  }
  return PG_DIVERGED; // at the last end that both share
}
