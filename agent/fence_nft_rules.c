// SPDX-License-Identifier: Apache-2.0
#include "agent/fence_nft_rules.h"

#include <arpa/inet.h>
#include <endian.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_arp.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#define BEFORE_CONNTRACK (-350)
#define GATE_IN "gate_in"
#define GATE_OUT "gate_out"
#define AFTER_NAT 350     // addresses are what the wire will see
#define FLAG_OWNER 0x2u   // since 5.12
#define FLAG_PERSIST 0x4u // since 6.9
#define TYPE_MARK 19u     // how the nft program shows the key
#define FLIPS_MAX 65535u // elements deleted by packets stay until the next collection, at most a second later

struct writer {
  const struct nft_layout *layout;
  struct mnl_nlmsg_batch *batch;
  uint32_t sequence;
  uint16_t family;
  bool failed; // memory ran short, or room
};

static const char *const set_names[] = {NFT_LEASE, NFT_SOLE, NFT_FRESH};
#define SETS (sizeof(set_names) / sizeof(set_names[0]))

static uint32_t set_id(const char *name) {
  return strcmp(name, NFT_LEASE) == 0 ? 1 : strcmp(name, NFT_SOLE) == 0 ? 2 : 3;
}

// ---- messages ----

static void *made(struct writer *w, void *object) {
  if (!object)
    w->failed = true;
  return object;
}

static struct nlmsghdr *begin(struct writer *w, uint16_t type, uint16_t flags) {
  return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(w->batch), type, w->family, flags, w->sequence++);
}

static void finish(struct writer *w) {
  if (!mnl_nlmsg_batch_next(w->batch))
    w->failed = true;
}

static void write_table(struct writer *w, uint16_t type, uint16_t flags, uint32_t table_flags) {
  struct nftnl_table *table = made(w, nftnl_table_alloc());
  if (!table)
    return;
  nftnl_table_set_str(table, NFTNL_TABLE_NAME, w->layout->table);
  if (table_flags)
    nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, table_flags);
  nftnl_table_nlmsg_build_payload(begin(w, type, flags), table);
  nftnl_table_free(table);
  finish(w);
}

static void write_set(struct writer *w, const char *name) {
  struct nftnl_set *set = made(w, nftnl_set_alloc());
  if (!set)
    return;
  nftnl_set_set_str(set, NFTNL_SET_TABLE, w->layout->table);
  nftnl_set_set_str(set, NFTNL_SET_NAME, name);
  nftnl_set_set_u32(set, NFTNL_SET_ID, set_id(name));
  nftnl_set_set_u32(set, NFTNL_SET_FLAGS, NFT_SET_TIMEOUT | NFT_SET_EVAL);
  nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, TYPE_MARK);
  nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, sizeof(uint32_t));
  nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, FLIPS_MAX);
  nftnl_set_nlmsg_build_payload(begin(w, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL), set);
  nftnl_set_free(set);
  finish(w);
}

// hook < 0: a chain to jump to.
static void write_chain(struct writer *w, const char *name, int hook, int priority) {
  struct nftnl_chain *chain = made(w, nftnl_chain_alloc());
  if (!chain)
    return;
  nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, w->layout->table);
  nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, name);
  if (hook >= 0) {
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "filter");
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, (uint32_t)hook);
    nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, priority);
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
  }
  nftnl_chain_nlmsg_build_payload(begin(w, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL), chain);
  nftnl_chain_free(chain);
  finish(w);
}

// ---- rules: rule_begin, what it matches and does in that order, rule_end ----

static struct nftnl_rule *rule_begin(struct writer *w, const char *chain) {
  struct nftnl_rule *rule = made(w, nftnl_rule_alloc());
  if (!rule)
    return NULL;
  nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, w->layout->table);
  nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain);
  return rule;
}

static void rule_end(struct writer *w, struct nftnl_rule *rule) {
  if (!rule)
    return;
  nftnl_rule_nlmsg_build_payload(begin(w, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), rule);
  nftnl_rule_free(rule);
  finish(w);
}

// A new expression at the rule's end; NULL when memory is short.
static struct nftnl_expr *expression(struct writer *w, struct nftnl_rule *rule, const char *name) {
  struct nftnl_expr *e = made(w, rule ? nftnl_expr_alloc(name) : NULL);
  if (e)
    nftnl_rule_add_expr(rule, e);
  return e;
}

static void equals(struct writer *w, struct nftnl_rule *rule, const void *bytes, uint32_t size) {
  struct nftnl_expr *e = expression(w, rule, "cmp");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
  nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
  nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, bytes, size);
}

static void meta_is(struct writer *w, struct nftnl_rule *rule, uint32_t key, const void *bytes,
                    uint32_t size) {
  struct nftnl_expr *e = expression(w, rule, "meta");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
  nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
  equals(w, rule, bytes, size);
}

static void meta_byte_is(struct writer *w, struct nftnl_rule *rule, uint32_t key, uint8_t value) {
  meta_is(w, rule, key, &value, sizeof(value));
}

static void payload_is(struct writer *w, struct nftnl_rule *rule, uint32_t base, uint32_t offset,
                       const void *bytes, uint32_t size) {
  struct nftnl_expr *e = expression(w, rule, "payload");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, size);
  equals(w, rule, bytes, size);
}

static void port_is(struct writer *w, struct nftnl_rule *rule, uint32_t offset, unsigned port) {
  uint16_t bytes = htons((uint16_t)port);
  payload_is(w, rule, NFT_PAYLOAD_TRANSPORT_HEADER, offset, &bytes, sizeof(bytes));
}

static void verdict(struct writer *w, struct nftnl_rule *rule, int code, const char *chain) {
  struct nftnl_expr *e = expression(w, rule, "immediate");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
  nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
  if (chain)
    nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void load_key(struct writer *w, struct nftnl_rule *rule) {
  struct nftnl_expr *e = expression(w, rule, "immediate");
  if (!e)
    return;
  const uint32_t key = NFT_LEASE_KEY;
  nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
  nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &key, sizeof(key));
}

/* What an order says is the key in NFT_FRESH. One key for all would leave its lapsed elements in one row until the
   kernel collects them, once a second or so; a row that is too long takes no more. */
static void load_nonce(struct writer *w, struct nftnl_rule *rule) {
  struct nftnl_expr *e = expression(w, rule, "payload");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, sizeof(struct udphdr));
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, sizeof(uint32_t));
}

static void loaded_in(struct writer *w, struct nftnl_rule *rule, const char *set) {
  struct nftnl_expr *e = expression(w, rule, "lookup");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
  nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
  nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, set_id(set));
}

static void key_in(struct writer *w, struct nftnl_rule *rule, const char *set) {
  load_key(w, rule);
  loaded_in(w, rule, set);
}

// The packet itself changes the set; timeout 0: none.
static void change_loaded(struct writer *w, struct nftnl_rule *rule, const char *set, uint32_t operation,
                          uint64_t timeout_ms) {
  struct nftnl_expr *e = expression(w, rule, "dynset");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
  nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, operation);
  nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, set);
  nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SET_ID, set_id(set));
  if (timeout_ms > 0)
    nftnl_expr_set_u64(e, NFTNL_EXPR_DYNSET_TIMEOUT, timeout_ms);
}

static void change(struct writer *w, struct nftnl_rule *rule, const char *set, uint32_t operation,
                   uint64_t timeout_ms) {
  load_key(w, rule);
  change_loaded(w, rule, set, operation, timeout_ms);
}

// ---- orders: what our own datagrams do on their way out ----

static struct nftnl_rule *order_begin(struct writer *w, unsigned order) {
  struct nftnl_rule *rule = rule_begin(w, "orders");
  port_is(w, rule, 2, order);
  return rule;
}

// Dropped: sendto answers EPERM, which says that the order was carried out.
static void order_end(struct writer *w, struct nftnl_rule *rule) {
  verdict(w, rule, NF_DROP, NULL);
  rule_end(w, rule);
}

static void write_orders(struct writer *w) {
  struct nftnl_rule *rule = order_begin(w, NFT_ORDER_FRESHEN);
  load_nonce(w, rule);
  change_loaded(w, rule, NFT_FRESH, NFT_DYNSET_OP_UPDATE, w->layout->fresh_ms);
  order_end(w, rule);
  rule = order_begin(w, NFT_ORDER_CLOSE);
  change(w, rule, NFT_LEASE, NFT_DYNSET_OP_DELETE, 0);
  change(w, rule, NFT_SOLE, NFT_DYNSET_OP_DELETE, 0);
  order_end(w, rule);
  rule = order_begin(w, NFT_ORDER_SOLE_ON);
  change(w, rule, NFT_SOLE, NFT_DYNSET_OP_ADD, 0);
  order_end(w, rule);
  rule = order_begin(w, NFT_ORDER_SOLE_OFF);
  change(w, rule, NFT_SOLE, NFT_DYNSET_OP_DELETE, 0);
  order_end(w, rule);
  for (unsigned i = 0; i < NFT_RUNGS; i++) {
    rule = order_begin(w, NFT_ORDER_EXTEND + i);
    load_nonce(w, rule);
    loaded_in(w, rule, NFT_FRESH);
    change(w, rule, NFT_LEASE, NFT_DYNSET_OP_UPDATE, w->layout->rung_ms[i]);
    order_end(w, rule);
  }
}

static void write_way_to_orders(struct writer *w) {
  struct nftnl_rule *rule = rule_begin(w, "output");
  meta_is(w, rule, NFT_META_MARK, &w->layout->mark, sizeof(w->layout->mark));
  meta_byte_is(w, rule, NFT_META_NFPROTO, NFPROTO_IPV4);
  meta_byte_is(w, rule, NFT_META_L4PROTO, IPPROTO_UDP);
  payload_is(w, rule, NFT_PAYLOAD_NETWORK_HEADER, 16, &w->layout->control, sizeof(w->layout->control));
  verdict(w, rule, NFT_GOTO, "orders");
  rule_end(w, rule);
}

// ---- the gates: everything passes while leased, else nothing that would serve a virtual IP ----

static void write_open(struct writer *w, const char *chain, const char *set) {
  struct nftnl_rule *rule = rule_begin(w, chain);
  key_in(w, rule, set);
  verdict(w, rule, NF_ACCEPT, NULL);
  rule_end(w, rule);
}

static void on_loopback(struct writer *w, struct nftnl_rule *rule, bool incoming) {
  const uint32_t loopback = 1; // its index in every network namespace
  meta_is(w, rule, incoming ? NFT_META_IIF : NFT_META_OIF, &loopback, sizeof(loopback));
}

static void address_is(struct writer *w, struct nftnl_rule *rule, const struct fence_address *a,
                       bool source) {
  bool v4 = a->family == AF_INET;
  uint32_t offset = v4 ? (source ? 12 : 16) : (source ? 8 : 24);
  meta_byte_is(w, rule, NFT_META_NFPROTO, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
  payload_is(w, rule, NFT_PAYLOAD_NETWORK_HEADER, offset, a->bytes, v4 ? 4 : 16);
}

// Neighbour solicitations are sent to a group, and advertisements may come from another address of ours.
static void write_neighbour(struct writer *w, const char *chain, uint8_t type, const unsigned char *bytes) {
  struct nftnl_rule *rule = rule_begin(w, chain);
  meta_byte_is(w, rule, NFT_META_NFPROTO, NFPROTO_IPV6);
  meta_byte_is(w, rule, NFT_META_L4PROTO, IPPROTO_ICMPV6);
  payload_is(w, rule, NFT_PAYLOAD_TRANSPORT_HEADER, 0, &type, sizeof(type));
  payload_is(w, rule, NFT_PAYLOAD_TRANSPORT_HEADER, 8, bytes, 16);
  verdict(w, rule, NF_DROP, NULL);
  rule_end(w, rule);
}

// What comes in for the address, or goes out from it; on loopback either, since only its holder has it there.
static void write_address(struct writer *w, const char *chain, const struct fence_address *a, bool incoming) {
  for (int way = 0; way < 2; way++) {
    struct nftnl_rule *rule = rule_begin(w, chain);
    if (way == 1)
      on_loopback(w, rule, incoming);
    address_is(w, rule, a, way == 0 ? !incoming : incoming);
    verdict(w, rule, NF_DROP, NULL);
    rule_end(w, rule);
  }
  if (a->family == AF_INET6)
    write_neighbour(w, chain, incoming ? 135 : 136, a->bytes); // solicitation, advertisement
}

// ---- ports: on every address of this node, except from itself and from the other node ----

// The address that is the node's own before it is translated, or after.
static void is_local(struct writer *w, struct nftnl_rule *rule, bool incoming) {
  const uint32_t local = RTN_LOCAL;
  struct nftnl_expr *e = expression(w, rule, "fib");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, incoming ? NFTA_FIB_F_DADDR : NFTA_FIB_F_SADDR);
  equals(w, rule, &local, sizeof(local));
}

static void write_ports(struct writer *w, const struct fence_settings *s, const char *chain, bool incoming,
                        bool translated) {
  struct nftnl_rule *rule = rule_begin(w, chain);
  on_loopback(w, rule, incoming);
  verdict(w, rule, NF_ACCEPT, NULL);
  rule_end(w, rule);
  for (size_t i = 0; i < s->peer_count; i++) {
    rule = rule_begin(w, chain);
    address_is(w, rule, &s->peer[i], incoming);
    verdict(w, rule, NF_ACCEPT, NULL);
    rule_end(w, rule);
  }
  for (size_t i = 0; i < s->port_count; i++) {
    rule = rule_begin(w, chain);
    meta_byte_is(w, rule, NFT_META_L4PROTO, IPPROTO_TCP);
    port_is(w, rule, incoming ? 2 : 0, s->port[i]);
    if (translated)
      is_local(w, rule, incoming);
    verdict(w, rule, NF_DROP, NULL);
    rule_end(w, rule);
  }
}

static void write_way(struct writer *w, const char *chain, const char *gate) {
  struct nftnl_rule *rule = rule_begin(w, chain);
  verdict(w, rule, NFT_JUMP, gate);
  rule_end(w, rule);
}

// ---- the tables ----

static void write_arp_address(struct writer *w, const char *chain, uint32_t offset,
                              const unsigned char *bytes, int code) {
  struct nftnl_rule *rule = rule_begin(w, chain);
  payload_is(w, rule, NFT_PAYLOAD_NETWORK_HEADER, offset, bytes, 4); // of IPv4 over Ethernet
  verdict(w, rule, code, NULL);
  rule_end(w, rule);
}

static void renew_table(struct writer *w) {
  write_table(w, NFT_MSG_NEWTABLE, NLM_F_CREATE, 0); // so that there is one to delete
  write_table(w, NFT_MSG_DELTABLE, 0, 0);
  write_table(w, NFT_MSG_NEWTABLE, NLM_F_CREATE, w->layout->owned ? FLAG_OWNER | FLAG_PERSIST : 0);
}

static void write_gates(struct writer *w, const struct fence_settings *s) {
  for (int incoming = 0; incoming < 2; incoming++) {
    const char *gate = incoming ? GATE_IN : GATE_OUT;
    write_chain(w, gate, -1, 0);
    write_open(w, gate, NFT_LEASE);
    write_open(w, gate, NFT_SOLE);
    for (size_t i = 0; i < s->address_count; i++)
      write_address(w, gate, &s->address[i], incoming);
  }
}

// The ports twice: where the broker's own packets pass, and where those of one behind a translated address
// do.
static void write_inet(struct writer *w, const struct fence_settings *s) {
  static const struct {
    const char *name, *gate;
    int hook, priority;
    bool incoming, translated;
  } chains[] = {{"prerouting", GATE_IN, NF_INET_PRE_ROUTING, BEFORE_CONNTRACK, true, true},
                {"input", GATE_IN, NF_INET_LOCAL_IN, BEFORE_CONNTRACK, true, false},
                {"output", GATE_OUT, NF_INET_LOCAL_OUT, BEFORE_CONNTRACK, false, false},
                {"postrouting", GATE_OUT, NF_INET_POST_ROUTING, AFTER_NAT, false, true}};
  w->family = NFPROTO_INET;
  renew_table(w);
  for (size_t i = 0; i < SETS; i++)
    write_set(w, set_names[i]);
  write_chain(w, "orders", -1, 0);
  write_orders(w);
  write_gates(w, s);
  for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
    write_chain(w, chains[i].name, chains[i].hook, chains[i].priority);
    if (chains[i].hook == NF_INET_LOCAL_OUT)
      write_way_to_orders(w); // before the gate, which may be closed
    write_way(w, chains[i].name, chains[i].gate);
    if (!chains[i].translated || w->layout->sees_translated)
      write_ports(w, s, chains[i].name, chains[i].incoming, chains[i].translated);
  }
}

// Requests for the address, and whatever claims it; but an announcement of the other node's is let in.
static void write_arp(struct writer *w, const struct fence_settings *s) {
  w->family = NFPROTO_ARP;
  renew_table(w);
  write_set(w, NFT_LEASE);
  write_set(w, NFT_FRESH);
  for (int incoming = 0; incoming < 2; incoming++) {
    const char *gate = incoming ? GATE_IN : GATE_OUT, *chain = incoming ? "input" : "output";
    write_chain(w, gate, -1, 0);
    write_open(w, gate, NFT_LEASE);
    for (size_t i = 0; i < s->address_count; i++)
      if (s->address[i].family == AF_INET) {
        write_arp_address(w, gate, 14, s->address[i].bytes, incoming ? NF_ACCEPT : NF_DROP); // the sender's
        if (incoming)
          write_arp_address(w, gate, 24, s->address[i].bytes, NF_DROP); // the one asked for
      }
    write_chain(w, chain, incoming ? NF_ARP_IN : NF_ARP_OUT, BEFORE_CONNTRACK);
    write_way(w, chain, gate);
  }
}

static void write_element(struct writer *w, bool there, struct nft_element at, uint64_t timeout_ms) {
  nft_rules_put_element(w->layout, there, at, timeout_ms, w->sequence++, mnl_nlmsg_batch_current(w->batch));
  finish(w);
}

static void write_open_leases(struct writer *w, const struct nft_handed_on *from) {
  uint64_t timeout_ms = from->sole ? 0 : from->timeout_ms;
  write_element(w, true, (struct nft_element){NFPROTO_INET, from->sole ? NFT_SOLE : NFT_LEASE}, timeout_ms);
  write_element(w, true, (struct nft_element){NFPROTO_ARP, NFT_LEASE}, timeout_ms);
}

size_t nft_rules_install(const struct nft_layout *layout, const struct fence_settings *settings,
                         const struct nft_handed_on *from, void *buffer, uint32_t *last) {
  struct writer w = {.layout = layout,
                     .batch =
                         mnl_nlmsg_batch_start(buffer, NFT_BATCH_MAX / 2), // it writes beyond before it looks
                     .sequence = 1};
  if (!w.batch)
    return 0;
  nftnl_batch_begin(mnl_nlmsg_batch_current(w.batch), w.sequence++);
  finish(&w);
  if (from != NULL && !from->sole)
    write_element(&w, false, (struct nft_element){NFPROTO_ARP, NFT_FRESH}, 0);
  write_inet(&w, settings);
  write_arp(&w, settings);
  if (from != NULL)
    write_open_leases(&w, from);
  *last = w.sequence; // asks for the table that was just made
  write_table(&w, NFT_MSG_NEWTABLE, NLM_F_ACK, 0);
  nftnl_batch_end(mnl_nlmsg_batch_current(w.batch), w.sequence++);
  finish(&w);
  size_t size = w.failed ? 0 : mnl_nlmsg_batch_size(w.batch);
  mnl_nlmsg_batch_stop(w.batch);
  return size;
}
