// SPDX-License-Identifier: Apache-2.0
// produce OUTBOX COUNT SIZE RATE WINDOW ADDRESS:PORT ...
// Publishes COUNT numbered messages of SIZE bytes, RATE a second (0: as fast as may be), with at most WINDOW
// unacknowledged, or until SIGTERM; whatever was not acknowledged goes to the next master again. On stdout a line
// "acked PRODUCER NUMBER US" each, US of CLOCK_MONOTONIC; ends when all are acknowledged.
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/broker/reach.h"

#define OUTBOX_SIZE (16U << 20)
#define PATIENCE_S 1 // without an acknowledgement while one is due

struct producer {
  struct reach *reach;
  struct tanist_outbox *outbox;
  struct event_base *loop;
  struct event *due;
  uint64_t made, count;
  size_t size, window, rate;
  int64_t began_us;
  char *data;
};

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// How many may have been made by now; *wait_us: until the next one.
static uint64_t allowed(const struct producer *p, int64_t *wait_us) {
  *wait_us = 0;
  if (p->rate == 0)
    return p->count;
  int64_t passed = now_us() - p->began_us;
  uint64_t n = (uint64_t)passed * p->rate / 1000000 + 1;
  *wait_us = (int64_t)(n * 1000000 / p->rate) - passed + 1;
  return n < p->count ? n : p->count;
}

static void make(struct producer *p) {
  int64_t wait_us;
  uint64_t until = allowed(p, &wait_us), number;
  while (p->made < until && tanist_outbox_count(p->outbox) < p->window) {
    int n = snprintf(p->data, p->size, "%" PRIu64, p->made + 1);
    memset(p->data + n, '.', p->size - (size_t)n);
    if (tanist_outbox_put(p->outbox, p->data, p->size, &number) != 0)
      break;
    p->made++;
  }
  if (p->made < p->count && p->made == until)
    event_add(p->due, &(struct timeval){wait_us / 1000000, wait_us % 1000000});
}

static void send_more(struct producer *p) {
  struct bufferevent *to = reach_connection(p->reach);
  struct tanist_message m;
  make(p);
  while (to != NULL && tanist_outbox_next(p->outbox, &m) == 1)
    frame_put(bufferevent_get_output(to), &(struct frame){.type = FRAME_PUBLISH,
                                                          .producer = m.producer,
                                                          .number = m.number,
                                                          .data = m.data,
                                                          .size = m.size});
}

static void on_reached(void *arg) {
  struct producer *p = arg;
  tanist_outbox_rewind(p->outbox);
  send_more(p);
}

static bool on_frame(void *arg, const struct frame *f) {
  struct producer *p = arg;
  if (f->type != FRAME_ACK)
    return false;
  if (tanist_outbox_acked(p->outbox, f->number) == 0)
    printf("acked %016" PRIx64 " %" PRIu64 " %" PRId64 "\n", f->producer, f->number, now_us());
  if (p->made == p->count && tanist_outbox_count(p->outbox) == 0)
    event_base_loopbreak(p->loop);
  send_more(p);
  return true;
}

static bool on_silence(void *arg) {
  return tanist_outbox_count(((struct producer *)arg)->outbox) == 0;
}

// SIGTERM: no more are made, but what was made is seen through.
static void on_enough(evutil_socket_t number, short what, void *arg) {
  struct producer *p = arg;
  (void)number;
  (void)what;
  p->count = p->made;
  event_del(p->due);
  if (tanist_outbox_count(p->outbox) == 0)
    event_base_loopbreak(p->loop);
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  send_more(arg);
}

int main(int argc, char **argv) {
  if (argc < 7) {
    fprintf(stderr, "usage: produce OUTBOX COUNT SIZE RATE WINDOW ADDRESS:PORT ...\n");
    return 2;
  }
  struct producer p = {.count = strtoull(argv[2], NULL, 10),
                       .size = strtoul(argv[3], NULL, 10),
                       .rate = strtoul(argv[4], NULL, 10),
                       .window = strtoul(argv[5], NULL, 10),
                       .began_us = now_us()};
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);
  p.data = malloc(p.size + 32);
  p.loop = event_base_new();
  p.due = evtimer_new(p.loop, on_due, &p);
  int rc = tanist_outbox_open(&p.outbox, argv[1], OUTBOX_SIZE);
  if (rc != 0) {
    fprintf(stderr, "produce: %s: %s\n", argv[1], strerror(-rc));
    return 1;
  }
  struct reach_watch watch = {&p, on_reached, on_frame, on_silence};
  p.reach = reach_open(p.loop, argv + 6, PATIENCE_S, &watch);
  struct event *enough = evsignal_new(p.loop, SIGTERM, on_enough, &p);
  event_add(enough, NULL);
  event_base_dispatch(p.loop);
  event_free(enough);
  reach_close(p.reach);
  tanist_outbox_close(p.outbox);
  event_free(p.due);
  event_base_free(p.loop);
  free(p.data);
  return 0;
}
