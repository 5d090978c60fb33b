// SPDX-License-Identifier: Apache-2.0
// A producer's outbox: what it keeps over crashes, boots and damage.
#include "tests/unit/client_keep_bed.h"

// ---- outbox ----

static uint64_t put(struct tanist_outbox *o, const char *text) {
  uint64_t number = 0;
  assert_int_equal(tanist_outbox_put(o, text, strlen(text), &number), 0);
  return number;
}

static void expect(struct tanist_outbox *o, uint64_t number, const char *text) {
  struct tanist_message m;
  assert_int_equal(tanist_outbox_next(o, &m), 1);
  assert_int_equal(m.number, number);
  assert_int_equal(m.size, strlen(text));
  assert_memory_equal(m.data, text, m.size);
}

static void expect_none(struct tanist_outbox *o) {
  struct tanist_message m;
  assert_int_equal(tanist_outbox_next(o, &m), 0);
}

static void what_is_not_acknowledged_is_sent_again(void **unused) {
  (void)unused;
  struct tanist_outbox *o;
  assert_int_equal(tanist_outbox_open(&o, NULL, 4096), 0);
  put(o, "one");
  put(o, "two");
  expect(o, 1, "one");
  expect(o, 2, "two");
  expect_none(o);
  put(o, "three");
  expect(o, 3, "three");
  assert_int_equal(tanist_outbox_acked(o, 2), 0);
  assert_int_equal(tanist_outbox_acked(o, 2), -ENOENT);
  assert_int_equal(tanist_outbox_acked(o, 9), -ENOENT);
  tanist_outbox_rewind(o);
  expect(o, 1, "one");
  expect(o, 3, "three");
  expect_none(o);
  assert_int_equal(tanist_outbox_count(o), 2);
  tanist_outbox_close(o);
}

static void an_outbox_outlives_its_process(void **unused) {
  (void)unused;
  struct tanist_outbox *o, *second;
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  uint64_t producer = tanist_outbox_producer(o);
  put(o, "one");
  put(o, "two");
  assert_int_equal(tanist_outbox_acked(o, 1), 0);
  assert_int_equal(tanist_outbox_open(&second, path, 4096), -EBUSY);
  tanist_outbox_close(o);
  assert_int_equal(tanist_outbox_open(&o, path, 8192), 0);
  assert_int_equal(tanist_outbox_producer(o), producer);
  expect(o, 2, "two");
  expect_none(o);
  assert_int_equal(put(o, "three"), 3); /* numbers are never given twice */
  tanist_outbox_close(o);
}

static void a_torn_record_ends_the_row(void **unused) {
  (void)unused;
  struct tanist_outbox *o;
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  put(o, "one");
  put(o, "two");
  tanist_outbox_close(o);
  damage(RING_HEAD + 40 + 32); /* the first record of 40 bytes, the second's head */
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  expect(o, 1, "one");
  expect_none(o);
  assert_int_equal(put(o, "three"), 3);
  tanist_outbox_close(o);
}

/* What a producer's machine may leave of its outbox when it crashes. */
static void restore(const uint8_t *from, off_t at, size_t size) {
  int fd = open(path, O_RDWR);
  assert_int_equal(pwrite(fd, from + at, size, at), size);
  close(fd);
}

static void snapshot(uint8_t *to, size_t size) {
  int fd = open(path, O_RDONLY);
  assert_int_equal(read(fd, to, size), size);
  close(fd);
}

static void another_boot(void) {
  damage(48);
}

static void under(struct tanist_outbox *o, uint64_t producer, uint64_t number) {
  struct tanist_message m;
  assert_int_equal(tanist_outbox_next(o, &m), 1);
  assert_true(m.producer == producer);
  assert_int_equal(m.number, number);
}

/* Its head was written late: the numbers 2 and 3 were sent and acknowledged before the crash, and are given again. */
static void a_number_that_a_crash_forgot_is_not_taken_for_a_doubled_one(void **unused) {
  (void)unused;
  uint8_t old[4096];
  struct tanist_outbox *o;
  struct tanist_dedup *d;
  struct tanist_message m;
  assert_int_equal(tanist_dedup_open(&d, 8), 0);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  put(o, "one");
  snapshot(old, sizeof old);
  put(o, "two");
  put(o, "three");
  while (tanist_outbox_next(o, &m) == 1)
    assert_int_equal(tanist_dedup_take(d, m.producer, m.number), 0);
  tanist_outbox_close(o);
  restore(old, 0, sizeof old);
  another_boot();
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  put(o, "four");
  assert_int_equal(tanist_outbox_next(o, &m), 1); /* it may have been sent: under the same key */
  assert_int_equal(tanist_dedup_check(d, m.producer, m.number), TANIST_DOUBLED);
  assert_int_equal(tanist_outbox_next(o, &m), 1);
  assert_memory_equal(m.data, "four", 4);
  assert_int_equal(tanist_dedup_check(d, m.producer, m.number), TANIST_OK);
  tanist_outbox_close(o);
  tanist_dedup_close(d);
}

/* 2 is damaged and was never sent; what follows must not be a gap for ever. */
static void a_number_that_was_lost_is_no_gap(void **unused) {
  (void)unused;
  struct tanist_outbox *o;
  struct tanist_dedup *d;
  assert_int_equal(tanist_dedup_open(&d, 8), 0);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  uint64_t producer = tanist_outbox_producer(o);
  put(o, "one");
  put(o, "two");
  assert_int_equal(tanist_dedup_take(d, producer, 1), 0);
  tanist_outbox_close(o);
  damage(RING_HEAD + 40 + 32);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  assert_true(tanist_outbox_producer(o) != producer);
  put(o, "three");
  under(o, producer, 1);
  under(o, tanist_outbox_producer(o), 3);
  assert_int_equal(tanist_dedup_check(d, tanist_outbox_producer(o), 3), TANIST_OK);
  assert_int_equal(tanist_outbox_acked(o, 1), 0);
  assert_int_equal(tanist_outbox_acked(o, 3), 0);
  producer = tanist_outbox_producer(o);
  tanist_outbox_close(o);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  assert_true(tanist_outbox_producer(o) == producer); /* only once */
  tanist_outbox_close(o);
  tanist_dedup_close(d);
}

/* The head came to the disk, a page of records did not: what lies there is whole, and of an earlier round. */
static void a_record_of_an_earlier_round_is_not_sent(void **unused) {
  (void)unused;
  static uint8_t old[8192];
  struct tanist_outbox *o;
  struct tanist_message m;
  char text[904];
  uint64_t number, least;
  memset(text, 'x', sizeof text);
  assert_int_equal(tanist_outbox_open(&o, path, sizeof old), 0);
  for (int i = 0; i < 8; i++)
    assert_int_equal(tanist_outbox_put(o, text, sizeof text, &number), 0);
  snapshot(old, sizeof old);
  for (uint64_t n = 1; n <= 8; n++)
    assert_int_equal(tanist_outbox_acked(o, n), 0);
  for (int i = 0; i < 8; i++)
    assert_int_equal(tanist_outbox_put(o, text, sizeof text, &number), 0);
  tanist_outbox_close(o);
  restore(old, 4096, 4096);
  another_boot();
  assert_int_equal(tanist_outbox_open(&o, path, sizeof old), 0);
  for (least = 9; tanist_outbox_next(o, &m) == 1; least++)
    assert_int_equal(m.number, least);
  assert_true(least > 9 && least < 17);
  tanist_outbox_close(o);
}

static void a_file_of_another_version_is_none_of_ours(void **unused) {
  (void)unused;
  struct tanist_outbox *o;
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  tanist_outbox_close(o);
  damage(7);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), -EPROTONOSUPPORT);
  damage(3);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), -EBADMSG);
  assert_int_equal(truncate(path, 100), 0);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), -EBADMSG);
}

static void a_ring_goes_round(void **unused) {
  (void)unused;
  struct tanist_outbox *o;
  char text[700];
  uint64_t number, oldest = 1;
  memset(text, 'x', sizeof text);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  assert_int_equal(tanist_outbox_put(o, text, 2000, &number), -EMSGSIZE);
  for (int i = 0; i < 1000; i++) {
    size_t size = (size_t)(i * 37 % (int)sizeof text);
    while (tanist_outbox_put(o, text, size, &number) == -ENOSPC)
      assert_int_equal(tanist_outbox_acked(o, oldest++), 0);
    assert_int_equal(number, i + 1);
    assert_int_equal(tanist_outbox_count(o), number - oldest + 1);
  }
  tanist_outbox_close(o);
  assert_int_equal(tanist_outbox_open(&o, path, 4096), 0);
  struct tanist_message m;
  while (tanist_outbox_next(o, &m) == 1)
    assert_int_equal(m.number, oldest++);
  assert_int_equal(oldest, 1001);
  tanist_outbox_close(o);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(what_is_not_acknowledged_is_sent_again),
      TEST(an_outbox_outlives_its_process),
      TEST(a_torn_record_ends_the_row),
      TEST(a_number_that_a_crash_forgot_is_not_taken_for_a_doubled_one),
      TEST(a_number_that_was_lost_is_no_gap),
      TEST(a_record_of_an_earlier_round_is_not_sent),
      TEST(a_file_of_another_version_is_none_of_ours),
      TEST(a_ring_goes_round),
  };
  return cmocka_run_group_tests_name("client_keep", tests, NULL, NULL);
}
