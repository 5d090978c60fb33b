// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "agent/health.h"
#include "common/base/clock.h"

struct fixture {
  struct loop *loop;
  struct health *health;
  struct loop_timer *guard; // a test that hangs fails
  bool (*enough)(const struct fixture *);
  unsigned changes;
  bool timed_out;
};

static void on_changed(void *arg) {
  struct fixture *f = arg;
  f->changes++;
  if (f->enough && f->enough(f))
    loop_stop(f->loop);
}

static void on_guard(void *arg) {
  struct fixture *f = arg;
  f->timed_out = true;
  loop_stop(f->loop);
}

static const struct health_status *status(const struct fixture *f, size_t i) {
  return &health_result(f->health)->check[i];
}

static void open_health(struct fixture *f, const struct health_settings *settings) {
  const struct health_watch watch = {f, on_changed};
  const char *error = NULL;
  *f = (struct fixture){.loop = loop_new()};
  assert_non_null(f->loop);
  f->guard = loop_timer_new(f->loop, on_guard, f);
  assert_int_equal(health_open(&f->health, f->loop, settings, &watch, &error), 0);
}

static void run_until(struct fixture *f, bool (*enough)(const struct fixture *)) {
  f->enough = enough;
  f->timed_out = false;
  loop_timer_in(f->guard, 10000000);
  if (!enough(f))
    assert_int_equal(loop_run(f->loop), 0);
  assert_false(f->timed_out);
  loop_timer_at(f->guard, INSTANT_NEVER);
}

static void run_ms(struct fixture *f, int64_t ms) {
  f->enough = NULL;
  loop_timer_in(f->guard, ms * 1000);
  assert_int_equal(loop_run(f->loop), 0);
}

static void close_health(struct fixture *f) {
  health_close(f->health);
  loop_timer_free(f->guard);
  loop_free(f->loop);
}

static bool first_is_up(const struct fixture *f) {
  return status(f, 0)->state == HEALTH_UP;
}

static bool first_is_down(const struct fixture *f) {
  return status(f, 0)->state == HEALTH_DOWN;
}

static bool all_known(const struct fixture *f) {
  return status(f, 0)->state != HEALTH_UNKNOWN && status(f, 1)->state != HEALTH_UNKNOWN;
}

static struct health_check broker_check(uint16_t fall, uint16_t rise) {
  return (struct health_check){
      .name = "alive", .kind = HEALTH_BROKER, .every_ms = 10, .timeout_ms = 100, .fall = fall, .rise = rise};
}

static struct health_check exec_check(const char *const *command, uint32_t timeout_ms) {
  return (struct health_check){.name = "exec",
                               .kind = HEALTH_EXEC,
                               .command = command,
                               .every_ms = 10,
                               .timeout_ms = timeout_ms,
                               .fall = 1,
                               .rise = 1};
}

// A listening socket on loopback; its address in `text`.
static int listen_somewhere(char *text, size_t size) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
  assert_int_equal(listen(fd, 16), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
  snprintf(text, size, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
  return fd;
}

static void broker_falls_and_rises_by_count(void **state) {
  (void)state;
  const struct health_settings settings = {
      .check = {broker_check(3, 4)}, .count = 1, .dead_when = HEALTH_ANY};
  struct fixture f;
  open_health(&f, &settings);
  assert_false(health_result(f.health)->healthy);
  assert_true(health_broker(f.health, &(struct broker_view){.reachable = true})); // the first word counts
  assert_true(health_result(f.health)->healthy);
  health_broker(f.health, &(struct broker_view){.reachable = false, .trouble = "it hangs"});
  struct instant before = clock_now();
  run_until(&f, first_is_down);
  assert_true(clock_now().us - before.us >= 20000); // three samples have two intervals of 10 ms between them
  assert_true(health_result(f.health)->dead && !health_result(f.health)->healthy);
  assert_string_equal(status(&f, 0)->why, "it hangs");
  assert_true(status(&f, 0)->since.us >= before.us);
  health_broker(f.health, &(struct broker_view){.reachable = true});
  before = clock_now();
  run_until(&f, first_is_up);
  assert_true(clock_now().us - before.us >= 30000);
  assert_true(health_result(f.health)->healthy && !health_result(f.health)->dead);
  close_health(&f);
}

static void a_short_failure_does_not_count(void **state) {
  (void)state;
  const struct health_settings settings = {
      .check = {broker_check(UINT16_MAX, 1)}, .count = 1, .dead_when = HEALTH_ANY};
  struct fixture f;
  open_health(&f, &settings);
  health_broker(f.health, &(struct broker_view){.reachable = true});
  health_broker(f.health, &(struct broker_view){.reachable = false});
  run_ms(&f, 100);
  assert_true(health_result(f.health)->healthy);
  assert_int_equal(f.changes, 0);
  close_health(&f);
}

static void proof_of_death_counts_at_once(void **state) {
  (void)state;
  char address[32];
  int fd = listen_somewhere(address, sizeof(address));
  const struct health_settings settings = {.check = {broker_check(UINT16_MAX, 2),
                                                     {.name = "port",
                                                      .kind = HEALTH_TCP,
                                                      .address = address,
                                                      .every_ms = 10,
                                                      .timeout_ms = 1000,
                                                      .fall = 1,
                                                      .rise = 1}},
                                           .count = 2,
                                           .dead_when = HEALTH_ALL};
  struct fixture f;
  open_health(&f, &settings);
  health_broker(f.health, &(struct broker_view){.reachable = true});
  run_until(&f, all_known);
  assert_true(health_result(f.health)->healthy);
  assert_true(health_broker(f.health, &(struct broker_view){.reachable = false, .dead = true}));
  assert_true(health_result(f.health)->dead && !health_result(f.health)->healthy);
  assert_int_equal(status(&f, 0)->state, HEALTH_DOWN);
  health_broker(f.health, &(struct broker_view){.reachable = true});
  assert_false(health_result(f.health)->dead);         // one of two is down, and `all` is asked for
  assert_int_equal(status(&f, 0)->state, HEALTH_DOWN); // until it has risen
  run_until(&f, first_is_up);
  close_health(&f);
  close(fd);
}

static void tcp_tells_open_from_closed(void **state) {
  (void)state;
  char address[32];
  int fd = listen_somewhere(address, sizeof(address));
  const struct health_settings settings = {.check = {{.name = "port",
                                                      .kind = HEALTH_TCP,
                                                      .address = address,
                                                      .every_ms = 10,
                                                      .timeout_ms = 1000,
                                                      .fall = 2,
                                                      .rise = 1}},
                                           .count = 1,
                                           .dead_when = HEALTH_ANY};
  struct fixture f;
  open_health(&f, &settings);
  run_until(&f, first_is_up);
  close(fd);
  run_until(&f, first_is_down);
  assert_non_null(strstr(status(&f, 0)->why, "refused"));
  close_health(&f);
}

static void exec_tells_by_exit_status(void **state) {
  (void)state;
  static const char *const yes[] = {"/bin/true", NULL}, *const no[] = {"/bin/false", NULL};
  const struct health_settings settings = {
      .check = {exec_check(yes, 5000), exec_check(no, 5000)}, .count = 2, .dead_when = 2};
  struct fixture f;
  open_health(&f, &settings);
  run_until(&f, all_known);
  assert_int_equal(status(&f, 0)->state, HEALTH_UP);
  assert_int_equal(status(&f, 1)->state, HEALTH_DOWN);
  assert_string_equal(status(&f, 1)->why, "it ended with 1");
  assert_true(health_result(f.health)->healthy); // two must be down
  close_health(&f);
}

// The command starts another process and waits; both are gone when the check has given up.
static void exec_out_of_time_is_killed_with_its_group(void **state) {
  (void)state;
  char path[] = "/tmp/tanist-health-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  char script[128];
  snprintf(script, sizeof(script), "sleep 1000 & echo $! > %s; wait", path);
  const char *const command[] = {"/bin/sh", "-c", script, NULL};
  struct health_settings settings = {
      .check = {exec_check(command, 300)}, .count = 1, .dead_when = HEALTH_ANY};
  settings.check[0].every_ms = 60000;
  struct fixture f;
  open_health(&f, &settings);
  run_until(&f, first_is_down);
  assert_string_equal(status(&f, 0)->why, "no result within 300 ms");
  char text[32] = "";
  assert_true(read(fd, text, sizeof(text) - 1) > 0);
  pid_t sleeper = (pid_t)atol(text);
  assert_true(sleeper > 1);
  char stat[64], line[256] = "";
  snprintf(stat, sizeof(stat), "/proc/%d/stat", (int)sleeper);
  for (int i = 0; i < 1000; i++) { // a zombie until its new parent looks
    FILE *file = fopen(stat, "r");
    if (!file)
      break;
    line[0] = '\0';
    char *got = fgets(line, sizeof(line), file);
    fclose(file);
    if (!got || strstr(line, ") Z "))
      break;
    run_ms(&f, 1);
    assert_true(i < 999);
  }
  close(fd);
  unlink(path);
  close_health(&f);
}

static void exec_that_cannot_start_is_a_failure(void **state) {
  (void)state;
  static const char *const command[] = {"/nonexistent/check", NULL};
  const struct health_settings settings = {
      .check = {exec_check(command, 1000)}, .count = 1, .dead_when = HEALTH_ANY};
  struct fixture f;
  open_health(&f, &settings);
  run_until(&f, first_is_down);
  assert_non_null(strstr(status(&f, 0)->why, "No such file"));
  close_health(&f);
}

static bool three_known(const struct fixture *f) {
  return status(f, 0)->state != HEALTH_UNKNOWN && status(f, 1)->state != HEALTH_UNKNOWN &&
         status(f, 2)->state != HEALTH_UNKNOWN;
}

// down, up, down
static void open_three(struct fixture *f, struct health_settings settings) {
  static const char *const yes[] = {"/bin/true", NULL}, *const no[] = {"/bin/false", NULL};
  settings.check[0] = exec_check(no, 5000);
  settings.check[1] = exec_check(yes, 5000);
  settings.check[2] = exec_check(no, 5000);
  settings.count = 3;
  open_health(f, &settings);
  run_until(f, three_known);
}

static void a_group_counts_as_one(void **state) {
  (void)state;
  struct fixture f;
  open_three(&f, (struct health_settings){
                     .group = {{.checks = 5, .need = HEALTH_ALL}}, .group_count = 1, .dead_when = 2});
  assert_int_equal(health_result(f.health)->group[0], HEALTH_DOWN);
  assert_true(
      health_result(f.health)->healthy); // two checks are down, but they are one, and the other one is up
  close_health(&f);
  open_three(&f, (struct health_settings){
                     .group = {{.checks = 5, .need = 2}}, .group_count = 1, .dead_when = HEALTH_ANY});
  assert_true(health_result(f.health)->dead);
  close_health(&f);
  open_three(&f, (struct health_settings){.group = {{.checks = 5, .need = 1}, {.checks = 2, .need = 1}},
                                          .group_count = 2,
                                          .dead_when = HEALTH_ALL});
  assert_int_equal(health_result(f.health)->group[1], HEALTH_UP);
  assert_true(health_result(f.health)->healthy);
  close_health(&f);
}

static void a_group_needs_as_many_as_it_says(void **state) {
  (void)state;
  struct fixture f;
  open_three(&f, (struct health_settings){
                     .group = {{.checks = 3, .need = HEALTH_ALL}}, .group_count = 1, .dead_when = 1});
  assert_int_equal(health_result(f.health)->group[0], HEALTH_UP);
  assert_true(health_result(f.health)->dead); // by the third check, which is in no group
  close_health(&f);
  open_three(&f, (struct health_settings){.group = {{.checks = 3, .need = HEALTH_ANY}},
                                          .group_count = 1,
                                          .dead_when = HEALTH_ALL});
  assert_int_equal(health_result(f.health)->group[0], HEALTH_DOWN);
  assert_true(health_result(f.health)->dead);
  close_health(&f);
}

static void wrong_groups_are_refused(void **state) {
  (void)state;
  static const struct health_group wrong[] = {{.checks = 0, .need = HEALTH_ANY},
                                              {.checks = 2, .need = HEALTH_ANY},
                                              {.checks = 1, .need = 2},
                                              {.checks = 1, .need = 0}};
  struct loop *loop = loop_new();
  const struct health_watch watch = {NULL, on_changed};
  struct health *health = NULL;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    const char *error = NULL;
    struct health_settings settings = {.check = {broker_check(1, 1)},
                                       .count = 1,
                                       .group = {wrong[i]},
                                       .group_count = 1,
                                       .dead_when = HEALTH_ANY};
    assert_int_equal(health_open(&health, loop, &settings, &watch, &error), -EINVAL);
    assert_non_null(strstr(error, "groups"));
  }
  loop_free(loop);
}

static void wrong_settings_are_refused(void **state) {
  (void)state;
  struct loop *loop = loop_new();
  const struct health_watch watch = {NULL, on_changed};
  struct health *health = NULL;
  const char *error = NULL;
  struct health_settings settings = {.count = 0, .dead_when = HEALTH_ANY};
  assert_int_equal(health_open(&health, loop, &settings, &watch, &error), -EINVAL);
  settings = (struct health_settings){.check = {broker_check(1, 1)}, .count = 1, .dead_when = 2};
  assert_int_equal(health_open(&health, loop, &settings, &watch, &error), -EINVAL);
  assert_non_null(strstr(error, "dead_when"));
  static const char *const relative[] = {"check", NULL};
  settings =
      (struct health_settings){.check = {exec_check(relative, 10)}, .count = 1, .dead_when = HEALTH_ALL};
  assert_int_equal(health_open(&health, loop, &settings, &watch, &error), -EINVAL);
  settings.check[0].kind = HEALTH_TCP;
  settings.check[0].address = "nowhere";
  assert_int_equal(health_open(&health, loop, &settings, &watch, &error), -EINVAL);
  assert_non_null(strstr(error, "address"));
  loop_free(loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(broker_falls_and_rises_by_count),
      cmocka_unit_test(a_short_failure_does_not_count),
      cmocka_unit_test(proof_of_death_counts_at_once),
      cmocka_unit_test(tcp_tells_open_from_closed),
      cmocka_unit_test(exec_tells_by_exit_status),
      cmocka_unit_test(exec_out_of_time_is_killed_with_its_group),
      cmocka_unit_test(exec_that_cannot_start_is_a_failure),
      cmocka_unit_test(a_group_counts_as_one),
      cmocka_unit_test(a_group_needs_as_many_as_it_says),
      cmocka_unit_test(wrong_groups_are_refused),
      cmocka_unit_test(wrong_settings_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
