// SPDX-License-Identifier: Apache-2.0
// The virtual IPs of one cluster on this node.
#ifndef TANIST_AGENT_VIP_H
#define TANIST_AGENT_VIP_H

#include "common/base/loop.h"

#define VIP_MAX 16

struct vip;

struct vip_settings {
  struct {
    const char *address;   // "10.0.0.100/24" or "fd00::100/64"
    const char *interface; // "eth0"
  } at[VIP_MAX];
  size_t count;
};

// Resolves the interfaces; the texts are kept by reference. Needs CAP_NET_ADMIN and CAP_NET_RAW. 0 or a
// negative errno with *error naming the entry and what is wrong.
int vip_open(struct vip **, struct loop *, const struct vip_settings *, const char **error);

// Adds all addresses (a /32 or /128 host route is not needed: the prefix is the configured one,
// `noprefixroute` where the interface has the network already), each with a lifetime of lifetime_s seconds as
// a second layer under the kernel fence, and announces them: gratuitous ARP request and reply, unsolicited
// neighbour advertisement; again after 10, 50, 200 ms, 1 s, then every 30 s while held. Idempotent. 0 or a
// negative errno: none is left half-added.
int vip_add(struct vip *, uint32_t lifetime_s);

// Refreshes the addresses' lifetime; puts back, announces and returns 1 for one that somebody deleted.
int vip_refresh(struct vip *, uint32_t lifetime_s);

// Removes all addresses, also ones that a former agent left. Idempotent. 0 or a negative errno.
int vip_drop(struct vip *);

// Announces the held addresses again, on the same schedule from now: for when the kernel fence was closed
// while they were added, and neighbours who asked at once got no answer. Nothing if none is held.
void vip_announce(struct vip *);

// Announcements go past the kernel fence, so the lease is their limit here: nothing is announced at or after
// `until`. Costs a store: called at each renewal of the lease, as fence_arm is. INSTANT_NEVER, as opened: no
// limit.
void vip_until(struct vip *, struct instant until);

// What is wrong with the last address that could not be added, refreshed or removed, and what to do; valid
// until the next call. "" if nothing is.
const char *vip_trouble(const struct vip *);

bool vip_held(const struct vip *, size_t index); // as far as this process knows
void vip_free(struct vip *);                     // leaves the addresses as they are; NULL is allowed

#endif
