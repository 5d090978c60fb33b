// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/text.h"

// stderr is a pipe during a test; what was logged is read from its other end.
static int tap, real_stderr;

static int set_up(void **state) {
  (void)state;
  int fds[2];
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
    return -1;
  real_stderr = dup(STDERR_FILENO);
  dup2(fds[1], STDERR_FILENO);
  close(fds[1]);
  tap = fds[0];
  unsetenv("JOURNAL_STREAM");
  unsetenv("TANIST_LOG");
  log_open("prog");
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  dup2(real_stderr, STDERR_FILENO);
  close(real_stderr);
  close(tap);
  return 0;
}

static const char *logged(void) {
  static char text[8192];
  ssize_t size = read(tap, text, sizeof text - 1);
  text[size < 0 ? 0 : size] = 0;
  return text;
}

static void line_has_time_program_and_level(void **state) {
  (void)state;
  setenv("TZ", "UTC-2", 1); // two hours ahead
  tzset();
  log_error("disk %d failed", 7);
  const char *line = logged();
  int year, month, day, hour, minute, second, ms, zone, end = 0;
  assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3d%5d prog: error: disk 7 failed%n", &year, &month,
                          &day, &hour, &minute, &second, &ms, &zone, &end),
                   8);
  assert_int_equal(zone, 200);
  assert_string_equal(line + end, "\n");
}

static void journal_gets_its_prefixes(void **state) {
  (void)state;
  struct stat st;
  char stream[64];
  assert_int_equal(fstat(STDERR_FILENO, &st), 0);
  snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
  setenv("JOURNAL_STREAM", stream, 1);
  log_open("prog");
  log_warning("hello");
  assert_string_equal(logged(), "<4>hello\n");

  snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
           (unsigned long long)st.st_ino + 1);
  setenv("JOURNAL_STREAM", stream, 1); // stderr was redirected: no longer the journal
  log_open("prog");
  log_warning("hello");
  assert_true(strncmp(logged(), "<4>", 3) != 0);
}

static void level_is_chosen_by_the_environment(void **state) {
  (void)state;
  log_debug("unheard");
  assert_string_equal(logged(), "");
  log_info("heard");
  assert_non_null(strstr(logged(), "info: heard"));
  setenv("TANIST_LOG", "error", 1);
  log_open("prog");
  log_warning("unheard");
  assert_string_equal(logged(), "");
  setenv("TANIST_LOG", "debug", 1);
  log_open("prog");
  log_debug("heard");
  assert_non_null(strstr(logged(), "debug: heard"));
  setenv("TANIST_LOG", "nonsense", 1);
  log_open("prog");
  log_info("heard");
  assert_non_null(strstr(logged(), "info: heard"));
}

static void control_characters_are_harmless(void **state) {
  (void)state;
  log_info("a\nb\r\x1b[2Jc\x7f\xc2\x9b%s", "\xff");
  assert_non_null(strstr(logged(), "a?b??[2Jc????\n"));
}

static void long_line_is_cut_and_stays_one_line(void **state) {
  (void)state;
  char text[3000];
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = 0;
  log_info("%s", text);
  const char *line = logged();
  size_t length = strlen(line);
  assert_true(length > 1000 && length <= 1025);
  assert_string_equal(line + length - 4, "...\n");
  assert_ptr_equal(strchr(line, '\n'), line + length - 1);
}

static void full_stderr_does_not_block_and_is_told_later(void **state) {
  (void)state;
  fcntl(STDERR_FILENO, F_SETFL, 0); // as inherited: blocking
  char text[900];
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = 0;
  for (int i = 0; i < 200; i++) // a pipe holds 64 KiB
    log_info("%s", text);
  while (*logged() != 0)
    ;
  errno = EXDEV;
  log_info("again");
  assert_int_equal(errno, EXDEV);
  const char *lines = logged();
  assert_non_null(strstr(lines, "lines of this log were lost"));
  assert_non_null(strstr(lines, "info: again\n"));
  log_info("once");
  assert_null(strstr(logged(), "lost"));
}

static void assert_clean(const char *given, const char *wanted) {
  char text[64];
  strcpy(text, given);
  text_clean(text, strlen(given));
  assert_string_equal(text, wanted);
}

static void text_keeps_utf8_and_nothing_else(void **state) {
  (void)state;
  assert_clean("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
               "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
  assert_clean("\xe2\x82", "??");           // cut
  assert_clean("\xc0\xaf", "??");           // not the shortest form
  assert_clean("\xed\xa0\x80", "???");      // a surrogate
  assert_clean("\xf4\x90\x80\x80", "????"); // beyond Unicode
  assert_clean("\xf8\x88\x80\x80\x80", "?????");
  assert_clean("\xe2\x28\xa1", "?(?");
  assert_clean("\t\x01", "??");
  assert_clean("", "");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(line_has_time_program_and_level),
      TEST(journal_gets_its_prefixes),
      TEST(level_is_chosen_by_the_environment),
      TEST(control_characters_are_harmless),
      TEST(long_line_is_cut_and_stays_one_line),
      TEST(full_stderr_does_not_block_and_is_told_later),
      cmocka_unit_test(text_keeps_utf8_and_nothing_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
