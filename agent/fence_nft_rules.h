// SPDX-License-Identifier: Apache-2.0
// The two nf_tables tables of the nft fence, as netlink messages; how they work stands in fence_nft.c.
#ifndef TANIST_AGENT_FENCE_NFT_RULES_H
#define TANIST_AGENT_FENCE_NFT_RULES_H

#include "agent/fence.h"

#define NFT_TABLE_NAME_MAX 64
#define NFT_RUNGS 32
#define NFT_LEASE_KEY 1u  // the sets hold this one key or none
#define NFT_LEASE "lease" // passes until its timeout
#define NFT_SOLE "sole"   // passes without a deadline
#define NFT_FRESH "fresh" // a refresh of the lease is young enough to be believed
#define NFT_BATCH_MAX ((size_t)512 * 1024)

// The orders to the kernel: the UDP port a datagram to the control address goes to.
enum nft_order {
  NFT_ORDER_NOTHING = 65000, // no rule knows it: it passes
  NFT_ORDER_FRESHEN,
  NFT_ORDER_CLOSE,
  NFT_ORDER_SOLE_ON,
  NFT_ORDER_SOLE_OFF,
  NFT_ORDER_EXTEND, // and NFT_RUNGS - 1 more: by rung_ms[0], rung_ms[1], …
};

struct nft_layout {
  char table[NFT_TABLE_NAME_MAX]; // of both tables
  uint32_t mark;                  // of the orders: only CAP_NET_ADMIN can set it
  uint32_t control;               // the address the orders go to, in 127.0.0.0/8, in network order
  uint32_t fresh_ms;              // how long NFT_FRESH lasts
  uint32_t rung_ms[NFT_RUNGS];    // falling
  bool sees_translated; // ports of a broker behind address translation too, which needs nft_fib_inet
  bool owned;           // tables belong to our socket, outlive it, and others cannot touch them
};

// What a former agent's tables are replaced by; NULL: by closed ones.
struct nft_handed_on {
  bool sole;           // open without a deadline
  uint64_t timeout_ms; // else for so long, provided that the former arp table's NFT_FRESH lives: else -ENOENT
};

// Writes to `buffer` (NFT_BATCH_MAX bytes) the one transaction that replaces both tables, whatever was there.
// Returns its size, or 0 when memory is short. The last message before the end asks for an answer and has the
// sequence number *last.
size_t nft_rules_install(const struct nft_layout *, const struct fence_settings *, const struct nft_handed_on *,
                         void *buffer, uint32_t *last);

struct nft_element {
  uint8_t family; // of the table
  const char *set;
};
// One message of a transaction: the set's one element is there, timeout_ms 0: for ever; or is deleted, which fails
// where it is not.
void nft_rules_put_element(const struct nft_layout *, bool there, struct nft_element, uint64_t timeout_ms,
                           uint32_t sequence, void *buffer);

// The same for one short transaction or question, in NFT_SMALL_BATCH_MAX bytes, without the heap: the leases
// changed; whether both tables are there; both removed.
#define NFT_SMALL_BATCH_MAX 2048

struct nft_lease_change {
  bool if_fresh; // only if the arp table's NFT_FRESH lives; else nothing changes, and the answer is -ENOENT
  uint32_t fresh_ms;   // it is to live so long from now on; 0: left as it is, or gone with if_fresh
  bool lease, inet;    // the arp table's lease is changed; and the inet table's
  bool open;           // to this:
  uint64_t timeout_ms; // 0: without a deadline
};

size_t nft_rules_lease(const struct nft_layout *, const struct nft_lease_change *, void *buffer,
                       uint32_t *last);
size_t nft_rules_query(const struct nft_layout *, void *buffer, uint32_t *last);
size_t nft_rules_remove(const struct nft_layout *, void *buffer, uint32_t *last);

#endif
