// SPDX-License-Identifier: Apache-2.0
// On the wire, in network order:
//   'C' | generation 4 | base 4 | serial 4 | changes ...     what follows `base`, up to `serial`; base 0: of nothing
//   'K' | generation 4 | serial 4                            everything up to `serial` has come
// A change: 1 byte (80 gone, 40 IPv6, the rest the virtual IP's place) | local port 2 | peer's 2 | peer 4 or 16
#include "agent/flows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"

#define HEAD_SIZE 13
#define CONFIRM_SIZE 9
#define GONE 0x80
#define SIX 0x40
#define PLACE 0x0f

static_assert(FLOWS_ADDRESSES <= PLACE + 1, "a place fits");

struct change {
  struct flow flow;
  uint32_t serial;
  bool gone;
};

struct row {
  struct change *at;
  size_t count, room;
};

struct flows_sender {
  uint32_t generation, serial, confirmed;
  struct row live, next, gone; // live, next: in the order of flows; gone: until confirmed
  struct row changes;          // behind `confirmed` when it was made, in the order of serials
};

static bool put(struct row *row, const struct change *change) {
  if (row->count == row->room) {
    size_t room = row->room == 0 ? 64 : row->room * 2;
    struct change *more = realloc(row->at, room * sizeof *more);
    if (more == NULL)
      return false; /* one client more that finds out by itself */
    row->at = more;
    row->room = room;
  }
  row->at[row->count++] = *change;
  return true;
}

static int by_flow(const void *a, const void *b) {
  return memcmp(&((const struct change *)a)->flow, &((const struct change *)b)->flow, sizeof(struct flow));
}

static int by_serial(const void *a, const void *b) {
  uint32_t x = ((const struct change *)a)->serial, y = ((const struct change *)b)->serial;
  return (x > y) - (x < y);
}

static void sort(struct row *row, int (*order)(const void *, const void *)) {
  if (row->count > 1)
    qsort(row->at, row->count, sizeof *row->at, order);
}

struct flows_sender *flows_sender_new(uint32_t generation) {
  struct flows_sender *s = calloc(1, sizeof *s);
  if (s != NULL)
    s->generation = generation;
  return s;
}

void flows_sender_free(struct flows_sender *s) {
  if (s == NULL)
    return;
  free(s->live.at);
  free(s->next.at);
  free(s->gone.at);
  free(s->changes.at);
  free(s);
}

size_t flows_count(const struct flows_sender *s) {
  return s->live.count;
}

// ---- what changed ----

static void list_changes(struct flows_sender *s) {
  s->changes.count = 0;
  for (size_t i = 0; i < s->live.count; i++)
    if (s->live.at[i].serial > s->confirmed)
      put(&s->changes, &s->live.at[i]);
  for (size_t i = 0; i < s->gone.count; i++)
    put(&s->changes, &s->gone.at[i]);
  sort(&s->changes, by_serial);
}

void flows_begin(struct flows_sender *s) {
  s->next.count = 0;
}

void flows_add(struct flows_sender *s, const struct flow *flow) {
  struct change change = {.flow = *flow};
  put(&s->next, &change);
}

static void go(struct flows_sender *s, const struct change *former) {
  struct change change = {.flow = former->flow, .serial = ++s->serial, .gone = true};
  put(&s->gone, &change);
}

// Both rows are sorted: those in both keep their serial.
static bool compare(struct flows_sender *s) {
  size_t i = 0, j = 0;
  uint32_t before = s->serial;
  while (i < s->live.count || j < s->next.count) {
    int order = i == s->live.count   ? 1
                : j == s->next.count ? -1
                                     : by_flow(&s->live.at[i], &s->next.at[j]);
    if (order < 0)
      go(s, &s->live.at[i++]);
    else if (order > 0)
      s->next.at[j++].serial = ++s->serial;
    else
      s->next.at[j++].serial = s->live.at[i++].serial;
  }
  return s->serial != before;
}

void flows_end(struct flows_sender *s) {
  sort(&s->next, by_flow);
  bool changed = compare(s);
  struct row former = s->live;
  s->live = s->next;
  s->next = former;
  if (changed)
    list_changes(s);
}

static size_t put_change(uint8_t *to, const struct change *c) {
  uint8_t *at = to;
  bool six = c->flow.family == AF_INET6;
  bytes_put_u8(&at, (uint8_t)((c->gone ? GONE : 0) | (six ? SIX : 0) | c->flow.address));
  bytes_put(&at, c->flow.local_port, 2);
  bytes_put(&at, c->flow.peer_port, 2);
  memcpy(at, c->flow.peer, six ? 16 : 4);
  return (size_t)(at - to) + (six ? 16 : 4);
}

size_t flows_write(const struct flows_sender *s, uint8_t *to, size_t room) {
  uint8_t *at = to + HEAD_SIZE;
  uint32_t last = s->confirmed;
  if (s->confirmed == s->serial || room < HEAD_SIZE + 21)
    return 0;
  for (size_t i = 0; i < s->changes.count && (size_t)(at - to) + 21 <= room; i++) {
    if (s->changes.at[i].serial <= s->confirmed)
      continue;
    at += put_change(at, &s->changes.at[i]);
    last = s->changes.at[i].serial;
  }
  size_t size = (size_t)(at - to);
  at = to;
  bytes_put_u8(&at, 'C');
  bytes_put_u32(&at, s->generation);
  bytes_put_u32(&at, s->confirmed);
  bytes_put_u32(&at, last);
  return size;
}

static void forget_gone(struct flows_sender *s) {
  size_t kept = 0;
  for (size_t i = 0; i < s->gone.count; i++)
    if (s->gone.at[i].serial > s->confirmed)
      s->gone.at[kept++] = s->gone.at[i];
  s->gone.count = kept;
}

// Of another generation: the other node has started since, or heard another master: all of it anew.
void flows_confirmed(struct flows_sender *s, const uint8_t *word, size_t size) {
  const uint8_t *at = word + 1;
  if (size < CONFIRM_SIZE || word[0] != 'K')
    return;
  uint32_t generation = bytes_get_u32(&at), serial = bytes_get_u32(&at);
  uint32_t now = generation == s->generation && serial <= s->serial ? serial : 0;
  if (now == s->confirmed)
    return;
  bool back = now < s->confirmed;
  s->confirmed = now;
  forget_gone(s);
  if (back)
    list_changes(s);
}

// ---- at the other node ----

struct flows_receiver {
  uint32_t generation, serial;
  size_t count;
  struct flow at[FLOWS_MAX]; // oldest first
};

struct flows_receiver *flows_receiver_new(void) {
  return calloc(1, sizeof(struct flows_receiver));
}

void flows_receiver_free(struct flows_receiver *r) {
  free(r);
}

static void drop(struct flows_receiver *r, size_t i) {
  memmove(&r->at[i], &r->at[i + 1], (--r->count - i) * sizeof r->at[0]);
}

static void take(struct flows_receiver *r, const struct flow *flow, bool gone) {
  for (size_t i = r->count; gone && i-- > 0;)
    if (memcmp(&r->at[i], flow, sizeof *flow) == 0) {
      drop(r, i);
      return;
    }
  if (gone)
    return;
  if (r->count == FLOWS_MAX)
    drop(r, 0);
  r->at[r->count++] = *flow;
}

static bool take_change(struct flows_receiver *r, const uint8_t **at, const uint8_t *end) {
  struct flow flow;
  memset(&flow, 0, sizeof flow); /* padding too: flows are compared as bytes */
  if (end - *at < 9)
    return false;
  uint8_t head = bytes_get_u8(at);
  flow.address = head & PLACE;
  flow.family = head & SIX ? AF_INET6 : AF_INET;
  flow.local_port = (uint16_t)bytes_get(at, 2);
  flow.peer_port = (uint16_t)bytes_get(at, 2);
  long size = flow.family == AF_INET6 ? 16 : 4;
  if (end - *at < size)
    return false;
  memcpy(flow.peer, *at, (size_t)size);
  *at += size;
  take(r, &flow, (head & GONE) != 0);
  return true;
}

void flows_read(struct flows_receiver *r, const uint8_t *word, size_t size) {
  const uint8_t *at = word + 1, *end = word + size;
  if (size < HEAD_SIZE || word[0] != 'C')
    return;
  uint32_t generation = bytes_get_u32(&at), base = bytes_get_u32(&at), serial = bytes_get_u32(&at);
  bool fits = base == 0 || (generation == r->generation && base == r->serial);
  if (!fits || (generation == r->generation && serial <= r->serial && base != 0))
    return;
  if (generation == r->generation && base == 0 && serial <= r->serial)
    return; /* the same beginning once more: it was confirmed, and that is under way */
  if (base == 0)
    r->count = 0;
  r->generation = generation;
  while (take_change(r, &at, end))
    ;
  r->serial = serial;
}

size_t flows_confirm(const struct flows_receiver *r, uint8_t *to, size_t room) {
  uint8_t *at = to;
  if (room < CONFIRM_SIZE)
    return 0;
  bytes_put_u8(&at, 'K');
  bytes_put_u32(&at, r->generation);
  bytes_put_u32(&at, r->serial);
  return CONFIRM_SIZE;
}

size_t flows_known(const struct flows_receiver *r, const struct flow **flows) {
  *flows = r->at;
  return r->count;
}

void flows_forget(struct flows_receiver *r) {
  r->generation = r->serial = 0;
  r->count = 0;
}
