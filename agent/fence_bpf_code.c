// SPDX-License-Identifier: Apache-2.0
// Registers: R6 the packet; R7 the deadline; R8 where the transport header begins, from the network header
// on; R9 an IPv6 packet's next header. R1 to R5 are lost with each call. What is read of the packet goes to
// the stack, below R10.
#include "agent/fence_bpf_code.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <string.h>

#define LABELS_MAX 256
#define JUMPS_MAX 1024
#define EXTENSIONS_MAX 6 // extension headers of IPv6 that are looked behind
#define PULL_MAX 512     // bytes of a packet that are made readable, where the first attempt fails

// Where on the stack: an IP header; an ARP packet, by place, so that the address looked at is aligned to 4
// bytes; ports or an extension header; an ICMPv6 message.
#define HEADER (-64)
#define ARP_IN (-64)
#define ARP_OUT (-62)
#define SHORT (-72)
#define ICMP6 (-104)

enum label { PASS, DROP, IPV4, IPV6, ARP, PORT, TCP6, NEIGHBOUR, LABELS_FIXED };

struct code {
  const struct fence_settings *settings;
  enum fence_bpf_place place;
  struct bpf_insn *at;
  size_t count, labels, jumps;
  size_t label[LABELS_MAX]; // the instruction that it stands before
  struct {
    size_t from;
    unsigned to; // a label
  } jump[JUMPS_MAX];
};

// ---- single instructions ----

static void put(struct code *c, int op, int to, int from, int offset, int32_t value) {
  assert(c->count < FENCE_BPF_CODE_MAX);
  c->at[c->count++] = (struct bpf_insn){.code = (uint8_t)op,
                                        .dst_reg = (unsigned)to & 15u,
                                        .src_reg = (unsigned)from & 15u,
                                        .off = (int16_t)offset,
                                        .imm = value};
}

static void copy(struct code *c, int to, int from) {
  put(c, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

static void set(struct code *c, int to, int32_t value) {
  put(c, BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}

static void compute(struct code *c, int op, int to, int32_t value) {
  put(c, BPF_ALU64 | op | BPF_K, to, 0, 0, value);
}

// size: BPF_B, BPF_H, BPF_W, BPF_DW; as it lies in memory, so packets' numbers stay in network order.
static void load(struct code *c, int size, int to, int base, int offset) {
  put(c, BPF_LDX | BPF_MEM | size, to, base, offset, 0);
}

static void call(struct code *c, int helper) {
  put(c, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

static unsigned new_label(struct code *c) {
  assert(c->labels < LABELS_MAX);
  return (unsigned)c->labels++;
}

static void label_here(struct code *c, unsigned label) {
  c->label[label] = c->count;
}

static void jump(struct code *c, int op, int a, int b, int32_t value, unsigned to) {
  assert(c->jumps < JUMPS_MAX);
  c->jump[c->jumps].from = c->count;
  c->jump[c->jumps++].to = to;
  put(c, op, a, b, 0, value);
}

static void go(struct code *c, unsigned to) {
  jump(c, BPF_JMP | BPF_JA, 0, 0, 0, to);
}

// The lower 32 bits of a register against a value.
static void go_if(struct code *c, int op, int reg, uint32_t value, unsigned to) {
  jump(c, BPF_JMP32 | op | BPF_K, reg, 0, (int32_t)value, to);
}

static void resolve(struct code *c) {
  for (size_t i = 0; i < c->jumps; i++)
    c->at[c->jump[i].from].off = (int16_t)(c->label[c->jump[i].to] - c->jump[i].from - 1);
}

// ---- reading the packet ----

static void try_read(struct code *c, int offset, int to, int size) {
  copy(c, BPF_REG_1, BPF_REG_6); // of this packet
  if (offset < 0)
    copy(c, BPF_REG_2, BPF_REG_8); // from the transport header on
  else
    set(c, BPF_REG_2, offset);               // or from there in the network header
  copy(c, BPF_REG_3, BPF_REG_10);            // to the stack
  compute(c, BPF_ADD, BPF_REG_3, to);        //   there
  set(c, BPF_REG_4, size);                   // so many bytes
  set(c, BPF_REG_5, BPF_HDR_START_NET);      // counted from the network header
  call(c, BPF_FUNC_skb_load_bytes_relative); // R0: 0 if they could be read
}

// offset < 0: at R8. What cannot be read is no such packet, nor will the kernel take it for one.
static void read_packet(struct code *c, int offset, int to, int size) {
  unsigned read = new_label(c), pull = new_label(c);
  try_read(c, offset, to, size);                                         // as it lies
  go_if(c, BPF_JEQ, BPF_REG_0, 0, read);                                 // got it
  copy(c, BPF_REG_1, BPF_REG_6);                                         // else it may lie in another page:
  load(c, BPF_W, BPF_REG_2, BPF_REG_6, offsetof(struct __sk_buff, len)); // of the whole packet
  go_if(c, BPF_JLE, BPF_REG_2, PULL_MAX, pull);                          //   that may be short,
  set(c, BPF_REG_2, PULL_MAX);                                           //   its beginning
  label_here(c, pull);
  call(c, BPF_FUNC_skb_pull_data);       // is brought to where it can be read
  try_read(c, offset, to, size);         // now
  go_if(c, BPF_JNE, BPF_REG_0, 0, PASS); // there is not so much of it
  label_here(c, read);
}

// ---- addresses ----

static int32_t word(const unsigned char *bytes) {
  int32_t value;
  memcpy(&value, bytes, sizeof(value));
  return value;
}

struct list {
  const struct fence_address *at;
  size_t count;
};

static struct list virtual_ips(const struct code *c) {
  return (struct list){c->settings->address, c->settings->address_count};
}

static struct list peers(const struct code *c) {
  return (struct list){c->settings->peer, c->settings->peer_count};
}

// The 4 bytes on the stack are one of the list's: there.
static void go_if_in4(struct code *c, int where, struct list list, unsigned to) {
  load(c, BPF_W, BPF_REG_1, BPF_REG_10, where); // the packet's address
  for (size_t i = 0; i < list.count; i++)
    if (list.at[i].family == AF_INET)
      go_if(c, BPF_JEQ, BPF_REG_1, (uint32_t)word(list.at[i].bytes), to); // is this one
}

// The same with 16 bytes.
static void go_if_in6(struct code *c, int where, struct list list, unsigned to) {
  for (int i = 0; i < 4; i++)
    load(c, BPF_W, BPF_REG_1 + i, BPF_REG_10, where + 4 * i); // the packet's address, in R1 to R4
  for (size_t i = 0; i < list.count; i++) {
    if (list.at[i].family != AF_INET6)
      continue;
    unsigned next = new_label(c);
    for (int k = 3; k >= 0; k--) // its end tells most apart
      go_if(c, BPF_JNE, BPF_REG_1 + k, (uint32_t)word(list.at[i].bytes + 4 * k), next); // is not this one
    go(c, to);                                                                          // it is
    label_here(c, next);
  }
}

// ---- the parts ----

static void write_deadline(struct code *c, int map) {
  copy(c, BPF_REG_6, BPF_REG_1); // the packet, kept across calls
  put(c, BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0,
      map);                                                          // the address of the map's value
  put(c, 0, 0, 0, 0, 0);                                             //   is two instructions long
  load(c, BPF_DW, BPF_REG_7, BPF_REG_1, 0);                          // the deadline
  jump(c, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_7, 0, -1, PASS);        // there is none: sole ownership
  call(c, BPF_FUNC_ktime_get_boot_ns);                               // R0: now
  jump(c, BPF_JMP | BPF_JLT | BPF_X, BPF_REG_0, BPF_REG_7, 0, PASS); // it lies ahead
}

// What another interface of this node sees once more, or nobody here takes.
static void write_not_ours(struct code *c) {
  if (c->place == FENCE_BPF_LOOPBACK)
    return;
  unsigned untagged = new_label(c);
  if (c->place == FENCE_BPF_IN) {
    load(c, BPF_W, BPF_REG_1, BPF_REG_6, offsetof(struct __sk_buff, pkt_type)); // by its link-layer address
    go_if(c, BPF_JEQ, BPF_REG_1, PACKET_OTHERHOST, PASS);                       //   it is for another machine
  }
  load(c, BPF_W, BPF_REG_1, BPF_REG_6, offsetof(struct __sk_buff, vlan_present)); // is there a VLAN tag?
  go_if(c, BPF_JEQ, BPF_REG_1, 0, untagged);                                      // no
  load(c, BPF_W, BPF_REG_1, BPF_REG_6, offsetof(struct __sk_buff, vlan_tci));     // the tag
  go_if(c, BPF_JSET, BPF_REG_1, 0xfff, PASS); // of a VLAN, which has an interface of its own
  label_here(c, untagged);
}

static void write_dispatch(struct code *c) {
  load(c, BPF_W, BPF_REG_1, BPF_REG_6, offsetof(struct __sk_buff, protocol)); // EtherType, in network order
  go_if(c, BPF_JEQ, BPF_REG_1, htons(ETH_P_IP), IPV4);                        // IPv4
  go_if(c, BPF_JEQ, BPF_REG_1, htons(ETH_P_IPV6), IPV6);                      // IPv6
  if (c->place != FENCE_BPF_LOOPBACK)
    go_if(c, BPF_JEQ, BPF_REG_1, htons(ETH_P_ARP), ARP); // ARP, which loopback does not speak
  go(c, PASS);                                           // none of those that an address of ours can be in
}

static void write_ipv4(struct code *c) {
  int source = HEADER + 12, target = HEADER + 16;
  label_here(c, IPV4);
  read_packet(c, 0, HEADER, 20); // the header without options
  if (c->place != FENCE_BPF_OUT)
    go_if_in4(c, target, virtual_ips(c), DROP); // for a virtual IP
  if (c->place != FENCE_BPF_IN)
    go_if_in4(c, source, virtual_ips(c), DROP); // from one
  if (c->place == FENCE_BPF_LOOPBACK) {
    go(c, PASS); // ports are open to this node itself
    return;
  }
  load(c, BPF_B, BPF_REG_1, BPF_REG_10, HEADER + 9);  // the protocol
  go_if(c, BPF_JNE, BPF_REG_1, IPPROTO_TCP, PASS);    // fence.ports are TCP's
  load(c, BPF_H, BPF_REG_1, BPF_REG_10, HEADER + 6);  // the fragment's offset
  go_if(c, BPF_JSET, BPF_REG_1, htons(0x1fff), PASS); // a later one has no ports, and is worth nothing alone
  go_if_in4(c, c->place == FENCE_BPF_IN ? source : target, peers(c), PASS); // the other node's broker
  load(c, BPF_B, BPF_REG_8, BPF_REG_10, HEADER);                            // version and length
  compute(c, BPF_AND, BPF_REG_8, 15);                                       // length, in words,
  compute(c, BPF_LSH, BPF_REG_8, 2);                                        // in bytes
  go(c, PORT);                                                              // which one?
}

// Looks behind extension headers until R9 is TCP or ICMPv6.
static void write_extension(struct code *c) {
  unsigned known = new_label(c), fragment = new_label(c), next = new_label(c);
  go_if(c, BPF_JEQ, BPF_REG_9, IPPROTO_TCP, TCP6);         // ports
  go_if(c, BPF_JEQ, BPF_REG_9, IPPROTO_ICMPV6, NEIGHBOUR); // perhaps neighbour discovery
  go_if(c, BPF_JEQ, BPF_REG_9, IPPROTO_HOPOPTS, known);    // options for each hop,
  go_if(c, BPF_JEQ, BPF_REG_9, IPPROTO_ROUTING, known);    //   a route,
  go_if(c, BPF_JEQ, BPF_REG_9, IPPROTO_DSTOPTS, known);    //   options for the target: passed over
  go_if(c, BPF_JNE, BPF_REG_9, IPPROTO_FRAGMENT, PASS);    // something else: no port, no neighbour
  label_here(c, known);
  read_packet(c, -1, SHORT, 8);                             // the extension's beginning
  go_if(c, BPF_JEQ, BPF_REG_9, IPPROTO_FRAGMENT, fragment); // which has no length
  load(c, BPF_B, BPF_REG_1, BPF_REG_10, SHORT + 1);         // its length without the first 8 bytes, in eights
  compute(c, BPF_LSH, BPF_REG_1, 3);                        // in bytes
  put(c, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_8, BPF_REG_1, 0, 0); // it is passed over
  go(c, next);                                                     // but for
  label_here(c, fragment);
  load(c, BPF_H, BPF_REG_1, BPF_REG_10, SHORT + 2);   // the fragment's offset
  go_if(c, BPF_JSET, BPF_REG_1, htons(0xfff8), PASS); // as with IPv4
  label_here(c, next);
  compute(c, BPF_ADD, BPF_REG_8, 8);            // and its first 8 bytes
  load(c, BPF_B, BPF_REG_9, BPF_REG_10, SHORT); // what comes next
}

// A solicitation is sent to a group, and an advertisement may come from another address of ours.
static void write_neighbour(struct code *c) {
  label_here(c, NEIGHBOUR);
  read_packet(c, -1, ICMP6, 24);                // type, code, checksum, 4 bytes, and the address it is about
  load(c, BPF_B, BPF_REG_1, BPF_REG_10, ICMP6); // the type
  go_if(c, BPF_JNE, BPF_REG_1, c->place == FENCE_BPF_IN ? 135 : 136, PASS); // solicitation, advertisement
  go_if_in6(c, ICMP6 + 8, virtual_ips(c), DROP);                            // about a virtual IP
  go(c, PASS);                                                              // about another
}

static void write_ipv6(struct code *c) {
  int source = HEADER + 8, target = HEADER + 24;
  label_here(c, IPV6);
  read_packet(c, 0, HEADER, 40); // the header
  if (c->place != FENCE_BPF_OUT)
    go_if_in6(c, target, virtual_ips(c), DROP); // for a virtual IP
  if (c->place != FENCE_BPF_IN)
    go_if_in6(c, source, virtual_ips(c), DROP); // from one
  if (c->place == FENCE_BPF_LOOPBACK) {
    go(c, PASS); // as with IPv4
    return;
  }
  load(c, BPF_B, BPF_REG_9, BPF_REG_10, HEADER + 6); // the next header
  set(c, BPF_REG_8, 40);                             // begins there
  for (int i = 0; i < EXTENSIONS_MAX; i++)
    write_extension(c);
  go(c, DROP); // nobody sends so many
  write_neighbour(c);
  label_here(c, TCP6);
  go_if_in6(c, c->place == FENCE_BPF_IN ? source : target, peers(c), PASS); // the other node's broker
  go(c, PORT);                                                              // which port?
}

static void write_port(struct code *c) {
  bool in = c->place == FENCE_BPF_IN;
  label_here(c, PORT);
  read_packet(c, -1, SHORT, 4);                                // both ports
  load(c, BPF_H, BPF_REG_1, BPF_REG_10, SHORT + (in ? 2 : 0)); // ours
  for (size_t i = 0; i < c->settings->port_count; i++)
    go_if(c, BPF_JEQ, BPF_REG_1, htons(c->settings->port[i]), DROP); // is this one
  go(c, PASS);                                                       // is none of them
}

// An announcement (by the other node, from an address about itself) is let in: nothing answers it.
static void write_arp(struct code *c) {
  bool in = c->place == FENCE_BPF_IN;
  int at = in ? ARP_IN : ARP_OUT;
  label_here(c, ARP);
  read_packet(c, 0, at, 28); // of IPv4 over Ethernet: the sender's address is at 14, the wanted one at 24
  if (in) {
    load(c, BPF_H, BPF_REG_1, BPF_REG_10, at + 14); // the sender's,
    load(c, BPF_H, BPF_REG_2, BPF_REG_10, at + 16); //   in two halves
    load(c, BPF_H, BPF_REG_3, BPF_REG_10, at + 24); // the wanted one's
    load(c, BPF_H, BPF_REG_4, BPF_REG_10, at + 26); //   likewise
    unsigned asks = new_label(c);
    jump(c, BPF_JMP | BPF_JNE | BPF_X, BPF_REG_1, BPF_REG_3, 0, asks); // they differ: a question
    jump(c, BPF_JMP | BPF_JEQ | BPF_X, BPF_REG_2, BPF_REG_4, 0, PASS); // they are the same
    label_here(c, asks);
  }
  go_if_in4(c, at + (in ? 24 : 14), virtual_ips(c), DROP); // about a virtual IP
  go(c, PASS);                                             // about another
}

static void write_verdicts(struct code *c) {
  label_here(c, PASS);
  set(c, BPF_REG_0, TC_ACT_UNSPEC);       // whatever others say
  put(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0); // the verdict is R0
  label_here(c, DROP);
  set(c, BPF_REG_0, TC_ACT_SHOT);         // it is gone
  put(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0); // likewise
}

size_t fence_bpf_code(enum fence_bpf_place place, const struct fence_settings *settings, int map,
                      struct bpf_insn *out) {
  struct code c = {.settings = settings, .place = place, .at = out, .labels = LABELS_FIXED};
  write_deadline(&c, map);
  write_not_ours(&c);
  write_dispatch(&c);
  write_ipv4(&c);
  write_ipv6(&c);
  if (place != FENCE_BPF_LOOPBACK) {
    write_port(&c);
    write_arp(&c);
  }
  write_verdicts(&c);
  resolve(&c);
  return c.count;
}
