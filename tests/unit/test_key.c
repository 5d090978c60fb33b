// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/crypto.h"
#include "common/base/key.h"

static char folder[] = "/tmp/tanist-key-XXXXXX";
static char path[128], error[256];

static int setup(void **unused) {
  (void)unused;
  snprintf(path, sizeof path, "%s/orders.a.key", folder);
  unlink(path);
  error[0] = '\0';
  return 0;
}

static void put(const char *text, size_t size, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, size), (ssize_t)size);
  assert_int_equal(fchmod(fd, mode), 0);
  close(fd);
}

static void test_generate_and_load(void **unused) {
  (void)unused;
  struct key made, loaded;
  struct stat status;
  mode_t old = umask(0);
  assert_int_equal(key_generate(path, &made, error, sizeof error), 0);
  umask(old);
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(status.st_mode & 07777, 0600);
  assert_int_equal(status.st_size, KEY_TEXT_SIZE);
  assert_int_equal(key_load(path, &loaded, error, sizeof error), 0);
  assert_memory_equal(&made, &loaded, sizeof made);
}

static void test_a_tight_umask_leaves_it_readable(void **unused) {
  (void)unused;
  struct key key;
  struct stat status;
  mode_t old = umask(0777);
  assert_int_equal(key_generate(path, &key, error, sizeof error), 0);
  umask(old);
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_never_overwrites(void **unused) {
  (void)unused;
  struct key first, second, loaded;
  assert_int_equal(key_generate(path, &first, error, sizeof error), 0);
  assert_int_equal(key_generate(path, &second, error, sizeof error), -EEXIST);
  assert_non_null(strstr(error, path));
  assert_int_equal(key_load(path, &loaded, error, sizeof error), 0);
  assert_memory_equal(&first, &loaded, sizeof first);
}

static void test_no_folder(void **unused) {
  (void)unused;
  struct key key;
  assert_int_equal(key_generate("/nonexistent/orders.a.key", &key, error, sizeof error), -ENOENT);
  assert_non_null(strstr(error, "/nonexistent/orders.a.key"));
}

static void test_open_to_others(void **unused) {
  (void)unused;
  const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0777};
  char mend[160];
  struct key key;
  assert_int_equal(key_generate(path, &key, error, sizeof error), 0);
  snprintf(mend, sizeof mend, "chmod 600 %s", path);
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
    assert_int_equal(chmod(path, modes[i]), 0);
    assert_int_equal(key_load(path, &key, error, sizeof error), -EPERM);
    assert_non_null(strstr(error, mend));
  }
  assert_int_equal(chmod(path, 0400), 0);
  assert_int_equal(key_load(path, &key, error, sizeof error), 0);
}

/* Root reads everything: where the test runs as root, another user has to try. */
static void test_unreadable(void **unused) {
  (void)unused;
  struct key key;
  char mend[160];
  assert_int_equal(key_generate(path, &key, error, sizeof error), 0);
  assert_int_equal(chmod(path, 0), 0);
  assert_int_equal(chmod(folder, 0755), 0);
  bool root = geteuid() == 0;
  if (root)
    assert_int_equal(seteuid(65534), 0);
  int rc = key_load(path, &key, error, sizeof error);
  if (root)
    assert_int_equal(seteuid(0), 0);
  snprintf(mend, sizeof mend, "chmod 600 %s", path);
  assert_int_equal(rc, -EACCES);
  assert_non_null(strstr(error, mend));
}

static void test_absent(void **unused) {
  (void)unused;
  struct key key;
  assert_int_equal(key_load(path, &key, error, sizeof error), -ENOENT);
  assert_non_null(strstr(error, "tanist keygen"));
}

static void test_no_regular_file(void **unused) {
  (void)unused;
  struct key key;
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(key_load(path, &key, error, sizeof error), -EPERM); // and does not hang
  assert_int_equal(key_load(folder, &key, error, sizeof error), -EPERM);
}

static void test_damaged_at_every_length(void **unused) {
  (void)unused;
  struct key key;
  char line[KEY_TEXT_SIZE + 1], bad[KEY_TEXT_SIZE + 8];
  crypto_random(&key, sizeof key);
  key_format(key.private_key, line);
  for (size_t size = 0; size < KEY_TEXT_SIZE - 1; size++) {
    put(line, size, 0600);
    assert_int_equal(key_load(path, &key, error, sizeof error), -EBADMSG);
    assert_non_null(strstr(error, path));
  }
  put(line, KEY_TEXT_SIZE - 1, 0600); // without its newline it is whole
  assert_int_equal(key_load(path, &key, error, sizeof error), 0);
  snprintf(bad, sizeof bad, "%s\nx", line);
  put(bad, strlen(bad), 0600);
  assert_int_equal(key_load(path, &key, error, sizeof error), -EBADMSG);
  line[7] = '\0';
  put(line, KEY_TEXT_SIZE - 1, 0600);
  assert_int_equal(key_load(path, &key, error, sizeof error), -EBADMSG);
}

/* RFC 7748, section 6.1. */
static void test_known_pair(void **unused) {
  (void)unused;
  const unsigned char alice[KEY_SIZE] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1,
                                         0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
                                         0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
  const char *text = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
  unsigned char public_key[KEY_SIZE], parsed[KEY_SIZE];
  char formatted[KEY_TEXT_SIZE];
  assert_int_equal(crypto_public(alice, public_key), 0);
  key_format(public_key, formatted);
  assert_string_equal(formatted, text);
  assert_int_equal(key_public_parse(text, parsed, error, sizeof error), 0);
  assert_memory_equal(parsed, public_key, KEY_SIZE);
}

static void test_text_round_trip(void **unused) {
  (void)unused;
  for (int i = 0; i < 500; i++) {
    unsigned char key[KEY_SIZE], again[KEY_SIZE];
    char text[KEY_TEXT_SIZE];
    crypto_random(key, sizeof key);
    key_format(key, text);
    assert_int_equal(strlen(text), 44);
    assert_int_equal(key_public_parse(text, again, error, sizeof error), 0);
    assert_memory_equal(key, again, KEY_SIZE);
  }
}

static void test_no_public_key(void **unused) {
  (void)unused;
  const char *bad[] = {
      "",
      "…base64…",
      "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo",   // no '='
      "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo==", // one too many
      "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmp=",  // another spelling of the same bytes
      "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo=",  // another alphabet
      "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066Spjqqb mo=",
      "=SDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    unsigned char key[KEY_SIZE];
    error[0] = '\0';
    assert_int_equal(key_public_parse(bad[i], key, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "44 characters"));
  }
}

/* The points of small order, as they are encoded: any secret made with them is zero, whoever makes it. */
static void test_low_order(void **unused) {
  (void)unused;
  const unsigned char eight[KEY_SIZE] = {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
                                         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
                                         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00};
  unsigned char points[3][KEY_SIZE] = {{0}, {1}};
  memcpy(points[2], eight, sizeof eight);
  for (size_t i = 0; i < 3; i++) {
    char text[KEY_TEXT_SIZE];
    unsigned char key[KEY_SIZE];
    key_format(points[i], text);
    assert_int_equal(key_public_parse(text, key, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "low order"));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_generate_and_load, setup),
      cmocka_unit_test_setup(test_a_tight_umask_leaves_it_readable, setup),
      cmocka_unit_test_setup(test_never_overwrites, setup),
      cmocka_unit_test_setup(test_no_folder, setup),
      cmocka_unit_test_setup(test_open_to_others, setup),
      cmocka_unit_test_setup(test_unreadable, setup),
      cmocka_unit_test_setup(test_absent, setup),
      cmocka_unit_test_setup(test_no_regular_file, setup),
      cmocka_unit_test_setup(test_damaged_at_every_length, setup),
      cmocka_unit_test_setup(test_known_pair, setup),
      cmocka_unit_test_setup(test_text_round_trip, setup),
      cmocka_unit_test_setup(test_no_public_key, setup),
      cmocka_unit_test_setup(test_low_order, setup),
  };
  if (mkdtemp(folder) == NULL)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  rmdir(folder);
  return failed;
}
