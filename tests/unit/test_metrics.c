// SPDX-License-Identifier: Apache-2.0
// A status as OpenMetrics text: what is not known is left out, what comes from outside is quoted.
#include "common/base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text_of(const char *status) {
  char error[128];
  size_t size = 0;
  struct json *json = json_parse(status, strlen(status), error, sizeof error);
  assert_non_null(json);
  char *text = metrics_text(json, &size);
  assert_non_null(text);
  assert_int_equal(strlen(text), size);
  json_free(json);
  return text;
}

static void expect(const char *status, const char *wanted) {
  char *text = text_of(status);
  if (strstr(text, wanted) == NULL)
    fail_msg("no %s in\n%s", wanted, text);
  free(text);
}

static void expect_not(const char *status, const char *unwanted) {
  char *text = text_of(status);
  if (strstr(text, unwanted) != NULL)
    fail_msg("%s in\n%s", unwanted, text);
  free(text);
}

static void values(void **state) {
  (void)state;
  expect("{\"cluster\":\"c\",\"node\":\"a\",\"epoch\":12}", "\ntanist_epoch{cluster=\"c\",node=\"a\"} 12\n");
  expect("{\"lease\":{\"valid\":true,\"remaining_ms\":812}}",
         "tanist_lease_valid{cluster=\"\",node=\"\"} 1\n");
  expect("{\"lease\":{\"valid\":true,\"remaining_ms\":812}}",
         "tanist_lease_remaining_seconds{cluster=\"\",node=\"\"} 0.812\n");
  expect("{\"fence\":{\"mechanism\":\"nft\",\"uncovered\":[\"sleep\"]}}",
         "\ntanist_fence_uncovered{cluster=\"\",node=\"\",what=\"sleep\"} 1\n");
  expect_not("{\"fence\":{\"mechanism\":\"nft\",\"uncovered\":[]}}", "uncovered");
  expect("{\"events\":7}", "# TYPE tanist_events counter\n");
  expect("{\"events\":7}", "tanist_events_total{cluster=\"\",node=\"\"} 7\n");
  expect("{\"role\":\"suspect\"}", "tanist_role=\"suspect\"} 1\n");
  expect("{\"role\":\"suspect\"}", "tanist_role=\"master\"} 0\n");
  expect("{\"warnings\":[\"x\",\"y\"]}", "tanist_warnings{cluster=\"\",node=\"\"} 2\n");
}

static void unknown_is_left_out(void **state) {
  (void)state;
  expect_not("{\"lease\":{\"valid\":true,\"remaining_ms\":null}}", "remaining");
  expect_not("{}", "tanist_epoch");
  expect_not("{}", "tanist_fence_armed");
  expect_not("{\"epoch\":\"twelve\"}", "tanist_epoch");
}

static void quoted(void **state) {
  (void)state;
  expect("{\"voters\":[{\"name\":\"a\\\"b\\\\c\\nd\",\"epoch\":1}]}", "voter=\"a\\\"b\\\\c\\nd\"} 1\n");
}

static void paths(void **state) {
  (void)state;
  static const char status[] = "{\"voters\":[{\"name\":\"b\",\"reachable\":true,\"paths\":[{\"address\":\"10."
                               "0.0.2:7400\",\"state\":\"up\","
                               "\"rtt_us\":180,\"loss_percent\":2.5},{\"address\":\"10.1.0.2:7400\","
                               "\"state\":\"deaf\",\"rtt_us\":null}]}]}";
  expect(status, "tanist_path_up{cluster=\"\",node=\"\",voter=\"b\",address=\"10.0.0.2:7400\"} 1\n");
  expect(status, "address=\"10.1.0.2:7400\"} 0\n");
  expect(status,
         "tanist_path_rtt_seconds{cluster=\"\",node=\"\",voter=\"b\",address=\"10.0.0.2:7400\"} 0.00018\n");
  expect(status,
         "tanist_path_loss_ratio{cluster=\"\",node=\"\",voter=\"b\",address=\"10.0.0.2:7400\"} 0.025\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values),
      cmocka_unit_test(unknown_is_left_out),
      cmocka_unit_test(quoted),
      cmocka_unit_test(paths),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
