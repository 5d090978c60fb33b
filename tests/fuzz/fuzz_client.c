// SPDX-License-Identifier: Apache-2.0
// What libtanist reads: its durable files, an outbox, an orphan file, the state page of another program.
// Input: which of them, then its bytes; where a checksum only keeps damage out, it is put right.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/crc.h"
#include "common/client/layout.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define ROWS_MAX 16

// ---- the epoch history ----

static size_t take_rows(struct input *input, struct tanist_history_row row[ROWS_MAX]) {
  size_t count = input_below(input, ROWS_MAX);
  for (size_t i = 0; i < count; i++)
    row[i] = (struct tanist_history_row){input_u8(input), input_u8(input)};
  return count;
}

static void history(struct input *input) {
  struct tanist_history *mine, *theirs;
  struct tanist_history_row rows[ROWS_MAX];
  const struct tanist_history_row *row;
  uint64_t epoch, position, my_end = input_u8(input), their_end = input_u8(input);
  size_t count = take_rows(input, rows);
  if (tanist_history_take(&theirs, rows, count) != 0)
    return;
  if (tanist_history_open(&mine, slot_file("history", "tanist epoch history", input)) == 0) {
    count = tanist_history_rows(mine, &row);
    for (size_t i = 1; i < count; i++)
      assert(row[i].epoch > row[i - 1].epoch && row[i].position >= row[i - 1].position);
    if (tanist_history_diverged(mine, theirs, my_end, their_end, &epoch, &position) == 0)
      assert(position <= my_end || (count > 0 && position <= row[count - 1].position));
    assert(tanist_history_append(mine, my_end, their_end) == 0);
    count = tanist_history_rows(mine, &row);
    assert(row[count - 1].epoch == my_end && row[count - 1].position == their_end);
    tanist_history_close(mine);
  }
  tanist_history_close(theirs);
}

// ---- the receiver's fence ----

static void fence(struct input *input) {
  struct tanist_fence *f;
  struct tanist_stamp stamp = {.epoch = input_u64(input), .serial = 1};
  uint64_t position = input_u8(input);
  if (tanist_fence_open(&f, slot_file("fence", "tanist receiver's fence", input)) != 0)
    return;
  uint64_t before = tanist_fence_epoch(f);
  int verdict = tanist_fence_check(f, &stamp, position);
  assert(tanist_fence_epoch(f) >= before);
  assert(stamp.epoch >= before || verdict == TANIST_STALE || verdict < 0);
  tanist_fence_close(f);
}

// ---- the outbox ----

struct ring { // as outbox.c lays it out
  uint64_t magic, size, producer, begin, end, number;
  char boot_id[PAGE_BOOT_ID];
  uint8_t record[];
};

struct record {
  uint64_t number;
  uint32_t size, crc;
  uint64_t producer, acked;
  uint8_t data[];
};

/* The records as far as they follow each other: each gets its checksum. */
static void put_checksums(struct ring *ring, size_t room) {
  size_t first = ring->begin % room;
  for (size_t at = first; at % 8 == 0 && at + sizeof(struct record) <= room;) {
    struct record *r = (struct record *)(void *)(ring->record + at);
    if (r->size > room - at - sizeof *r)
      return;
    uint64_t part[4] = {ring->begin + (at - first), r->number, r->producer, r->size};
    r->crc = crc32c(part, sizeof part) ^ crc32c(r->data, r->size);
    at += (sizeof *r + r->size + 7) & ~(size_t)7;
  }
}

static const char *outbox_file(struct input *input) {
  static _Alignas(8) uint8_t file[4096];
  struct ring *ring = (struct ring *)(void *)file;
  const uint8_t *bytes;
  size_t room = sizeof file - sizeof *ring;
  memset(file, 0, sizeof file);
  *ring = (struct ring){.magic = 0x3278626f74616e74U, .size = sizeof file, .producer = 7};
  bool far = input_u8(input) % 4 == 0;
  ring->begin = far ? input_u64(input) : 8 * (uint64_t)input_u16(input);
  ring->end = ring->begin + (far ? input_u64(input) : 8 * (uint64_t)input_u16(input));
  ring->number = input_u8(input);
  size_t size = input_bytes(input, room, &bytes);
  if (size > 0)
    memcpy(ring->record, bytes, size);
  put_checksums(ring, room & ~(size_t)7);
  return input_file("outbox", file, sizeof file);
}

static void outbox(struct input *input) {
  struct tanist_outbox *o;
  struct tanist_message message;
  uint64_t number, first = 0;
  if (tanist_outbox_open(&o, outbox_file(input), 4096) != 0)
    return;
  for (unsigned i = 0; i < 200 && tanist_outbox_next(o, &message) == 1; i++) {
    assert(message.size <= 4096);
    if (message.size > 0) /* all of it can be read */
      crc32c(message.data, message.size);
    first = first == 0 ? message.number : first;
  }
  (void)tanist_outbox_put(o, "hello", 5, &number);
  (void)tanist_outbox_acked(o, first);
  tanist_outbox_rewind(o);
  tanist_outbox_close(o);
}

// ---- an orphan file ----

static size_t put_crc(uint8_t *from, uint8_t *at) {
  bytes_put_u32(&at, crc32c(from, (size_t)(at - from)));
  return (size_t)(at - from);
}

static const char *orphan_file(struct input *input) {
  static uint8_t file[16384];
  uint8_t *at = file + 8;
  memcpy(file, "tanistO2", 8);
  for (unsigned i = 0; i < 4; i++)
    bytes_put_u64(&at, input_u8(input));
  size_t size = put_crc(file, at);
  while (input->left > 0 && size < sizeof file - 600) {
    const uint8_t *data;
    uint8_t *entry = file + size, bits = input_u8(input);
    at = entry;
    for (unsigned i = 0; i < 4; i++)
      bytes_put_u64(&at, input_u8(input));
    size_t length = input_bytes(input, input_u8(input), &data);
    bytes_put_u32(&at, (bits & 1) != 0 ? input_u32(input) : (uint32_t)length);
    bytes_put_u32(&at, crc32c(data, length));
    size += put_crc(entry, at);
    if (length > 0)
      memcpy(file + size, data, length);
    size += length;
    if ((bits & 2) != 0)
      entry[bits >> 2] ^= 1;
  }
  return input_file("orphan", file, size);
}

static void orphan(struct input *input) {
  struct tanist_orphan *o;
  struct tanist_orphan_head head;
  struct tanist_orphan_entry entry;
  int rc = tanist_orphan_open(&o, orphan_file(input), &head);
  assert(rc == 0);
  while ((rc = tanist_orphan_next(o, &entry)) == 1) {
    assert(entry.size <= TANIST_ORPHAN_ENTRY_MAX);
    crc32c(entry.data, entry.size);
  }
  assert(rc <= 0);
  tanist_orphan_close(o);
}

// ---- the state page ----

static const char *page_file(struct input *input) {
  static _Alignas(8) uint8_t file[PAGE_SIZE_BYTES];
  struct page *page = (struct page *)(void *)file;
  const uint8_t *words;
  uint8_t bits = input_u8(input);
  memset(file, 0, sizeof file);
  page->head = (struct page_head){.magic = PAGE_STATE_MAGIC, .layout = PAGE_LAYOUT, .self = bits >> 6};
  page_boot_id(page->head.boot_id);
  if ((bits & 1) != 0)
    page->head.layout = input_u8(input);
  size_t size = input_bytes(input, sizeof(struct page_state), &words);
  if (size > 0)
    memcpy((uint8_t *)file + sizeof *page, words, size);
  return input_file("state", file, (bits & 2) != 0 ? input_u16(input) % (sizeof file + 1) : sizeof file);
}

static void page(struct input *input) {
  struct tanist *t;
  struct tanist_view view;
  struct tanist_change change;
  struct tanist_stamp stamp;
  uint64_t epoch;
  if (tanist_open(&t, page_file(input)) != 0)
    return;
  if (tanist_view(t, &view) == 0)
    assert(memchr(view.master_address, 0, sizeof view.master_address) != NULL);
  (void)tanist_may_serve(t, &epoch);
  (void)tanist_stamp(t, &stamp);
  (void)tanist_commit_position(t);
  for (unsigned i = 0; i < 8 && tanist_next(t, &change) == 1; i++)
    assert(memchr(change.master_address, 0, sizeof change.master_address) != NULL);
  tanist_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static void (*const readers[])(struct input *) = {history, fence, outbox, orphan, page};
  struct input input = {bytes, size};
  readers[input_below(&input, 5)](&input);
  return 0;
}
