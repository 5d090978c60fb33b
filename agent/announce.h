// SPDX-License-Identifier: Apache-2.0
// Tells the neighbours where an address is now: gratuitous ARP and unsolicited neighbour advertisements.
#ifndef TANIST_AGENT_ANNOUNCE_H
#define TANIST_AGENT_ANNOUNCE_H

#include <stddef.h>
#include <stdint.h>

#define ANNOUNCE_FRAME_MAX 86 // Ethernet + IPv6 + neighbour advertisement with one option

// The frame of an announcement, complete for a raw packet socket; returns its length.
// IPv4 (RFC 5227, section 3): `reply` false: a request, true: a reply, both with target = sender and
// broadcast. Both are sent, since hosts ignore the one or the other.
size_t announce_arp(unsigned char frame[ANNOUNCE_FRAME_MAX], const unsigned char mac[6],
                    const unsigned char address[4], int reply);
// IPv6 (RFC 4861, section 7.2.6): unsolicited, with the override flag, to all nodes.
size_t announce_nd(unsigned char frame[ANNOUNCE_FRAME_MAX], const unsigned char mac[6],
                   const unsigned char address[16]);

// Sends an address's announcements once on the interface. 0 or a negative errno.
int announce_send(int packet_socket, int interface, const unsigned char mac[6], int family,
                  const unsigned char address[16]);

#endif
