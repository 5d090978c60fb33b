// SPDX-License-Identifier: Apache-2.0
// The secondary's side: find where the logs part, keep aside and cut off what is past that (protocol.md section
// 9), and copy what the master sends. Each frame of it must pass the receiver's fence.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "tests/broker/broker.h"

#define SILENCE_S 2 // of a master, whose heartbeat comes ten times a second

static void lose_master(struct broker *b) {
  static const struct timeval soon = {0, 20000};
  if (b->master != NULL)
    bufferevent_free(b->master);
  b->master = NULL;
  if (b->following)
    tanist_attached(b->tanist, false);
  b->following = false;
  if (b->again != NULL)
    event_add(b->again, &soon);
}

static void send_frame(struct broker *b, const struct frame *f) {
  frame_put(bufferevent_get_output(b->master), f);
}

// ---- section 9 ----

static int64_t wall_ms(void) {
  struct timeval now;
  gettimeofday(&now, NULL);
  return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

static int write_orphans(struct broker *b, struct tanist_orphan *orphan, uint64_t position) {
  struct log_entry e;
  int rc = 0;
  for (uint64_t p = position + 1; rc == 0 && p <= log_end(b->log); p++) {
    rc = log_read(b->log, p, &e);
    struct tanist_orphan_entry out = {e.epoch, p, e.producer, e.number, e.data, e.size};
    rc = rc != 0 ? rc : tanist_orphan_write(orphan, &out);
  }
  return rc;
}

// What is about to be cut off is on the disk under its own name before the log is touched.
static int keep_aside(struct broker *b, uint64_t epoch, uint64_t position) {
  char path[512];
  struct tanist_orphan *orphan;
  struct tanist_orphan_head head = {epoch, position, b->view.duty_epoch, wall_ms()};
  if (position >= log_end(b->log))
    return 0;
  snprintf(path, sizeof path, "%s/orphans/%llu-%llu-%lld", b->options.directory, (unsigned long long)head.master_epoch,
           (unsigned long long)position, (long long)head.wall_ms);
  int rc = tanist_orphan_create(&orphan, path, &head);
  if (rc != 0)
    return rc;
  rc = write_orphans(b, orphan, position);
  if (rc != 0) {
    tanist_orphan_close(orphan);
    return rc;
  }
  rc = tanist_orphan_finish(orphan);
  if (rc == 0)
    tanist_orphaned(b->tanist, path);
  return rc;
}

static int cut_back(struct broker *b, const struct frame *f) {
  struct tanist_history_row rows[TANIST_HISTORY_ROWS];
  struct tanist_history *theirs;
  uint64_t epoch = 0, position = 0;
  size_t count = f->size / sizeof rows[0];
  if (count > TANIST_HISTORY_ROWS || f->size % sizeof rows[0] != 0)
    return -EBADMSG;
  for (size_t i = 0; i < count; i++)
    frame_get_row(&rows[i], (const uint8_t *)f->data + i * sizeof rows[0]);
  int rc = tanist_history_take(&theirs, rows, count);
  if (rc != 0)
    return rc;
  rc = tanist_history_diverged(b->history, theirs, log_end(b->log), f->position, &epoch, &position);
  tanist_history_close(theirs);
  if (rc == -ENOENT) /* nothing in common: all of it anew */
    position = 0;
  else if (rc != 0)
    return rc;
  rc = keep_aside(b, epoch, position);
  return rc != 0 ? rc : broker_cut(b, position);
}

// ---- frames ----

static bool take_history(struct broker *b, const struct frame *f) {
  int rc = broker_sync(b); /* what it says to hold is on the disk */
  rc = rc != 0 ? rc : cut_back(b, f);
  if (rc != 0) {
    fprintf(stderr, "cannot rejoin: %s\n", strerror(-rc));
    return false;
  }
  tanist_fence_expect(b->fence, log_end(b->log));
  send_frame(b, &(struct frame){.type = FRAME_FROM, .position = log_end(b->log)});
  b->following = true;
  duty_report(b);
  tanist_attached(b->tanist, true);
  duty_done(b);
  return true;
}

static bool take_entry(struct broker *b, const struct frame *f) {
  struct log_entry entry = {f->epoch, f->producer, f->number, f->data, f->size};
  return b->following && f->position == log_end(b->log) + 1 && broker_append(b, &entry) == 0;
}

// Of a master that is none any more, or doubled, or with a gap: the connection ends, and the next one begins
// with what the log holds.
static bool take(struct broker *b, const struct frame *f) {
  if (f->type == FRAME_MOVED)
    return false;
  int verdict = tanist_fence_check(b->fence, &f->stamp, f->type == FRAME_ENTRY ? f->position : 0);
  if (verdict == TANIST_STALE)
    frame_send_last(b->master, &(struct frame){.type = FRAME_STALE, .epoch = tanist_fence_epoch(b->fence)});
  if (verdict != TANIST_OK && verdict != TANIST_NEWER)
    return false;
  if (f->type == FRAME_HISTORY)
    return take_history(b, f);
  return f->type == FRAME_ENTRY ? take_entry(b, f) : f->type == FRAME_IDLE;
}

void follow_synced(struct broker *b) {
  if (b->following)
    send_frame(b, &(struct frame){.type = FRAME_DURABLE,
                                  .epoch = b->view.duty_epoch,
                                  .position = log_durable(b->log)});
}

static void on_read(struct bufferevent *connection, void *arg) {
  struct broker *b = arg;
  struct evbuffer *in = bufferevent_get_input(connection);
  struct frame f;
  int rc;
  while ((rc = frame_take(in, &f)) == 1) {
    if (!take(b, &f)) {
      lose_master(b);
      return;
    }
    frame_drop(in);
  }
  if (rc < 0)
    lose_master(b);
}

static void on_event(struct bufferevent *connection, short what, void *arg) {
  struct broker *b = arg;
  (void)connection;
  if (what & BEV_EVENT_CONNECTED)
    send_frame(b, &(struct frame){.type = FRAME_JOIN});
  else
    lose_master(b);
}

static void on_again(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  follow_start(arg);
}

void follow_start(struct broker *b) {
  static const struct timeval silence = {SILENCE_S, 0};
  struct sockaddr_storage address;
  int size = sizeof address;
  if (b->again == NULL)
    b->again = evtimer_new(b->loop, on_again, b);
  if (evutil_parse_sockaddr_port(b->view.master_address, (struct sockaddr *)&address, &size) != 0)
    return; /* not known yet: a change will tell */
  b->master = bufferevent_socket_new(b->loop, -1, BEV_OPT_CLOSE_ON_FREE);
  bufferevent_setcb(b->master, on_read, NULL, on_event, b);
  bufferevent_set_timeouts(b->master, &silence, NULL);
  bufferevent_enable(b->master, EV_READ | EV_WRITE);
  if (bufferevent_socket_connect(b->master, (struct sockaddr *)&address, size) != 0)
    lose_master(b);
}

void follow_stop(struct broker *b) {
  lose_master(b);
  if (b->again != NULL)
    event_free(b->again);
  b->again = NULL;
}
