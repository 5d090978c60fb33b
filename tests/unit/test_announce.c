// SPDX-License-Identifier: Apache-2.0
#include <net/if_arp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/announce.h"

static const uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
static const uint8_t ip4[4] = {10, 0, 0, 100};
static const uint8_t ip6[16] = {0xfd, [15] = 0x64};

static void arp_bytes(uint16_t operation, uint8_t low) {
  const uint8_t expected[] = {
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x11, 0x22, 0x33,
      0x44, 0x55, 0x08, 0x06,                                    // to all, from us, ARP
      0x00, 0x01, 0x08, 0x00, 6,    4,    0x00, low,             // Ethernet, IPv4
      0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 10,   0,    0,    100, // sender
      0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 10,   0,    0,    100, // target: the same
  };
  uint8_t frame[ANNOUNCE_FRAME_MAX];
  assert_int_equal(announce_arp(frame, mac, ip4, operation), sizeof(expected));
  assert_memory_equal(frame, expected, sizeof(expected));
}

static void arp_names_its_sender_as_its_target(void **state) {
  (void)state;
  arp_bytes(ARPOP_REQUEST, 1);
  arp_bytes(ARPOP_REPLY, 2);
}

// The checksum was worked out apart: 0xfd00 + 0x0064 + 0xff02 + 0x0001 (addresses) + 0x0020 (length) +
// 0x003a (next header) + 0x8800 + 0x2000 + 0xfd00 + 0x0064 + 0x0201 + 0x0211 + 0x2233 + 0x4455 = 0x40f20;
// folded 0x0f24; inverted.
static void advertisement_overrides(void **state) {
  (void)state;
  const uint8_t expected[] = {
      0x33, 0x33, 0, 0, 0, 1, 0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 0x86, 0xdd, // to all nodes,
                                                                              // from us, IPv6
      0x60, 0, 0, 0, 0, 32, 58, 255,                                          // ICMPv6, 255 hops
      0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0x64, // from the virtual IP
      0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      1,                                 // to ff02::1
      136, 0, 0xf3, 0x3c, 0x20, 0, 0, 0, // override, not solicited
      0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0x64,                                     // target
      2, 1, 0x02, 0x11, 0x22, 0x33, 0x44, 0x55, // its MAC
  };
  uint8_t frame[ANNOUNCE_FRAME_MAX];
  assert_int_equal(announce_na(frame, mac, ip6), sizeof(expected));
  assert_memory_equal(frame, expected, sizeof(expected));
}

static void repeats_fast_then_slowly(void **state) {
  (void)state;
  static const int64_t due_ms[] = {0, 10, 50, 200, 1000, 31000, 61000};
  for (size_t i = 0; i < sizeof(due_ms) / sizeof(due_ms[0]); i++)
    assert_int_equal(announce_due_us(i), due_ms[i] * 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(arp_names_its_sender_as_its_target),
      cmocka_unit_test(advertisement_overrides),
      cmocka_unit_test(repeats_fast_then_slowly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
