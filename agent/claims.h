// SPDX-License-Identifier: Apache-2.0
// Every claim to an address that is heard on a link, asked for (neighbour_question) or not, for as long as it is
// open. Frames go past the kernel fence both ways: a node that does not hold an
// address may ask who does.
#ifndef TANIST_AGENT_CLAIMS_H
#define TANIST_AGENT_CLAIMS_H

#include "agent/announce.h"

struct claims;

struct claim {
  int family; // AF_INET, AF_INET6
  uint8_t address[16], mac[ANNOUNCE_MAC_SIZE];
};

// Another station's claim, called from the loop. Must not close it.
typedef void claims_fn(void *arg, const struct claim *);

// `interface` is kept by reference. 0; -EPERM without CAP_NET_RAW; another negative errno.
int claims_open(struct claims **, struct loop *, const char *interface, claims_fn *, void *arg);
void claims_close(struct claims *); // NULL is allowed

// Asks who holds an address; whoever does answers by a claim. What cannot be sent now is asked again later.
void claims_ask(struct claims *, int family, const uint8_t *address);

// Reads a frame from its Ethernet header on; false: it claims nothing.
bool claims_parse(const uint8_t *frame, size_t size, struct claim *);

#endif
