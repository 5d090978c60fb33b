// SPDX-License-Identifier: Apache-2.0
// republish ADDRESS:PORT ...
// Publishes stdin as one message, under the key that `tanist orphans replay` gives; the broker drops it if it has
// it. Ends with 0 once it is acknowledged.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/broker/reach.h"

#define PATIENCE_S 5

struct republish {
  struct reach *reach;
  struct event_base *loop;
  struct frame frame;
  bool acknowledged;
};

static void on_reached(void *arg) {
  struct republish *r = arg;
  frame_put(bufferevent_get_output(reach_connection(r->reach)), &r->frame);
}

static bool on_frame(void *arg, const struct frame *f) {
  struct republish *r = arg;
  if (f->type != FRAME_ACK)
    return false;
  r->acknowledged = true;
  event_base_loopbreak(r->loop);
  return true;
}

static bool on_silence(void *arg) {
  event_base_loopbreak(((struct republish *)arg)->loop);
  return true;
}

int main(int argc, char **argv) {
  static char data[FRAME_DATA_MAX];
  const char *producer = getenv("TANIST_ORPHAN_PRODUCER"), *number = getenv("TANIST_ORPHAN_NUMBER");
  if (argc < 2 || producer == NULL || number == NULL) {
    fprintf(stderr, "usage: tanist orphans replay FILE -- republish ADDRESS:PORT ...\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  struct republish r = {.loop = event_base_new(),
                        .frame = {.type = FRAME_PUBLISH,
                                  .producer = strtoull(producer, NULL, 16),
                                  .number = strtoull(number, NULL, 10),
                                  .data = data,
                                  .size = fread(data, 1, sizeof data, stdin)}};
  struct reach_watch watch = {&r, on_reached, on_frame, on_silence};
  r.reach = reach_open(r.loop, argv + 1, PATIENCE_S, &watch);
  event_base_dispatch(r.loop);
  reach_close(r.reach);
  event_base_free(r.loop);
  return r.acknowledged ? 0 : 1;
}
