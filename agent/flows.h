// SPDX-License-Identifier: Apache-2.0
// Which TCP connections the virtual IPs of the master carry, known to the other node too, so that it can wake
// their clients after it has taken over. Pure: no sockets, no clock.
//
// The master keeps a row of changes, each with a serial; every beat to the other node carries the changes
// behind the serial that the other has confirmed, so that lost beats cost nothing but time. A change is 9 or 21
// bytes; a beat has room for about a hundred.
#ifndef TANIST_AGENT_FLOWS_H
#define TANIST_AGENT_FLOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/tcp_diag.h"

#define FLOWS_MAX 10000 // the newest are kept
#define FLOWS_ADDRESSES 16

// A connection: which virtual IP it is of, by its place in the configuration, which is the same on both nodes.
struct flow {
  uint8_t address, family;
  uint16_t local_port, peer_port;
  uint8_t peer[16];
};

// ---- at the master ----

struct flows_sender;

struct flows_sender *flows_sender_new(uint32_t generation); // NULL: out of memory
void flows_sender_free(struct flows_sender *);

// What there is now replaces what there was: begin, add each, end.
void flows_begin(struct flows_sender *);
void flows_add(struct flows_sender *, const struct flow *);
void flows_end(struct flows_sender *);

size_t flows_write(const struct flows_sender *, uint8_t *to, size_t room); // 0: nothing to tell
void flows_confirmed(struct flows_sender *, const uint8_t *word, size_t size);
size_t flows_count(const struct flows_sender *);

// ---- at the other node ----

struct flows_receiver;

struct flows_receiver *flows_receiver_new(void);
void flows_receiver_free(struct flows_receiver *);
void flows_read(struct flows_receiver *, const uint8_t *word, size_t size); // anything else is ignored
// Also where nothing has come yet: the master is to begin.
size_t flows_confirm(const struct flows_receiver *, uint8_t *to, size_t room);
// All that are known; the array is valid until the next call.
size_t flows_known(const struct flows_receiver *, const struct flow **);
void flows_forget(struct flows_receiver *);

#endif
