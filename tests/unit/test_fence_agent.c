// SPDX-License-Identifier: Apache-2.0
// Fence devices: the dummy of the package fence-agents, and scripted ones that hang, lie or fail.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fence_agent.h"

#define DUMMY "/usr/sbin/fence_dummy"

static char directory[64], script[96], heard[96];

static struct bed {
  struct loop *loop;
  struct fence_agent *device;
  struct conf_texts command;
  struct conf_map options;
  unsigned checks;
  int64_t off_ms, check_ms;
  char trouble[FENCE_AGENT_TEXT_MAX], why_not[FENCE_AGENT_TEXT_MAX];
  bool answered;
} bed;

static int make_directory(void **unused) {
  (void)unused;
  snprintf(directory, sizeof directory, "/tmp/tanist-fence-XXXXXX");
  if (mkdtemp(directory) == NULL)
    return -1;
  snprintf(script, sizeof script, "%s/device", directory);
  snprintf(heard, sizeof heard, "%s/heard", directory);
  return 0;
}

static int remove_directory(void **unused) {
  (void)unused;
  unlink(script);
  unlink(heard);
  return rmdir(directory);
}

/* Writes what it is told to `heard`, and does what `body` says with $action. */
static void write_script(const char *body) {
  FILE *f = fopen(script, "w");
  assert_non_null(f);
  fprintf(f, "#!/bin/sh\nwhile read -r line; do echo \"$line\"; case $line in action=*) action=${line#action=};; esac; "
             "done >>%s\necho \"$@\" >>%s\n%s\n",
          heard, heard, body);
  fclose(f);
  assert_int_equal(chmod(script, 0755), 0);
  unlink(heard);
}

static void on_checked(void *arg, const char *trouble) {
  struct bed *b = arg;
  b->checks++;
  snprintf(b->trouble, sizeof b->trouble, "%s", trouble);
  loop_stop(b->loop);
}

static void on_off(void *arg, const char *why_not) {
  struct bed *b = arg;
  b->answered = true;
  snprintf(b->why_not, sizeof b->why_not, "%s", why_not);
  loop_stop(b->loop);
}

static void option(const char *key, const char *value) {
  bed.options.at[bed.options.count].key = key;
  bed.options.at[bed.options.count++].value = value;
}

static void begin(const char *program) {
  memset(&bed, 0, sizeof bed);
  bed.loop = loop_new();
  bed.command.count = program != NULL;
  bed.command.at[0] = program;
}

/* The look at the start. */
static const char *looked(void) {
  struct fence_agent_settings settings = {.command = &bed.command, .options = &bed.options, .node = "b", .off_ms = bed.off_ms,
                                          .check_ms = bed.check_ms};
  struct fence_agent_watch watch = {&bed, on_checked};
  assert_int_equal(fence_agent_open(&bed.device, bed.loop, &settings, &watch), 0);
  assert_int_equal(loop_run(bed.loop), 0);
  assert_int_equal(bed.checks, 1);
  assert_true(fence_agent_known(bed.device));
  assert_string_equal(fence_agent_trouble(bed.device), bed.trouble);
  return bed.trouble;
}

static const char *off(void) {
  assert_int_equal(fence_agent_off(bed.device, on_off, &bed), 0);
  assert_int_equal(fence_agent_off(bed.device, on_off, &bed), -EBUSY);
  assert_int_equal(loop_run(bed.loop), 0);
  assert_true(bed.answered);
  return bed.why_not;
}

static void end(void) {
  fence_agent_close(bed.device);
  loop_free(bed.loop);
}

static const char *heard_text(void) {
  static char text[4096];
  FILE *f = fopen(heard, "r");
  assert_non_null(f);
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  return text;
}

static void test_none(void **unused) {
  (void)unused;
  begin(NULL);
  struct fence_agent_settings settings = {.command = &bed.command, .options = &bed.options, .node = "b", .off_ms = bed.off_ms};
  struct fence_agent_watch watch = {&bed, on_checked};
  assert_int_equal(fence_agent_open(&bed.device, bed.loop, &settings, &watch), 0);
  assert_false(fence_agent_there(bed.device));
  assert_int_equal(fence_agent_off(bed.device, on_off, &bed), -ENOENT);
  end();
}

static void test_it_is_told_on_its_input(void **unused) {
  (void)unused;
  write_script("[ $action != status ] || exit 2");
  begin(script);
  option("username", "root");
  option("ip__a", "10.9.0.1");
  option("ip__b", "10.9.0.2");
  option("password", "open sesame");
  assert_string_equal(looked(), "");
  assert_string_equal(heard_text(), "action=monitor\nnodename=b\nplug=b\nusername=root\nip=10.9.0.2\n"
                                    "password=open sesame\n\n"); // and no argument
  assert_string_equal(off(), "");
  assert_non_null(strstr(heard_text(), "action=off\n"));
  assert_non_null(strstr(heard_text(), "action=status\n"));
  end();
}

static void test_its_own_plug(void **unused) {
  (void)unused;
  write_script("exit 0");
  begin(script);
  option("port__b", "7");
  option("port", "1"); // of the node that has no port of its own
  looked();
  assert_null(strstr(heard_text(), "plug="));
  assert_non_null(strstr(heard_text(), "port=7\n"));
  assert_null(strstr(heard_text(), "port=1\n"));
  end();
}

static void test_it_lies(void **unused) {
  (void)unused;
  write_script("[ $action = status ] && echo 'Status: ON'; exit 0");
  begin(script);
  assert_string_equal(looked(), "");
  assert_non_null(strstr(off(), "its status is on"));
  end();
}

static void test_it_lies_with_two_tongues(void **unused) {
  (void)unused;
  write_script("[ $action = status ] && echo 'Status: ON' && exit 2; exit 0");
  begin(script);
  looked();
  assert_non_null(strstr(off(), "its status is on"));
  end();
}

static void test_it_fails_and_says_the_password(void **unused) {
  (void)unused;
  write_script("echo 'login: swordfish refused' >&2; exit 1");
  begin(script);
  option("passwd", "swordfish");
  assert_non_null(strstr(looked(), "\"monitor\" ended with 1: login: ********* refused"));
  assert_non_null(strstr(off(), "\"off\" ended with 1"));
  assert_null(strstr(bed.why_not, "swordfish"));
  end();
}

static void test_one_secret_begins_with_another(void **unused) {
  (void)unused;
  write_script("echo 'login: swordfish42 refused' >&2; exit 1");
  begin(script);
  option("passwd", "sword");
  option("snmp_priv_passwd", "swordfish42");
  assert_non_null(strstr(looked(), "login: *********** refused"));
  end();
}

/* The output is cut in the middle of it: what is left of it must not be said either. */
static void test_it_says_half_the_password(void **unused) {
  (void)unused;
  write_script("{ printf '%4073s\\nunable to log in: %s' '' 'open sesame'; } >&2; exit 1");
  begin(script);
  option("password", "open sesame");
  const char *trouble = looked();
  assert_non_null(strstr(trouble, "\"monitor\" ended with 1"));
  assert_null(strstr(trouble, "open"));
  end();
}

/* `off` succeeds, and then nobody can say whether it is. */
static void test_status_fails(void **unused) {
  (void)unused;
  write_script("[ $action != status ] || exit 1");
  begin(script);
  looked();
  assert_non_null(strstr(off(), "\"status\" ended with 1"));
  end();
}

static void test_it_dies(void **unused) {
  (void)unused;
  write_script("[ $action = monitor ] || kill -9 $$");
  begin(script);
  looked();
  assert_non_null(strstr(off(), "signal 9"));
  end();
}

static void test_it_hangs(void **unused) {
  (void)unused;
  write_script("[ $action != monitor ] || exit 0; sleep 1000");
  begin(script);
  bed.off_ms = 300;
  looked();
  assert_non_null(strstr(off(), "did not end"));
  end();
}

static struct wait {
  struct loop_timer *timer;
  const char *line;
} waiting;

static void look_again(void *unused) {
  (void)unused;
  if (access(heard, R_OK) == 0 && strstr(heard_text(), waiting.line) != NULL)
    loop_stop(bed.loop);
  else
    loop_timer_in(waiting.timer, 5000);
}

/* Runs until the device has been told this. */
static void run_until_heard(const char *line) {
  waiting = (struct wait){loop_timer_new(bed.loop, look_again, NULL), line};
  loop_timer_in(waiting.timer, 0);
  assert_int_equal(loop_run(bed.loop), 0);
  loop_timer_free(waiting.timer);
}

/* It breaks, and is repaired, between two looks: each is said once. */
static void test_it_is_looked_at_again_and_again(void **unused) {
  (void)unused;
  char broken[112];
  snprintf(broken, sizeof broken, "%s.broken", script);
  write_script("[ ! -e $0.broken ] || exit 1");
  begin(script);
  bed.check_ms = 20;
  assert_string_equal(looked(), "");
  fclose(fopen(broken, "w"));
  assert_int_equal(loop_run(bed.loop), 0);
  assert_non_null(strstr(bed.trouble, "\"monitor\" ended with 1"));
  unlink(broken);
  assert_int_equal(loop_run(bed.loop), 0);
  assert_string_equal(bed.trouble, "");
  assert_int_equal(bed.checks, 3);
  end();
}

/* Nobody waits half a minute for a look at the device; that is made up for afterwards. */
static void test_off_does_not_wait_for_a_look(void **unused) {
  (void)unused;
  write_script("case $action in monitor) sleep 1000;; status) exit 2;; esac");
  begin(script);
  struct fence_agent_settings settings = {.command = &bed.command, .options = &bed.options, .node = "b", .monitor_ms = 2000};
  struct fence_agent_watch watch = {&bed, on_checked};
  assert_int_equal(fence_agent_open(&bed.device, bed.loop, &settings, &watch), 0);
  run_until_heard("action=monitor\n");
  assert_string_equal(off(), "");
  assert_int_equal(bed.checks, 0);
  assert_int_equal(loop_run(bed.loop), 0);
  assert_non_null(strstr(bed.trouble, "\"monitor\" did not end"));
  end();
}

static void test_it_is_broken_off(void **unused) {
  (void)unused;
  write_script("[ $action != monitor ] || exit 0; [ $action != status ] || exit 2; [ -e $0.works ] || sleep 1000");
  char works[112];
  snprintf(works, sizeof works, "%s.works", script);
  begin(script);
  looked();
  assert_int_equal(fence_agent_off(bed.device, on_off, &bed), 0);
  run_until_heard("action=off\n");
  fence_agent_break_off(bed.device);
  fence_agent_break_off(bed.device); /* there is nothing any more */
  assert_false(bed.answered);
  fclose(fopen(works, "w"));
  assert_string_equal(off(), "");
  unlink(works);
  end();
}

static void give_up(void *unused) {
  (void)unused;
  loop_stop(bed.loop);
}

/* An election lost before the first look: the device is looked at then, not an hour later. */
static void test_it_is_looked_at_after_a_break(void **unused) {
  (void)unused;
  write_script("[ $action != off ] || sleep 1000");
  begin(script);
  struct fence_agent_settings settings = {.command = &bed.command, .options = &bed.options, .node = "b"};
  struct fence_agent_watch watch = {&bed, on_checked};
  assert_int_equal(fence_agent_open(&bed.device, bed.loop, &settings, &watch), 0);
  assert_int_equal(fence_agent_off(bed.device, on_off, &bed), 0);
  run_until_heard("action=off\n");
  fence_agent_break_off(bed.device);
  struct loop_timer *most = loop_timer_new(bed.loop, give_up, NULL);
  loop_timer_in(most, 10000000);
  assert_int_equal(loop_run(bed.loop), 0);
  loop_timer_free(most);
  assert_int_equal(bed.checks, 1);
  assert_false(bed.answered);
  end();
}

static void test_it_is_not_there(void **unused) {
  (void)unused;
  begin("/nonexistent/fence_none");
  assert_non_null(strstr(looked(), "cannot be started"));
  assert_non_null(strstr(off(), "cannot be started"));
  end();
}

static void test_the_dummy_of_the_package(void **unused) {
  (void)unused;
  char file[96], state[16] = "on";
  if (access(DUMMY, X_OK) != 0) {
    print_message("skipped: %s is not installed (package fence-agents)\n", DUMMY);
    skip();
  }
  snprintf(file, sizeof file, "%s/outlet", directory);
  FILE *f = fopen(file, "w");
  fputs(state, f);
  fclose(f);
  begin(DUMMY);
  option("type", "file");
  option("status_file", file);
  assert_string_equal(looked(), "");
  assert_string_equal(off(), "");
  f = fopen(file, "r");
  state[fread(state, 1, sizeof state - 1, f)] = 0;
  fclose(f);
  assert_string_equal(state, "off");
  unlink(file);
  end();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_none),
      cmocka_unit_test(test_it_is_told_on_its_input),
      cmocka_unit_test(test_its_own_plug),
      cmocka_unit_test(test_it_lies),
      cmocka_unit_test(test_it_lies_with_two_tongues),
      cmocka_unit_test(test_it_fails_and_says_the_password),
      cmocka_unit_test(test_one_secret_begins_with_another),
      cmocka_unit_test(test_it_says_half_the_password),
      cmocka_unit_test(test_status_fails),
      cmocka_unit_test(test_it_dies),
      cmocka_unit_test(test_it_hangs),
      cmocka_unit_test(test_it_is_looked_at_again_and_again),
      cmocka_unit_test(test_off_does_not_wait_for_a_look),
      cmocka_unit_test(test_it_is_broken_off),
      cmocka_unit_test(test_it_is_looked_at_after_a_break),
      cmocka_unit_test(test_it_is_not_there),
      cmocka_unit_test(test_the_dummy_of_the_package),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
