// SPDX-License-Identifier: Apache-2.0
// The kernel fence: lets the virtual IPs (and the fenced ports) pass only until a deadline that the kernel
// itself enforces, whatever becomes of this process. Mechanisms are rows of fence_table in fence.c.
#ifndef TANIST_AGENT_FENCE_H
#define TANIST_AGENT_FENCE_H

#include "common/core/types.h"

#define FENCE_ADDRESSES_MAX 16
#define FENCE_PORTS_MAX 16

struct fence;

struct fence_address {
  int family; // AF_INET, AF_INET6
  unsigned char bytes[16];
};

struct fence_settings {
  const char *cluster;                               // two clusters on one node do not meet
  const char *kernel;                                // "require", "prefer", "off"
  const char *mechanism;                             // "auto", "bpf", "nft", "netlink"
  struct fence_address address[FENCE_ADDRESSES_MAX]; // virtual IPs
  struct fence_address
      peer[FENCE_ADDRESSES_MAX]; // the other node's: its broker may always reach fenced ports
  size_t address_count, peer_count;
  uint16_t port[FENCE_PORTS_MAX]; // TCP ports fenced on every address, except from loopback and from `peer`
  size_t port_count;
  uint32_t lease_ms; // the longest deadline ever armed; the kernel element's own timeout is derived from it
  struct instant until; // as for fence_arm, from the first moment on: of a reign that goes on; 0: closed
};

// Installs the fence; replaces, without a gap, one that a former agent left, whatever its mechanism was. 0 or
// a negative errno with *error saying what failed and what to do; -EPERM also where another agent of this
// cluster runs in this network namespace and there is anything to keep apart. With kernel = "off" (or "prefer" and none to be had) a fence that
// does nothing.
int fence_open(struct fence **, const struct fence_settings *, const char **error);

// Traffic passes until `until` (CLOCK_BOOTTIME), never later; NEVER: until told otherwise. A deadline in the
// past leaves it closed. 0; -ENOENT when another program removed the fence: it was put back, closed; other
// negative errno when it could not be mended. Costs microseconds: called at each renewal of the lease.
int fence_arm(struct fence *, struct instant until);

// Closed from now on. 0 or a negative errno as fence_arm.
int fence_close(struct fence *);

// What fence_arm would find, without a change of state: 0, or -ENOENT and so on, mended as there.
int fence_check(struct fence *);

const char *fence_mechanism(const struct fence *); // "bpf", "nft", "netlink", "none"
bool fence_enforced(const struct fence *);         // false: nothing in the kernel enforces the lease
const char *fence_state(const struct fence *);     // "armed", "closed", "open" (sole), "none"

// Tells what the mechanism does not cover, each with a word for programs and a sentence for people, and, with
// the word "", why a better one is not in use.
typedef void fence_gap_fn(void *arg, const char *word, const char *sentence);
void fence_gaps(const struct fence *, fence_gap_fn *, void *arg);

// For who asks what could be had on this machine: each mechanism, the best first, and why not ("": it works
// here). Tried under a name that no cluster has; nothing is left behind.
typedef void fence_survey_fn(void *arg, const char *mechanism, const char *why_not);
void fence_survey(fence_survey_fn *, void *arg);

// remove: takes the fence away as well (a clean stop, addresses gone); else it stays, armed as it is. NULL is
// allowed.
void fence_free(struct fence *, bool remove);

#endif
