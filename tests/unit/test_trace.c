// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/trace.h"
#include "common/base/trace_file.h"

static const struct instant base = {5000000};

// ---- random but valid values; the same ones in each run ----

static uint64_t state = 0x5eed;

static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}
static uint64_t below(uint64_t limit) {
  return draw() % limit;
}
/* Small numbers, great ones, and often the 0 that is left out. */
static uint64_t number(uint64_t max) {
  uint64_t kind = below(4);
  uint64_t value = kind == 0 ? 0 : kind == 1 ? below(20) : kind == 2 ? max : draw();
  return max == UINT64_MAX ? value : value % (max + 1);
}
static bool toss(void) {
  return below(2) == 1;
}

static struct record any_record(void) {
  struct record record = {number(UINT64_MAX), (uint32_t)number(UINT32_MAX), RECORD_PAIR, NOBODY};
  if (toss()) {
    record.mode = RECORD_SOLE;
    record.owner = (uint8_t)below(NODES);
  } else if (below(8) == 0) {
    record.owner = VOTER_A; // all zeros: none was shown yet
  }
  return record;
}
static struct position any_position(void) {
  return (struct position){number(UINT64_MAX), number(UINT64_MAX)};
}
static struct seen any_seen(void) {
  return (struct seen){number(UINT64_MAX), any_record()};
}
static struct frozen any_frozen(void) {
  return (struct frozen){(uint32_t)number(UINT32_MAX), toss()};
}

static struct beat any_beat(void) {
  struct beat beat;
  memset(&beat, 0, sizeof beat);
  beat.from = (uint8_t)below(VOTERS), beat.to = (uint8_t)below(VOTERS);
  beat.role = (uint8_t)below(ROLE_COUNT), beat.flags = (uint8_t)below(BEAT_FLAGS_ALL + 1);
  beat.seq = number(UINT64_MAX), beat.echo = number(UINT64_MAX), beat.grant = number(UINT64_MAX);
  beat.epoch = number(UINT64_MAX), beat.sync = any_record(), beat.reign = number(UINT64_MAX);
  beat.leader = (uint8_t)below(VOTERS + 1), beat.leader_epoch = number(UINT64_MAX);
  beat.free_ms = toss() ? FREE_NEVER : (uint32_t)number(UINT32_MAX);
  beat.lease_ms = (uint32_t)number(UINT32_MAX), beat.health = (uint16_t)number(UINT16_MAX);
  beat.position = any_position(), beat.seen_you = any_seen(), beat.frozen = any_frozen();
  beat.wall_ms = (int64_t)number(UINT64_MAX);
  beat.version = (uint32_t)number(UINT32_MAX), beat.config = (uint32_t)number(UINT32_MAX);
  beat.paths_heard = (uint8_t)number(UINT8_MAX);
  return beat;
}

static struct event any_event(void) {
  struct event event;
  memset(&event, 0, sizeof event);
  event.type = (enum event_type)below(EVENT_COUNT);
  event.now.us = below(8) == 0 ? INSTANT_NEVER.us : (int64_t)number(UINT32_MAX);
  switch (event.type) {
  case EVENT_BEAT:
    event.beat.session = number(UINT64_MAX);
    event.beat.beat = any_beat();
    break;
  case EVENT_BROKER:
    event.broker = (struct broker_report){
        (uint16_t)number(UINT16_MAX), toss(), toss(), toss(), any_position(), any_position()};
    break;
  case EVENT_DONE:
    event.done.serial = (uint32_t)number(UINT32_MAX);
    event.done.position = any_position();
    break;
  case EVENT_ORDER:
    event.order.type = (uint8_t)below(ORDER_COUNT), event.order.node = (uint8_t)below(NODES);
    event.order.timeout_ms = (uint32_t)number(UINT32_MAX), event.order.above = number(UINT64_MAX);
    break;
  case EVENT_CONFIG:
    event.config = (struct core_settings){(uint8_t)below(NODES), (uint32_t)number(UINT32_MAX),
                                          (uint32_t)number(UINT32_MAX), (uint32_t)number(UINT32_MAX),
                                          (uint32_t)number(UINT32_MAX), (uint32_t)number(UINT32_MAX)};
    break;
  case EVENT_HELLO:
    event.hello = (uint8_t)below(VOTERS);
    break;
  case EVENT_FENCED:
    event.fenced = number(UINT64_MAX);
    break;
  case EVENT_TIMER:
  case EVENT_DISK_FAILED:
  case EVENT_FENCE_LOST:
  case EVENT_RESUME:
  case EVENT_COUNT:
    break;
  }
  return event;
}

// ---- member by member: structures have holes ----

static void same_record(const struct record *a, const struct record *b) {
  assert_true(a->epoch == b->epoch && a->version == b->version && a->mode == b->mode && a->owner == b->owner);
}
static void same_position(struct position a, struct position b) {
  assert_true(a.epoch == b.epoch && a.offset == b.offset);
}
static void same_seen(const struct seen *a, const struct seen *b) {
  assert_true(a->epoch == b->epoch);
  same_record(&a->sync, &b->sync);
}
static void same_frozen(struct frozen a, struct frozen b) {
  assert_true(a.serial == b.serial && a.on == b.on);
}

static void same_beat(const struct beat *a, const struct beat *b) {
  assert_true(a->from == b->from && a->to == b->to && a->role == b->role && a->flags == b->flags);
  assert_true(a->seq == b->seq && a->echo == b->echo && a->grant == b->grant);
  assert_true(a->epoch == b->epoch && a->reign == b->reign);
  assert_true(a->leader == b->leader && a->leader_epoch == b->leader_epoch);
  assert_true(a->free_ms == b->free_ms && a->lease_ms == b->lease_ms && a->health == b->health);
  same_record(&a->sync, &b->sync);
  same_position(a->position, b->position);
  same_seen(&a->seen_you, &b->seen_you);
  same_frozen(a->frozen, b->frozen);
  assert_true(a->wall_ms == b->wall_ms && a->version == b->version && a->config == b->config);
  assert_true(a->paths_heard == b->paths_heard);
}

static void same_event(const struct event *a, const struct event *b) {
  assert_true(a->type == b->type && a->now.us == b->now.us);
  switch (a->type) {
  case EVENT_BEAT:
    assert_true(a->beat.session == b->beat.session);
    same_beat(&a->beat.beat, &b->beat.beat);
    return;
  case EVENT_BROKER:
    assert_true(a->broker.health == b->broker.health && a->broker.dead == b->broker.dead);
    assert_true(a->broker.link == b->broker.link && a->broker.silent == b->broker.silent);
    same_position(a->broker.position, b->broker.position);
    same_position(a->broker.peer, b->broker.peer);
    return;
  case EVENT_DONE:
    assert_true(a->done.serial == b->done.serial);
    same_position(a->done.position, b->done.position);
    return;
  case EVENT_ORDER:
    assert_true(a->order.type == b->order.type && a->order.node == b->order.node);
    assert_true(a->order.timeout_ms == b->order.timeout_ms && a->order.above == b->order.above);
    return;
  case EVENT_CONFIG:
    assert_int_equal(a->config.preferred, b->config.preferred);
    assert_int_equal(a->config.witness_grace_ms, b->config.witness_grace_ms);
    assert_int_equal(a->config.degrade_ms, b->config.degrade_ms);
    assert_int_equal(a->config.join_hold_ms, b->config.join_hold_ms);
    assert_int_equal(a->config.hold_down_ms, b->config.hold_down_ms);
    assert_int_equal(a->config.config, b->config.config);
    return;
  case EVENT_HELLO:
    assert_int_equal(a->hello, b->hello);
    break;
  case EVENT_FENCED:
    assert_true(a->fenced == b->fenced);
    return;
  case EVENT_TIMER:
  case EVENT_DISK_FAILED:
  case EVENT_FENCE_LOST:
  case EVENT_RESUME:
  case EVENT_COUNT:
    return;
  }
}

static void an_event_comes_back(void **unused) {
  (void)unused;
  for (int i = 0; i < 20000; i++) {
    struct event event = any_event(), back;
    char line[TRACE_LINE_MAX];
    const char *error = "";
    size_t length = trace_event(line, sizeof line, base, &event);
    assert_true(length == strlen(line) && strchr(line, '\n') == NULL);
    if (!trace_parse_event(line, base, &back, &error))
      fail_msg("%s: %s", line, error);
    same_event(&event, &back);
  }
}

static struct trace_start any_start(void) {
  struct trace_start start;
  memset(&start, 0, sizeof start);
  struct core_config *config = &start.config;
  config->self = (uint8_t)below(VOTERS), config->preferred = (uint8_t)below(NODES);
  config->replication = (uint8_t)below(REPLICATION_COUNT), config->strict = toss(), config->fence_required = toss();
  config->lease_ms = (uint32_t)number(UINT32_MAX), config->beat_ms = (uint32_t)number(UINT32_MAX);
  config->drift_ppm = (uint32_t)number(UINT32_MAX), config->witness_grace_ms = (uint32_t)number(UINT32_MAX);
  config->degrade_ms = (uint32_t)number(UINT32_MAX), config->join_hold_ms = (uint32_t)number(UINT32_MAX);
  config->hold_down_ms = (uint32_t)number(UINT32_MAX);
  config->max_lag = number(UINT64_MAX), config->withholds = number(1) != 0;
  config->version = (uint32_t)number(UINT32_MAX), config->config = (uint32_t)number(UINT32_MAX);
  struct ballot *ballot = &start.ballot;
  ballot->epoch = number(UINT64_MAX), ballot->sync = any_record();
  ballot->lease_max_ms = (uint32_t)number(UINT32_MAX), ballot->blank = toss();
  ballot->frozen = any_frozen();
  for (unsigned i = 0; i < VOTERS; i++)
    ballot->seen[i] = any_seen();
  start.random = number(UINT64_MAX);
  start.base.us = (int64_t)number(UINT64_MAX);
  return start;
}

static void a_start_comes_back(void **unused) {
  (void)unused;
  for (int i = 0; i < 5000; i++) {
    struct trace_start start = any_start(), back;
    char line[TRACE_LINE_MAX];
    const char *error = "";
    assert_true(trace_start(line, sizeof line, &start) < sizeof line);
    if (!trace_parse_start(line, &back, &error))
      fail_msg("%s: %s", line, error);
    const struct core_config *a = &start.config, *b = &back.config;
    assert_true(a->self == b->self && a->preferred == b->preferred && a->replication == b->replication);
    assert_true(a->strict == b->strict && a->fence_required == b->fence_required && a->lease_ms == b->lease_ms && a->beat_ms == b->beat_ms);
    assert_true(a->drift_ppm == b->drift_ppm && a->witness_grace_ms == b->witness_grace_ms);
    assert_true(a->degrade_ms == b->degrade_ms && a->join_hold_ms == b->join_hold_ms);
    assert_true(a->hold_down_ms == b->hold_down_ms);
    assert_true(a->max_lag == b->max_lag && a->withholds == b->withholds);
    assert_true(a->version == b->version && a->config == b->config);
    assert_true(start.random == back.random && start.base.us == back.base.us);
    assert_true(start.ballot.epoch == back.ballot.epoch && start.ballot.blank == back.ballot.blank);
    assert_true(start.ballot.lease_max_ms == back.ballot.lease_max_ms);
    same_record(&start.ballot.sync, &back.ballot.sync);
    same_frozen(start.ballot.frozen, back.ballot.frozen);
    for (unsigned v = 0; v < VOTERS; v++)
      same_seen(&start.ballot.seen[v], &back.ballot.seen[v]);
  }
}

static void reads_as_written(void **unused) {
  (void)unused;
  struct event event = {.type = EVENT_BEAT, .now = {base.us + 1500}};
  event.beat.session = 0x1f;
  event.beat.beat = (struct beat){.from = VOTER_B,
                                  .to = VOTER_A,
                                  .role = ROLE_SECONDARY,
                                  .flags = BEAT_RELEASED,
                                  .seq = 12,
                                  .echo = 9,
                                  .epoch = 4,
                                  .sync = {4, 2, RECORD_PAIR, NOBODY},
                                  .leader = VOTER_A,
                                  .leader_epoch = 4,
                                  .free_ms = FREE_NEVER,
                                  .seen_you.sync = {0, 0, RECORD_PAIR, NOBODY},
                                  .position = {4, 100}};
  char line[TRACE_LINE_MAX];
  trace_event(line, sizeof line, base, &event);
  assert_string_equal(line, "1500 beat session 1f b>a #12 secondary released echo 9 epoch 4 sync (4,2,pair) "
                            "leader a@4 free never position 4:100");
}

static void actions_read_as_written(void **unused) {
  (void)unused;
  struct actions list = {.count = 4};
  list.at[0] = (struct action){.type = ACTION_FENCE_ARM, .until = {base.us + 990000}};
  list.at[1] =
      (struct action){.type = ACTION_BROKER, .broker = {7, BROKER_LEAD, VOTER_A, 4, true, false, true}};
  list.at[2] = (struct action){
      .type = ACTION_TELL,
      .fact = {
          .type = FACT_ROLE, .from = ROLE_MASTER, .to = ROLE_SECONDARY, .cause = CAUSE_LEASE, .epoch = 4}};
  list.at[3] = (struct action){.type = ACTION_ADDRESS_ADD};
  char text[TRACE_LINE_MAX];
  trace_actions(text, sizeof text, base, &list);
  assert_string_equal(
      text, "  fence-arm 990000\n"
            "  broker #7 lead epoch 4 paused sync\n"
            "  tell role master>secondary epoch 4 L5: the lease ran out unrenewed: no longer master\n"
            "  address-add\n");
}

static void a_short_buffer_cuts(void **unused) {
  (void)unused;
  char line[8] = "";
  struct event event = {.type = EVENT_FENCE_LOST, .now = {base.us + 1}};
  assert_int_equal(trace_event(line, sizeof line, base, &event), strlen("1 fence-lost"));
  assert_string_equal(line, "1 fence");
}

static void says_what_is_wrong(void **unused) {
  (void)unused;
  static const char *const wrong[] = {"",
                                      "soon timer",
                                      "12",
                                      "12 thunder",
                                      "12 timer twice",
                                      "12 order",
                                      "12 order dance",
                                      "12 order form node c",
                                      "12 beat a>b",
                                      "12 beat a>x master",
                                      "12 beat a>- master",
                                      "12 beat a>b master sync (4,2)",
                                      "12 beat a>b master sync (4,2,sole-q)",
                                      "12 beat a>b master sync (4,99999999999,pair)",
                                      "12 beat a>b master epoch -1",
                                      "12 beat a>b master epoch",
                                      "12 beat a>b master leader a",
                                      "12 beat a>b master frozen 3:maybe",
                                      "12 broker health 65536",
                                      "12 broker position 4"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct event event;
    const char *error = NULL;
    if (trace_parse_event(wrong[i], base, &event, &error))
      fail_msg("\"%s\" was understood", wrong[i]);
    assert_non_null(error);
  }
  struct trace_start start;
  const char *error = NULL;
  assert_false(trace_parse_start("begin self a preferred a", &start, &error));
  assert_false(trace_parse_start("start preferred a", &start, &error));
  assert_false(trace_parse_start("start self a preferred w", &start, &error));
  assert_true(trace_parse_start("start self a preferred b", &start, &error));
}

// ---- the file ----

static const struct event timer = {.type = EVENT_TIMER, .now = {5000007}};
static const struct actions nothing;

static struct trace_file *reopen(const char *path) {
  static const struct trace_start start = {.config = {.self = VOTER_A}, .base = {5000000}};
  struct trace_file *file;
  assert_int_equal(trace_file_open(&file, path, &start), 0);
  return file;
}

/* The file as text, each start shortened to "start". */
static void expect_file(const char *path, const char *expected) {
  char line[TRACE_LINE_MAX], text[TRACE_LINE_MAX] = "";
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  while (fgets(line, sizeof line, file) != NULL)
    strcat(text, strncmp(line, "start ", 6) == 0 ? "start\n" : line);
  fclose(file);
  assert_string_equal(text, expected);
}

static void a_cut_line_is_marked(void **unused) {
  (void)unused;
  char path[] = "/tmp/test_trace.XXXXXX";
  int fd = mkstemp(path);
  struct trace_file *file = reopen(path);
  trace_file_step(file, &timer, &nothing);
  trace_file_close(file);
  assert_int_equal(lseek(fd, 0, SEEK_END) > 0 ? write(fd, "9 tim", 5) : -1, 5);
  trace_file_close(reopen(path));
  expect_file(path, "start\n7 timer\n9 tim (cut)\nstart\n");
  close(fd);
  unlink(path);
}

static void limit_files(rlim_t bytes) {
  struct rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk with room for half a step: cut, two more are lost, then there is room again. */
static void what_is_lost_is_counted(void **unused) {
  (void)unused;
  char path[] = "/tmp/test_trace.XXXXXX";
  int fd = mkstemp(path);
  signal(SIGXFSZ, SIG_IGN);
  struct trace_file *file = reopen(path);
  limit_files((rlim_t)lseek(fd, 0, SEEK_END) + 3);
  for (int i = 0; i < 3; i++)
    trace_file_step(file, &timer, &nothing);
  limit_files(0);
  trace_file_step(file, &timer, &nothing);
  trace_file_close(file);
  expect_file(path, "start\n7 t (cut)\nlost 3\n7 timer\n");
  close(fd);
  unlink(path);
}

static void says_why_it_cannot_begin(void **unused) {
  (void)unused;
  static const struct trace_start start = {.config = {.self = VOTER_A}};
  struct trace_file *file;
  assert_int_equal(trace_file_open(&file, "/nowhere/at/all", &start), -ENOENT);
  assert_int_equal(trace_file_open(&file, "/dev/full", &start), -ENOSPC);
  assert_null(file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_event_comes_back),      cmocka_unit_test(a_start_comes_back),
      cmocka_unit_test(reads_as_written),         cmocka_unit_test(actions_read_as_written),
      cmocka_unit_test(a_short_buffer_cuts),      cmocka_unit_test(says_what_is_wrong),
      cmocka_unit_test(a_cut_line_is_marked),     cmocka_unit_test(what_is_lost_is_counted),
      cmocka_unit_test(says_why_it_cannot_begin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
