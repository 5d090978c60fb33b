// SPDX-License-Identifier: Apache-2.0
#include "agent/claims.h"

#include <net/if_arp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "agent/neighbour.h"

static const uint8_t mac[ANNOUNCE_MAC_SIZE] = {2, 0, 0, 0, 0, 7};
static const uint8_t four[4] = {10, 0, 0, 100};
static const uint8_t six[16] = {0xfd, [15] = 9};

static void an_announcement_is_a_claim(void **unused) {
  (void)unused;
  struct claim claim;
  uint8_t frame[ANNOUNCE_FRAME_MAX];
  size_t size = announce_arp(frame, mac, four, ARPOP_REPLY);
  assert_true(claims_parse(frame, size, &claim));
  assert_int_equal(claim.family, AF_INET);
  assert_memory_equal(claim.mac, mac, sizeof mac);
  assert_memory_equal(claim.address, four, sizeof four);
  size = announce_na(frame, mac, six);
  assert_true(claims_parse(frame, size, &claim));
  assert_int_equal(claim.family, AF_INET6);
  assert_memory_equal(claim.mac, mac, sizeof mac);
  assert_memory_equal(claim.address, six, sizeof six);
}

static void a_question_of_nobody_claims_nothing(void **unused) {
  (void)unused;
  struct claim claim;
  uint8_t frame[NEIGHBOUR_FRAME_MAX];
  assert_false(claims_parse(frame, neighbour_question(frame, mac, AF_INET, four), &claim));
  assert_false(claims_parse(frame, neighbour_question(frame, mac, AF_INET6, six), &claim));
}

static void short_and_strange_frames_claim_nothing(void **unused) {
  (void)unused;
  struct claim claim;
  uint8_t frame[ANNOUNCE_FRAME_MAX];
  size_t size = announce_na(frame, mac, six);
  for (size_t cut = 0; cut < size - 8; cut++) /* the option behind it is not needed */
    assert_false(claims_parse(frame, cut, &claim));
  size = announce_arp(frame, mac, four, ARPOP_REPLY);
  for (size_t cut = 0; cut < size; cut++)
    assert_false(claims_parse(frame, cut, &claim));
  frame[19] = 16; /* addresses of another length */
  assert_false(claims_parse(frame, size, &claim));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_announcement_is_a_claim),
      cmocka_unit_test(a_question_of_nobody_claims_nothing),
      cmocka_unit_test(short_and_strange_frames_claim_nothing),
  };
  return cmocka_run_group_tests_name("claims", tests, NULL, NULL);
}
