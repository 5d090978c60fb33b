// SPDX-License-Identifier: Apache-2.0
// Who on a network answers for an address: ARP probes (RFC 5227) and neighbour solicitations as of duplicate
// detection (RFC 4862), which change nobody's tables.
#ifndef TANIST_AGENT_NEIGHBOUR_H
#define TANIST_AGENT_NEIGHBOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEIGHBOUR_MAC_SIZE 6
#define NEIGHBOUR_FRAME_MAX 128

// Asks three times, and waits timeout_ms in all. Writes the link-layer addresses that answered, each once and
// none of this interface's own, at most `max`. Their number, or a negative errno: -ENODEV (no such
// interface), -EMEDIUMTYPE (no Ethernet), -ENETDOWN, -EPERM without CAP_NET_RAW.
int neighbour_ask(const char *interface, int family, const uint8_t *bytes, int timeout_ms,
                  uint8_t answers[][NEIGHBOUR_MAC_SIZE], size_t max);

// The question as a frame; its size.
size_t neighbour_question(uint8_t frame[NEIGHBOUR_FRAME_MAX], const uint8_t mac[NEIGHBOUR_MAC_SIZE],
                          int family, const uint8_t *bytes);
// Whether a frame that came is an answer for the address, and from whom.
bool neighbour_answer(const uint8_t *frame, size_t size, int family, const uint8_t *bytes,
                      uint8_t mac[NEIGHBOUR_MAC_SIZE]);

#endif
