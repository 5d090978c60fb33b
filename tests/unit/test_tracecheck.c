// SPDX-License-Identifier: Apache-2.0
// Does tests/trace find what is wrong in a trace? Each was written by a real core and is altered here; three
// whole daemons' traces are in tests/netns/e2e_trace.py.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/trace_file.h"
#include "tests/trace/judge.h"

#define MS INT64_C(1000)
#define TEXT_MAX 65536

static char directory[] = "/tmp/test_tracecheck.XXXXXX";

// ---- one voter that is told things, and traced ----

struct player {
  struct core core;
  struct actions actions;
  struct trace_file *file;
  uint64_t seq; // of the newest beat to the witness, and of the one from whoever plays the others
};

static const char *path_of(const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

static struct player *begin(uint8_t self, const char *name, uint64_t epoch, int64_t at) {
  struct player *v = calloc(1, sizeof *v);
  assert_non_null(v);
  struct trace_start start = {
      .config = {.self = self,
                 .replication = REPLICATION_NONE,
                 .lease_ms = 1000,
                 .beat_ms = 100,
                 .drift_ppm = 10000},
      .ballot = {.epoch = epoch, .sync = {.mode = RECORD_PAIR, .owner = NOBODY}},
      .random = 1,
      .base = {at},
  };
  core_init(&v->core, &start.config, &start.ballot, start.base, start.random);
  assert_int_equal(trace_file_open(&v->file, path_of(name), &start), 0);
  return v;
}

static void step(struct player *v, struct event event, int64_t at) {
  event.now = (struct instant){at};
  core_step(&v->core, &event, &v->actions);
  trace_file_step(v->file, &event, &v->actions);
  for (size_t i = 0; i < v->actions.count; i++)
    if (v->actions.at[i].type == ACTION_SEND && v->actions.at[i].beat.to == VOTER_W)
      v->seq = v->actions.at[i].beat.seq;
}

static void end(struct player *v) {
  trace_file_close(v->file);
  free(v);
}

static struct event beat(uint8_t from, uint8_t to, uint8_t role, uint64_t seq) {
  struct event event = {.type = EVENT_BEAT};
  event.beat.session = 7 + from;
  event.beat.beat = (struct beat){.from = from,
                                  .to = to,
                                  .role = role,
                                  .seq = seq,
                                  .leader = NOBODY,
                                  .lease_ms = 1000,
                                  .health = 1,
                                  .sync = {.mode = RECORD_PAIR, .owner = NOBODY},
                                  .seen_you.sync = {.mode = RECORD_PAIR, .owner = NOBODY}};
  return event;
}

/* The witness votes for a in epoch 2 and follows it; b's wish comes while that promise stands. */
static void witness_votes(const char *name) {
  struct player *w = begin(VOTER_W, name, 0, 0);
  struct event ask = beat(VOTER_A, VOTER_W, ROLE_CANDIDATE, 1);
  ask.beat.beat.flags = BEAT_ASK;
  ask.beat.beat.epoch = 2;
  step(w, ask, 10 * MS);
  ask.beat.beat.seq = 2;
  ask.beat.beat.role = ROLE_MASTER;
  ask.beat.beat.reign = ask.beat.beat.leader_epoch = 2;
  ask.beat.beat.leader = VOTER_A;
  step(w, ask, 20 * MS);
  struct event other = beat(VOTER_B, VOTER_W, ROLE_CANDIDATE, 1);
  other.beat.beat.flags = BEAT_ASK;
  other.beat.beat.epoch = 3;
  step(w, other, 30 * MS);
  step(w, (struct event){.type = EVENT_TIMER}, 130 * MS);
  end(w);
}

/* A node that a witness votes for `at`, whatever that witness has said to others. */
static void node_elected(uint8_t self, const char *name, uint64_t epoch, int64_t at) {
  struct player *node = begin(self, name, epoch, at);
  struct event report = {.type = EVENT_BROKER, .broker = {.health = 1}};
  step(node, report, at + 1);
  step(node, (struct event){.type = EVENT_TIMER}, at + 400 * MS);
  struct event says = beat(VOTER_W, self, ROLE_WITNESS, 1);
  says.beat.beat.echo = node->seq;
  says.beat.beat.epoch = epoch;
  step(node, says, at + 401 * MS);
  assert_int_equal(node->core.role, ROLE_CANDIDATE);
  says.beat.beat.seq = 2;
  says.beat.beat.echo = says.beat.beat.grant = node->seq;
  says.beat.beat.leader = self;
  says.beat.beat.epoch = says.beat.beat.leader_epoch = node->core.voter.ballot.epoch;
  step(node, says, at + 402 * MS);
  assert_int_equal(node->core.role, ROLE_MASTER);
  end(node);
}

// ---- what tests/trace says of files ----

static char said[TEXT_MAX];

static int child(const char *const *names, size_t count) {
  struct judge *judge = judge_new(true);
  struct watcher watcher = judge_watcher(judge);
  for (size_t i = 0; i < count; i++)
    replay_file(strdup(path_of(names[i])), &watcher);
  judge_verdict(judge);
  judge_summary(judge);
  return findings() > 0;
}

/* In a process of its own, as a trace that is none ends it. Returns the exit status; `said` is what it said.
 */
static int check(const char *const *names, size_t count) {
  int pipes[2], status;
  assert_int_equal(pipe(pipes), 0);
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(pipes[1], 1);
    dup2(pipes[1], 2);
    close(pipes[0]);
    int rc = child(names, count);
    fflush(NULL);
    _exit(rc);
  }
  close(pipes[1]);
  size_t length = 0;
  ssize_t got;
  while ((got = read(pipes[0], said + length, sizeof said - 1 - length)) > 0)
    length += (size_t)got;
  said[length] = 0;
  close(pipes[0]);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(int status, const char *words, const char *name) {
  int got = check(&name, 1);
  if (got != status || strstr(said, words) == NULL)
    fail_msg("exit %d with \"%s\" was expected, not %d: %s", status, words, got, said);
}

// ---- a trace as text ----

static char text[TEXT_MAX];

static void read_text(const char *name) {
  FILE *file = fopen(path_of(name), "r");
  assert_non_null(file);
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
}

static void write_text(const char *name) {
  FILE *file = fopen(path_of(name), "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

/* Replaces the first `old` by `new` and writes it all as "altered". */
static void alter(const char *old, const char *new) {
  static char rest[TEXT_MAX];
  read_text("w");
  char *at = strstr(text, old);
  assert_non_null(at);
  snprintf(rest, sizeof rest, "%s", at + strlen(old));
  snprintf(at, sizeof text - (size_t)(at - text), "%s%s", new, rest);
  write_text("altered");
}

/* The same with the line that begins with `start`. */
static void lose_line(const char *start) {
  char line[TRACE_LINE_MAX];
  read_text("w");
  const char *at = strstr(text, start);
  assert_non_null(at);
  snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n") + 1, at);
  alter(line, "");
}

// ---- the tests ----

static void an_honest_trace_passes(void **unused) {
  (void)unused;
  expect(0, "1 runs, 4 steps, 1 votes, 0 spans of a lead; 0 findings", "w");
}

static void a_forged_action_is_found(void **unused) {
  (void)unused;
  alter("grant 1", "grant 2");
  expect(1, "the core does otherwise with the event of line", "altered");
  lose_line("  persist");
  expect(1, "recorded: send", "altered");
  alter("30000 beat", "  address-add\n30000 beat");
  expect(1, "recorded: address-add\n  replayed: nothing more", "altered");
}

static void a_lost_event_is_found(void **unused) {
  (void)unused;
  read_text("w");
  lose_line("10000 beat");
  expect(2, "an action stands where no event is before it", "altered");
  alter("20000 beat", "20000 timer\n20000 beat"); /* one that never was is no lie if the core shrugs */
  expect(0, "0 findings", "altered");
  lose_line("130000 timer");
  expect(1, "the core does otherwise", "altered");
}

static void a_forgotten_epoch_is_found(void **unused) {
  (void)unused;
  alter("start self w", "start self w"); /* as it is, and behind it: */
  end(begin(VOTER_W, "altered", 0, 60000 * MS));
  expect(1, "P2 is broken: w starts with epoch 0, and had 2 on its disk before", "altered");
}

static void two_masters_are_found(void **unused) {
  (void)unused;
  node_elected(VOTER_A, "a", 0, 0);
  node_elected(VOTER_B, "b", 0, 500 * MS);
  const char *both[] = {"a", "b"};
  assert_int_equal(check(both, 2), 1);
  assert_non_null(strstr(said, "P1 is broken: b leads from 0.902000 s in epoch 1, and a in epoch 2 until"));
  assert_non_null(strstr(said, "P2 is broken: b leads in epoch 1, after a did in epoch 2"));
}

static void one_after_the_other_is_fine(void **unused) {
  (void)unused;
  node_elected(VOTER_A, "first", 0, 0);
  node_elected(VOTER_B, "second", 2, 5000 * MS);
  const char *both[] = {"first", "second"};
  if (check(both, 2) != 0)
    fail_msg("%s", said);
  assert_non_null(strstr(said, "2 spans of a lead; 0 findings"));
}

static void what_is_no_trace_is_refused(void **unused) {
  (void)unused;
  alter("start self w", "begin self w");
  expect(2, ":1: a trace begins with a line", "altered");
  alter("10000 beat", "10000 bleat");
  expect(2, "/altered:2: ", "altered");
  alter("20000 beat", "20000 be (cut)\n20000 beat");
  expect(2, "a line is cut off, and the run goes on behind it", "altered");
}

static void lost_steps_end_what_can_be_known(void **unused) {
  (void)unused;
  alter("20000 beat", "20000 be (cut)\nlost 2\n20000 beat");
  expect(0, "steps are missing", "altered");
}

static int set_up(void **unused) {
  (void)unused;
  if (mkdtemp(directory) == NULL)
    return -1;
  witness_votes("w");
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  static const char *const names[] = {"w", "altered", "a", "b", "first", "second"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    unlink(path_of(names[i]));
  return rmdir(directory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_honest_trace_passes),      cmocka_unit_test(a_forged_action_is_found),
      cmocka_unit_test(a_lost_event_is_found),       cmocka_unit_test(a_forgotten_epoch_is_found),
      cmocka_unit_test(two_masters_are_found),       cmocka_unit_test(one_after_the_other_is_fine),
      cmocka_unit_test(what_is_no_trace_is_refused), cmocka_unit_test(lost_steps_end_what_can_be_known),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
