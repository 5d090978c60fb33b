// SPDX-License-Identifier: Apache-2.0
// What Tanist asks of a broker. All of it: report where the log stands, take each duty as it comes, say when
// it is reached.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/broker/broker.h"

void duty_report(struct broker *b) {
  tanist_report_position(b->tanist, log_epoch(b->log), log_durable(b->log), log_end(b->log));
  tanist_progress(b->tanist, TANIST_RECEIVED, b->received);
  tanist_progress(b->tanist, TANIST_ACKNOWLEDGED, b->acknowledged);
  tanist_progress(b->tanist, TANIST_DELIVERED, b->delivered);
}

void duty_done(struct broker *b) {
  duty_report(b);
  tanist_done(b->tanist, b->view.duty_serial);
}

void duty_disk_failed(struct broker *b, int error) {
  fprintf(stderr, "the log cannot be written: %s; nothing is acknowledged any more\n", strerror(-error));
  tanist_healthy(b->tanist, false);
}

static uint64_t newest_reign(const struct broker *b) {
  const struct tanist_history_row *row;
  size_t count = tanist_history_rows(b->history, &row);
  return count == 0 ? 0 : row[count - 1].epoch;
}

// A new reign begins where the log ends: on the disk before the first entry of it.
static void lead(struct broker *b) {
  follow_stop(b);
  if (b->overtaken > b->view.duty_epoch)
    return; /* the page will tell who leads */
  int rc = broker_sync(b);
  if (rc == 0 && newest_reign(b) < b->view.duty_epoch)
    rc = tanist_history_append(b->history, b->view.duty_epoch, log_end(b->log));
  b->leads = rc == 0;
  if (rc != 0) {
    duty_disk_failed(b, rc);
    return;
  }
  duty_done(b);
  serve_pause(b, b->view.paused); /* so that the position stands still */
  serve_advance(b);
}

static void take_duty(struct broker *b) {
  if (b->view.duty_mode == TANIST_LEAD) {
    if (b->view.evict)
      serve_end(b, true);
    lead(b);
    return;
  }
  b->leads = false;
  serve_end(b, false);
  follow_stop(b);
  if (b->view.duty_mode == TANIST_FOLLOW)
    follow_start(b); /* says so itself */
  else if (broker_sync(b) == 0)
    duty_done(b);
}

static void look(struct broker *b) {
  struct tanist_view former = b->view;
  int rc = tanist_view(b->tanist, &b->view);
  if (rc == -EAGAIN) { /* being written: the bell rings again */
    b->view = former;
    return;
  }
  bool duty = b->view.duty_serial != former.duty_serial || b->view.duty_mode != former.duty_mode;
  bool master = b->view.duty_mode == TANIST_FOLLOW && strcmp(b->view.master_address, former.master_address) != 0;
  if (duty || master)
    take_duty(b);
  else
    serve_advance(b); /* the need set may be smaller */
}

static void on_change(evutil_socket_t fd, short what, void *arg) {
  struct broker *b = arg;
  struct tanist_change change;
  (void)fd;
  (void)what;
  while (tanist_next(b->tanist, &change) == 1)
    if (change.type == TANIST_DEPOSED)
      fprintf(stderr, "deposed: %s leads in epoch %llu\n", change.master_address, (unsigned long long)change.epoch);
  look(b);
}

static int attach(struct broker *b) {
  b->view.duty_serial = UINT32_MAX; /* any duty is a new one */
  duty_report(b);                   /* first: from here on a duty is for this process */
  b->change = event_new(b->loop, tanist_fd(b->tanist), EV_READ | EV_PERSIST, on_change, b);
  if (b->change == NULL || event_add(b->change, NULL) != 0)
    return -ENOMEM;
  event_active(b->change, EV_READ, 0);
  return 0;
}

// Until the agent has made its page nobody is served.
static void on_wait(evutil_socket_t fd, short what, void *arg) {
  struct broker *b = arg;
  (void)fd;
  (void)what;
  int rc = duty_open(b);
  if (rc != 0) {
    fprintf(stderr, "%s: %s\n", b->options.state_page, strerror(-rc));
    event_base_loopbreak(b->loop);
  }
}

int duty_open(struct broker *b) {
  static const struct timeval wait = {0, 100000};
  if (b->wait == NULL)
    b->wait = evtimer_new(b->loop, on_wait, b);
  int rc = tanist_open(&b->tanist, b->options.state_page);
  if (rc == -ENOENT || rc == -ESTALE)
    return event_add(b->wait, &wait);
  return rc != 0 ? rc : attach(b);
}

void duty_close(struct broker *b) {
  if (b->wait != NULL)
    event_free(b->wait);
  if (b->change != NULL)
    event_free(b->change);
  tanist_close(b->tanist);
}
