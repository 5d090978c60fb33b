// SPDX-License-Identifier: Apache-2.0
// The BPF fence's programs, run by a small interpreter on made-up packets, and what they ought to say of each
// by another way; so this needs neither BPF nor a privilege. What the kernel says to them: where it may be
// asked.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/bpf.h"
#include "agent/fence_bpf_code.h"

#define NOW_NS UINT64_C(5000000000)
#define STACK 512
#define PACKETS 200000

// ---- a packet, and what to expect ----

struct packet {
  uint8_t bytes[1600];   // from the network header on
  uint32_t size, linear; // so many can be read at once
  uint16_t protocol;     // EtherType
  uint32_t type, vlan;   // PACKET_HOST and so on; 0: no tag
};

static struct fence_settings settings;

static bool in_list(const struct fence_address *list, size_t count, int family, const uint8_t *bytes) {
  for (size_t i = 0; i < count; i++)
    if (list[i].family == family && memcmp(list[i].bytes, bytes, family == AF_INET ? 4 : 16) == 0)
      return true;
  return false;
}

static bool is_vip(int family, const uint8_t *bytes) {
  return in_list(settings.address, settings.address_count, family, bytes);
}

static bool is_peer(int family, const uint8_t *bytes) {
  return in_list(settings.peer, settings.peer_count, family, bytes);
}

static bool is_port(const uint8_t *bytes) {
  for (size_t i = 0; i < settings.port_count; i++)
    if (bytes[0] == settings.port[i] >> 8 && bytes[1] == (settings.port[i] & 255))
      return true;
  return false;
}

static bool drops_tcp(const struct packet *p, uint32_t at, bool in) {
  return at + 4 <= p->size && is_port(p->bytes + at + (in ? 2 : 0));
}

static bool drops_v4(const struct packet *p, enum fence_bpf_place place) {
  const uint8_t *source = p->bytes + 12, *target = p->bytes + 16;
  bool in = place == FENCE_BPF_IN, lo = place == FENCE_BPF_LOOPBACK;
  if (p->size < 20)
    return false;
  if (((in || lo) && is_vip(AF_INET, target)) || (!in && is_vip(AF_INET, source)))
    return true;
  bool later = (p->bytes[6] & 0x1f) != 0 || p->bytes[7] != 0;
  if (lo || p->bytes[9] != IPPROTO_TCP || later || is_peer(AF_INET, in ? source : target))
    return false;
  return drops_tcp(p, (p->bytes[0] & 15u) * 4, in);
}

static bool drops_v6(const struct packet *p, enum fence_bpf_place place) {
  const uint8_t *source = p->bytes + 8, *target = p->bytes + 24;
  bool in = place == FENCE_BPF_IN, lo = place == FENCE_BPF_LOOPBACK;
  if (p->size < 40)
    return false;
  if (((in || lo) && is_vip(AF_INET6, target)) || (!in && is_vip(AF_INET6, source)))
    return true;
  uint32_t at = 40;
  uint8_t next = p->bytes[6];
  for (int i = 0; i < 6 && !lo; i++) {
    if (next == IPPROTO_TCP)
      return !is_peer(AF_INET6, in ? source : target) && drops_tcp(p, at, in);
    if (next == IPPROTO_ICMPV6)
      return at + 24 <= p->size && p->bytes[at] == (in ? 135 : 136) && is_vip(AF_INET6, p->bytes + at + 8);
    bool fragment = next == IPPROTO_FRAGMENT;
    if ((!fragment && next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) ||
        at + 8 > p->size)
      return false;
    if (fragment && (p->bytes[at + 2] != 0 || (p->bytes[at + 3] & 0xf8) != 0))
      return false;
    next = p->bytes[at];
    at += fragment ? 8 : 8 + p->bytes[at + 1] * 8u;
  }
  return !lo;
}

static bool drops_arp(const struct packet *p, enum fence_bpf_place place) {
  if (place == FENCE_BPF_LOOPBACK || p->size < 28)
    return false;
  if (place == FENCE_BPF_OUT)
    return is_vip(AF_INET, p->bytes + 14);
  return memcmp(p->bytes + 14, p->bytes + 24, 4) != 0 && is_vip(AF_INET, p->bytes + 24);
}

static int expected(const struct packet *p, enum fence_bpf_place place, uint64_t deadline) {
  bool elsewhere = (place == FENCE_BPF_IN && p->type == PACKET_OTHERHOST) || (p->vlan & 0xfff) != 0;
  bool drop = p->protocol == ETH_P_IP     ? drops_v4(p, place)
              : p->protocol == ETH_P_IPV6 ? drops_v6(p, place)
              : p->protocol == ETH_P_ARP  ? drops_arp(p, place)
                                          : false;
  if (deadline > NOW_NS || (elsewhere && place != FENCE_BPF_LOOPBACK))
    return TC_ACT_UNSPEC;
  return drop ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

// ---- the interpreter ----

// A pointer is a number of its own range here: nothing else is read or written.
#define AT_STACK UINT64_C(0x100000000)
#define AT_PACKET UINT64_C(0x200000000)
#define AT_MAP UINT64_C(0x300000000)

struct machine {
  uint64_t r[11];
  uint8_t stack[STACK];
  bool written[STACK];
  struct packet *packet;
  uint64_t deadline;
};

static uint64_t field(const struct packet *p, int offset) {
  switch (offset) {
  case offsetof(struct __sk_buff, len):
    return p->size + 14;
  case offsetof(struct __sk_buff, pkt_type):
    return p->type;
  case offsetof(struct __sk_buff, protocol):
    return htons(p->protocol);
  case offsetof(struct __sk_buff, vlan_present):
    return p->vlan != 0;
  case offsetof(struct __sk_buff, vlan_tci):
    return p->vlan;
  default:
    fail_msg("reads an unknown field of the packet at %d", offset);
    return 0;
  }
}

static uint64_t load_from(const struct machine *m, uint64_t at, size_t size, int offset) {
  uint64_t value = 0;
  if (at == AT_MAP && offset == 0 && size == 8)
    return m->deadline;
  if (at == AT_PACKET && size == 4)
    return field(m->packet, offset);
  size_t from = (size_t)(at - AT_STACK + STACK) + (size_t)(int64_t)offset;
  assert_true(from + size <= STACK && from % size == 0);
  for (size_t i = 0; i < size; i++)
    assert_true(m->written[from + i]);
  memcpy(&value, m->stack + from, size);
  return value;
}

static uint64_t read_bytes(struct machine *m) {
  size_t to = (size_t)(m->r[3] - AT_STACK + STACK), size = m->r[4];
  assert_true(m->r[1] == AT_PACKET && m->r[5] == BPF_HDR_START_NET && to + size <= STACK);
  memset(m->stack + to, 0, size);
  memset(m->written + to, true, size);
  if (m->r[2] + size > m->packet->linear)
    return (uint64_t)-14;
  memcpy(m->stack + to, m->packet->bytes + m->r[2], size);
  return 0;
}

static uint64_t pull(struct machine *m) {
  assert_true(m->r[1] == AT_PACKET && m->r[2] <= m->packet->size + 14);
  uint32_t wanted = (uint32_t)m->r[2] - 14;
  m->packet->linear = wanted > m->packet->linear ? wanted : m->packet->linear;
  return 0;
}

static void call_helper(struct machine *m, int helper) {
  uint64_t result = 0;
  if (helper == BPF_FUNC_ktime_get_boot_ns)
    result = NOW_NS;
  else if (helper == BPF_FUNC_skb_load_bytes_relative)
    result = read_bytes(m);
  else if (helper == BPF_FUNC_skb_pull_data)
    result = pull(m);
  else
    fail_msg("calls an unknown helper: %d", helper);
  for (int i = 1; i <= 5; i++)
    m->r[i] = UINT64_C(0xdeadbeefdeadbeef); // lost
  m->r[0] = result;
}

static void compute(struct machine *m, const struct bpf_insn *insn) {
  uint64_t value = BPF_SRC(insn->code) == BPF_X ? m->r[insn->src_reg] : (uint64_t)(int64_t)insn->imm;
  uint64_t *to = &m->r[insn->dst_reg];
  switch (BPF_OP(insn->code)) {
  case BPF_MOV:
    *to = value;
    break;
  case BPF_ADD:
    *to += value;
    break;
  case BPF_AND:
    *to &= value;
    break;
  case BPF_LSH:
    *to <<= value;
    break;
  default:
    fail_msg("unknown arithmetic %#x", insn->code);
  }
}

static bool jumps(const struct machine *m, const struct bpf_insn *insn) {
  uint64_t a = m->r[insn->dst_reg];
  uint64_t b = BPF_SRC(insn->code) == BPF_X ? m->r[insn->src_reg] : (uint64_t)(int64_t)insn->imm;
  if (BPF_CLASS(insn->code) == BPF_JMP32) {
    a = (uint32_t)a;
    b = (uint32_t)b;
  }
  switch (BPF_OP(insn->code)) {
  case BPF_JA:
    return true;
  case BPF_JEQ:
    return a == b;
  case BPF_JNE:
    return a != b;
  case BPF_JLT:
    return a < b;
  case BPF_JLE:
    return a <= b;
  case BPF_JSET:
    return (a & b) != 0;
  default:
    fail_msg("unknown jump %#x", insn->code);
    return false;
  }
}

static int interpret(const struct bpf_insn *code, size_t count, struct packet *packet, uint64_t deadline) {
  static const size_t sizes[] = {[BPF_W >> 3] = 4, [BPF_H >> 3] = 2, [BPF_B >> 3] = 1, [BPF_DW >> 3] = 8};
  struct machine m = {.r = {[1] = AT_PACKET, [10] = AT_STACK}, .packet = packet, .deadline = deadline};
  for (size_t at = 0; at < count; at++) {
    const struct bpf_insn *insn = &code[at];
    int class = BPF_CLASS(insn->code);
    if (insn->code == (BPF_JMP | BPF_EXIT))
      return (int)(int64_t)m.r[0];
    if (class == BPF_ALU64)
      compute(&m, insn);
    else if (class == BPF_LDX)
      m.r[insn->dst_reg] = load_from(&m, m.r[insn->src_reg], sizes[BPF_SIZE(insn->code) >> 3], insn->off);
    else if (insn->code == (BPF_LD | BPF_DW | BPF_IMM)) {
      assert_int_equal(insn->src_reg, BPF_PSEUDO_MAP_VALUE);
      m.r[insn->dst_reg] = AT_MAP;
      at++;
    } else if (insn->code == (BPF_JMP | BPF_CALL))
      call_helper(&m, insn->imm);
    else if (class == BPF_JMP || class == BPF_JMP32)
      at += jumps(&m, insn) ? (size_t)(int64_t)insn->off : 0;
    else
      fail_msg("unknown instruction %#x", insn->code);
  }
  fail_msg("runs over its end");
  return 0;
}

// ---- made-up packets ----

static uint32_t state = 1;

static uint32_t any(uint32_t below) { // xorshift: the same packets each time
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % below;
}

// Mostly an address that matters, sometimes one that differs in a single bit.
static void put_address(uint8_t *to, int family) {
  const struct fence_address *list = any(2) ? settings.address : settings.peer;
  size_t count = list == settings.address ? settings.address_count : settings.peer_count;
  size_t size = family == AF_INET ? 4 : 16;
  for (size_t i = 0; i < size; i++)
    to[i] = (uint8_t)any(256);
  for (size_t i = 0; i < count && any(3) > 0; i++)
    if (list[i].family == family)
      memcpy(to, list[i].bytes, size);
  if (any(4) == 0)
    to[any((uint32_t)size)] ^= (uint8_t)(1u << any(8));
}

static void put_transport(struct packet *p, uint32_t at, uint8_t protocol) {
  for (uint32_t i = 0; i < 24; i++)
    p->bytes[at + i] = (uint8_t)any(256);
  for (uint32_t i = 0; i < 2; i++)
    if (settings.port_count > 0 && any(2)) {
      uint16_t port = htons(settings.port[any((uint32_t)settings.port_count)]);
      memcpy(p->bytes + at + 2 * i, &port, 2);
    }
  if (protocol == IPPROTO_ICMPV6) {
    p->bytes[at] = (uint8_t)(134 + any(4));
    put_address(p->bytes + at + 8, AF_INET6);
  }
  p->size = at + 24 + any(1000);
}

static void make_v4(struct packet *p) {
  static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
  uint32_t header = any(4) ? 5 : 5 + any(11);
  p->bytes[0] = (uint8_t)(0x40 | header);
  p->bytes[6] = (uint8_t)(any(4) ? 0x40 : any(256));
  p->bytes[7] = (uint8_t)(any(4) ? 0 : any(256));
  p->bytes[9] = protocols[any(4)];
  put_address(p->bytes + 12, AF_INET);
  put_address(p->bytes + 16, AF_INET);
  put_transport(p, header * 4, p->bytes[9]);
}

static void make_v6(struct packet *p) {
  static const uint8_t known[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT};
  static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_ICMPV6, IPPROTO_ICMPV6, IPPROTO_UDP};
  uint32_t at = 40, extensions = any(3) ? 0 : any(8);
  uint8_t *next = &p->bytes[6];
  p->bytes[0] = 0x60;
  put_address(p->bytes + 8, AF_INET6);
  put_address(p->bytes + 24, AF_INET6);
  for (uint32_t i = 0; i < extensions; i++) {
    uint8_t kind = known[any(4)];
    *next = kind;
    next = &p->bytes[at];
    p->bytes[at + 1] = (uint8_t)(any(3) ? 0 : any(12));
    p->bytes[at + 2] = (uint8_t)(any(3) ? 0 : any(256));
    p->bytes[at + 3] = (uint8_t)any(8);
    at += kind == IPPROTO_FRAGMENT ? 8 : 8 + p->bytes[at + 1] * 8u;
  }
  *next = protocols[any(4)];
  put_transport(p, at, *next);
}

static void make_arp(struct packet *p) {
  put_address(p->bytes + 14, AF_INET);
  put_address(p->bytes + 24, AF_INET);
  if (any(3) == 0)
    memcpy(p->bytes + 24, p->bytes + 14, 4);
  p->size = 28 + any(20);
}

static struct packet make_packet(void) {
  static const uint16_t protocols[] = {ETH_P_IP, ETH_P_IPV6, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETH_P_LLDP};
  struct packet p = {.protocol = protocols[any(6)]};
  if (p.protocol == ETH_P_IP)
    make_v4(&p);
  else if (p.protocol == ETH_P_IPV6)
    make_v6(&p);
  else
    make_arp(&p);
  if (any(8) == 0) // cut off somewhere
    p.size = any(p.size);
  // What is not pulled is behind 498 bytes here: packets whose headers are longer are not made.
  p.linear = any(2) ? p.size : any(p.size + 1);
  p.type = any(4) ? PACKET_HOST : any(4);
  p.vlan = any(4) ? 0 : any(0x10000);
  return p;
}

static void put_pool(struct fence_address *to, size_t count, unsigned begin) {
  for (size_t i = 0; i < count; i++) {
    to[i].family = i % 2 ? AF_INET6 : AF_INET;
    for (size_t k = 0; k < 16; k++)
      to[i].bytes[k] = (unsigned char)(begin + 17 * i + 5 * k);
  }
}

static void set_up(size_t addresses, size_t peers, size_t ports) {
  settings = (struct fence_settings){
      .cluster = "orders", .address_count = addresses, .peer_count = peers, .port_count = ports};
  put_pool(settings.address, addresses, 3);
  put_pool(settings.peer, peers, 131);
  for (size_t i = 0; i < ports; i++)
    settings.port[i] = (uint16_t)(6379 + 4000 * i);
}

// ---- tests ----

static void compare(enum fence_bpf_place place) {
  struct bpf_insn code[FENCE_BPF_CODE_MAX];
  size_t count = fence_bpf_code(place, &settings, 3, code);
  unsigned dropped = 0;
  for (int i = 0; i < PACKETS; i++) {
    static const uint64_t deadlines[] = {0, NOW_NS - 1, NOW_NS, 0, NOW_NS + 1, UINT64_MAX};
    uint64_t deadline = deadlines[any(6)];
    struct packet packet = make_packet();
    int wanted = expected(&packet, place, deadline);
    int got = interpret(code, count, &packet, deadline);
    if (wanted != got)
      fail_msg("packet %d at place %d: verdict %d instead of %d", i, place, got, wanted);
    dropped += got == TC_ACT_SHOT;
  }
  assert_true(dropped > PACKETS / 50 && dropped < PACKETS - PACKETS / 50);
}

static void test_programs_do_what_they_ought_to(void **unused) {
  (void)unused;
  const size_t much[][3] = {
      {2, 2, 1}, {1, 0, 0}, {FENCE_ADDRESSES_MAX, FENCE_ADDRESSES_MAX, FENCE_PORTS_MAX}};
  for (size_t i = 0; i < sizeof(much) / sizeof(much[0]); i++)
    for (int place = 0; place < FENCE_BPF_PLACES; place++) {
      set_up(much[i][0], much[i][1], much[i][2]);
      compare((enum fence_bpf_place)place);
    }
}

static void test_fits(void **unused) {
  (void)unused;
  struct bpf_insn code[FENCE_BPF_CODE_MAX];
  set_up(FENCE_ADDRESSES_MAX, FENCE_ADDRESSES_MAX, FENCE_PORTS_MAX);
  for (size_t i = 0; i < FENCE_ADDRESSES_MAX; i++)
    settings.address[i].family = settings.peer[i].family = AF_INET6; // these take the most
  for (int place = 0; place < FENCE_BPF_PLACES; place++)
    assert_in_range(fence_bpf_code((enum fence_bpf_place)place, &settings, 3, code), 50, FENCE_BPF_CODE_MAX);
}

static int load_all(const struct bpf_word *word) {
  static char log[65536];
  struct bpf_insn code[FENCE_BPF_CODE_MAX];
  for (int place = 0; place < FENCE_BPF_PLACES; place++) {
    size_t count = fence_bpf_code((enum fence_bpf_place)place, &settings, word->map, code);
    int fd = bpf_load(code, count, "tanist_test", log, sizeof(log));
    if (fd < 0)
      print_message("place %d: %s\n%s\n", place, strerror(-fd), log);
    assert_true(fd >= 0);
    close(fd);
  }
  return 0;
}

static void test_kernel_takes_them(void **unused) {
  (void)unused;
  struct bpf_word word;
  int rc = bpf_word_open(&word, "tanist_test");
  if (rc == -EPERM || rc == -ENOSYS || rc == -EINVAL) {
    print_message("skipped: bpf(): %s\n", strerror(-rc));
    skip(); // not root, or a kernel without
  }
  assert_int_equal(rc, 0);
  set_up(1, 0, 0);
  load_all(&word);
  set_up(FENCE_ADDRESSES_MAX, FENCE_ADDRESSES_MAX, FENCE_PORTS_MAX);
  load_all(&word);
  bpf_word_close(&word);
}

// A store is seen by the program at once.
static void test_kernel_obeys_the_word(void **unused) {
  (void)unused;
  struct bpf_word word;
  struct bpf_insn code[FENCE_BPF_CODE_MAX];
  uint8_t frame[64] = {[12] = 8, [14] = 0x45, [23] = IPPROTO_UDP, [26] = 10, [30] = 10, 0, 0, 100};
  if (bpf_word_open(&word, "tanist_test") < 0)
    skip();
  settings = (struct fence_settings){.address = {{AF_INET, {10, 0, 0, 100}}}, .address_count = 1};
  int fd = bpf_load(code, fence_bpf_code(FENCE_BPF_IN, &settings, word.map, code), "tanist_test", NULL, 0);
  assert_true(fd >= 0);
  const uint64_t deadlines[] = {0, UINT64_MAX, 1, UINT64_MAX - 1};
  for (size_t i = 0; i < 4; i++) {
    uint32_t verdict, ns;
    atomic_store(word.value, deadlines[i]);
    assert_int_equal(bpf_run(fd, frame, sizeof(frame), 1, &verdict, &ns), 0);
    assert_int_equal((int)verdict, i % 2 ? TC_ACT_UNSPEC : TC_ACT_SHOT);
  }
  close(fd);
  bpf_word_close(&word);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_programs_do_what_they_ought_to),
      cmocka_unit_test(test_fits),
      cmocka_unit_test(test_kernel_takes_them),
      cmocka_unit_test(test_kernel_obeys_the_word),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
