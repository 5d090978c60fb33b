// SPDX-License-Identifier: Apache-2.0
// UDP sockets, one for each own address and port, shared by every cluster that lists it: an arriving datagram
// goes to the cluster whose id it bears (wire.h). Non-blocking; errors of the network are returned, never
// fatal.
#ifndef TANIST_BASE_NET_H
#define TANIST_BASE_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/loop.h"

#define NET_ADDRESS_TEXT_SIZE 56 // "[" IPv6 "]:65535" and a NUL

struct net_address {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  };
};

// "10.0.0.1:7400" or "[fd00::1]:7400": a numeric unicast address of one machine, and a port from 1 to 65535.
// -EINVAL, with what is wrong and what is allowed in `error`.
int net_address_parse(const char *text, struct net_address *, char *error, size_t size);
// The same for where to listen: 0.0.0.0 and [::] too.
int net_listener_parse(const char *text, struct net_address *, char *error, size_t size);
void net_address_format(const struct net_address *, char text[NET_ADDRESS_TEXT_SIZE]);
bool net_address_equal(const struct net_address *, const struct net_address *);
bool net_same_family(const struct net_address *, const struct net_address *);

struct net;
struct net_port; // a cluster's share in a socket

// `own` is the number given to net_join; `bytes` is valid until the return. Must not leave or close anything.
typedef void net_datagram_fn(void *arg, unsigned own, const struct net_address *from,
                             const unsigned char *bytes, size_t size);

struct net *net_new(struct loop *); // NULL when out of memory
void net_free(struct net *);        // NULL is allowed; closes what is left

// Opens the socket of an own address, or joins the one that is open. The address need not be there yet (it
// may come with its interface, later). 0; -EEXIST if this cluster has it already; else the -errno of what
// failed.
int net_join(struct net *, struct net_port **, const struct net_address *own_address, uint64_t cluster,
             net_datagram_fn *, void *arg, unsigned own);
void net_leave(struct net_port *); // NULL is allowed; the last one out closes the socket

// Sends one datagram; 0 or -errno (-EAGAIN: the socket's buffer is full, the datagram is dropped).
int net_send(struct net_port *, const struct net_address *to, const void *bytes, size_t size);

// Datagrams of no cluster that is served here. A socket with one cluster alone hands it everything instead:
// so what is wrong is counted where it is looked for.
uint64_t net_unclaimed(const struct net *);

#endif
