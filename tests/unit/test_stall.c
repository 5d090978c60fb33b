// SPDX-License-Identifier: Apache-2.0
// The agent's own stalls: what is told of a process that was stopped, or did not come back to its loop.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/stall.h"

#define BEAT_MS 100

/* A loaded machine stalls us by itself: only what is long enough, or has the cause that is waited for, ends a test. */
static struct told {
  struct loop *loop;
  int64_t wanted_us;
  const char *wanted;
  unsigned times;
  int64_t us;
  char cause[320];
  int64_t counts[STALL_COUNTS];
} told;

static void on_stalled(void *arg, int64_t us, const char *cause, const int64_t counts[STALL_COUNTS]) {
  struct told *t = arg;
  t->times++;
  t->us = us;
  strncpy(t->cause, cause, sizeof t->cause - 1);
  memcpy(t->counts, counts, sizeof t->counts);
  if (us > t->wanted_us && strstr(cause, t->wanted) != NULL)
    loop_stop(t->loop);
}

static void block(void *arg) {
  (void)arg;
  usleep(400000);
}

/* A callback that does not come back: nothing that the machine counts explains it. */
static void test_a_loop_that_was_away(void **unused) {
  (void)unused;
  told = (struct told){.loop = loop_new(), .wanted_us = 340000, .wanted = ""};
  struct stall *stall = stall_new(told.loop, BEAT_MS, &(struct stall_watch){&told, on_stalled});
  assert_non_null(stall);
  struct loop_timer *timer = loop_timer_new(told.loop, block, NULL);
  loop_timer_in(timer, 10000);
  assert_int_equal(loop_run(told.loop), 0);
  assert_int_equal(told.counts[STALL_STOPPED], 0);
  assert_int_equal(told.counts[STALL_SUSPENDED] / 1000, 0);
  assert_int_equal(stall_total(stall), told.times);
  assert_true(stall_longest_us(stall) >= told.us);
  stall_free(stall);
  loop_free(told.loop);
}

/* A child stops this process and continues it. */
static void test_a_process_that_was_stopped(void **unused) {
  (void)unused;
  told = (struct told){.loop = loop_new(), .wanted_us = 400000, .wanted = "SIGSTOP"};
  struct stall *stall = stall_new(told.loop, BEAT_MS, &(struct stall_watch){&told, on_stalled});
  pid_t self = getpid(), child = fork();
  if (child == 0) {
    for (int i = 0; i < 20; i++) {
      usleep(300000);
      kill(self, SIGSTOP);
      usleep(500000);
      kill(self, SIGCONT);
    }
    _exit(0);
  }
  assert_int_equal(loop_run(told.loop), 0);
  kill(child, SIGKILL);
  kill(self, SIGCONT); // it may have died between the two
  waitpid(child, NULL, 0);
  assert_true(told.counts[STALL_STOPPED] > 400000);
  stall_free(stall);
  loop_free(told.loop);
}

static void test_causes(void **unused) {
  (void)unused;
  char text[320];
  int64_t counts[STALL_COUNTS] = {0};
  assert_string_equal(stall_cause(500000, counts, text, sizeof text), "");
  counts[STALL_STOLEN] = 100000; /* a fifth explains nothing */
  assert_string_equal(stall_cause(500000, counts, text, sizeof text), "");
  counts[STALL_WAITED] = 450000;
  assert_string_equal(stall_cause(500000, counts, text, sizeof text), "other processes had the processor for 450 ms");
  counts[STALL_FAULTS] = 3;
  counts[STALL_SUSPENDED] = 6000000;
  assert_string_equal(stall_cause(6100000, counts, text, sizeof text),
                      "the machine was suspended for 6000 ms, 3 pages had to be read from disk");
  assert_non_null(stall_cause(1, (int64_t[STALL_COUNTS]){9, 9, 9, 9, 9, 9, 9, 9, 9}, text, 40));
  assert_true(strlen(text) < 40);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_loop_that_was_away),
      cmocka_unit_test(test_a_process_that_was_stopped),
      cmocka_unit_test(test_causes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
