// SPDX-License-Identifier: Apache-2.0
// The short messages of the nft fence, made without the heap: they are sent at renewals.
#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "agent/fence_nft_rules.h"

struct message {
  char *begin, *at;
  const struct nft_layout *layout;
  uint32_t sequence;
};

static struct nlmsghdr *message_begin(struct message *m, int type, uint16_t flags, uint8_t family) {
  struct nlmsghdr *h = mnl_nlmsg_put_header(m->at);
  bool edge = type == NFNL_MSG_BATCH_BEGIN || type == NFNL_MSG_BATCH_END;
  h->nlmsg_type = (uint16_t)(edge ? type : (NFNL_SUBSYS_NFTABLES << 8) | type);
  h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
  h->nlmsg_seq = ++m->sequence;
  struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
  g->nfgen_family = family;
  g->version = NFNETLINK_V0;
  g->res_id = htons(edge ? NFNL_SUBSYS_NFTABLES : 0);
  return h;
}

static void message_end(struct message *m, const struct nlmsghdr *h) {
  m->at += (h->nlmsg_len + 3u) & ~3u; // netlink's alignment
}

static void put_table(struct message *m, int type, uint16_t flags, uint8_t family) {
  struct nlmsghdr *h = message_begin(m, type, flags, family);
  mnl_attr_put_strz(h, NFTA_TABLE_NAME, m->layout->table);
  message_end(m, h);
}

static void put_element(struct message *m, int type, uint16_t flags, struct nft_element at, uint64_t timeout_ms) {
  struct nlmsghdr *h = message_begin(m, type, flags, at.family);
  mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, m->layout->table);
  mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, at.set);
  struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
  struct nlattr *element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
  struct nlattr *key = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
  mnl_attr_put_u32(h, NFTA_DATA_VALUE, NFT_LEASE_KEY);
  mnl_attr_nest_end(h, key);
  if (timeout_ms > 0)
    mnl_attr_put_u64(h, NFTA_SET_ELEM_TIMEOUT, htobe64(timeout_ms));
  mnl_attr_nest_end(h, element);
  mnl_attr_nest_end(h, list);
  message_end(m, h);
}

void nft_rules_put_element(const struct nft_layout *layout, bool there, struct nft_element at, uint64_t timeout_ms,
                           uint32_t sequence, void *buffer) {
  struct message m = {.begin = buffer, .at = buffer, .layout = layout, .sequence = sequence - 1};
  if (there)
    put_element(&m, NFT_MSG_NEWSETELEM, NLM_F_CREATE, at, timeout_ms);
  else
    put_element(&m, NFT_MSG_DELSETELEM, 0, at, 0);
}

static struct message messages_begin(const struct nft_layout *layout, void *buffer) {
  struct message m = {.begin = buffer, .at = buffer, .layout = layout};
  message_end(&m, message_begin(&m, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC));
  return m;
}

// The last message before the end is the one that asks for an answer.
static size_t messages_end(struct message *m, uint32_t *last) {
  *last = m->sequence;
  message_end(m, message_begin(m, NFNL_MSG_BATCH_END, 0, AF_UNSPEC));
  return (size_t)(m->at - m->begin);
}

// Adding first makes deleting succeed whether the element lives, has lapsed, or never was.
static void put_anew(struct message *m, struct nft_element at, bool there, uint64_t timeout_ms) {
  put_element(m, NFT_MSG_NEWSETELEM, NLM_F_CREATE, at, 0);
  put_element(m, NFT_MSG_DELSETELEM, 0, at, 0);
  if (there)
    put_element(m, NFT_MSG_NEWSETELEM, NLM_F_CREATE, at, timeout_ms);
}

size_t nft_rules_lease(const struct nft_layout *layout, const struct nft_lease_change *change, void *buffer,
                       uint32_t *last) {
  static const struct nft_element fresh = {NFPROTO_ARP, NFT_FRESH};
  struct message m = messages_begin(layout, buffer);
  if (change->if_fresh)
    put_element(&m, NFT_MSG_DELSETELEM, 0, fresh, 0); // fails, and all with it, when it has lapsed
  if (change->fresh_ms > 0)
    put_anew(&m, fresh, true, change->fresh_ms);
  if (change->lease && change->inet)
    put_anew(&m, (struct nft_element){NFPROTO_INET, NFT_LEASE}, change->open, change->timeout_ms);
  if (change->lease)
    put_anew(&m, (struct nft_element){NFPROTO_ARP, NFT_LEASE}, change->open, change->timeout_ms);
  put_table(&m, NFT_MSG_NEWTABLE, NLM_F_ACK, NFPROTO_ARP); // asks for one that is there: for the answer
  return messages_end(&m, last);
}

size_t nft_rules_query(const struct nft_layout *layout, void *buffer, uint32_t *last) {
  struct message m = {.begin = buffer, .at = buffer, .layout = layout}; // a question is no transaction
  put_table(&m, NFT_MSG_GETTABLE, 0, NFPROTO_INET);
  put_table(&m, NFT_MSG_GETTABLE, NLM_F_ACK, NFPROTO_ARP);
  *last = m.sequence;
  return (size_t)(m.at - m.begin);
}

size_t nft_rules_remove(const struct nft_layout *layout, void *buffer, uint32_t *last) {
  struct message m = messages_begin(layout, buffer);
  put_table(&m, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_ARP); // so that there is one to delete
  put_table(&m, NFT_MSG_DELTABLE, 0, NFPROTO_ARP);
  put_table(&m, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET);
  put_table(&m, NFT_MSG_DELTABLE, NLM_F_ACK, NFPROTO_INET);
  return messages_end(&m, last);
}
