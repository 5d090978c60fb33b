// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"

static struct json *parse(const char *text) {
  return json_parse(text, strlen(text), NULL, 0);
}

#define assert_text(json, wanted)                                                                            \
  do {                                                                                                       \
    char *text_ = json_text(json);                                                                           \
    assert_string_equal(text_, wanted);                                                                      \
    free(text_);                                                                                             \
  } while (0)

static struct json *sample(void) {
  struct json *object = json_new_object(), *list = json_new_array(), *child = json_new_object();
  json_put_text(object, "cluster", "orders");
  json_put_int(object, "epoch", -12);
  json_put_uint(object, "version", 12);
  json_put_bool(object, "frozen", false);
  json_put_null(object, "master");
  json_put_real(object, "loss", 0.1);
  json_add_text(list, "low");
  json_add_int(list, 7);
  json_put_bool(child, "held", true);
  json_add(list, child);
  json_put(object, "list", list);
  return object;
}

#define SAMPLE                                                                                               \
  "{\"cluster\":\"orders\",\"epoch\":-12,\"version\":12,\"frozen\":false,\"master\":null,\"loss\":0.1,"      \
  "\"list\":[\"low\",7,{\"held\":true}]}"

static void what_was_built_comes_out_in_order(void **state) {
  (void)state;
  struct json *object = sample();
  assert_text(object, SAMPLE);
  json_free(object);
  json_free(NULL);
}

static void buffer_has_its_limit(void **state) {
  (void)state;
  char buffer[sizeof SAMPLE];
  struct json *object = sample();
  assert_int_equal(json_write(object, buffer, sizeof buffer), sizeof SAMPLE - 1);
  assert_string_equal(buffer, SAMPLE);
  assert_int_equal(json_write(object, buffer, sizeof buffer - 1), -EMSGSIZE);
  json_free(object);
}

static void what_was_built_reads_back(void **state) {
  (void)state;
  struct json *object = parse(SAMPLE);
  assert_string_equal(json_get_text(object, "cluster", ""), "orders");
  assert_int_equal(json_get_int(object, "epoch", 0), -12);
  assert_false(json_get_bool(object, "frozen", true));
  assert_true(fabs(json_get_real(object, "loss", 0) - 0.1) < 1e-9);
  assert_true(json_get_real(object, "version", 0) > 11.5);
  const struct json *list = json_get(object, "list");
  assert_int_equal(json_count(list), 3);
  assert_string_equal(json_as_text(json_at(list, 0), ""), "low");
  assert_int_equal(json_as_int(json_at(list, 1), 0), 7);
  assert_true(json_get_bool(json_at(list, 2), "held", false));
  assert_null(json_at(list, 3));
  json_free(object);
}

static void a_time_can_be_reckoned_with(void **state) {
  (void)state;
  struct json *object = parse("{\"ms\":-5,\"far\":9007199254740992,\"too_far\":9007199254740993,"
                              "\"before\":-9223372036854775808,\"text\":\"5\"}");
  assert_int_equal(json_get_time(object, "ms"), -5);
  assert_int_equal(json_get_time(object, "far"), JSON_TIME_MAX);
  assert_int_equal(json_get_time(object, "too_far"), 0);
  assert_int_equal(json_get_time(object, "before"), 0);
  assert_int_equal(json_get_time(object, "text"), 0);
  assert_int_equal(json_get_time(object, "nothing"), 0);
  json_free(object);
}

static void what_is_not_there_gives_the_default(void **state) {
  (void)state;
  struct json *object = parse(SAMPLE);
  assert_null(json_get(object, "nothing"));
  assert_null(json_get(object, "master")); // null
  assert_null(json_get(NULL, "x"));
  assert_null(json_get(json_get(object, "list"), "x")); // no object
  assert_string_equal(json_get_text(object, "epoch", "?"), "?");
  assert_null(json_get_text(object, "nothing", NULL));
  assert_int_equal(json_get_int(object, "cluster", 5), 5);
  assert_int_equal(json_get_int(object, "loss", 5), 5);
  assert_true(json_get_bool(object, "epoch", true));
  assert_true(json_get_real(object, "cluster", 2) > 1);
  assert_int_equal(json_count(object), 0);
  assert_int_equal(json_count(NULL), 0);
  assert_int_equal(json_kind(NULL), JSON_KIND_NULL);
  assert_int_equal(json_kind(object), JSON_KIND_OBJECT);
  assert_int_equal(json_kind(json_get(object, "list")), JSON_KIND_ARRAY);
  assert_int_equal(json_kind(json_get(object, "frozen")), JSON_KIND_BOOL);
  assert_int_equal(json_kind(json_get(object, "loss")), JSON_KIND_REAL);
  assert_int_equal(json_kind(json_get(object, "epoch")), JSON_KIND_INT);
  assert_int_equal(json_kind(json_get(object, "cluster")), JSON_KIND_TEXT);
  json_free(object);
}

static void setting_again_replaces(void **state) {
  (void)state;
  struct json *object = json_new_object();
  json_put_int(object, "a", 1);
  json_put_int(object, "b", 2);
  json_put_text(object, "a", "x");
  assert_text(object, "{\"a\":\"x\",\"b\":2}");
  json_free(object);
}

static void odd_values_stay_json(void **state) {
  (void)state;
  struct json *object = json_new_object();
  json_put_real(object, "nan", NAN);
  json_put_real(object, "inf", INFINITY);
  json_put_text(object, "null", NULL);
  json_put_text(object, "bytes", "a\xff\xfe");
  json_put_text(object, "escaped", "\"\n\x1b");
  json_put_uint(object, "big", UINT64_MAX);
  assert_text(object,
              "{\"nan\":null,\"inf\":null,\"null\":null,\"bytes\":\"a??\",\"escaped\":\"\\\"\\n\\u001B\","
              "\"big\":9223372036854775807}");
  json_free(object);
}

static void want_of_memory_is_remembered(void **state) {
  (void)state;
  char buffer[64];
  struct json *object = json_new_object();
  json_put(object, "child", NULL); // as a failed json_new_object gives it
  json_put_int(object, "epoch", 1);
  assert_int_equal(json_write(object, buffer, sizeof buffer), -ENOMEM);
  assert_int_equal(json_write(object, buffer, sizeof buffer), 11); // told once
  json_put_int(NULL, "epoch", 1);
  assert_null(json_text(object));
  assert_int_equal(json_write(NULL, buffer, sizeof buffer), -ENOMEM);
  json_free(object);
}

static void garbage_is_refused_with_its_place(void **state) {
  (void)state;
  static const char *const garbage[] = {
      "",
      "{",
      "hello",
      "{\"a\":1}x",
      "\"text\"",
      "7",
      "{\"a\":1,\"a\":2}",
      "{a:1}",
      "{\"a\":01}",
      "[1,]",
      "{\"a\":\"\\u0000\"}",
      "{\"a\":\"\xff\"}",
      "{\"a\":1e999}",
      "nan",
      "{\"a\":99999999999999999999}",
  };
  for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
    char error[200] = "";
    assert_null(json_parse(garbage[i], strlen(garbage[i]), error, sizeof error));
    assert_true(strncmp(error, "byte ", 5) == 0);
  }
  assert_null(json_parse("{}\0x", 4, NULL, 0));
}

static void depth_is_bounded(void **state) {
  (void)state;
  static char deep[100000];
  memset(deep, '[', sizeof deep);
  assert_null(json_parse(deep, sizeof deep, NULL, 0));
}

static void error_text_is_clean(void **state) {
  (void)state;
  char error[200];
  assert_null(json_parse("{\"a\":\x1b[2J}", 10, error, sizeof error));
  assert_null(strchr(error, '\x1b'));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_was_built_comes_out_in_order),
      cmocka_unit_test(buffer_has_its_limit),
      cmocka_unit_test(what_was_built_reads_back),
      cmocka_unit_test(a_time_can_be_reckoned_with),
      cmocka_unit_test(what_is_not_there_gives_the_default),
      cmocka_unit_test(setting_again_replaces),
      cmocka_unit_test(odd_values_stay_json),
      cmocka_unit_test(want_of_memory_is_remembered),
      cmocka_unit_test(garbage_is_refused_with_its_place),
      cmocka_unit_test(depth_is_bounded),
      cmocka_unit_test(error_text_is_clean),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
