// SPDX-License-Identifier: Apache-2.0
// libtanist's view of a state page, with the page's writer played by the test.
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/client/layout.h"

static char directory[64], path[128], report_path[128];
static struct page *page, *report;
static int page_fd, report_fd;
static struct page_state state;
static struct tanist *t;

static uint64_t in_ms(int64_t ms) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (uint64_t)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec + ms * 1000000);
}

static void show(void) {
  page_write(page, &state, PAGE_WORDS(struct page_state));
  page_ring(page_fd);
}

static void master(uint64_t epoch, uint32_t need) {
  state.epoch = state.reign = state.duty_epoch = state.master_epoch = epoch;
  state.role = TANIST_MASTER;
  state.master = 0;
  state.masterships++;
  state.lease_end_ns = in_ms(10000);
  state.duty_mode = TANIST_LEAD;
  state.duty_flags = 0;
  state.duty_serial++;
  state.need = need;
  show();
}

static int set_up(void **unused) {
  (void)unused;
  struct page_head head = {.magic = PAGE_STATE_MAGIC, .layout = PAGE_LAYOUT, .cluster = {1, 2, 3}};
  strcpy(directory, "/tmp/test_client.XXXXXX");
  if (mkdtemp(directory) == NULL || page_boot_id(head.boot_id) != 0)
    return -1;
  snprintf(path, sizeof path, "%s/orders.a.state", directory);
  snprintf(report_path, sizeof report_path, "%s/orders.a.report", directory);
  state = (struct page_state){.role = TANIST_SECONDARY,
                              .need = 3,
                              .admitted = PAGE_ANYBODY,
                              .master = TANIST_NOBODY,
                              .duty_serial = 1,
                              .alive_until_ns = in_ms(60000)};
  if (page_make(&page, &page_fd, path, &head, 0644) != 0)
    return -1;
  head.magic = PAGE_REPORT_MAGIC;
  if (page_make(&report, &report_fd, report_path, &head, 0660) != 0)
    return -1;
  show();
  return tanist_open(&t, path);
}

static int tear_down(void **unused) {
  (void)unused;
  tanist_close(t);
  page_unmap(page, page_fd);
  page_unmap(report, report_fd);
  unlink(path);
  unlink(report_path);
  return rmdir(directory);
}

static void a_page_that_is_none_is_refused(void **unused) {
  (void)unused;
  struct tanist *other;
  assert_int_equal(tanist_open(&other, "/nonexistent/orders.a.state"), -ENOENT);
  assert_int_equal(tanist_open(&other, report_path), -EPROTO);
  page->head.layout++;
  assert_int_equal(tanist_open(&other, path), -EPROTONOSUPPORT);
  page->head.layout--;
  page->head.boot_id[0] ^= 1;
  assert_int_equal(tanist_open(&other, path), -ESTALE);
  page->head.boot_id[0] ^= 1;
  assert_int_equal(ftruncate(page_fd, 100), 0);
  assert_int_equal(tanist_open(&other, path), -EPROTO);
  assert_int_equal(ftruncate(page_fd, PAGE_SIZE_BYTES), 0);
  assert_null(other);
}

static void a_page_is_taken_up_again_under_its_inode(void **unused) {
  (void)unused;
  struct page *again;
  struct page_head head = page->head;
  int fd;
  assert_int_equal(page_make(&again, &fd, path, &head, 0644), 0);
  state.epoch = 7;
  page_write(again, &state, PAGE_WORDS(struct page_state));
  assert_int_equal(tanist_epoch(t), 7); /* who had mapped it sees what its new writer says */
  page_unmap(again, fd);
}

static void the_lease_says_who_may_serve(void **unused) {
  (void)unused;
  uint64_t epoch = 0;
  assert_false(tanist_may_serve(t, &epoch));
  master(4, 3);
  assert_true(tanist_may_serve(t, &epoch));
  assert_int_equal(epoch, 4);
  state.lease_end_ns = in_ms(-1);
  show();
  assert_false(tanist_may_serve(t, NULL));
  state.lease_end_ns = TANIST_LEASE_SOLE;
  show();
  assert_true(tanist_may_serve(t, NULL));
  state.role = TANIST_SECONDARY;
  show();
  assert_false(tanist_may_serve(t, NULL));
}

static void a_write_that_never_ends_lets_nobody_serve(void **unused) {
  (void)unused;
  struct tanist_view view;
  master(4, 3);
  atomic_fetch_add(&page->sequence, 1);
  assert_false(tanist_may_serve(t, NULL));
  assert_int_equal(tanist_view(t, &view), -EAGAIN);
  show(); /* the next writer mends it */
  assert_true(tanist_may_serve(t, NULL));
}

static void an_agent_without_a_sign_of_life_is_told(void **unused) {
  (void)unused;
  struct tanist_view view;
  master(4, 3);
  state.alive_until_ns = in_ms(-1);
  show();
  assert_int_equal(tanist_view(t, &view), -ESTALE);
  assert_int_equal(view.reign, 4);
  assert_true(tanist_may_serve(t, NULL)); /* its lease runs all the same */
}

static void expect(enum tanist_change_type type, uint64_t epoch, uint32_t who) {
  struct tanist_change change;
  assert_int_equal(tanist_next(t, &change), 1);
  assert_int_equal(change.type, type);
  assert_int_equal(change.epoch, epoch);
  assert_int_equal(change.master, who);
}

static void expect_nothing(void) {
  struct tanist_change change;
  assert_int_equal(tanist_next(t, &change), 0);
}

static bool readable(void) {
  struct pollfd p = {.fd = tanist_fd(t), .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static void other_leads(uint64_t epoch) {
  state.epoch = state.master_epoch = epoch;
  state.role = TANIST_SECONDARY;
  state.master = 1;
  strcpy(state.master_address, "10.0.0.2:7000");
  state.lease_end_ns = 0;
  state.need = 3;
  show();
}

static void changes_are_told_in_their_order(void **unused) {
  (void)unused;
  assert_true(tanist_fd(t) >= 0);
  expect(TANIST_DUTY, 0, TANIST_NOBODY); /* the first look */
  expect_nothing();
  assert_false(readable());
  master(4, 3);
  assert_true(readable());
  expect(TANIST_PROMOTED, 4, 0);
  expect(TANIST_DUTY, 4, 0);
  expect_nothing();
  assert_false(readable());
  other_leads(5);
  expect(TANIST_DEPOSED, 5, 1);
  expect_nothing();
}

static void a_deposed_master_is_told_by_whom_later_too(void **unused) {
  (void)unused;
  struct tanist_change change;
  master(4, 3);
  while (tanist_next(t, &change) == 1)
    ;
  state.role = TANIST_SECONDARY;
  state.lease_end_ns = 0;
  show();
  expect(TANIST_DEMOTED, 4, 0);
  expect_nothing();
  other_leads(5);
  expect(TANIST_DEPOSED, 5, 1);
  expect_nothing();
}

static void a_reign_that_ended_between_two_looks_is_not_left_out(void **unused) {
  (void)unused;
  struct tanist_change change;
  master(4, 3);
  while (tanist_next(t, &change) == 1)
    ;
  other_leads(5);
  master(6, 3);
  expect(TANIST_DEMOTED, 4, 0);
  expect(TANIST_PROMOTED, 6, 0);
}

static void a_new_epoch_while_master_is_no_end(void **unused) {
  (void)unused;
  struct tanist_change change;
  master(4, 3);
  while (tanist_next(t, &change) == 1)
    ;
  state.masterships--;
  master(6, 3);
  expect(TANIST_EPOCH, 6, 0);
}

static void stamps_count_within_a_reign(void **unused) {
  (void)unused;
  struct tanist_stamp stamp, back;
  uint8_t bytes[TANIST_STAMP_SIZE];
  assert_int_equal(tanist_stamp(t, &stamp), -EPERM);
  master(4, 3);
  assert_int_equal(tanist_stamp(t, &stamp), 0);
  assert_int_equal(tanist_stamp(t, &stamp), 0);
  assert_int_equal(stamp.serial, 2);
  assert_int_equal(stamp.cluster[2], 3);
  master(6, 3);
  assert_int_equal(tanist_stamp(t, &stamp), 0);
  assert_int_equal(stamp.epoch, 6);
  assert_int_equal(stamp.serial, 1);
  tanist_stamp_encode(&stamp, bytes);
  assert_int_equal(bytes[15], 6); /* network order */
  tanist_stamp_decode(&back, bytes);
  assert_memory_equal(&back, &stamp, sizeof stamp);
}

static void an_acknowledgement_waits_for_all_of_need(void **unused) {
  (void)unused;
  assert_int_equal(tanist_report_position(t, 4, 100, 100), 0);
  assert_false(tanist_ack_ready(t, 4, 1)); /* not master */
  master(4, 3);
  assert_int_equal(tanist_commit_position(t), 0);
  assert_int_equal(tanist_peer_acked(t, 3, 100), -ESTALE); /* of another epoch */
  assert_int_equal(tanist_peer_acked(t, 4, 60), 0);
  assert_true(tanist_ack_ready(t, 4, 60));
  assert_false(tanist_ack_ready(t, 4, 61));
  assert_false(tanist_ack_ready(t, 3, 60));
  assert_int_equal(tanist_peer_acked(t, 4, 200), 0);
  assert_int_equal(tanist_commit_position(t), 100); /* the own copy counts too */
}

static void alone_the_own_copy_is_enough(void **unused) {
  (void)unused;
  master(4, 1);
  assert_int_equal(tanist_report_position(t, 4, 100, 100), 0);
  assert_true(tanist_ack_ready(t, 4, 100));
  state.need = 3; /* the other is taken back: what was committed stays so, the rest waits for it */
  show();
  assert_int_equal(tanist_report_position(t, 4, 150, 150), 0);
  assert_true(tanist_ack_ready(t, 4, 100));
  assert_false(tanist_ack_ready(t, 4, 101));
}

/* With an agent that is stopped the page goes on saying "master". */
static void past_the_lease_nothing_is_acknowledged(void **unused) {
  (void)unused;
  master(4, 1);
  assert_int_equal(tanist_report_position(t, 4, 100, 100), 0);
  assert_true(tanist_ack_ready(t, 4, 100));
  state.lease_end_ns = in_ms(-1);
  show();
  assert_false(tanist_ack_ready(t, 4, 100));
  assert_int_equal(tanist_commit_position(t), 0);
  state.lease_end_ns = TANIST_LEASE_SOLE;
  show();
  assert_true(tanist_ack_ready(t, 4, 100));
}

/* brokers.md, rule 5: any proof of a higher epoch ends a master at once. */
static void proof_of_a_higher_epoch_ends_a_reign(void **unused) {
  (void)unused;
  struct tanist_stamp stamp;
  struct page_report said;
  master(4, 1);
  assert_int_equal(tanist_report_position(t, 4, 100, 100), 0);
  assert_int_equal(tanist_overtaken(t, 4), 0); /* its own */
  assert_true(tanist_ack_ready(t, 4, 100));
  assert_int_equal(tanist_overtaken(t, 5), 0);
  assert_false(tanist_may_serve(t, NULL));
  assert_false(tanist_ack_ready(t, 4, 100));
  assert_int_equal(tanist_stamp(t, &stamp), -EPERM);
  assert_true(page_read(report, &said, PAGE_WORDS(struct page_report)));
  assert_non_null(strstr(said.suspect, "epoch 5"));
  master(6, 1);
  assert_true(tanist_may_serve(t, NULL)); /* a later reign of its own */
  assert_true(tanist_ack_ready(t, 6, 100));
}

static void a_broker_that_starts_anew_is_admitted_first(void **unused) {
  (void)unused;
  struct tanist_view view;
  struct tanist_stamp stamp;
  struct tanist_change change;
  struct page_report said;
  state.admitted = 7; /* the one before */
  master(4, 1);
  assert_true(tanist_may_serve(t, NULL)); /* a reader only */
  assert_int_equal(tanist_report_position(t, 4, 100, 100), 0);
  assert_false(tanist_may_serve(t, NULL));
  assert_false(tanist_ack_ready(t, 4, 100));
  assert_int_equal(tanist_stamp(t, &stamp), -EPERM);
  assert_int_equal(tanist_view(t, &view), 0);
  assert_int_equal(view.duty_mode, TANIST_HOLD);
  while (tanist_next(t, &change) == 1)
    ;
  assert_true(page_read(report, &said, PAGE_WORDS(struct page_report)));
  state.admitted = said.incarnation;
  show();
  assert_int_equal(tanist_next(t, &change), 1); /* the same serial, but now it is meant */
  assert_int_equal(change.type, TANIST_DUTY);
  assert_true(tanist_ack_ready(t, 4, 100));
}

static void a_ping_is_answered_by_the_broker_alone(void **unused) {
  (void)unused;
  struct tanist_change change;
  struct page_report said;
  state.ping = 5;
  show();
  tanist_next(t, &change);
  assert_true(page_read(report, &said, PAGE_WORDS(struct page_report)));
  assert_int_equal(said.pong, 0); /* it has reported nothing: a reader */
  assert_int_equal(tanist_report_position(t, 4, 100, 100), 0);
  tanist_next(t, &change);
  assert_true(page_read(report, &said, PAGE_WORDS(struct page_report)));
  assert_int_equal(said.pong, 5);
}

static void a_pause_and_a_new_epoch_withhold(void **unused) {
  (void)unused;
  master(4, 1);
  assert_int_equal(tanist_report_position(t, 4, 100, 100), 0);
  assert_true(tanist_ack_ready(t, 4, 100));
  state.duty_flags = PAGE_PAUSED;
  show();
  assert_false(tanist_ack_ready(t, 4, 100));
  master(6, 3); /* what the other confirmed before is of the old reign */
  assert_false(tanist_ack_ready(t, 4, 100));
  assert_false(tanist_ack_ready(t, 6, 100));
}

static void a_secondary_that_comes_back_confirms_anew(void **unused) {
  (void)unused;
  master(4, 3);
  assert_int_equal(tanist_report_position(t, 4, 100, 100), 0);
  assert_int_equal(tanist_peer_acked(t, 4, 80), 0);
  assert_int_equal(tanist_attached(t, false), 0);
  assert_int_equal(tanist_attached(t, true), 0);
  assert_false(tanist_ack_ready(t, 4, 80));
}

static void the_agent_reads_what_the_broker_says(void **unused) {
  (void)unused;
  struct page_report said;
  assert_int_equal(tanist_report_position(t, 4, 100, 90), 0);
  assert_int_equal(tanist_progress(t, TANIST_DELIVERED, 12), 0);
  assert_int_equal(tanist_progress(t, TANIST_COUNTERS, 12), -EINVAL);
  assert_int_equal(tanist_suspect(t, "no answer for 5 s"), 0);
  assert_int_equal(tanist_done(t, 9), 0);
  assert_true(page_read(report, &said, PAGE_WORDS(struct page_report)));
  assert_int_equal(said.durable, 100);
  assert_int_equal(said.applied, 90);
  assert_int_equal(said.done_serial, 9);
  assert_int_equal(said.done_position, 100);
  assert_int_equal(said.counter[TANIST_DELIVERED], 12);
  assert_string_equal(said.suspect, "no answer for 5 s");
  assert_int_equal(said.pid, getpid());
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_page_that_is_none_is_refused),
      TEST(a_page_is_taken_up_again_under_its_inode),
      TEST(the_lease_says_who_may_serve),
      TEST(a_write_that_never_ends_lets_nobody_serve),
      TEST(an_agent_without_a_sign_of_life_is_told),
      TEST(changes_are_told_in_their_order),
      TEST(a_deposed_master_is_told_by_whom_later_too),
      TEST(a_reign_that_ended_between_two_looks_is_not_left_out),
      TEST(a_new_epoch_while_master_is_no_end),
      TEST(stamps_count_within_a_reign),
      TEST(an_acknowledgement_waits_for_all_of_need),
      TEST(alone_the_own_copy_is_enough),
      TEST(past_the_lease_nothing_is_acknowledged),
      TEST(proof_of_a_higher_epoch_ends_a_reign),
      TEST(a_broker_that_starts_anew_is_admitted_first),
      TEST(a_ping_is_answered_by_the_broker_alone),
      TEST(a_pause_and_a_new_epoch_withhold),
      TEST(a_secondary_that_comes_back_confirms_anew),
      TEST(the_agent_reads_what_the_broker_says),
  };
  return cmocka_run_group_tests_name("client_page", tests, NULL, NULL);
}
