// SPDX-License-Identifier: Apache-2.0
// What of the configured streams only this Redis holds, kept in an orphan file before it follows a master that
// will have it discard all that it has (protocol.md section 9). An entry of the file is a command, XADD with the
// stream's name and the entry's id, in RESP: what `redis-cli --pipe` takes.
//
// Each stream is compared with the master's from its end backwards, up to the newest entry that both hold, and
// what stands behind that is kept. Entries older than the oldest one that the master still has were trimmed
// there, and are not kept. Bounded: what goes beyond TAIL_BYTES_MAX or TAIL_MS_MAX is not kept, which the file's
// last entry says, and the trouble for as long as the duty lasts.
#ifndef TANIST_AGENT_REDIS_TAIL_H
#define TANIST_AGENT_REDIS_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/broker.h"

#define TAIL_BYTES_MAX (16U << 20)
#define TAIL_MS_MAX 10000

struct redis_tail;

// What the file's head tells.
struct redis_tail_from {
  uint64_t epoch, position, master_epoch;
  const char *incarnation;
};

struct redis_tail_watch {
  void *arg;
  void (*ended)(void *arg);                     // redis_tail_state has news; from the loop
  void (*orphaned)(void *arg, const char *path); // right before that: a file is on the disk
};

enum redis_tail_state { TAIL_IDLE, TAIL_BUSY, TAIL_KEPT, TAIL_FAILED };

// Connects to both Redis. The settings' strings must outlive it. 0 or a negative errno.
int redis_tail_open(struct redis_tail **, struct loop *, const struct broker_settings *,
                    const struct redis_tail_watch *);
void redis_tail_close(struct redis_tail *); // NULL is allowed

// Begins anew; KEPT is what it is to become. FAILED: nothing may be discarded, the trouble says why.
void redis_tail_keep(struct redis_tail *, const struct redis_tail_from *);
void redis_tail_forget(struct redis_tail *); // IDLE again
enum redis_tail_state redis_tail_state(const struct redis_tail *);
const char *redis_tail_trouble(const struct redis_tail *); // "" if there is none

#endif
