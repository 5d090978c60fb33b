// SPDX-License-Identifier: Apache-2.0
// What the driver must know of its PostgreSQL after a restart of the agent, and the database does not say:
// STATE/CLUSTER.NAME.postgresql.
#ifndef TANIST_AGENT_PG_MEMORY_H
#define TANIST_AGENT_PG_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/pg_server.h"

struct pg_memory {
  struct durable *file; // NULL: nothing is kept
  uint32_t timeline;    // the newest one led or followed in a reign; 0: none yet
  uint64_t epoch;       // that reign
  bool created;         // this server began that timeline, by its promotion
  char withholding[24]; // the start of the server that has withheld acknowledgements ever since; "" none known
  char rewinding[PG_IDENTITY_MAX]; // the data (pg_server_identity) that pg_rewind is at work on; "" none
};

// `orphans` is the path of the directory of orphan files, beside which the file is; "": nothing is kept. 0 or a
// negative errno with *error.
int pg_memory_open(struct pg_memory *, const char *orphans, const char **error);
int pg_memory_save(struct pg_memory *); // durably; 0 or a negative errno
void pg_memory_close(struct pg_memory *);

#endif
