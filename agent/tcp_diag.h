// SPDX-License-Identifier: Apache-2.0
// The TCP connections of this network namespace, over sock_diag(7): whose local address is a given one, and
// their end by SOCK_DESTROY, which resets both ends.
#ifndef TANIST_AGENT_TCP_DIAG_H
#define TANIST_AGENT_TCP_DIAG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct tcp_diag;

// Both ends of a connection, ports as numbers.
struct tcp_flow {
  uint8_t family; // AF_INET, AF_INET6: of the addresses; a socket of the other family may hold it
  uint8_t local[16], peer[16];
  uint16_t local_port, peer_port;
};

int tcp_diag_open(struct tcp_diag **); // 0 or a negative errno: -EPROTONOSUPPORT, this kernel has none
void tcp_diag_close(struct tcp_diag *); // NULL is allowed

typedef void tcp_diag_fn(void *arg, const struct tcp_flow *);

// Tells each connection (no listener, none in TIME-WAIT) of the local address. 0 or a negative errno.
int tcp_diag_each(struct tcp_diag *, int family, const uint8_t *local, tcp_diag_fn *, void *arg);

// Resets all of them. Needs CAP_NET_ADMIN. How many, or a negative errno: -EOPNOTSUPP without
// CONFIG_INET_DIAG_DESTROY.
int tcp_diag_destroy(struct tcp_diag *, int family, const uint8_t *local);

#endif
