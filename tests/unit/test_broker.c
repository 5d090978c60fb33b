// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "agent/broker.h"

struct heard {
  struct loop *loop;
  struct broker *broker;
  bool applying; // within broker_apply
  unsigned changed, done, cleared;
  uint32_t serial;
  struct position position;
  unsigned stop_at; // so many `done` and `cleared`
};

static void stop_when_enough(struct heard *heard) {
  assert_false(heard->applying);
  if (heard->done + heard->cleared >= heard->stop_at)
    loop_stop(heard->loop);
}

static void on_changed(void *arg) {
  struct heard *heard = arg;
  assert_false(heard->applying);
  heard->changed++;
}

static void on_done(void *arg, uint32_t serial, struct position position) {
  struct heard *heard = arg;
  heard->done++;
  heard->serial = serial;
  heard->position = position;
  stop_when_enough(heard);
}

static void on_cleared(void *arg) {
  struct heard *heard = arg;
  heard->cleared++;
  stop_when_enough(heard);
}

static void open_none(struct heard *heard) {
  const struct broker_settings settings = {
      .cluster = "test", .driver = "none", .replication = REPLICATION_NONE};
  const struct broker_watch watch = {heard, on_changed, on_done, on_cleared, NULL};
  const char *error = NULL;
  heard->loop = loop_new();
  assert_non_null(heard->loop);
  assert_int_equal(broker_open(&heard->broker, heard->loop, &settings, &watch, &error), 0);
}

static void apply(struct heard *heard, struct broker_duty duty) {
  heard->applying = true;
  broker_apply(heard->broker, &duty);
  heard->applying = false;
}

static void run(struct heard *heard, unsigned stop_at) {
  heard->stop_at = stop_at;
  assert_int_equal(loop_run(heard->loop), 0);
}

static void close_none(struct heard *heard) {
  broker_close(heard->broker);
  loop_free(heard->loop);
}

static void none_reaches_every_duty_through_the_loop(void **state) {
  (void)state;
  struct heard heard = {0};
  open_none(&heard);
  assert_true(broker_view(heard.broker)->reachable);
  apply(&heard, (struct broker_duty){.serial = 7, .mode = BROKER_LEAD, .epoch = 4});
  assert_int_equal(heard.done, 0);
  run(&heard, 1);
  assert_int_equal(heard.serial, 7);
  assert_int_equal(heard.position.epoch, 4);
  assert_int_equal(heard.position.offset, 1);
  assert_true(broker_view(heard.broker)->writable);
  assert_string_equal(broker_view(heard.broker)->state, "master");
  apply(&heard, (struct broker_duty){.serial = 8, .mode = BROKER_LEAD, .epoch = 4, .paused = true});
  run(&heard, 2);
  assert_false(broker_view(heard.broker)->writable);
  close_none(&heard);
}

static void none_answers_the_newest_duty_alone(void **state) {
  (void)state;
  struct heard heard = {0};
  open_none(&heard);
  apply(&heard, (struct broker_duty){.serial = 1, .mode = BROKER_LEAD, .epoch = 2});
  apply(&heard, (struct broker_duty){.serial = 2, .mode = BROKER_FOLLOW, .master = VOTER_B, .epoch = 3});
  run(&heard, 1);
  assert_int_equal(heard.serial, 2);
  assert_int_equal(heard.done, 1);
  assert_string_equal(broker_view(heard.broker)->state, "secondary");
  close_none(&heard);
}

static void none_clears_once_for_each_call(void **state) {
  (void)state;
  struct heard heard = {0};
  open_none(&heard);
  heard.applying = true;
  broker_kill_clients(heard.broker);
  broker_kill_clients(heard.broker);
  heard.applying = false;
  run(&heard, 2);
  assert_int_equal(heard.cleared, 2);
  close_none(&heard);
}

static void drivers_are_found_by_name(void **state) {
  (void)state;
  assert_ptr_equal(broker_find("none"), &broker_none);
  assert_ptr_equal(broker_find("redis"), &broker_redis);
  assert_null(broker_find("Redis"));
}

static void settings_that_do_not_fit_are_refused(void **state) {
  (void)state;
  struct loop *loop = loop_new();
  struct broker *broker = NULL;
  const struct broker_watch watch = {NULL, on_changed, on_done, on_cleared, NULL};
  const char *error = NULL;
  struct broker_settings settings = {.cluster = "test", .driver = "kafka", .replication = REPLICATION_NONE};
  assert_int_equal(broker_open(&broker, loop, &settings, &watch, &error), -EINVAL);
  assert_non_null(strstr(error, "no such driver"));
  settings.driver = "none";
  settings.replication = REPLICATION_SYNC;
  assert_int_equal(broker_open(&broker, loop, &settings, &watch, &error), -EINVAL);
  assert_non_null(strstr(error, "needs a driver whose broker replicates"));
  settings = (struct broker_settings){.cluster = "test",
                                      .driver = "redis",
                                      .replication = REPLICATION_SYNC,
                                      .address = "127.0.0.1:6379",
                                      .peers = {"127.0.0.1:6379", ""},
                                      .username = "",
                                      .password_file = "",
                                      .beat_ms = 100,
                                      .lease_ms = 1000,
                                      .probe_every_ms = 200,
                                      .probe_timeout_ms = 200};
  assert_int_equal(broker_open(&broker, loop, &settings, &watch, &error), -EINVAL);
  assert_non_null(strstr(error, "broker.peers"));
  settings.peers[1] = "127.0.0.2:6379";
  settings.address = "127.0.0.1";
  assert_int_equal(broker_open(&broker, loop, &settings, &watch, &error), -EINVAL);
  assert_non_null(strstr(error, "broker.address"));
  loop_free(loop);
}

static void addresses_are_read(void **state) {
  (void)state;
  struct sockaddr_storage address;
  socklen_t length;
  assert_int_equal(broker_address("127.0.0.1:6379", &address, &length), 0);
  const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
  assert_int_equal(v4->sin_family, AF_INET);
  assert_int_equal(ntohs(v4->sin_port), 6379);
  assert_int_equal(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
  assert_int_equal(broker_address("[::1]:1", &address, &length), 0);
  assert_int_equal(((const struct sockaddr_in6 *)&address)->sin6_family, AF_INET6);
  static const char *const wrong[] = {
      "",        "127.0.0.1",     "127.0.0.1:", ":6379",  "127.0.0.1:0",
      "a:65536", "127.0.0.1:63x", "[]:1",       "[::1:1", "h:99999999999999999999"};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    assert_int_equal(broker_address(wrong[i], &address, &length), -EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(none_reaches_every_duty_through_the_loop),
      cmocka_unit_test(none_answers_the_newest_duty_alone),
      cmocka_unit_test(none_clears_once_for_each_call),
      cmocka_unit_test(drivers_are_found_by_name),
      cmocka_unit_test(settings_that_do_not_fit_are_refused),
      cmocka_unit_test(addresses_are_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
