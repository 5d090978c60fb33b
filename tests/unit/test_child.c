// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/child.h"
#include "common/base/clock.h"

// These stand before the C library's: a process that is stuck in the kernel is one that no signal reaches.
static bool unreachable;

int kill(pid_t pid, int signo) {
  return unreachable ? 0 : (int)syscall(SYS_kill, pid, signo);
}

int pidfd_send_signal(int pidfd, int signo, siginfo_t *info, unsigned flags) {
  return unreachable ? 0 : (int)syscall(SYS_pidfd_send_signal, pidfd, signo, info, flags);
}

static struct loop *loop;
static struct child *child;
static struct child_result result;
static int callbacks, ticks;
static struct loop_timer *ticker;

static int descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  return count;
}

static int descriptors_before;

static int set_up(void **state) {
  (void)state;
  callbacks = ticks = 0;
  descriptors_before = descriptors();
  loop = loop_new();
  return loop == NULL;
}

// After every test: no descriptor and no zombie is left.
static int tear_down(void **state) {
  (void)state;
  loop_free(loop);
  return descriptors() != descriptors_before || waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD;
}

static void on_end(void *arg, const struct child_result *r) {
  (void)arg;
  result = *r;
  callbacks++;
  loop_stop(loop);
}

static int start(const struct child_settings *settings) {
  return child_run(&child, loop, settings, on_end, NULL);
}

static void run(const struct child_settings *settings) {
  assert_int_equal(start(settings), 0);
  assert_int_equal(loop_run(loop), 0);
  assert_int_equal(callbacks, 1);
  callbacks = 0;
}

static void run_shell(const char *script, int64_t timeout_ms) {
  const char *const argv[] = {"sh", "-c", script, NULL};
  run(&(struct child_settings){.argv = argv, .timeout_ms = timeout_ms});
}

static void end_and_outputs_are_reported(void **state) {
  (void)state;
  run_shell("echo to out; echo to err >&2; exit 7", 10000);
  assert_int_equal(result.status, 7);
  assert_int_equal(result.signal, 0);
  assert_false(result.timed_out || result.lingers);
  assert_string_equal(result.out.text, "to out\n");
  assert_int_equal(result.out.size, 7);
  assert_string_equal(result.err.text, "to err\n");
  assert_false(result.out.cut || result.err.cut);
  assert_true(result.duration_us > 0 && result.duration_us < 10000000);
  run_shell(":", 10000);
  assert_int_equal(result.status, 0);
}

static void signal_is_reported(void **state) {
  (void)state;
  run_shell("kill -USR1 $$", 10000);
  assert_int_equal(result.status, -1);
  assert_int_equal(result.signal, SIGUSR1);
  assert_false(result.timed_out);
}

static void no_shell_comes_between(void **state) {
  (void)state;
  const char *const argv[] = {"printf", "%s|", "a b", "$HOME", "; exit 3", NULL};
  run(&(struct child_settings){.argv = argv, .timeout_ms = 10000});
  assert_string_equal(result.out.text, "a b|$HOME|; exit 3|");
}

static void deadline_kills_the_whole_group(void **state) {
  (void)state;
  struct instant begin = clock_now();
  int status;
  prctl(PR_SET_CHILD_SUBREAPER, 1); // so that the grandchild's end can be seen
  run_shell("sleep 1000 & echo $!; wait", 100);
  assert_true(clock_now().us - begin.us >= 100000);
  assert_true(result.timed_out);
  assert_false(result.lingers);
  assert_int_equal(result.signal, SIGKILL);
  assert_int_equal(result.status, -1);
  pid_t grandchild = atoi(result.out.text);
  assert_true(grandchild > 1);
  assert_int_equal(waitpid(grandchild, &status, 0), grandchild);
  assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void deadline_needs_no_cooperation(void **state) {
  (void)state;
  run_shell("trap '' TERM INT HUP; kill -STOP $$; exit 0", 50);
  assert_true(result.timed_out);
  assert_int_equal(result.signal, SIGKILL);
}

static void what_it_leaves_behind_is_not_waited_for(void **state) {
  (void)state;
  int status;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  run_shell("sleep 1000 & echo $!", 10000); // holds the pipes open
  assert_int_equal(result.status, 0);
  assert_false(result.timed_out);
  pid_t daemon = atoi(result.out.text);
  assert_int_equal(kill(daemon, 0), 0); // a command may start a broker
  kill(daemon, SIGKILL);
  assert_int_equal(waitpid(daemon, &status, 0), daemon);
}

static void output_is_bounded_and_goes_on(void **state) {
  (void)state;
  run_shell("head -c 1000000 /dev/zero | tr '\\0' x; echo end >&2; exit 3", 10000);
  assert_int_equal(result.status, 3);
  assert_int_equal(result.out.size, CHILD_OUTPUT_MAX);
  assert_true(result.out.cut);
  assert_int_equal(strspn(result.out.text, "x"), CHILD_OUTPUT_MAX);
  assert_string_equal(result.err.text, "end\n");
  assert_false(result.err.cut);
}

static void on_tick(void *arg) {
  (void)arg;
  ticks++;
  loop_timer_in(ticker, 5000);
}

static void endless_output_does_not_hold_the_loop(void **state) {
  (void)state;
  ticker = loop_timer_new(loop, on_tick, NULL);
  loop_timer_in(ticker, 5000);
  run_shell("exec yes", 400);
  assert_true(result.timed_out);
  assert_true(ticks >= 8); // 80 with a machine to ourselves
}

static void input_is_given(void **state) {
  (void)state;
  static char input[CHILD_INPUT_MAX + 1];
  const char *const count[] = {"wc", "-c", NULL}, *const cat[] = {"cat", NULL};
  struct child_settings settings = {
      .argv = count, .input = input, .input_size = CHILD_INPUT_MAX, .timeout_ms = 10000};
  run(&settings);
  assert_int_equal(atoi(result.out.text), CHILD_INPUT_MAX);
  settings =
      (struct child_settings){.argv = cat, .input = "action=off\n", .input_size = 11, .timeout_ms = 10000};
  run(&settings);
  assert_string_equal(result.out.text, "action=off\n");
  settings.input = NULL; // nothing, and no waiting for it
  settings.input_size = 0;
  run(&settings);
  assert_int_equal(result.status, 0);
  assert_string_equal(result.out.text, "");
  settings.input = input;
  settings.input_size = CHILD_INPUT_MAX + 1;
  assert_int_equal(start(&settings), -EINVAL);
  settings.argv = (const char *const[]){"true", NULL}; // does not read it
  settings.input_size = CHILD_INPUT_MAX;
  run(&settings);
  assert_int_equal(result.status, 0);
}

static void environment_is_ours_with_additions(void **state) {
  (void)state;
  setenv("CHILD_KEPT", "kept", 1);
  setenv("CHILD_REPLACED", "old", 1);
  setenv("NOTIFY_SOCKET", "/run/notify", 1);
  setenv("WATCHDOG_USEC", "1", 1);
  setenv("NOTIFY_SOCKETS", "no prefix", 1);
  const char *const argv[] = {"env", NULL};
  const char *const extra[] = {"CHILD_REPLACED=new", "TANIST_EPOCH=12", NULL};
  run(&(struct child_settings){.argv = argv, .environment = extra, .timeout_ms = 10000});
  assert_non_null(strstr(result.out.text, "CHILD_KEPT=kept\n"));
  assert_non_null(strstr(result.out.text, "CHILD_REPLACED=new\n"));
  assert_null(strstr(result.out.text, "CHILD_REPLACED=old"));
  assert_non_null(strstr(result.out.text, "TANIST_EPOCH=12\n"));
  assert_null(strstr(result.out.text, "NOTIFY_SOCKET="));
  assert_null(strstr(result.out.text, "WATCHDOG_USEC="));
  assert_non_null(strstr(result.out.text, "NOTIFY_SOCKETS=no prefix\n"));
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
}

static void it_inherits_no_descriptor_and_no_signal_setting(void **state) {
  (void)state;
  sigset_t all, before;
  int leak = open("/dev/null", O_RDONLY); // a library's, not close-on-exec
  int high = fcntl(leak, F_DUPFD, 500);
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  signal(SIGPIPE, SIG_IGN);
  run_shell("ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status", 10000);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &before, NULL);
  close(leak);
  close(high);
  unsigned long long blocked, ignored;
  assert_true(strncmp(result.out.text, "0\n1\n2\n3\nSig", 11) == 0); // 3: the directory that ls reads
  assert_int_equal(sscanf(result.out.text + 8, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
  assert_int_equal(blocked, 0);
  assert_int_equal(ignored & ~0x180000000ull, 0); // 32 and 33 are the C library's own
}

static void it_leads_a_process_group_of_its_own(void **state) {
  (void)state;
  const char *const argv[] = {"cut", "-d ", "-f1,5", "/proc/self/stat", NULL};
  assert_int_equal(start(&(struct child_settings){.argv = argv, .timeout_ms = 10000}), 0);
  pid_t pid = child_pid(child);
  char wanted[64];
  snprintf(wanted, sizeof wanted, "%d %d\n", (int)pid, (int)pid);
  assert_int_equal(loop_run(loop), 0);
  assert_string_equal(result.out.text, wanted);
}

static void what_cannot_start_leaves_nothing(void **state) {
  (void)state;
  const char *const missing[] = {"/nonexistent/program", NULL}, *const data[] = {"/etc/passwd", NULL},
                    *const nothing[] = {NULL}, *const fine[] = {"true", NULL};
  struct child_settings settings = {.argv = missing, .timeout_ms = 1000};
  assert_int_equal(start(&settings), -ENOENT);
  assert_null(child);
  settings.argv = data;
  assert_int_equal(start(&settings), -EACCES);
  settings.argv = nothing;
  assert_int_equal(start(&settings), -EINVAL);
  settings.argv = fine;
  settings.timeout_ms = 0;
  assert_int_equal(start(&settings), -EINVAL);
  const char *many[CHILD_ENVIRONMENT_MAX + 2] = {NULL};
  for (size_t i = 0; i <= CHILD_ENVIRONMENT_MAX; i++)
    many[i] = "A=b";
  settings.timeout_ms = 1000;
  settings.environment = many;
  assert_int_equal(start(&settings), -E2BIG);
  assert_int_equal(callbacks, 0);
}

static pid_t cancelled;

static void on_look(void *arg) {
  (void)arg;
  if (kill(cancelled, 0) != 0)
    loop_stop(loop);
  else
    loop_timer_in(ticker, 1000);
}

static void cancelled_child_is_killed_and_reaped_silently(void **state) {
  (void)state;
  const char *const argv[] = {"sleep", "1000", NULL};
  assert_int_equal(start(&(struct child_settings){.argv = argv, .timeout_ms = 100000}), 0);
  cancelled = child_pid(child);
  child_cancel(child);
  child_cancel(NULL);
  ticker = loop_timer_new(loop, on_look, NULL);
  loop_timer_in(ticker, 1000);
  assert_int_equal(loop_run(loop), 0);
  assert_int_equal(callbacks, 0);
}

// Nobody turns the loop any more that would reap it: its end is waited for, and so much only.
static void one_cancelled_last_is_reaped_with_the_loop(void **state) {
  (void)state;
  const char *const argv[] = {"sleep", "1000", NULL};
  assert_int_equal(start(&(struct child_settings){.argv = argv, .timeout_ms = 100000}), 0);
  cancelled = child_pid(child);
  child_cancel(child);
  loop_free(loop);
  loop = NULL;
  assert_int_equal(callbacks, 0);
  assert_int_equal(kill(cancelled, 0), -1);
}

static void one_stuck_does_not_keep_the_loop(void **state) {
  (void)state;
  const char *const argv[] = {"sleep", "1000", NULL};
  struct instant then = clock_now();
  unreachable = true;
  assert_int_equal(start(&(struct child_settings){.argv = argv, .timeout_ms = 100000}), 0);
  cancelled = child_pid(child);
  child_cancel(child);
  loop_free(loop);
  loop = NULL;
  unreachable = false;
  assert_true(clock_now().us - then.us < 10 * CHILD_LINGER_MS * 1000);
  assert_int_equal(kill(cancelled, SIGKILL), 0);
  assert_int_equal(waitpid(cancelled, NULL, 0), cancelled);
}

static void one_stuck_in_the_kernel_is_not_waited_for(void **state) {
  (void)state;
  const char *const argv[] = {"sh", "-c", "echo stuck; exec sleep 1000", NULL};
  unreachable = true;
  assert_int_equal(start(&(struct child_settings){.argv = argv, .timeout_ms = 100}), 0);
  cancelled = child_pid(child);
  assert_int_equal(loop_run(loop), 0);
  unreachable = false;
  assert_int_equal(callbacks, 1);
  assert_true(result.timed_out && result.lingers);
  assert_int_equal(result.status, -1);
  assert_string_equal(result.out.text, "stuck\n");
  assert_true(result.duration_us >= (100 + CHILD_LINGER_MS) * 1000);
  assert_int_equal(kill(cancelled, SIGKILL), 0); // it ends at last, and is reaped without another word
  ticker = loop_timer_new(loop, on_look, NULL);
  loop_timer_in(ticker, 1000);
  assert_int_equal(loop_run(loop), 0);
  assert_int_equal(callbacks, 1);
}

static int many_left;

static void on_one_of_many(void *arg, const struct child_result *r) {
  assert_int_equal(r->status, *(int *)arg);
  if (--many_left == 0)
    loop_stop(loop);
}

static void many_run_side_by_side(void **state) {
  (void)state;
  static int status[20];
  many_left = 20;
  for (int i = 0; i < 20; i++) {
    char script[20];
    status[i] = i;
    snprintf(script, sizeof script, "exit %d", i);
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct child_settings settings = {.argv = argv, .timeout_ms = 10000};
    assert_int_equal(child_run(&child, loop, &settings, on_one_of_many, &status[i]), 0);
  }
  assert_int_equal(loop_run(loop), 0);
}

static void on_first(void *arg, const struct child_result *r) {
  const char *const argv[] = {"echo", "second", NULL};
  (void)arg;
  assert_int_equal(r->status, 0);
  assert_int_equal(start(&(struct child_settings){.argv = argv, .timeout_ms = 10000}), 0);
}

static void callback_may_start_the_next(void **state) {
  (void)state;
  const char *const argv[] = {"true", NULL};
  struct child_settings settings = {.argv = argv, .timeout_ms = 10000};
  assert_int_equal(child_run(&child, loop, &settings, on_first, NULL), 0);
  assert_int_equal(loop_run(loop), 0);
  assert_string_equal(result.out.text, "second\n");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(end_and_outputs_are_reported),
      TEST(signal_is_reported),
      TEST(no_shell_comes_between),
      TEST(deadline_kills_the_whole_group),
      TEST(deadline_needs_no_cooperation),
      TEST(what_it_leaves_behind_is_not_waited_for),
      TEST(output_is_bounded_and_goes_on),
      TEST(endless_output_does_not_hold_the_loop),
      TEST(input_is_given),
      TEST(environment_is_ours_with_additions),
      TEST(it_inherits_no_descriptor_and_no_signal_setting),
      TEST(it_leads_a_process_group_of_its_own),
      TEST(what_cannot_start_leaves_nothing),
      TEST(cancelled_child_is_killed_and_reaped_silently),
      TEST(one_cancelled_last_is_reaped_with_the_loop),
      TEST(one_stuck_does_not_keep_the_loop),
      TEST(one_stuck_in_the_kernel_is_not_waited_for),
      TEST(many_run_side_by_side),
      TEST(callback_may_start_the_next),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
