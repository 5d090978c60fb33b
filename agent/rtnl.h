// SPDX-License-Identifier: Apache-2.0
// The addresses of interfaces over rtnetlink, for vip.c. One question at a time, each answered before the
// return (rtnl_ask.h).
#ifndef TANIST_AGENT_RTNL_H
#define TANIST_AGENT_RTNL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rtnl;

struct rtnl_address {
  int family, index; // AF_INET, AF_INET6; of the interface
  uint8_t prefix;
  uint8_t bytes[16];
};

typedef void rtnl_address_fn(void *arg, const struct rtnl_address *);

int rtnl_open(struct rtnl **); // 0; -EPERM without CAP_NET_ADMIN; another negative errno
void rtnl_free(struct rtnl *); // NULL is allowed

size_t rtnl_size(int family); // of an address, in bytes

// Adds an address, without duplicate detection, to last for lifetime_s (0: for ever), an IPv6
// one never preferred as a source. -EEXIST if it is there.
// `routed`: without a route to its network, which another address brings.
int rtnl_add(struct rtnl *, const struct rtnl_address *, bool routed, uint32_t lifetime_s);
int rtnl_renew(struct rtnl *, const struct rtnl_address *, bool routed,
               uint32_t lifetime_s); // the same, if it is there
int rtnl_delete(struct rtnl *,
                const struct rtnl_address *); // 0 also if it was not there, or its interface is not

// Tells all addresses of this network namespace. -EINTR if they kept changing meanwhile; some may then be
// told twice.
int rtnl_each(struct rtnl *, rtnl_address_fn *, void *arg);

#endif
