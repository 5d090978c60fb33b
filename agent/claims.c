// SPDX-License-Identifier: Apache-2.0
#include "agent/claims.h"

#include "agent/neighbour.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARP_SIZE 42
#define NA_SIZE 78 // with neither option nor payload behind it
#define FRAMES_AT_ONCE 64

struct claims {
  const char *interface;
  claims_fn *claim;
  void *arg;
  int fd;
  struct loop_io *io;
};

// ---- reading ----

static bool parse_arp(const uint8_t *frame, struct claim *claim) {
  static const uint8_t nobody[4];
  const uint8_t *arp = frame + 14;
  if (arp[1] != ARPHRD_ETHER || arp[4] != ANNOUNCE_MAC_SIZE || arp[5] != 4 || memcmp(arp + 14, nobody, 4) == 0)
    return false; /* a sender without an address only asks */
  claim->family = AF_INET;
  memcpy(claim->mac, arp + 8, ANNOUNCE_MAC_SIZE);
  memcpy(claim->address, arp + 14, 4);
  return true;
}

static bool parse_na(const uint8_t *frame, struct claim *claim) {
  if (frame[20] != IPPROTO_ICMPV6 || frame[54] != ND_NEIGHBOR_ADVERT)
    return false;
  claim->family = AF_INET6;
  memcpy(claim->mac, frame + 6, ANNOUNCE_MAC_SIZE);
  memcpy(claim->address, frame + 62, 16);
  return true;
}

bool claims_parse(const uint8_t *frame, size_t size, struct claim *claim) {
  *claim = (struct claim){0};
  if (size < ARP_SIZE)
    return false;
  unsigned type = (unsigned)frame[12] << 8 | frame[13];
  if (type == ETHERTYPE_ARP)
    return parse_arp(frame, claim);
  return type == ETHERTYPE_IPV6 && size >= NA_SIZE && parse_na(frame, claim);
}

static void on_frame(void *arg, bool readable, bool writable) {
  struct claims *n = arg;
  struct claim claim;
  uint8_t frame[256];
  (void)writable;
  for (int i = 0; readable && i < FRAMES_AT_ONCE; i++) {
    ssize_t size = recv(n->fd, frame, sizeof frame, MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0)
      return;
    if (claims_parse(frame, (size_t)size < sizeof frame ? (size_t)size : sizeof frame, &claim))
      n->claim(n->arg, &claim);
  }
}

// ---- asking ----

void claims_ask(struct claims *n, int family, const uint8_t *address) {
  uint8_t frame[NEIGHBOUR_FRAME_MAX], mac[ANNOUNCE_MAC_SIZE];
  int index;
  if (!announce_link(n->fd, n->interface, &index, mac))
    return;
  size_t size = neighbour_question(frame, mac, family, address);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = ANNOUNCE_MAC_SIZE};
  memcpy(to.sll_addr, frame, ANNOUNCE_MAC_SIZE);
  memcpy(&to.sll_protocol, frame + 12, 2);
  ssize_t sent = sendto(n->fd, frame, size, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof to);
  (void)sent;
}

// ---- life ----

// ARP, and neighbour advertisements, of others alone.
static int set_filter(int fd) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_ARP, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IPV6, 0, 5),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 3),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 54),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_ADVERT, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 256),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) < 0) // or the fence would drop the question
    return -errno;
  return 0;
}

// All protocols: taps see a frame before the fence's hooks do.
static int listen_on(struct claims *n) {
  uint8_t mac[ANNOUNCE_MAC_SIZE];
  struct sockaddr_ll own = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  int rc = set_filter(n->fd);
  if (rc < 0)
    return rc;
  if (!announce_link(n->fd, n->interface, &own.sll_ifindex, mac))
    return -ENODEV;
  return bind(n->fd, (const struct sockaddr *)&own, sizeof own) < 0 ? -errno : 0;
}

int claims_open(struct claims **out, struct loop *loop, const char *interface, claims_fn *claim,
                   void *arg) {
  struct claims *n = calloc(1, sizeof *n);
  if (n == NULL)
    return -ENOMEM;
  *n = (struct claims){.interface = interface, .claim = claim, .arg = arg};
  n->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  int rc = n->fd < 0 ? -errno : listen_on(n);
  if (rc == 0 && (n->io = loop_io_new(loop, n->fd, on_frame, n)) == NULL)
    rc = -ENOMEM;
  if (rc < 0) {
    claims_close(n);
    return rc;
  }
  loop_io_want(n->io, true, false);
  *out = n;
  return 0;
}

void claims_close(struct claims *n) {
  if (n == NULL)
    return;
  loop_io_free(n->io);
  if (n->fd >= 0)
    close(n->fd);
  free(n);
}
