// SPDX-License-Identifier: Apache-2.0
// The kept reign: what the next process finds, and when it finds nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/reign.h"

#define CLUSTER 0x1122334455667788U

static char directory[64], path[96];

static int make_directory(void **unused) {
  (void)unused;
  snprintf(directory, sizeof directory, "/tmp/tanist-reign-XXXXXX");
  if (mkdtemp(directory) == NULL)
    return -1;
  snprintf(path, sizeof path, "%s/orders.a.reign", directory);
  return 0;
}

static int remove_directory(void **unused) {
  (void)unused;
  unlink(path);
  return rmdir(directory);
}

static struct core core_of(uint64_t reign) {
  struct core core;
  memset(&core, 0, sizeof core);
  core.role = ROLE_MASTER;
  core.reign = reign;
  core.seq = 3 * reign;
  return core;
}

static struct reign *opened(unsigned self) {
  struct reign *reign;
  assert_int_equal(reign_open(&reign, path, CLUSTER, self), 0);
  return reign;
}

// What the next process finds: its reign, 0 if nothing.
static uint64_t found(char *broker) {
  struct reign *reign = opened(0);
  struct core core;
  struct instant base;
  uint64_t was = reign_read(reign, &core, &base, broker) ? core.reign : 0;
  if (was != 0) {
    assert_int_equal(core.seq, 3 * was);
    assert_int_equal(base.us, 77);
  }
  reign_close(reign);
  return was;
}

static void keep(struct reign *reign, uint64_t number) {
  struct core core = core_of(number);
  reign_keep(reign, &core, (struct instant){77});
}

static void test_the_newest_is_found(void **unused) {
  (void)unused;
  char broker[REIGN_BROKER_MAX];
  assert_int_equal(found(broker), 0);
  struct reign *reign = opened(0);
  keep(reign, 4);
  keep(reign, 6);
  reign_broker(reign, "first");
  keep(reign, 8);
  reign_close(reign);
  assert_int_equal(found(broker), 8);
  assert_string_equal(broker, "first");
}

static void test_who_leads_no_more_leaves_nothing(void **unused) {
  (void)unused;
  char broker[REIGN_BROKER_MAX];
  struct reign *reign = opened(0);
  keep(reign, 4);
  reign_forget(reign);
  reign_close(reign);
  assert_int_equal(found(broker), 0);
  reign = opened(0);
  keep(reign, 10);
  reign_close(reign);
  assert_int_equal(found(broker), 10);
}

static void test_the_broker_is_kept_on(void **unused) {
  (void)unused;
  char broker[REIGN_BROKER_MAX];
  struct reign *reign = opened(0);
  reign_broker(reign, "one");
  keep(reign, 4);
  reign_close(reign);
  reign = opened(0); // a process that resumes, and dies before it has seen its broker
  keep(reign, 4);
  reign_close(reign);
  assert_int_equal(found(broker), 4);
  assert_string_equal(broker, "one");
  reign = opened(0);
  reign_broker(reign, "two"); // between two steps
  reign_close(reign);
  assert_int_equal(found(broker), 4);
  assert_string_equal(broker, "two");
}

static void test_another_node_finds_nothing(void **unused) {
  (void)unused;
  char broker[REIGN_BROKER_MAX];
  struct core core;
  struct instant base;
  struct reign *reign = opened(0);
  keep(reign, 4);
  reign_close(reign);
  reign = opened(1);
  assert_false(reign_read(reign, &core, &base, broker));
  reign_close(reign);
}

static void damage(off_t at) {
  int fd = open(path, O_RDWR);
  unsigned char byte = 0;
  assert_int_equal(pread(fd, &byte, 1, at), 1);
  byte ^= 1;
  assert_int_equal(pwrite(fd, &byte, 1, at), 1);
  close(fd);
}

/* Every byte of what is found counts, in the head and in the slot; the other slot's do not. */
static void test_what_is_not_whole_is_not_found(void **unused) {
  (void)unused;
  char broker[REIGN_BROKER_MAX];
  struct stat st;
  unsigned hurt = 0, total = 0;
  unlink(path);
  struct reign *reign = opened(0);
  keep(reign, 4);
  reign_close(reign);
  assert_int_equal(stat(path, &st), 0);
  for (off_t at = 0; at < st.st_size; at += 41, total++) {
    int fd = open(path, O_RDONLY);
    char *whole = malloc((size_t)st.st_size);
    assert_int_equal(pread(fd, whole, (size_t)st.st_size, 0), st.st_size);
    close(fd);
    damage(at);
    hurt += found(broker) == 0;
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, whole, (size_t)st.st_size, 0), st.st_size);
    close(fd);
    free(whole);
  }
  assert_int_equal(found(broker), 4);
  assert_true(hurt * 2 > total - 8 && hurt < total);
}

static void test_one_process_at_a_time(void **unused) {
  (void)unused;
  struct reign *reign = opened(0), *second;
  assert_int_equal(reign_open(&second, path, CLUSTER, 0), -EBUSY);
  assert_null(second);
  reign_close(reign);
  reign_close(opened(0));
}

static void test_a_file_that_others_may_write_is_refused(void **unused) {
  (void)unused;
  struct reign *reign;
  reign_close(opened(0));
  assert_int_equal(chmod(path, 0620), 0);
  assert_int_equal(reign_open(&reign, path, CLUSTER, 0), -EPERM);
  assert_int_equal(chmod(path, 0600), 0);
}

/* A SIGKILL at any moment leaves a whole one. */
static void test_killed_at_any_moment(void **unused) {
  (void)unused;
  char broker[REIGN_BROKER_MAX];
  for (int i = 0; i < 100; i++) {
    pid_t child = fork();
    if (child == 0) {
      struct reign *reign;
      if (reign_open(&reign, path, CLUSTER, 0) != 0)
        _exit(1);
      for (uint64_t n = 2;; n += 2)
        keep(reign, n);
    }
    usleep(500 + (useconds_t)i * 37);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    if (i > 0)
      assert_true(found(broker) > 0);
    else
      found(broker);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_newest_is_found),
      cmocka_unit_test(test_who_leads_no_more_leaves_nothing),
      cmocka_unit_test(test_the_broker_is_kept_on),
      cmocka_unit_test(test_another_node_finds_nothing),
      cmocka_unit_test(test_what_is_not_whole_is_not_found),
      cmocka_unit_test(test_one_process_at_a_time),
      cmocka_unit_test(test_a_file_that_others_may_write_is_refused),
      cmocka_unit_test(test_killed_at_any_moment),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
