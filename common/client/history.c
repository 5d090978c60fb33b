// SPDX-License-Identifier: Apache-2.0
// The epoch history of a log and where two logs part (protocol.md section 9; Kafka's KIP-101 and KIP-279).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/client/keep.h"
#include "common/client/tanist.h"

#define IDENTITY "tanist epoch history"
#define ROW_SIZE 16

_Static_assert(TANIST_HISTORY_ROWS *ROW_SIZE <= DURABLE_PAYLOAD_MAX, "a whole history fits into one slot");

struct tanist_history {
  struct durable *file; // NULL: in memory only
  size_t count;
  struct tanist_history_row row[TANIST_HISTORY_ROWS];
};

/* Epochs rise; a reign in which nothing was written leaves its position to the next. */
static bool sound(const struct tanist_history_row *row, size_t count) {
  for (size_t i = 1; i < count; i++)
    if (row[i].epoch <= row[i - 1].epoch || row[i].position < row[i - 1].position)
      return false;
  return true;
}

static int load(struct tanist_history *h, const struct durable_content *content) {
  const uint8_t *at = content->payload;
  if (content->size % ROW_SIZE != 0 || content->size / ROW_SIZE > TANIST_HISTORY_ROWS)
    return -EBADMSG;
  h->count = content->size / ROW_SIZE;
  for (size_t i = 0; i < h->count; i++) {
    h->row[i].epoch = bytes_get_u64(&at);
    h->row[i].position = bytes_get_u64(&at);
  }
  return sound(h->row, h->count) ? 0 : -EBADMSG;
}

int tanist_history_open(struct tanist_history **out, const char *path) {
  struct durable_content content;
  *out = NULL;
  struct tanist_history *h = calloc(1, sizeof *h);
  if (h == NULL)
    return -ENOMEM;
  int rc = keep_open(&h->file, path, IDENTITY, &content);
  if (rc == 0)
    rc = load(h, &content);
  if (rc != 0) {
    tanist_history_close(h);
    return rc;
  }
  *out = h;
  return 0;
}

int tanist_history_take(struct tanist_history **out, const struct tanist_history_row *row, size_t count) {
  *out = NULL;
  if (count > TANIST_HISTORY_ROWS)
    return -E2BIG;
  if (!sound(row, count))
    return -EINVAL;
  struct tanist_history *h = calloc(1, sizeof *h);
  if (h == NULL)
    return -ENOMEM;
  h->count = count;
  if (count > 0)
    memcpy(h->row, row, count * sizeof *row);
  *out = h;
  return 0;
}

void tanist_history_close(struct tanist_history *h) {
  if (h == NULL)
    return;
  durable_close(h->file);
  free(h);
}

size_t tanist_history_rows(const struct tanist_history *h, const struct tanist_history_row **row) {
  *row = h->row;
  return h->count;
}

static int save(const struct tanist_history *h) {
  uint8_t payload[DURABLE_PAYLOAD_MAX], *at = payload;
  for (size_t i = 0; i < h->count; i++) {
    bytes_put_u64(&at, h->row[i].epoch);
    bytes_put_u64(&at, h->row[i].position);
  }
  return h->file == NULL ? 0 : durable_write(h->file, payload, (size_t)(at - payload));
}

int tanist_history_append(struct tanist_history *h, uint64_t epoch, uint64_t position) {
  struct tanist_history before = *h;
  while (h->count > 0 && (h->row[h->count - 1].epoch >= epoch || h->row[h->count - 1].position >= position))
    h->count--;
  if (h->count == TANIST_HISTORY_ROWS) {
    h->count--;
    memmove(h->row, h->row + 1, h->count * sizeof h->row[0]);
  }
  h->row[h->count++] = (struct tanist_history_row){epoch, position};
  int rc = save(h);
  if (rc != 0)
    *h = before;
  return rc;
}

int tanist_history_cut(struct tanist_history *h, uint64_t position) {
  size_t count = h->count;
  while (h->count > 0 && h->row[h->count - 1].position >= position)
    h->count--;
  int rc = h->count == count ? 0 : save(h);
  if (rc != 0)
    h->count = count;
  return rc;
}

int tanist_history_end(const struct tanist_history *h, uint64_t epoch, uint64_t log_end, uint64_t *e,
                       uint64_t *end) {
  size_t i = h->count;
  while (i > 0 && h->row[i - 1].epoch > epoch)
    i--;
  if (i == 0)
    return -ENOENT;
  *e = h->row[i - 1].epoch;
  *end = i < h->count ? h->row[i].position : log_end;
  return 0;
}

int tanist_history_diverged(const struct tanist_history *mine, const struct tanist_history *theirs,
                            uint64_t my_end, uint64_t their_end, uint64_t *epoch, uint64_t *position) {
  uint64_t limit = UINT64_MAX, e, end, f, other;
  /* Down both histories in turn, until they name the same epoch. */
  while (tanist_history_end(mine, limit, my_end, &e, &end) == 0 &&
         tanist_history_end(theirs, e, their_end, &f, &other) == 0) {
    if (f == e) {
      *epoch = e;
      *position = end < other ? end : other;
      return 0;
    }
    limit = f;
  }
  return -ENOENT;
}
