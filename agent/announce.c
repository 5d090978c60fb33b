// SPDX-License-Identifier: Apache-2.0
#include "agent/announce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

static void put16(unsigned char *at, unsigned value) {
  at[0] = (unsigned char)(value >> 8);
  at[1] = (unsigned char)value;
}

size_t announce_arp(unsigned char frame[ANNOUNCE_FRAME_MAX], const unsigned char mac[6],
                    const unsigned char address[4], int reply) {
  memset(frame, 0, ANNOUNCE_FRAME_MAX);
  memset(frame, 0xff, 6);
  memcpy(frame + 6, mac, 6);
  put16(frame + 12, ETH_P_ARP);
  put16(frame + 14, 1); /* Ethernet */
  put16(frame + 16, ETH_P_IP);
  frame[18] = 6;
  frame[19] = 4;
  put16(frame + 20, reply ? 2 : 1);
  memcpy(frame + 22, mac, 6);
  memcpy(frame + 28, address, 4);
  memset(frame + 32, reply ? 0xff : 0, 6);
  memcpy(frame + 38, address, 4);
  return 42;
}

/* The Internet checksum (RFC 1071) of an ICMPv6 message under its pseudo header (RFC 8200, section 8.1). */
static unsigned checksum(const unsigned char *ip, const unsigned char *icmp, size_t length) {
  uint32_t sum = (uint32_t)length + IPPROTO_ICMPV6;
  for (size_t i = 8; i < 40; i += 2)
    sum += (uint32_t)ip[i] << 8 | ip[i + 1];
  for (size_t i = 0; i < length; i += 2)
    sum += (uint32_t)icmp[i] << 8 | icmp[i + 1];
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

size_t announce_nd(unsigned char frame[ANNOUNCE_FRAME_MAX], const unsigned char mac[6],
                   const unsigned char address[16]) {
  static const unsigned char all_nodes[16] = {0xff, 0x02, [15] = 1}, all_nodes_mac[6] = {0x33, 0x33, [5] = 1};
  unsigned char *ip = frame + 14, *icmp = ip + 40;
  memset(frame, 0, ANNOUNCE_FRAME_MAX);
  memcpy(frame, all_nodes_mac, 6);
  memcpy(frame + 6, mac, 6);
  put16(frame + 12, ETH_P_IPV6);
  ip[0] = 0x60;
  put16(ip + 4, 32);
  ip[6] = IPPROTO_ICMPV6;
  ip[7] = 255;
  memcpy(ip + 8, address, 16);
  memcpy(ip + 24, all_nodes, 16);
  icmp[0] = 136;  /* neighbour advertisement */
  icmp[4] = 0x20; /* override */
  memcpy(icmp + 8, address, 16);
  icmp[24] = 2; /* target's link-layer address, one unit of 8 bytes */
  icmp[25] = 1;
  memcpy(icmp + 26, mac, 6);
  put16(icmp + 2, checksum(ip, icmp, 32));
  return 86;
}

int announce_send(int packet_socket, int interface, const unsigned char mac[6], int family,
                  const unsigned char address[16]) {
  unsigned char frame[ANNOUNCE_FRAME_MAX];
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = interface, .sll_halen = 6};
  int kinds = family == AF_INET ? 2 : 1;
  for (int kind = 0; kind < kinds; kind++) {
    size_t length =
        family == AF_INET ? announce_arp(frame, mac, address, kind) : announce_nd(frame, mac, address);
    to.sll_protocol = htons(family == AF_INET ? ETH_P_ARP : ETH_P_IPV6);
    memcpy(to.sll_addr, frame, 6);
    if (sendto(packet_socket, frame, length, 0, (const struct sockaddr *)&to, sizeof to) < 0)
      return -errno;
  }
  return 0;
}
