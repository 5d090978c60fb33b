// SPDX-License-Identifier: Apache-2.0
#include "tests/broker/frame.h"

#include <string.h>

#include "common/base/bytes.h"

#define HEAD_SIZE 5

enum field { STAMP = 1, EPOCH = 2, POSITION = 4, PRODUCER = 8, NUMBER = 16, DATA = 32 };

static const unsigned fields[] = {
    [FRAME_PUBLISH] = PRODUCER | NUMBER | DATA,
    [FRAME_ACK] = PRODUCER | NUMBER,
    [FRAME_MOVED] = DATA,
    [FRAME_SUBSCRIBE] = EPOCH | POSITION,
    [FRAME_VOID] = STAMP | POSITION,
    [FRAME_ENTRY] = STAMP | EPOCH | POSITION | PRODUCER | NUMBER | DATA,
    [FRAME_IDLE] = STAMP,
    [FRAME_JOIN] = 0,
    [FRAME_HISTORY] = STAMP | POSITION | DATA,
    [FRAME_FROM] = POSITION,
    [FRAME_DURABLE] = EPOCH | POSITION,
    [FRAME_STALE] = EPOCH,
};

static uint64_t *number_of(struct frame *f, enum field field) {
  return field == EPOCH ? &f->epoch : field == POSITION ? &f->position : field == PRODUCER ? &f->producer : &f->number;
}

static const enum field numbers[] = {EPOCH, POSITION, PRODUCER, NUMBER};
#define NUMBERS (sizeof numbers / sizeof numbers[0])

static size_t fixed_size(unsigned has) {
  size_t size = has & STAMP ? TANIST_STAMP_SIZE : 0;
  for (size_t i = 0; i < NUMBERS; i++)
    size += has & numbers[i] ? 8 : 0;
  return size;
}

void frame_put(struct evbuffer *to, const struct frame *frame) {
  struct frame f = *frame;
  uint8_t head[HEAD_SIZE + TANIST_STAMP_SIZE + 8 * NUMBERS], *at = head;
  unsigned has = fields[f.type];
  size_t size = has & DATA ? f.size : 0;
  bytes_put_u32(&at, (uint32_t)(1 + fixed_size(has) + size));
  *at++ = (uint8_t)f.type;
  if (has & STAMP) {
    tanist_stamp_encode(&f.stamp, at);
    at += TANIST_STAMP_SIZE;
  }
  for (size_t i = 0; i < NUMBERS; i++)
    if (has & numbers[i])
      bytes_put_u64(&at, *number_of(&f, numbers[i]));
  evbuffer_add(to, head, (size_t)(at - head));
  if (size > 0)
    evbuffer_add(to, f.data, size);
}

void frame_send_last(struct bufferevent *to, const struct frame *frame) {
  struct evbuffer *bytes = evbuffer_new();
  if (bytes == NULL)
    return;
  frame_put(bytes, frame);
  evbuffer_write(bytes, bufferevent_getfd(to)); /* what does not go now is lost with the connection */
  evbuffer_free(bytes);
}

static bool fits(uint8_t type, size_t length) {
  if (type < FRAME_PUBLISH || type > FRAME_STALE)
    return false;
  size_t fixed = 1 + fixed_size(fields[type]);
  return fields[type] & DATA ? length >= fixed && length - fixed <= FRAME_DATA_MAX : length == fixed;
}

int frame_take(struct evbuffer *from, struct frame *f) {
  uint8_t head[HEAD_SIZE];
  const uint8_t *at = head;
  if (evbuffer_copyout(from, head, sizeof head) < (ev_ssize_t)sizeof head)
    return 0;
  size_t length = bytes_get_u32(&at);
  if (!fits(*at, length))
    return -1;
  if (evbuffer_get_length(from) < 4 + length)
    return 0;
  const uint8_t *bytes = evbuffer_pullup(from, (ev_ssize_t)(4 + length)), *end = bytes + 4 + length;
  *f = (struct frame){.type = (enum frame_type)bytes[4]};
  bytes += HEAD_SIZE;
  if (fields[f->type] & STAMP) {
    tanist_stamp_decode(&f->stamp, bytes);
    bytes += TANIST_STAMP_SIZE;
  }
  for (size_t i = 0; i < NUMBERS; i++)
    if (fields[f->type] & numbers[i])
      *number_of(f, numbers[i]) = bytes_get_u64(&bytes);
  f->data = bytes;
  f->size = (size_t)(end - bytes);
  return 1;
}

void frame_drop(struct evbuffer *from) {
  uint8_t head[4];
  const uint8_t *at = head;
  evbuffer_copyout(from, head, sizeof head);
  evbuffer_drain(from, 4 + bytes_get_u32(&at));
}

void frame_put_row(uint8_t *at, const struct tanist_history_row *row) {
  bytes_put_u64(&at, row->epoch);
  bytes_put_u64(&at, row->position);
}

void frame_get_row(struct tanist_history_row *row, const uint8_t *at) {
  row->epoch = bytes_get_u64(&at);
  row->position = bytes_get_u64(&at);
}
