// SPDX-License-Identifier: Apache-2.0
// What the parts of the nf_tables fence share: fence_nft.c is the mechanisms, fence_nft_netlink.c their
// netlink.
#ifndef TANIST_AGENT_FENCE_NFT_H
#define TANIST_AGENT_FENCE_NFT_H

#include "agent/fence_nft_rules.h"

struct mnl_socket;

struct nft {
  struct fence_settings settings;
  char cluster[NFT_TABLE_NAME_MAX]; // of settings
  struct nft_layout layout;
  bool by_netlink;            // the mechanism "netlink": no lease is moved by datagrams
  struct mnl_socket *netlink; // owns the tables
  int orders;                 // sends the datagrams
  uint32_t nonce;             // what the present one says: its key in NFT_FRESH
  int64_t slack_us;           // of the kernel's timers: two of its ticks, and a little
  struct instant passes;      // inet: closed from then on; NEVER: sole; PAST: closed
  struct instant answers;     // arp, likewise
  struct instant fresh_until; // the arp table's NFT_FRESH has lapsed by then at the latest
  int64_t slept_us;           // what CLOCK_BOOTTIME has more than CLOCK_MONOTONIC
};

// All answer 0 or a negative errno; -ENOENT: another program removed the tables.

int nft_netlink_open(struct nft *);
int nft_install(struct nft *); // both tables anew, closed
// The tables that a former agent left are replaced by ours, open until then, without a moment in between; an error where
// there are none, or it is too late: nothing has changed then.
int nft_take_over(struct nft *, struct instant until);
int nft_query(struct nft *);   // whether both are there
void nft_remove(struct nft *); // nobody is left to hear of a failure: closed tables do no harm

// The arp table's lease, and with by_netlink the inet table's in the same transaction: moved to end at
// `until` at the latest, wherever this process is stopped in between; it is left as it was where that would
// shorten nothing and the kernel cannot be reached in time. Costs the wait for whoever loads rules meanwhile.
int nft_lease_arm(struct nft *, struct instant until);
int nft_lease_close(struct nft *);

#endif
