// SPDX-License-Identifier: Apache-2.0
// Tells the neighbours which link-layer address the virtual IPs are at now: gratuitous ARP, as request and as
// reply, and unsolicited IPv6 neighbour advertisements.
//
// Frames leave through AF_PACKET, which no table of nf_tables sees (BPF programs do). That an announcement never claims
// an address whose lease is over is therefore this module's own duty: announce_until.
#ifndef TANIST_AGENT_ANNOUNCE_H
#define TANIST_AGENT_ANNOUNCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/loop.h"

#define ANNOUNCE_MAX 16        // addresses
#define ANNOUNCE_FRAME_MAX 128 // bytes, the largest frame made here fits easily
#define ANNOUNCE_MAC_SIZE 6

struct announce_target {
  int family;           // AF_INET, AF_INET6
  const uint8_t *bytes; // 4 or 16
  const char *interface;
};

struct announce;

// Opens the socket; targets are kept by reference and must outlive the announcer. 0; -EPERM without
// CAP_NET_RAW; another negative errno.
int announce_open(struct announce **, struct loop *, const struct announce_target *, size_t count);

// Announces every address now, again after 10, 50, 200 ms and 1 s, and then every 30 s until announce_stop;
// begins anew if it was running. The MAC is asked for each time, since a bond may change it. An interface
// that is no Ethernet, or is down, or gone, is passed over.
void announce_start(struct announce *);
void announce_stop(struct announce *);

// Nothing is sent at or after `until`: not when this process was stopped, and wakes up when its lease is
// over. INSTANT_NEVER (as opened): no limit.
void announce_until(struct announce *, struct instant until);

uint64_t announce_sent(const struct announce *); // frames that left, for tests and status
void announce_free(struct announce *);           // NULL is allowed

// The frames, each from its Ethernet header on; the size is returned.
size_t announce_arp(uint8_t frame[ANNOUNCE_FRAME_MAX], const uint8_t mac[ANNOUNCE_MAC_SIZE],
                    const uint8_t ip[4],
                    uint16_t operation); // ARPOP_REQUEST, ARPOP_REPLY
size_t announce_na(uint8_t frame[ANNOUNCE_FRAME_MAX], const uint8_t mac[ANNOUNCE_MAC_SIZE],
                   const uint8_t ip[16]);

// Of an ICMPv6 message of an even size, its checksum being 0, between two addresses (from, to).
uint16_t announce_icmp6_checksum(const uint8_t addresses[32], const uint8_t *message, size_t size);

// When number `round` (from 0) is due, in µs after announce_start.
int64_t announce_due_us(uint64_t round);

#endif
