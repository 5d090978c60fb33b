// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <net/ethernet.h>

#include "agent/announce.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/core/lease.h"

static const int64_t rounds_us[] = {0, 10 * 1000, 50 * 1000, 200 * 1000, 1000 * 1000};
#define ROUNDS (sizeof(rounds_us) / sizeof(rounds_us[0]))
#define SLOW_US (30 * 1000 * 1000)

struct announce {
  struct loop_timer *timer;
  const struct announce_target *targets;
  size_t count;
  int fd;
  struct instant began, until;
  uint64_t round; // the next one
  uint64_t sent;
};

// ---- frames ----

static void put(uint8_t **at, const void *bytes, size_t size) {
  memcpy(*at, bytes, size);
  *at += size;
}

static void put_ethernet(uint8_t **at, const uint8_t *to, const uint8_t *from, uint16_t type) {
  put(at, to, ANNOUNCE_MAC_SIZE);
  put(at, from, ANNOUNCE_MAC_SIZE);
  bytes_put(at, type, 2);
}

// A reply is believed at once only when its target is its sender, both by IP and by MAC: to any other, Linux
// listens no sooner than a second after the entry's last change.
size_t announce_arp(uint8_t frame[ANNOUNCE_FRAME_MAX], const uint8_t mac[ANNOUNCE_MAC_SIZE],
                    const uint8_t ip[4], uint16_t operation) {
  static const uint8_t everyone[ANNOUNCE_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  uint8_t *at = frame;
  put_ethernet(&at, everyone, mac, ETHERTYPE_ARP);
  bytes_put(&at, ARPHRD_ETHER, 2);
  bytes_put(&at, ETHERTYPE_IP, 2);
  bytes_put_u8(&at, ANNOUNCE_MAC_SIZE);
  bytes_put_u8(&at, 4);
  bytes_put(&at, operation, 2);
  for (int i = 0; i < 2; i++) { // sender, target
    put(&at, mac, ANNOUNCE_MAC_SIZE);
    put(&at, ip, 4);
  }
  return (size_t)(at - frame);
}

// RFC 1071, over whole 16-bit words in network order.
static uint32_t sum_words(uint32_t sum, const uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i += 2)
    sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
  return sum;
}

uint16_t announce_icmp6_checksum(const uint8_t addresses[32], const uint8_t *message, size_t size) {
  uint32_t sum = (uint32_t)size + IPPROTO_ICMPV6;
  sum = sum_words(sum, addresses, 32);
  sum = sum_words(sum, message, size);
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

size_t announce_na(uint8_t frame[ANNOUNCE_FRAME_MAX], const uint8_t mac[ANNOUNCE_MAC_SIZE],
                   const uint8_t ip[16]) {
  static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
  static const uint8_t all_nodes_mac[ANNOUNCE_MAC_SIZE] = {0x33, 0x33, [5] = 1};
  enum { MESSAGE = sizeof(struct nd_neighbor_advert) + 2 + ANNOUNCE_MAC_SIZE };
  uint8_t *at = frame;
  put_ethernet(&at, all_nodes_mac, mac, ETHERTYPE_IPV6);
  bytes_put_u32(&at, 6u << 28); // version; no class, no flow
  bytes_put(&at, MESSAGE, 2);
  bytes_put_u8(&at, IPPROTO_ICMPV6);
  bytes_put_u8(&at, 255); // RFC 4861 7.1.2: anything less is ignored
  uint8_t *addresses = at;
  put(&at, ip, 16);
  put(&at, all_nodes, 16);
  uint8_t *message = at;
  bytes_put_u8(&at, ND_NEIGHBOR_ADVERT);
  bytes_put_u8(&at, 0);
  uint8_t *checksum = at;
  bytes_put(&at, 0, 2);
  bytes_put_u32(&at, 1u << 29); // override: replaces the MAC that the neighbour knows; not solicited
  put(&at, ip, 16);
  bytes_put_u8(&at, ND_OPT_TARGET_LINKADDR);
  bytes_put_u8(&at, 1); // in units of 8 bytes
  put(&at, mac, ANNOUNCE_MAC_SIZE);
  assert(at - message == MESSAGE);
  bytes_put(&checksum, announce_icmp6_checksum(addresses, message, MESSAGE), 2);
  return (size_t)(at - frame);
}

// ---- sending ----

static bool find_link(int fd, const char *interface, int *index, uint8_t mac[ANNOUNCE_MAC_SIZE]) {
  struct ifreq request = {0};
  memcpy(request.ifr_name, interface, strnlen(interface, sizeof(request.ifr_name) - 1));
  if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
    return false;
  *index = request.ifr_ifindex;
  if (ioctl(fd, SIOCGIFHWADDR, &request) < 0 || request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
    return false;
  memcpy(mac, request.ifr_hwaddr.sa_data, ANNOUNCE_MAC_SIZE);
  return true;
}

// What cannot be sent now (a link that is down, a full queue) has its next round to come.
static void send_frame(struct announce *a, int index, const uint8_t *frame, size_t size) {
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = ANNOUNCE_MAC_SIZE};
  memcpy(to.sll_addr, frame, ANNOUNCE_MAC_SIZE);
  memcpy(&to.sll_protocol, frame + offsetof(struct ether_header, ether_type), sizeof(to.sll_protocol));
  if (sendto(a->fd, frame, size, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof(to)) == (ssize_t)size)
    a->sent++;
}

static void announce_one(struct announce *a, const struct announce_target *target) {
  uint8_t mac[ANNOUNCE_MAC_SIZE], frame[ANNOUNCE_FRAME_MAX];
  int index;
  if (!find_link(a->fd, target->interface, &index, mac))
    return;
  if (target->family == AF_INET6) {
    send_frame(a, index, frame, announce_na(frame, mac, target->bytes));
    return;
  }
  // Some neighbours learn from requests only, some from replies only.
  send_frame(a, index, frame, announce_arp(frame, mac, target->bytes, ARPOP_REQUEST));
  send_frame(a, index, frame, announce_arp(frame, mac, target->bytes, ARPOP_REPLY));
}

int64_t announce_due_us(uint64_t round) {
  return round < ROUNDS ? rounds_us[round] : rounds_us[ROUNDS - 1] + (int64_t)(round - ROUNDS + 1) * SLOW_US;
}

static void on_due(void *arg) {
  struct announce *a = arg;
  struct instant now = clock_now();
  if (!instant_before(now, a->until)) {
    announce_stop(a);
    return;
  }
  for (size_t i = 0; i < a->count; i++)
    announce_one(a, &a->targets[i]);
  // Rounds missed in a stall or a suspend are not made up for one by one.
  int64_t held_us = instant_us_between(a->began, now);
  do
    a->round++;
  while (announce_due_us(a->round) <= held_us);
  loop_timer_at(a->timer, instant_plus_us(a->began, announce_due_us(a->round)));
}

// ---- life ----

int announce_open(struct announce **out, struct loop *loop, const struct announce_target *targets,
                  size_t count) {
  assert(count <= ANNOUNCE_MAX);
  struct announce *a = calloc(1, sizeof(*a));
  if (!a)
    return -ENOMEM;
  a->targets = targets;
  a->count = count;
  a->until = INSTANT_NEVER;
  a->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); // protocol 0: receives nothing
  int rc = a->fd < 0 ? -errno : 0;
  a->timer = loop_timer_new(loop, on_due, a);
  if (rc == 0 && !a->timer)
    rc = -ENOMEM;
  if (rc < 0)
    announce_free(a);
  else
    *out = a;
  return rc;
}

void announce_start(struct announce *a) {
  a->began = clock_now();
  a->round = 0;
  if (a->count > 0)
    on_due(a);
}

void announce_stop(struct announce *a) {
  loop_timer_at(a->timer, INSTANT_NEVER);
}

void announce_until(struct announce *a, struct instant until) {
  a->until = until;
}

uint64_t announce_sent(const struct announce *a) {
  return a->sent;
}

void announce_free(struct announce *a) {
  if (!a)
    return;
  loop_timer_free(a->timer);
  if (a->fd >= 0)
    close(a->fd);
  free(a);
}
