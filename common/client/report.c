// SPDX-License-Identifier: Apache-2.0
// The broker's word to the agent, and what may be acknowledged (brokers.md, rule 1).
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/client/handle.h"

#define SUFFIX ".state"

static int report_path(const struct tanist *t, char *path, size_t size) {
  size_t length = strlen(t->path), suffix = strlen(SUFFIX);
  if (length < suffix || strcmp(t->path + length - suffix, SUFFIX) != 0 || length + 2 > size)
    return -EINVAL;
  memcpy(path, t->path, length - suffix);
  memcpy(path + length - suffix, ".report", sizeof ".report");
  return 0;
}

/* At the first word, not at tanist_open: a consumer never says one, and may not be allowed to. */
static int open_report(struct tanist *t) {
  char path[sizeof t->path + 1];
  int rc = report_path(t, path, sizeof path);
  if (rc == 0)
    rc = page_map(&t->report, &t->report_fd, path, PAGE_REPORT_MAGIC, true);
  if (rc == 0)
    t->said = (struct page_report){.pid = (uint64_t)getpid(), .incarnation = handle_now_ns()};
  return rc;
}

static int ready(struct tanist *t) {
  return t->report != NULL ? 0 : open_report(t);
}

static int say(struct tanist *t) {
  page_write(t->report, &t->said, PAGE_WORDS(struct page_report));
  return 0;
}

void handle_answer(struct tanist *t, uint64_t ping) {
  if (t->report == NULL || t->said.pong == ping)
    return;
  t->said.pong = ping;
  say(t);
  page_ring(t->report_fd);
}

int tanist_report_position(struct tanist *t, uint64_t epoch, uint64_t durable, uint64_t applied) {
  bool first = t->report == NULL;
  int rc = ready(t);
  if (rc != 0)
    return rc;
  t->said.epoch = epoch;
  t->said.durable = durable;
  t->said.applied = applied;
  rc = say(t);
  if (first) /* here is a broker */
    page_ring(t->report_fd);
  return rc;
}

int tanist_peer_acked(struct tanist *t, uint64_t epoch, uint64_t position) {
  struct page_state now;
  int rc = ready(t);
  if (rc != 0)
    return rc;
  if (!page_read(t->page, &now, PAGE_WORDS(struct page_state)))
    return -EAGAIN;
  if (epoch != now.reign)
    return -ESTALE;
  if (t->said.peer_epoch != epoch) {
    t->said.peer_epoch = epoch;
    t->said.peer_position = 0;
  }
  if (position > t->said.peer_position)
    t->said.peer_position = position;
  return say(t);
}

int tanist_attached(struct tanist *t, bool attached) {
  int rc = ready(t);
  if (rc != 0)
    return rc;
  t->said.attached = attached;
  if (!attached) { /* what it holds is to be confirmed anew: it may come back with less */
    t->said.peer_epoch = t->said.peer_position = 0;
  }
  rc = say(t);
  page_ring(t->report_fd);
  return rc;
}

int tanist_healthy(struct tanist *t, bool healthy) {
  int rc = ready(t);
  if (rc != 0)
    return rc;
  t->said.unfit = !healthy;
  rc = say(t);
  page_ring(t->report_fd);
  return rc;
}

int tanist_done(struct tanist *t, uint32_t serial) {
  int rc = ready(t);
  if (rc != 0)
    return rc;
  t->said.done_serial = serial;
  t->said.done_position = t->said.durable;
  rc = say(t);
  page_ring(t->report_fd);
  return rc;
}

int tanist_progress(struct tanist *t, enum tanist_counter counter, uint64_t n) {
  int rc = ready(t);
  if (rc != 0)
    return rc;
  if ((unsigned)counter >= TANIST_COUNTERS)
    return -EINVAL;
  t->said.counter[counter] = n;
  return say(t);
}

/* As text of a page: what does not fit is cut off. */
static void put_text(char *to, size_t room, const char *text) {
  size_t size = strnlen(text, room - 1);
  memset(to, 0, room);
  memcpy(to, text, size);
}

int tanist_orphaned(struct tanist *t, const char *path) {
  int rc = ready(t);
  if (rc != 0)
    return rc;
  put_text(t->said.orphan, sizeof t->said.orphan, path);
  t->said.orphans++;
  rc = say(t);
  page_ring(t->report_fd);
  return rc;
}

int tanist_suspect(struct tanist *t, const char *reason) {
  int rc = ready(t);
  if (rc != 0)
    return rc;
  put_text(t->said.suspect, sizeof t->said.suspect, reason);
  t->said.suspects++;
  rc = say(t);
  page_ring(t->report_fd);
  return rc;
}

int tanist_overtaken(struct tanist *t, uint64_t epoch) {
  char text[sizeof t->said.suspect];
  if (epoch <= t->overtaken)
    return 0;
  t->overtaken = epoch;
  snprintf(text, sizeof text, "a receiver has seen epoch %" PRIu64 ": nothing is served below it", epoch);
  return tanist_suspect(t, text);
}

/* The lease too: where one node's copy is enough, it is all that keeps two from acknowledging. */
static bool leads(const struct tanist *t, const struct page_state *now) {
  return handle_admitted(t, now->admitted) && now->role == TANIST_MASTER && now->duty_mode == TANIST_LEAD &&
         now->duty_epoch == now->reign && !(now->duty_flags & PAGE_PAUSED) &&
         handle_runs(t, now->reign, now->lease_end_ns);
}

/* How far every node in `need` is, under the reign. The own copy counts, whatever `need` says. */
static uint64_t held(const struct tanist *t, const struct page_state *now) {
  uint64_t peer = t->said.peer_epoch == now->reign ? t->said.peer_position : 0;
  bool waits = (now->need & TANIST_NEED(1 - t->page->head.self)) != 0;
  peer = waits && peer > 0 ? peer + now->max_lag : peer;
  return waits && peer < t->said.durable ? peer : t->said.durable;
}

uint64_t tanist_commit_position(struct tanist *t) {
  struct page_state now;
  if (!page_read(t->page, &now, PAGE_WORDS(struct page_state)) || !leads(t, &now))
    return 0;
  if (t->commit_epoch != now.reign) {
    t->commit_epoch = now.reign;
    t->commit = 0;
  }
  uint64_t position = held(t, &now);
  return t->commit = position > t->commit ? position : t->commit;
}

bool tanist_ack_ready(struct tanist *t, uint64_t epoch, uint64_t position) {
  uint64_t commit = tanist_commit_position(t);
  return commit != 0 && t->commit_epoch == epoch && position <= commit;
}
