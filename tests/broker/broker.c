// SPDX-License-Identifier: Apache-2.0
// broker STATE-PAGE DIRECTORY ADDRESS:PORT [--at-once] [--async]
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/broker/broker.h"

#define PRODUCERS_MAX 4096
#define BATCH_MAX 1024 // entries that one sync takes: with endless input a turn of the loop would not end

int broker_sync(struct broker *b) {
  int rc = log_write(b->log);
  rc = rc != 0 ? rc : log_sync(b->log);
  b->batch = 0;
  return rc;
}

static void commit(struct broker *b) {
  bool more = b->batch > 0;
  int rc = broker_sync(b);
  if (rc != 0) {
    duty_disk_failed(b, rc);
    return;
  }
  duty_report(b);
  if (more)
    follow_synced(b);
  serve_advance(b);
}

static void on_commit(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  commit(arg);
}

// The secondary is sent the entries before this node's own sync begins, so that both disks work at a time.
static void on_turn(evutil_socket_t fd, short what, void *arg) {
  static const struct timeval now = {0, 0};
  struct broker *b = arg;
  (void)fd;
  (void)what;
  if (log_write(b->log) == 0)
    serve_advance(b);
  event_add(b->commit, &now);
}

int broker_append(struct broker *b, const struct log_entry *entry) {
  int rc = 0;
  if (entry->epoch > log_epoch(b->log) && !b->leads) /* as master it stands there already */
    rc = tanist_history_append(b->history, entry->epoch, log_end(b->log));
  rc = rc != 0 ? rc : log_append(b->log, entry);
  rc = rc != 0 ? rc : tanist_dedup_take(b->dedup, entry->producer, entry->number);
  if (rc != 0)
    return rc;
  if (b->batch++ == 0)
    event_active(b->turn, EV_TIMEOUT, 0);
  if (b->batch >= BATCH_MAX)
    commit(b);
  return 0;
}

static int feed_dedup(struct broker *b) {
  struct log_entry e;
  int rc = 0;
  tanist_dedup_clear(b->dedup);
  for (uint64_t p = 1; rc == 0 && p <= log_end(b->log); p++) {
    rc = log_read(b->log, p, &e);
    rc = rc != 0 ? rc : tanist_dedup_take(b->dedup, e.producer, e.number);
  }
  return rc;
}

int broker_cut(struct broker *b, uint64_t position) {
  bool shorter = position < log_end(b->log);
  int rc = shorter ? log_cut(b->log, position) : 0;
  rc = rc != 0 ? rc : tanist_history_cut(b->history, position); /* a crash may have come before it last time */
  return rc != 0 || !shorter ? rc : feed_dedup(b);
}

// ---- start and end ----

static void on_signal(evutil_socket_t signal, short what, void *arg) {
  (void)signal;
  (void)what;
  event_base_loopbreak(arg);
}

static int fail(const char *what, int rc) {
  fprintf(stderr, "broker: %s: %s\n", what, strerror(-rc));
  return rc;
}

static const char *in(const struct broker *b, const char *name, char path[512]) {
  snprintf(path, 512, "%s/%s", b->options.directory, name);
  return path;
}

static int open_store(struct broker *b) {
  char path[512];
  int rc = tanist_dedup_open(&b->dedup, PRODUCERS_MAX);
  if (mkdir(in(b, "orphans", path), 0700) != 0 && errno != EEXIST)
    return fail(path, -errno);
  if (rc == 0 && (rc = log_open(&b->log, in(b, "log", path))) != 0)
    return fail(path, rc);
  if (rc == 0 && (rc = tanist_history_open(&b->history, in(b, "history", path))) != 0)
    return fail(path, rc);
  if (rc == 0 && (rc = tanist_fence_open(&b->fence, in(b, "fence", path))) != 0)
    return fail(path, rc);
  return rc == 0 && (rc = feed_dedup(b)) != 0 ? fail("the log's producers", rc) : rc;
}

static int open_all(struct broker *b) {
  b->loop = event_base_new();
  if (b->loop == NULL || event_base_priority_init(b->loop, 3) != 0)
    return fail("start", -ENOMEM);
  b->turn = event_new(b->loop, -1, 0, on_turn, b);
  b->commit = evtimer_new(b->loop, on_commit, b);
  event_priority_set(b->turn, 2); /* after all that has come in, */
  event_priority_set(b->commit, 2); /* and has gone out */
  int rc = open_store(b);
  if (rc == 0 && (rc = serve_open(b)) != 0)
    fail(b->options.listen, rc);
  if (rc == 0 && (rc = duty_open(b)) != 0)
    fail(b->options.state_page, rc);
  return rc;
}

static void close_all(struct broker *b) {
  follow_stop(b);
  serve_close(b);
  duty_close(b);
  tanist_fence_close(b->fence);
  tanist_history_close(b->history);
  tanist_dedup_close(b->dedup);
  log_close(b->log);
  event_free(b->turn);
  event_free(b->commit);
  event_base_free(b->loop);
}

int main(int argc, char **argv) {
  struct broker b = {0};
  bool usage = argc < 4;
  for (int i = 4; i < argc; i++)
    if (strcmp(argv[i], "--at-once") == 0)
      b.options.at_once = true;
    else if (strcmp(argv[i], "--async") == 0)
      b.options.async = true;
    else
      usage = true;
  if (usage) {
    fprintf(stderr, "usage: broker STATE-PAGE DIRECTORY ADDRESS:PORT [--at-once] [--async]\n");
    return 2;
  }
  b.options.state_page = argv[1];
  b.options.directory = argv[2];
  b.options.listen = argv[3];
  signal(SIGPIPE, SIG_IGN);
  if (open_all(&b) != 0)
    return 1;
  struct event *term = evsignal_new(b.loop, SIGTERM, on_signal, b.loop);
  event_add(term, NULL);
  event_base_dispatch(b.loop);
  event_free(term);
  close_all(&b);
  return 0;
}
