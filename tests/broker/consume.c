// SPDX-License-Identifier: Apache-2.0
// consume FENCE ADDRESS:PORT ...
// Takes every message, behind the receiver's fence. On stdout a line each, CLOCK_MONOTONIC us at its end:
//   entry EPOCH POSITION PRODUCER NUMBER SENDER'S-EPOCH US      void POSITION US      newer EPOCH US
//   refused EPOCH US (of a lower epoch)      gap POSITION US      doubled POSITION US
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/broker/reach.h"

#define SILENCE_S 1 // of a master, whose heartbeat comes ten times a second

struct consumer {
  struct reach *reach;
  struct tanist_fence *fence;
  uint64_t epoch, position; // of the last one taken
};

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void on_reached(void *arg) {
  struct consumer *c = arg;
  frame_put(bufferevent_get_output(reach_connection(c->reach)),
            &(struct frame){.type = FRAME_SUBSCRIBE, .epoch = c->epoch, .position = c->position});
}

static bool take_entry(struct consumer *c, const struct frame *f) {
  c->epoch = f->epoch;
  c->position = f->position;
  printf("entry %" PRIu64 " %" PRIu64 " %016" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRId64 "\n", f->epoch, f->position,
         f->producer, f->number, f->stamp.epoch, now_us());
  return true;
}

// What follows it in this log begins there; the newest epoch it holds is not known, but not above this one.
static bool take_void(struct consumer *c, const struct frame *f) {
  c->position = f->position;
  tanist_fence_expect(c->fence, f->position);
  printf("void %" PRIu64 " %" PRId64 "\n", f->position, now_us());
  return true;
}

static bool on_frame(void *arg, const struct frame *f) {
  struct consumer *c = arg;
  int verdict = tanist_fence_check(c->fence, &f->stamp, f->type == FRAME_ENTRY ? f->position : 0);
  switch (verdict) {
  case TANIST_NEWER:
    printf("newer %" PRIu64 " %" PRId64 "\n", f->stamp.epoch, now_us());
    break;
  case TANIST_OK:
    break;
  case TANIST_STALE:
    printf("refused %" PRIu64 " %" PRId64 "\n", f->stamp.epoch, now_us());
    frame_send_last(reach_connection(c->reach),
                    &(struct frame){.type = FRAME_STALE, .epoch = tanist_fence_epoch(c->fence)});
    return false;
  case TANIST_DOUBLED:
    printf("doubled %" PRIu64 " %" PRId64 "\n", f->position, now_us());
    return false;
  default:
    printf("gap %" PRIu64 " %" PRId64 "\n", f->position, now_us());
    return false;
  }
  if (f->type == FRAME_ENTRY)
    return take_entry(c, f);
  return f->type == FRAME_VOID ? take_void(c, f) : f->type == FRAME_IDLE;
}

static bool on_silence(void *arg) {
  (void)arg;
  return false;
}

int main(int argc, char **argv) {
  struct consumer c = {0};
  if (argc < 3) {
    fprintf(stderr, "usage: consume FENCE ADDRESS:PORT ...\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);
  int rc = tanist_fence_open(&c.fence, argv[1]);
  if (rc != 0) {
    fprintf(stderr, "consume: %s: %s\n", argv[1], strerror(-rc));
    return 1;
  }
  struct event_base *loop = event_base_new();
  struct reach_watch watch = {&c, on_reached, on_frame, on_silence};
  c.reach = reach_open(loop, argv + 2, SILENCE_S, &watch);
  event_base_dispatch(loop);
  return 0;
}
