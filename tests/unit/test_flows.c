// SPDX-License-Identifier: Apache-2.0
#include "agent/flows.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/tickle.h"

#define ROOM 900

static struct flows_sender *sender;
static struct flows_receiver *receiver;
static struct flow now[FLOWS_MAX + 100];
static size_t count;

static int set_up(void **unused) {
  (void)unused;
  sender = flows_sender_new(7);
  receiver = flows_receiver_new();
  count = 0;
  srandom(1);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  flows_sender_free(sender);
  flows_receiver_free(receiver);
  return 0;
}

static struct flow flow_of(unsigned n) {
  struct flow flow;
  memset(&flow, 0, sizeof flow);
  flow.address = (uint8_t)(n % 3);
  flow.family = n % 3 == 2 ? AF_INET6 : AF_INET;
  flow.local_port = 6379;
  flow.peer_port = (uint16_t)(n % 60000 + 1024);
  flow.peer[0] = 10;
  flow.peer[3] = (uint8_t)(n / 60000 + 1);
  flow.peer[15] = flow.family == AF_INET6 ? 9 : 0;
  return flow;
}

static void look(void) {
  flows_begin(sender);
  for (size_t i = 0; i < count; i++)
    flows_add(sender, &now[i]);
  flows_end(sender);
}

// A beat to and fro, either of which may be lost.
static void beat(bool there, bool back) {
  uint8_t word[ROOM];
  size_t size = flows_write(sender, word, sizeof word);
  assert_true(size <= sizeof word);
  if (there && size > 0)
    flows_read(receiver, word, size);
  size = flows_confirm(receiver, word, sizeof word);
  if (back)
    flows_confirmed(sender, word, size);
}

static int by_bytes(const void *a, const void *b) {
  return memcmp(a, b, sizeof(struct flow));
}

static void same(void) {
  static struct flow want[FLOWS_MAX + 100], have[FLOWS_MAX];
  const struct flow *known;
  size_t n = flows_known(receiver, &known);
  assert_int_equal(n, count);
  memcpy(want, now, count * sizeof *now);
  memcpy(have, known, n * sizeof *known);
  qsort(want, count, sizeof *want, by_bytes);
  qsort(have, n, sizeof *have, by_bytes);
  assert_memory_equal(want, have, n * sizeof *have);
}

static void settle(void) {
  uint8_t word[ROOM];
  for (int i = 0; i < 1000 && flows_write(sender, word, sizeof word) > 0; i++)
    beat(true, true);
  assert_int_equal(flows_write(sender, word, sizeof word), 0);
}

static void all_come_over_a_bad_link(void **unused) {
  (void)unused;
  unsigned next = 0;
  for (int round = 0; round < 300; round++) {
    for (long n = random() % 40; n > 0 && count < 600; n--)
      now[count++] = flow_of(next++);
    for (long n = random() % 30; n > 0 && count > 0; n--)
      now[(size_t)random() % count] = now[count - 1], count--;
    look();
    beat(random() % 3 != 0, random() % 3 != 0);
    if (round % 50 == 49) {
      settle();
      same();
    }
  }
}

static void nothing_new_costs_nothing(void **unused) {
  (void)unused;
  uint8_t word[ROOM];
  assert_int_equal(flows_write(sender, word, sizeof word), 0);
  now[count++] = flow_of(1);
  look();
  assert_true(flows_write(sender, word, sizeof word) > 0);
  settle();
  look();
  assert_int_equal(flows_write(sender, word, sizeof word), 0);
}

static void a_receiver_that_starts_anew_is_told_all(void **unused) {
  (void)unused;
  for (unsigned i = 0; i < 300; i++)
    now[count++] = flow_of(i);
  look();
  settle();
  flows_forget(receiver);
  beat(true, true); /* it learns that nothing is known there */
  settle();
  same();
}

static void another_master_replaces_what_the_first_had(void **unused) {
  (void)unused;
  now[count++] = flow_of(1);
  look();
  settle();
  flows_sender_free(sender);
  sender = flows_sender_new(8);
  now[0] = flow_of(2);
  look();
  beat(true, true);
  settle();
  same();
}

static void the_newest_are_kept(void **unused) {
  (void)unused;
  const struct flow *known;
  for (unsigned i = 0; i < FLOWS_MAX; i++)
    now[count++] = flow_of(i);
  look();
  settle();
  for (unsigned i = 0; i < 50; i++)
    now[count++] = flow_of(FLOWS_MAX + i);
  look();
  settle();
  size_t n = flows_known(receiver, &known);
  assert_int_equal(n, FLOWS_MAX);
  struct flow newest = flow_of(FLOWS_MAX + 49);
  bool found = false;
  for (size_t i = 0; i < n; i++)
    found = found || by_bytes(&known[i], &newest) == 0;
  assert_true(found);
}

static void rubbish_does_no_harm(void **unused) {
  (void)unused;
  uint8_t word[200];
  for (int i = 0; i < 20000; i++) {
    size_t size = (size_t)random() % sizeof word + 1;
    for (size_t k = 0; k < size; k++)
      word[k] = (uint8_t)random();
    word[0] = i % 2 ? 'C' : 'K';
    flows_read(receiver, word, size);
    flows_confirmed(sender, word, size);
  }
}

static uint32_t sum(const uint8_t *bytes, size_t size, uint32_t start) {
  for (size_t i = 0; i < size; i += 2)
    start += (uint32_t)bytes[i] << 8 | bytes[i + 1];
  while (start >> 16)
    start = (start & 0xffff) + (start >> 16);
  return start;
}

// RFC 1071: over what was sent, its sum included, it comes to all ones.
static void a_tickle_has_a_right_sum(void **unused) {
  (void)unused;
  uint8_t packet[TICKLE_MAX];
  struct tcp_flow four = {AF_INET, {10, 0, 0, 100}, {10, 0, 0, 50}, 6379, 40000};
  struct tcp_flow six = {AF_INET6, {0xfd, [15] = 1}, {0xfd, [15] = 2}, 6379, 40000};
  assert_int_equal(tickle_packet(packet, &four), 40);
  assert_int_equal(sum(packet + 12, 28, 20 + IPPROTO_TCP), 0xffff);
  assert_int_equal(packet[33], 0x10); /* ACK alone */
  assert_int_equal(tickle_packet(packet, &six), 60);
  assert_int_equal(sum(packet + 8, 52, 20 + IPPROTO_TCP), 0xffff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(all_come_over_a_bad_link),
      TEST(nothing_new_costs_nothing),
      TEST(a_receiver_that_starts_anew_is_told_all),
      TEST(another_master_replaces_what_the_first_had),
      TEST(the_newest_are_kept),
      TEST(rubbish_does_no_harm),
      TEST(a_tickle_has_a_right_sum),
  };
  return cmocka_run_group_tests_name("flows", tests, NULL, NULL);
}
