// SPDX-License-Identifier: Apache-2.0
// The bounded file of lines: kept over a restart, bounded, and no harm by what a crash or a full disk leaves.
#include "common/base/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX 4096

static char directory[64], path[128], old[136];

static int setup(void **state) {
  (void)state;
  strcpy(directory, "/tmp/test_ledger.XXXXXX");
  assert_non_null(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/lines", directory);
  snprintf(old, sizeof old, "%s.1", path);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  chmod(directory, 0700);
  unlink(path);
  rmdir(path);
  unlink(old);
  rmdir(old);
  return rmdir(directory);
}

static int add(struct ledger *l, const char *text) {
  char line[256];
  int length =
      snprintf(line, sizeof line, "{\"serial\":%" PRIu64 ",\"text\":\"%s\"}", ledger_next_serial(l), text);
  return ledger_add(l, line, (size_t)length);
}

static size_t count(const struct ledger *l) {
  size_t lines = 0;
  struct ledger_line line = ledger_after(l, 0);
  for (; line.length > 0; line = ledger_following(l, &line))
    lines++;
  return lines;
}

static uint64_t newest(const struct ledger *l) {
  return ledger_next_serial(l) - 1;
}

static void write_file(const char *name, const char *text, size_t size) {
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, size), size);
  close(fd);
}

static void test_kept_over_a_restart(void **state) {
  (void)state;
  struct ledger *l = ledger_open(directory, "lines", MAX);
  assert_int_equal(count(l), 0);
  assert_int_equal(ledger_next_serial(l), 1);
  assert_int_equal(add(l, "one"), 0);
  assert_int_equal(add(l, "two"), 0);
  ledger_close(l);
  l = ledger_open(directory, "lines", MAX);
  assert_int_equal(count(l), 2);
  assert_int_equal(ledger_next_serial(l), 3);
  assert_int_equal(add(l, "three"), 0);
  struct ledger_line line = ledger_after(l, 2);
  assert_int_equal(line.serial, 3);
  assert_non_null(memmem(line.text, line.length, "three", 5));
  line = ledger_following(l, &line);
  assert_int_equal(line.length, 0);
  assert_int_equal(ledger_after(l, 3).length, 0);
  ledger_close(l);
}

static void test_bounded(void **state) {
  (void)state;
  struct ledger *l = ledger_open(directory, "lines", MAX);
  for (int i = 0; i < 1000; i++)
    assert_int_equal(add(l, "something that happened"), 0);
  struct stat now, before;
  assert_int_equal(stat(path, &now), 0);
  assert_int_equal(stat(old, &before), 0);
  assert_true(now.st_size + before.st_size <= MAX);
  size_t kept = count(l);
  assert_in_range(kept, MAX / 2 / 60, MAX / 40);
  assert_int_equal(newest(l), 1000);
  assert_int_equal(ledger_after(l, 999).serial, 1000);
  ledger_close(l);
  l = ledger_open(directory, "lines", MAX);
  assert_int_equal(ledger_damaged(l), 0);
  assert_int_equal(newest(l), 1000);
  assert_true(count(l) >= MAX / 4 / 60);
  ledger_close(l);
}

static void test_too_long(void **state) {
  (void)state;
  struct ledger *l = ledger_open(directory, "lines", 256);
  char line[256];
  memset(line, 'x', sizeof line);
  assert_int_equal(ledger_add(l, line, sizeof line), -EMSGSIZE);
  assert_int_equal(count(l), 0);
  assert_int_equal(add(l, "short"), 0);
  ledger_close(l);
}

/* At each byte where a crash can have cut the last line. One that lacks its end alone is whole: its serial is
   used up. */
static void test_torn(void **state) {
  (void)state;
  static const char text[] =
      "{\"serial\":1,\"a\":1}\n{\"serial\":2,\"a\":{\"b\":2}}\n{\"serial\":3,\"a\":{\"b\":2}}\n";
  size_t first = strlen("{\"serial\":1,\"a\":1}\n"), whole = sizeof text - 1;
  size_t second = first + (whole - first) / 2;
  for (size_t size = first; size < whole; size++) {
    write_file(path, text, size);
    struct ledger *l = ledger_open(directory, "lines", MAX);
    size_t before = count(l);
    assert_int_equal(before, size < second - 1 ? 1 : size < whole - 1 ? 2 : 3);
    assert_int_equal(ledger_error(l), 0);
    assert_int_equal(add(l, "after"), 0);
    ledger_close(l);
    l = ledger_open(directory, "lines", MAX);
    assert_int_equal(count(l), before + 1);
    assert_int_equal(newest(l), before + 1);
    ledger_close(l);
  }
}

static void test_damaged(void **state) {
  (void)state;
  static const char text[] =
      "{\"serial\":1,\"a\":1}\n\0\0\0\0\0\n{\"serial\":7,\"a\":\n{\"serial\":5,\"a\":1}\n"
      "{\"serial\":4,\"a\":1}\nhello\n{\"serial\":18446744073709551615}\n{\"serial\":18446744073709551616}\n"
      "{\"serial\":6,\"a\":1}\n";
  write_file(path, text, sizeof text - 1);
  struct ledger *l = ledger_open(directory, "lines", MAX);
  assert_int_equal(count(l), 3);
  assert_int_equal(ledger_damaged(l), 6);
  assert_int_equal(ledger_next_serial(l), 7);
  ledger_close(l);
}

static void test_larger_than_it_may_be(void **state) {
  (void)state;
  struct ledger *l = ledger_open(directory, "lines", 64 * MAX);
  for (int i = 0; i < 1000; i++)
    add(l, "something that happened");
  ledger_close(l);
  l = ledger_open(directory, "lines", MAX);
  assert_int_equal(newest(l), 1000);
  assert_int_equal(add(l, "and on"), 0);
  struct stat now;
  assert_int_equal(stat(path, &now), 0);
  assert_true(now.st_size < MAX);
  ledger_close(l);
}

static void test_no_such_directory(void **state) {
  (void)state;
  struct ledger *l = ledger_open("/no/such/directory", "lines", MAX);
  assert_int_equal(ledger_error(l), 0);
  assert_int_equal(add(l, "one"), -ENOENT);
  assert_int_equal(ledger_error(l), ENOENT);
  assert_int_equal(count(l), 1);
  ledger_close(l);
}

/* What is no file is not written to, and does not hang us. */
static void test_no_file(void **state) {
  (void)state;
  assert_int_equal(mkdir(path, 0700), 0);
  assert_int_equal(mkfifo(old, 0600), 0);
  struct ledger *l = ledger_open(directory, "lines", MAX);
  assert_int_not_equal(ledger_error(l), 0);
  assert_int_not_equal(add(l, "one"), 0);
  assert_int_equal(count(l), 1);
  assert_int_equal(rmdir(path), 0);
  assert_int_equal(add(l, "two"), 0);
  assert_int_equal(ledger_error(l), 0);
  ledger_close(l);
  l = ledger_open(directory, "lines", MAX);
  assert_int_equal(count(l), 2);
  assert_int_equal(ledger_error(l), EBADMSG);
  ledger_close(l);
}

/* As on a full disk: a line goes in part, or not at all; all is there again once there is room. */
static void test_disk_full(void **state) {
  (void)state;
  struct rlimit limit, before;
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &before);
  struct ledger *l = ledger_open(directory, "lines", MAX);
  assert_int_equal(add(l, "one"), 0);
  struct stat now;
  stat(path, &now);
  for (rlim_t more = 0; more < 20; more += 5) {
    limit = (struct rlimit){(rlim_t)now.st_size + more, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_not_equal(add(l, "while it is full"), 0);
  }
  assert_int_equal(count(l), 5);
  assert_int_not_equal(ledger_error(l), 0);
  setrlimit(RLIMIT_FSIZE, &before);
  assert_int_equal(add(l, "two"), 0);
  ledger_close(l);
  l = ledger_open(directory, "lines", MAX);
  assert_int_equal(count(l), 6);
  assert_int_equal(ledger_damaged(l), 0);
  ledger_close(l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_kept_over_a_restart, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
      cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
      cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
      cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
      cmocka_unit_test_setup_teardown(test_larger_than_it_may_be, setup, teardown),
      cmocka_unit_test_setup_teardown(test_no_such_directory, setup, teardown),
      cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
      cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
