// SPDX-License-Identifier: Apache-2.0
#include "agent/tickle.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bytes.h"

#define TTL 64
#define WINDOW 1024

struct tickle {
  int four, six;
};

static uint32_t sum_words(uint32_t sum, const uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i += 2)
    sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
  return sum;
}

// RFC 1071, over the pseudo-header too.
static uint16_t checksum(const struct tcp_flow *f, size_t address, const uint8_t *segment, size_t size) {
  uint32_t sum = (uint32_t)size + IPPROTO_TCP;
  sum = sum_words(sum, f->local, address);
  sum = sum_words(sum, f->peer, address);
  sum = sum_words(sum, segment, size);
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

// Number 0 and acknowledgement 0: outside any window but with the least of luck, and then a mere duplicate.
static void put_segment(uint8_t *at, const struct tcp_flow *f, size_t address) {
  uint8_t *begin = at;
  bytes_put(&at, f->local_port, 2);
  bytes_put(&at, f->peer_port, 2);
  bytes_put_u32(&at, 0);
  bytes_put_u32(&at, 0);
  bytes_put(&at, 5U << 12 | TH_ACK, 2);
  bytes_put(&at, WINDOW, 2);
  uint8_t *sum = at;
  bytes_put(&at, 0, 4); /* and no urgent pointer */
  bytes_put(&sum, checksum(f, address, begin, sizeof(struct tcphdr)), 2);
}

static size_t packet_four(uint8_t *packet, const struct tcp_flow *f) {
  uint8_t *at = packet;
  size_t size = sizeof(struct iphdr) + sizeof(struct tcphdr);
  bytes_put(&at, 0x4500, 2);
  bytes_put(&at, size, 2);
  bytes_put_u32(&at, 0); /* the kernel gives it an identification */
  bytes_put_u8(&at, TTL);
  bytes_put_u8(&at, IPPROTO_TCP);
  bytes_put(&at, 0, 2); /* and a sum */
  memcpy(at, f->local, 4);
  memcpy(at + 4, f->peer, 4);
  put_segment(at + 8, f, 4);
  return size;
}

static size_t packet_six(uint8_t *packet, const struct tcp_flow *f) {
  uint8_t *at = packet;
  bytes_put_u32(&at, 6U << 28);
  bytes_put(&at, sizeof(struct tcphdr), 2);
  bytes_put_u8(&at, IPPROTO_TCP);
  bytes_put_u8(&at, TTL);
  memcpy(at, f->local, 16);
  memcpy(at + 16, f->peer, 16);
  put_segment(at + 32, f, 16);
  return 40 + sizeof(struct tcphdr);
}

size_t tickle_packet(uint8_t packet[TICKLE_MAX], const struct tcp_flow *f) {
  return f->family == AF_INET6 ? packet_six(packet, f) : packet_four(packet, f);
}

int tickle_open(struct tickle **out) {
  struct tickle *t = calloc(1, sizeof *t);
  if (t == NULL)
    return -ENOMEM;
  // Protocol RAW: the headers are ours, and nothing is received.
  t->four = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
  int rc = t->four < 0 ? -errno : 0;
  t->six = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW); // -1: a machine without IPv6
  if (rc < 0) {
    tickle_close(t);
    return rc;
  }
  *out = t;
  return 0;
}

void tickle_close(struct tickle *t) {
  if (t == NULL)
    return;
  if (t->four >= 0)
    close(t->four);
  if (t->six >= 0)
    close(t->six);
  free(t);
}

int tickle_send(struct tickle *t, const struct tcp_flow *f) {
  uint8_t packet[TICKLE_MAX];
  struct sockaddr_in four = {.sin_family = AF_INET};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6};
  size_t size = tickle_packet(packet, f);
  memcpy(&four.sin_addr, f->peer, 4);
  memcpy(&six.sin6_addr, f->peer, 16);
  bool v6 = f->family == AF_INET6;
  const struct sockaddr *to = v6 ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
  ssize_t sent = sendto(v6 ? t->six : t->four, packet, size, 0, to, v6 ? sizeof six : sizeof four);
  return sent < 0 ? -errno : 0;
}
