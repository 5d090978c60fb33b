// SPDX-License-Identifier: Apache-2.0
// Streams as Redis tells them, the command that adds an entry again, and whether a copy is needed at all.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/ctl_orphans_xadd.h"
#include "agent/redis_info.h"
#include "agent/redis_stream.h"

static struct resp_value parsed(const char *text) {
  struct resp_value value;
  assert_int_equal(resp_parse(text, strlen(text), &value), strlen(text));
  return value;
}

static void entries_are_taken_one_by_one(void **state) {
  (void)state;
  struct resp_value answer = parsed("*2\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n*2\r\n$3\r\n8-0\r\n*2\r\n$1\r\nd\r\n$0\r\n\r\n");
  struct stream_entry entry;
  char command[128] = "";
  size_t at = 0;
  assert_true(redis_stream_next(&answer, &at, &entry));
  assert_string_equal(entry.id, "7-1");
  assert_int_equal(redis_stream_xadd(command, "orders", &entry), redis_stream_xadd(NULL, "orders", &entry));
  assert_string_equal(command, "*5\r\n$4\r\nXADD\r\n$6\r\norders\r\n$3\r\n7-1\r\n$1\r\na\r\n$2\r\nbc\r\n");
  assert_true(redis_stream_next(&answer, &at, &entry));
  assert_string_equal(entry.id, "8-0");
  assert_false(redis_stream_next(&answer, &at, &entry));
}

static void what_is_no_entry_is_not_taken(void **state) {
  (void)state;
  static const char *const answers[] = {"*0\r\n", "-WRONGTYPE x\r\n", "*1\r\n$1\r\na\r\n", "*1\r\n*1\r\n$1\r\na\r\n",
                                        "*1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*1\r\n*2\r\n:1\r\n*0\r\n",
                                        "*1\r\n*2\r\n$49\r\n1234567890123456789012345678901234567890123456789\r\n*0\r\n"};
  for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
    struct resp_value answer = parsed(answers[i]);
    struct stream_entry entry;
    size_t at = 0;
    assert_false(redis_stream_next(&answer, &at, &entry));
  }
}

static void ids_are_ordered_by_their_numbers(void **state) {
  (void)state;
  assert_int_equal(redis_stream_compare("9-5", "10-1"), -1);
  assert_int_equal(redis_stream_compare("10-2", "10-10"), -1);
  assert_int_equal(redis_stream_compare("10-0", "10"), 0);
  assert_int_equal(redis_stream_compare("18446744073709551615-1", "1-9"), 1);
}

static void an_entry_gets_a_new_id(void **state) {
  (void)state;
  static const char old[] = "*5\r\n$4\r\nXADD\r\n$6\r\norders\r\n$3\r\n7-1\r\n$1\r\na\r\n$2\r\nbc\r\n";
  size_t size = 0;
  char *fresh = ctl_xadd_with_new_id(old, sizeof old - 1, &size);
  static const char wanted[] = "*5\r\n$4\r\nXADD\r\n$6\r\norders\r\n$1\r\n*\r\n$1\r\na\r\n$2\r\nbc\r\n";
  assert_int_equal(size, sizeof wanted - 1);
  assert_memory_equal(fresh, wanted, size);
  free(fresh);
  static const char *const others[] = {"", "*", "hello", "*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n", "*5\r\n$4\r\nXADD\r\n$9999999999999999999999\r\nx",
                                       "*5\r\n$4\r\nXADD\r\n$6\r\norders\r\n$3\r\n7"};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    assert_null(ctl_xadd_with_new_id(others[i], strlen(others[i]), &size));
}

// As masterTryPartialResync of Redis has it.
static void a_copy_is_needed_where_nothing_can_be_gone_on_with(void **state) {
  (void)state;
  struct redis_info master = {.id = "new", .former_id = "old", .former_end = 101, .backlog = 51, .backlog_size = 100};
  struct redis_info secondary = {.id = "new", .offset = 150};
  assert_true(redis_info_continues(&secondary, &master)); // level
  secondary.offset = 151;
  assert_false(redis_info_continues(&secondary, &master)); // ahead
  secondary.offset = 49;
  assert_false(redis_info_continues(&secondary, &master)); // too far behind
  memcpy(secondary.id, "old", 4);
  secondary.offset = 100;
  assert_true(redis_info_continues(&secondary, &master));
  secondary.offset = 101;
  assert_false(redis_info_continues(&secondary, &master)); // it went on in the former history: diverged
  memcpy(secondary.id, "any", 4);
  assert_false(redis_info_continues(&secondary, &master));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(entries_are_taken_one_by_one),
      cmocka_unit_test(what_is_no_entry_is_not_taken),
      cmocka_unit_test(ids_are_ordered_by_their_numbers),
      cmocka_unit_test(an_entry_gets_a_new_id),
      cmocka_unit_test(a_copy_is_needed_where_nothing_can_be_gone_on_with),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
