// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/loop.h"

static struct loop *loop;

static int set_up(void **state) {
  (void)state;
  loop = loop_new();
  return loop == NULL;
}

static int tear_down(void **state) {
  (void)state;
  loop_free(loop);
  return 0;
}

struct firing {
  struct loop_timer *timer, *other;
  struct loop_io *io;
  struct instant due;
  int count, left;
  bool early, readable, writable;
};

static void on_due(void *arg) {
  struct firing *f = arg;
  f->early |= clock_now().us < f->due.us;
  f->count++;
  if (--f->left <= 0) {
    loop_stop(loop);
    return;
  }
  f->due.us = clock_now().us + 1 + f->left * 37 % 900;
  loop_timer_at(f->timer, f->due);
}

static void stop(void *arg) {
  (void)arg;
  loop_stop(loop);
}

static void never(void *arg) {
  (void)arg;
  fail_msg("%s", "a disarmed timer fired");
}

static void timer_is_never_early(void **state) {
  (void)state;
  struct firing f = {.left = 300};
  f.timer = loop_timer_new(loop, on_due, &f);
  f.due = instant_in_ms(1);
  loop_timer_at(f.timer, f.due);
  assert_int_equal(loop_run(loop), 0);
  assert_int_equal(f.count, 300);
  assert_false(f.early);
}

static void timer_in_the_past_fires_at_once(void **state) {
  (void)state;
  struct instant past[] = {INSTANT_PAST, {0}, {-1}, {1}};
  for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
    struct firing f = {.left = 1};
    f.timer = loop_timer_new(loop, on_due, &f);
    loop_timer_at(f.timer, past[i]);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(f.count, 1);
  }
}

static void timer_far_away_does_not_fire(void **state) {
  (void)state;
  struct loop_timer *far = loop_timer_new(loop, never, NULL), *wide = loop_timer_new(loop, never, NULL);
  struct loop_timer *end = loop_timer_new(loop, stop, NULL);
  loop_timer_at(far, INSTANT_NEVER);
  loop_timer_in(wide, INT64_MAX);
  loop_timer_in(end, 20000);
  assert_int_equal(loop_run(loop), 0);
  loop_timer_at(far, (struct instant){INT64_MAX - 1});
  loop_timer_in(end, 20000);
  assert_int_equal(loop_run(loop), 0);
}

static void disarm_other(void *arg) {
  struct firing *f = arg;
  f->count++;
  loop_timer_at(f->other, INSTANT_NEVER);
}

// Both are due in one wakeup; whichever comes first disarms the other, which must then not fire.
static void timer_disarmed_when_already_due_does_not_fire(void **state) {
  (void)state;
  struct firing f = {0}, g = {0};
  f.timer = g.other = loop_timer_new(loop, disarm_other, &f);
  g.timer = f.other = loop_timer_new(loop, disarm_other, &g);
  loop_timer_at(f.timer, INSTANT_PAST);
  loop_timer_at(g.timer, INSTANT_PAST);
  loop_timer_in(loop_timer_new(loop, stop, NULL), 20000);
  assert_int_equal(loop_run(loop), 0);
  assert_int_equal(f.count + g.count, 1);
}

static void arming_again_replaces(void **state) {
  (void)state;
  struct firing f = {.left = 1};
  f.timer = loop_timer_new(loop, on_due, &f);
  loop_timer_in(f.timer, 1000);
  f.due = instant_in_ms(30);
  loop_timer_at(f.timer, f.due);
  assert_int_equal(loop_run(loop), 0);
  assert_false(f.early);
  assert_int_equal(f.count, 1);
}

static void free_own_timer(void *arg) {
  struct firing *f = arg;
  loop_timer_free(f->timer);
  loop_stop(loop);
}

static void timer_may_free_itself(void **state) {
  (void)state;
  struct firing f = {0};
  f.timer = loop_timer_new(loop, free_own_timer, &f);
  loop_timer_at(f.timer, INSTANT_PAST);
  assert_int_equal(loop_run(loop), 0);
  loop_timer_free(NULL);
}

static void on_io(void *arg, bool readable, bool writable) {
  struct firing *f = arg;
  f->readable |= readable;
  f->writable |= writable;
  f->count++;
  loop_stop(loop);
}

static void free_own_io(void *arg, bool readable, bool writable) {
  struct firing *f = arg;
  (void)readable, (void)writable;
  loop_io_free(f->io);
  loop_stop(loop);
}

static void io_reports_what_is_wanted_and_only_that(void **state) {
  (void)state;
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  struct firing in = {0}, out = {0};
  in.io = loop_io_new(loop, fds[0], on_io, &in);
  out.io = loop_io_new(loop, fds[1], on_io, &out);
  struct loop_timer *end = loop_timer_new(loop, stop, NULL);

  loop_timer_in(end, 20000); // created wanting nothing
  loop_run(loop);
  assert_int_equal(in.count + out.count, 0);

  loop_io_want(in.io, true, false); // nothing to read yet
  loop_io_want(out.io, false, true);
  loop_run(loop);
  assert_true(out.writable && !out.readable);
  assert_int_equal(in.count, 0);

  loop_io_want(out.io, false, false);
  assert_int_equal(write(fds[1], "x", 1), 1);
  loop_run(loop);
  assert_true(in.readable && !in.writable);
  assert_int_equal(out.count, 1);

  loop_run(loop); // level-triggered: it was not read
  assert_int_equal(in.count, 2);
  loop_io_free(in.io);
  loop_io_free(out.io);
  loop_io_free(NULL);
  close(fds[0]);
  close(fds[1]);
}

static void io_sees_the_end_of_the_other_side(void **state) {
  (void)state;
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  struct firing in = {0};
  in.io = loop_io_new(loop, fds[0], free_own_io, &in);
  loop_io_want(in.io, true, false);
  close(fds[1]);
  assert_int_equal(loop_run(loop), 0);
  close(fds[0]);
}

static void io_refuses_what_cannot_be_watched(void **state) {
  (void)state;
  FILE *file = tmpfile();
  assert_null(loop_io_new(loop, fileno(file), on_io, NULL));
  assert_null(loop_io_new(loop, 9999, on_io, NULL));
  fclose(file);
}

static void on_signal(void *arg, int signo) {
  *(int *)arg = signo;
  loop_stop(loop);
}

static void signal_is_reported(void **state) {
  (void)state;
  int seen = 0;
  struct loop_signal *watch = loop_signal_new(loop, SIGUSR1, on_signal, &seen);
  raise(SIGUSR1);
  assert_int_equal(loop_run(loop), 0);
  assert_int_equal(seen, SIGUSR1);
  loop_signal_free(watch);
  loop_signal_free(NULL);
}

static int descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  return count;
}

static void nothing_is_left_open(void **state) {
  (void)state;
  int before = descriptors();
  struct loop *other = loop_new();
  struct loop_timer *timer = loop_timer_new(other, never, NULL);
  loop_timer_new(other, never, NULL); // loop_free frees what is still registered
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  assert_non_null(loop_io_new(other, fds[0], on_io, NULL));
  loop_timer_free(timer);
  loop_free(other);
  close(fds[0]);
  close(fds[1]);
  assert_int_equal(descriptors(), before);
  loop_free(NULL);
}

static void far_instants_do_not_wrap(void **state) {
  (void)state;
  assert_true(instant_in_ms(INT64_MAX).us == INSTANT_NEVER.us);
  assert_true(instant_in_ms(INT64_MIN).us == INSTANT_PAST.us);
  assert_true(instant_in_ms(1000).us - clock_now().us > 900000);
  assert_true(clock_wall_ms() > 1600000000000);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(timer_is_never_early),
      TEST(timer_in_the_past_fires_at_once),
      TEST(timer_far_away_does_not_fire),
      TEST(timer_disarmed_when_already_due_does_not_fire),
      TEST(arming_again_replaces),
      TEST(timer_may_free_itself),
      TEST(io_reports_what_is_wanted_and_only_that),
      TEST(io_sees_the_end_of_the_other_side),
      TEST(io_refuses_what_cannot_be_watched),
      TEST(signal_is_reported),
      TEST(nothing_is_left_open),
      TEST(far_instants_do_not_wrap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
