// SPDX-License-Identifier: Apache-2.0
// The report page, written by a broker that says anything, before the driver "library". Input: pieces of a byte that says
// what the agent does and bytes of the report, which go over what stood there; before the first the broker is this process.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/broker.h"
#include "agent/state_page.h"
#include "common/core/limits.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define PIECES_MAX 16

static struct {
  struct loop *loop;
  struct loop_timer *end;
  struct state_page *page;
  struct page *report; // as the broker has it
  int report_fd;
  struct broker *broker;
  uint32_t serial;
} world;

static void look_at(const struct broker_view *view) {
  assert(memchr(view->state, 0, sizeof view->state) != NULL);
  assert(memchr(view->trouble, 0, sizeof view->trouble) != NULL);
  assert(view->position.epoch < EPOCH_MAX && view->peer.epoch < EPOCH_MAX); /* a beat can tell it */
  assert(view->position.offset > 0 || view->position.epoch == 0);
}

static void on_changed(void *arg) {
  (void)arg;
  look_at(broker_view(world.broker));
}

static void on_done(void *arg, uint32_t serial, struct position position) {
  (void)arg;
  assert(serial == world.serial && position.epoch < EPOCH_MAX);
}

static void on_cleared(void *arg) {
  (void)arg;
}

static void on_orphaned(void *arg, const char *path) {
  (void)arg;
  assert(strlen(path) < sizeof ((struct page_report *)0)->orphan);
}

static void on_end(void *arg) {
  loop_stop(arg);
}

static void open_pages(void) {
  static char state[128], report[128];
  snprintf(state, sizeof state, "%s/orders.a.state", input_directory());
  snprintf(report, sizeof report, "%s/orders.a.report", input_directory());
  struct state_page_settings settings = {
      .state_path = state, .report_path = report, .self = VOTER_A, .admits = true, .alive_ms = 60000};
  unlink(state);
  unlink(report);
  if (state_page_open(&world.page, &settings) != 0 ||
      page_map(&world.report, &world.report_fd, report, PAGE_REPORT_MAGIC, true) != 0)
    abort();
}

static void open_driver(void) {
  struct broker_settings settings = {.cluster = "orders",
                                     .self = VOTER_A,
                                     .driver = "library",
                                     .replication = REPLICATION_SYNC,
                                     .beat_ms = 1000,
                                     .lease_ms = 50,
                                     .page = world.page,
                                     .probe_every_ms = 1,
                                     .probe_timeout_ms = 1};
  struct broker_watch watch = {
      .changed = on_changed, .done = on_done, .cleared = on_cleared, .orphaned = on_orphaned};
  const char *error = "";
  if (broker_open(&world.broker, world.loop, &settings, &watch, &error) != 0) {
    fprintf(stderr, "%s\n", error);
    abort();
  }
}

static void act(uint8_t bits) {
  struct broker_duty duty = {.serial = world.serial + 1,
                             .mode = bits % BROKER_MODE_COUNT,
                             .master = VOTER_B,
                             .epoch = bits >> 5,
                             .paused = (bits & 16) != 0,
                             .sync = true};
  if ((bits & 4) != 0) {
    world.serial++;
    state_page_duty(world.page, &duty);
    broker_apply(world.broker, &duty);
  }
  if ((bits & 8) != 0)
    broker_kill_clients(world.broker);
}

/* Until the bell was heard and what was due came. */
static void run(void) {
  page_ring(world.report_fd);
  loop_timer_in(world.end, 300);
  loop_run(world.loop);
  look_at(broker_view(world.broker));
}

static void play(struct input *input) {
  struct page_report report = {.pid = (uint64_t)getpid(), .incarnation = 1};
  for (unsigned i = 0; i < PIECES_MAX && input->left > 0; i++) {
    const uint8_t *bytes;
    act(input_u8(input));
    size_t at = 8 * (size_t)input_below(input, sizeof report / 8), room = sizeof report - at;
    size_t size = input_bytes(input, input_u8(input), &bytes);
    if (size > 0)
      memcpy((uint8_t *)&report + at, bytes, size < room ? size : room);
    if (input_u8(input) % 4 == 0) /* a broker that does reach its duty */
      report.done_serial = world.serial;
    page_write(world.report, &report, PAGE_WORDS(struct page_report));
    run();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct input input = {bytes, size};
  world.loop = loop_new();
  world.end = loop_timer_new(world.loop, on_end, world.loop);
  world.serial = 0;
  open_pages();
  open_driver();
  play(&input);
  broker_close(world.broker);
  page_unmap(world.report, world.report_fd);
  state_page_close(world.page, false);
  loop_timer_free(world.end);
  loop_free(world.loop);
  return 0;
}
