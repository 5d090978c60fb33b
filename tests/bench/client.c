// SPDX-License-Identifier: Apache-2.0
// What libtanist costs on a message's path, in ns a call: the least and the median of many rounds, the
// empty loop taken off. A benchmark, no test: it passes judgement on nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/client/layout.h"

#define ROUNDS 101
#define CALLS 100000

static char directory[64], state_path[128], report_path[128], fence_path[128];
static struct page *page, *report;
static int page_fd, report_fd;
static struct tanist *t;
static struct tanist_fence *fence;
static struct tanist_stamp stamp = {{1}, 4, 0};

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void set_up(void) {
  struct page_head head = {.magic = PAGE_STATE_MAGIC, .layout = PAGE_LAYOUT};
  struct page_state state = {
      .role = TANIST_MASTER, .epoch = 4, .reign = 4, .duty_epoch = 4, .need = 3, .duty_mode = TANIST_LEAD,
      .admitted = PAGE_ANYBODY};
  strcpy(directory, "/tmp/tanist-bench.XXXXXX");
  if (mkdtemp(directory) == NULL || page_boot_id(head.boot_id) != 0)
    exit(1);
  snprintf(state_path, sizeof state_path, "%s/c.a.state", directory);
  snprintf(report_path, sizeof report_path, "%s/c.a.report", directory);
  snprintf(fence_path, sizeof fence_path, "%s/fence", directory);
  if (page_make(&page, &page_fd, state_path, &head, 0600) != 0)
    exit(1);
  head.magic = PAGE_REPORT_MAGIC;
  if (page_make(&report, &report_fd, report_path, &head, 0600) != 0)
    exit(1);
  state.lease_end_ns = UINT64_MAX - 1; /* a lease, so that the clock is read */
  page_write(page, &state, PAGE_WORDS(struct page_state));
  if (tanist_open(&t, state_path) != 0 || tanist_fence_open(&fence, fence_path) != 0)
    exit(1);
  tanist_report_position(t, 4, 1000, 1000);
  tanist_peer_acked(t, 4, 1000);
  if (!tanist_may_serve(t, NULL) || !tanist_ack_ready(t, 4, 1000)) {
    fprintf(stderr, "not the path of a message that is acknowledged: nothing is measured\n");
    exit(1);
  }
}

static void tear_down(void) {
  tanist_fence_close(fence);
  tanist_close(t);
  page_unmap(page, page_fd);
  page_unmap(report, report_fd);
  unlink(state_path);
  unlink(report_path);
  unlink(fence_path);
  rmdir(directory);
}

static uint64_t sink;

static void nothing(uint64_t i) {
  __asm__ volatile("" : : "r"(i));
}
static void epoch(uint64_t i) {
  (void)i;
  sink += tanist_epoch(t);
}
static void may_serve(uint64_t i) {
  (void)i;
  sink += tanist_may_serve(t, NULL);
}
static void stamped(uint64_t i) {
  (void)i;
  sink += (uint64_t)tanist_stamp(t, &stamp);
}
static void fence_check(uint64_t i) {
  (void)i;
  stamp.serial++;
  sink += (uint64_t)tanist_fence_check(fence, &stamp, stamp.serial);
}
static void ack_ready(uint64_t i) {
  sink += tanist_ack_ready(t, 4, i % 1000 + 1);
}
static void reported(uint64_t i) {
  tanist_report_position(t, 4, 1000 + i, 1000 + i);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double empty_least, empty_median; // the loop itself

static void measure(const char *name, void (*call)(uint64_t)) {
  static double took[ROUNDS];
  for (size_t r = 0; r < ROUNDS; r++) {
    int64_t began = now_ns();
    for (uint64_t i = 0; i < CALLS; i++)
      call(i);
    took[r] = (double)(now_ns() - began) / CALLS;
  }
  qsort(took, ROUNDS, sizeof took[0], by_value);
  printf("%-24s%8.2f%8.2f\n", name, took[0] - empty_least, took[ROUNDS / 2] - empty_median);
  if (call == nothing) {
    empty_least = took[0];
    empty_median = took[ROUNDS / 2];
  }
}

int main(void) {
  set_up();
  printf("%-24s%8s%8s\n", "ns a call", "least", "median");
  measure("the empty loop", nothing);
  measure("tanist_epoch", epoch);
  measure("tanist_may_serve", may_serve);
  measure("tanist_stamp", stamped);
  stamp = (struct tanist_stamp){{1}, 4, 0};
  measure("tanist_fence_check", fence_check);
  measure("tanist_ack_ready", ack_ready);
  measure("tanist_report_position", reported);
  tear_down();
  return sink == 0;
}
