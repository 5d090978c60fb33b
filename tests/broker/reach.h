// SPDX-License-Identifier: Apache-2.0
// A client's connection to whoever leads: the addresses are tried in turn, at once where the one tried says
// who leads.
#ifndef TANIST_TESTS_BROKER_REACH_H
#define TANIST_TESTS_BROKER_REACH_H

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "tests/broker/frame.h"

struct reach;

struct reach_watch {
  void *arg;
  void (*reached)(void *arg);                          // connected: begin
  bool (*frame)(void *arg, const struct frame *frame); // false: begin anew elsewhere
  bool (*silence)(void *arg);                          // nothing came for so long; true: that is right so
};

// `addresses` ends with NULL and must outlive it.
struct reach *reach_open(struct event_base *, char **addresses, int silence_s, const struct reach_watch *);
struct bufferevent *reach_connection(struct reach *); // NULL while there is none
void reach_close(struct reach *);

#endif
