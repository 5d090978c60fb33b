// SPDX-License-Identifier: Apache-2.0
// Who answers for an address on a link: asks (ARP probe, RFC 5227; neighbour solicitation of RFC 4862) and hears
// every claim, asked for or not. Frames go past the kernel fence both ways: a node that does not hold an
// address may ask who does.
#ifndef TANIST_AGENT_NEIGHBOUR_H
#define TANIST_AGENT_NEIGHBOUR_H

#include "agent/announce.h"

struct neighbour;

struct neighbour_claim {
  int family; // AF_INET, AF_INET6
  uint8_t address[16], mac[ANNOUNCE_MAC_SIZE];
};

// Another station's claim, called from the loop. Must not close it.
typedef void neighbour_fn(void *arg, const struct neighbour_claim *);

// `interface` is kept by reference. 0; -EPERM without CAP_NET_RAW; another negative errno.
int neighbour_open(struct neighbour **, struct loop *, const char *interface, neighbour_fn *, void *arg);
void neighbour_close(struct neighbour *); // NULL is allowed

// Asks who holds an address; whoever does answers by a claim. What cannot be sent now is asked again later.
void neighbour_probe(struct neighbour *, int family, const uint8_t *address);

// Reads a frame from its Ethernet header on; false: it claims nothing.
bool neighbour_parse(const uint8_t *frame, size_t size, struct neighbour_claim *);

#endif
