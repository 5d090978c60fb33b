// SPDX-License-Identifier: Apache-2.0
#include "agent/neighbour.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/announce.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"

#define TIMES 3

// ---- frames ----

static void put(uint8_t **at, const void *bytes, size_t size) {
  memcpy(*at, bytes, size);
  *at += size;
}

static size_t arp_question(uint8_t *frame, const uint8_t *mac, const uint8_t *ip) {
  static const uint8_t everyone[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nobody[6];
  uint8_t *at = frame;
  put(&at, everyone, 6);
  put(&at, mac, 6);
  bytes_put(&at, ETHERTYPE_ARP, 2);
  bytes_put(&at, ARPHRD_ETHER, 2);
  bytes_put(&at, ETHERTYPE_IP, 2);
  bytes_put_u8(&at, 6);
  bytes_put_u8(&at, 4);
  bytes_put(&at, ARPOP_REQUEST, 2);
  put(&at, mac, 6);
  put(&at, nobody, 4); /* no sender: a probe, which nobody learns from */
  put(&at, nobody, 6);
  put(&at, ip, 4);
  return (size_t)(at - frame);
}

static size_t nd_question(uint8_t *frame, const uint8_t *mac, const uint8_t *ip) {
  uint8_t addresses[32] = {0}, message[24] = {ND_NEIGHBOR_SOLICIT}; /* from ::, to the solicited-node group */
  uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff}, to[6] = {0x33, 0x33, 0xff}, *at = frame;
  memcpy(group + 13, ip + 13, 3);
  memcpy(to + 3, ip + 13, 3);
  memcpy(addresses + 16, group, 16);
  memcpy(message + 8, ip, 16);
  uint16_t checksum = announce_icmp6_checksum(addresses, message, sizeof message);
  put(&at, to, 6);
  put(&at, mac, 6);
  bytes_put(&at, ETHERTYPE_IPV6, 2);
  bytes_put(&at, 0x60000000, 4);
  bytes_put(&at, sizeof message, 2);
  bytes_put_u8(&at, IPPROTO_ICMPV6);
  bytes_put_u8(&at, 255);
  put(&at, addresses, 32);
  message[2] = (uint8_t)(checksum >> 8);
  message[3] = (uint8_t)checksum;
  put(&at, message, sizeof message);
  return (size_t)(at - frame);
}

size_t neighbour_question(uint8_t frame[NEIGHBOUR_FRAME_MAX], const uint8_t mac[NEIGHBOUR_MAC_SIZE],
                          int family, const uint8_t *bytes) {
  return family == AF_INET ? arp_question(frame, mac, bytes) : nd_question(frame, mac, bytes);
}

static bool arp_answer(const uint8_t *frame, size_t size, const uint8_t *ip, uint8_t *mac) {
  static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, ARPOP_REPLY};
  if (size < 42 || memcmp(frame + 12, head, sizeof head) != 0 || memcmp(frame + 28, ip, 4) != 0)
    return false;
  memcpy(mac, frame + 22, 6);
  return true;
}

static bool nd_answer(const uint8_t *frame, size_t size, const uint8_t *ip, uint8_t *mac) {
  if (size < 14 + 40 + 24 || frame[12] != 0x86 || frame[13] != 0xdd || frame[20] != IPPROTO_ICMPV6 ||
      frame[21] != 255 || frame[54] != ND_NEIGHBOR_ADVERT || memcmp(frame + 62, ip, 16) != 0)
    return false;
  memcpy(mac, frame + 6, 6);
  if (size >= 14 + 40 + 24 + 8 && frame[78] == ND_OPT_TARGET_LINKADDR && frame[79] == 1)
    memcpy(mac, frame + 80, 6);
  return true;
}

bool neighbour_answer(const uint8_t *frame, size_t size, int family, const uint8_t *bytes,
                      uint8_t mac[NEIGHBOUR_MAC_SIZE]) {
  return family == AF_INET ? arp_answer(frame, size, bytes, mac) : nd_answer(frame, size, bytes, mac);
}

// ---- asking ----

static int open_on(const char *interface, int family, uint8_t mac[6]) {
  struct ifreq ask = {0};
  struct sockaddr_ll at = {.sll_family = AF_PACKET,
                           .sll_protocol = htons(family == AF_INET ? ETHERTYPE_ARP : ETHERTYPE_IPV6),
                           .sll_ifindex = (int)if_nametoindex(interface)};
  int error = 0;
  if (at.sll_ifindex == 0)
    return -ENODEV;
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  memcpy(ask.ifr_name, interface, strlen(interface) < IFNAMSIZ ? strlen(interface) : IFNAMSIZ - 1);
  if (ioctl(fd, SIOCGIFFLAGS, &ask) != 0)
    error = -errno;
  else if ((ask.ifr_flags & IFF_UP) == 0)
    error = -ENETDOWN;
  else if (ioctl(fd, SIOCGIFHWADDR, &ask) != 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0)
    error = -errno;
  else if (ask.ifr_hwaddr.sa_family != ARPHRD_ETHER)
    error = -EMEDIUMTYPE;
  if (error == 0) {
    /* the answers to duplicate detection go to all nodes, which an interface may filter in hardware */
    struct packet_mreq all = {.mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_ALLMULTI};
    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all);
    memcpy(mac, ask.ifr_hwaddr.sa_data, 6);
    return fd;
  }
  close(fd);
  return error;
}

struct asking {
  int fd, family;
  const uint8_t *bytes;
  uint8_t own[6];
  uint8_t (*answers)[NEIGHBOUR_MAC_SIZE];
  size_t count, max;
};

static void take(struct asking *a, const uint8_t *frame, size_t size) {
  uint8_t mac[6];
  bool known = !neighbour_answer(frame, size, a->family, a->bytes, mac) || memcmp(mac, a->own, 6) == 0;
  for (size_t i = 0; !known && i < a->count; i++)
    known = memcmp(mac, a->answers[i], 6) == 0;
  if (!known && a->count < a->max)
    memcpy(a->answers[a->count++], mac, 6);
}

static void listen_until(struct asking *a, struct instant end) {
  uint8_t frame[2048];
  for (int64_t left; (left = end.us - clock_now().us) > 0;) {
    struct pollfd wait = {.fd = a->fd, .events = POLLIN};
    if (poll(&wait, 1, (int)(left / 1000) + 1) <= 0)
      continue;
    struct sockaddr_ll from = {0};
    socklen_t length = sizeof from;
    ssize_t n = recvfrom(a->fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &length);
    if (n > 0 && from.sll_pkttype != PACKET_OUTGOING)
      take(a, frame, (size_t)n);
  }
}

int neighbour_ask(const char *interface, int family, const uint8_t *bytes, int timeout_ms,
                  uint8_t answers[][NEIGHBOUR_MAC_SIZE], size_t max) {
  struct asking a = {.family = family, .bytes = bytes, .answers = answers, .max = max};
  uint8_t frame[NEIGHBOUR_FRAME_MAX];
  int error = 0;
  a.fd = open_on(interface, family, a.own);
  if (a.fd < 0)
    return a.fd;
  size_t size = neighbour_question(frame, a.own, family, bytes);
  for (int i = 0; error == 0 && i < TIMES; i++) {
    if (send(a.fd, frame, size, 0) < 0)
      error = -errno;
    else
      listen_until(&a, instant_in_ms(timeout_ms / TIMES));
  }
  close(a.fd);
  return error != 0 ? error : (int)a.count;
}
