// SPDX-License-Identifier: Apache-2.0
// What goes over the reference broker's connections: frames of a length (4 bytes, of what follows), a type
// (1 byte) and its fields, all numbers in network order, 8 bytes each.
#ifndef TANIST_TESTS_BROKER_FRAME_H
#define TANIST_TESTS_BROKER_FRAME_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "common/client/tanist.h"

#define FRAME_DATA_MAX (1U << 20)

enum frame_type {
  // a producer asks, the master answers
  FRAME_PUBLISH = 1, // producer, number, data
  FRAME_ACK,         // producer, number
  FRAME_MOVED,       // address of who leads, as data; the connection ends
  // a consumer
  FRAME_SUBSCRIBE, // epoch, position: of the last entry it has; 0, 0: from the first on
  FRAME_VOID,      // stamp, position: what it has past this position is void: a failover discarded it
  FRAME_ENTRY,     // stamp, epoch, position, producer, number, data; to the secondary too
  FRAME_IDLE,      // stamp: nothing new, but here is a master
  // the secondary, a node with a few words more
  FRAME_JOIN,    // nothing
  FRAME_HISTORY, // stamp, position (the master's log's end), rows as data
  FRAME_FROM,    // position: it holds everything up to there, durably, and wants what follows
  FRAME_DURABLE, // epoch, position
  FRAME_STALE,   // epoch: of its fence, above that of what it was sent; the connection ends. A consumer's too
};

struct frame {
  enum frame_type type;
  struct tanist_stamp stamp;
  uint64_t epoch, position, producer, number;
  const void *data; // of a frame that was taken: valid until it is dropped
  size_t size;
};

void frame_put(struct evbuffer *, const struct frame *);
// At once, as the last one of a connection that is closed next.
void frame_send_last(struct bufferevent *, const struct frame *);

// Looks at the first frame in the buffer: 1 and *frame, 0 if it is not whole yet, -1 if it is none.
int frame_take(struct evbuffer *, struct frame *frame);
// A row of the history, in a frame's data.
void frame_put_row(uint8_t *, const struct tanist_history_row *);
void frame_get_row(struct tanist_history_row *, const uint8_t *);
void frame_drop(struct evbuffer *); // the one that frame_take has shown

#endif
