// SPDX-License-Identifier: Apache-2.0
// Wakes the clients of connections that were on a virtual IP when its node was lost: each is sent an
// acknowledgement that belongs to nothing. The client's kernel answers with the numbers it expects, this node,
// which has no such connection, resets it, and the client's read() returns, instead of waiting for hours
// (Samba's CTDB, "tickle ACK"; RFC 9293 3.10.7.4 and 3.5.2).
#ifndef TANIST_AGENT_TICKLE_H
#define TANIST_AGENT_TICKLE_H

#include "agent/tcp_diag.h"

#define TICKLE_MAX 60 // bytes of a packet from its IP header on

struct tickle;

int tickle_open(struct tickle **); // 0; -EPERM without CAP_NET_RAW; another negative errno
void tickle_close(struct tickle *); // NULL is allowed
// One packet from local to peer; 0 or a negative errno: nothing to act on, it is sent again anyway.
int tickle_send(struct tickle *, const struct tcp_flow *);

// The packet; returns its size.
size_t tickle_packet(uint8_t packet[TICKLE_MAX], const struct tcp_flow *);

#endif
