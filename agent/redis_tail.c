// SPDX-License-Identifier: Apache-2.0
#include "agent/redis_tail.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/orphans.h"
#include "agent/redis_link.h"
#include "agent/redis_stream.h"
#include "agent/redis_trouble.h"
#include "common/base/clock.h"
#include "common/base/crc.h"

#define CHUNK 32 // entries asked for at a time: as many questions fit into a link
#define KEY_MAX 256
#define KEYS_SIZE 65536
#define HUGE_MAX 8 // streams with an entry that is longer than an answer may be
#define ANSWER_MAX (8U << 20)
#define LATE_MS 5000

enum ask { ASK_SCAN, ASK_NEWEST, ASK_OLDEST_THERE, ASK_SAME, ASK_TAIL }; // SAME: + the entry's index << 8

struct redis_tail {
  struct redis_tail_watch watch;
  const struct broker_settings *settings;
  struct redis_link *own, *other;
  char name[64], own_what[32], other_what[32];
  enum redis_tail_state state;
  struct redis_tail_from from;
  char incarnation[48];
  struct instant until;
  uint32_t run; // of redis_tail_keep: answers of an earlier one count no more
  char trouble[REDIS_TROUBLE_MAX];
  size_t chunk, huge_count; // chunk: 1 after an answer that was too large

  size_t pattern; // the one at hand
  char cursor[24];
  char keys[KEYS_SIZE]; // of the page at hand, each ending with 0
  size_t keys_used, keys_at;
  const char *key; // NULL: none, a page of them is asked for
  char end[STREAM_ID_MAX + 1];     // where the next look backwards begins
  char there[STREAM_ID_MAX];       // the oldest entry that the master has; "" none
  char tail_from[STREAM_ID_MAX + 1]; // where the tail begins
  struct {
    char id[STREAM_ID_MAX];
    uint32_t sum;
  } seen[CHUNK];
  size_t seen_count, answered, common; // common: the newest of `seen` that the master holds; seen_count: none
  bool differs;                        // something stands behind the newest common entry

  struct tanist_orphan *orphan;
  char path[PATH_MAX];
  uint64_t kept, bytes, left_out; // left_out: streams of which not all is kept
  char left_key[64], huge[HUGE_MAX][KEY_MAX]; // huge: not looked at again for as long as the duty lasts
};

enum redis_tail_state redis_tail_state(const struct redis_tail *t) {
  return t->state;
}

const char *redis_tail_trouble(const struct redis_tail *t) {
  return t->trouble;
}

// ---- ends ----

static void drop_orphan(struct redis_tail *t) {
  tanist_orphan_close(t->orphan);
  t->orphan = NULL;
}

__attribute__((format(printf, 2, 3))) static void fail(struct redis_tail *t, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(t->trouble, sizeof(t->trouble), format, args);
  va_end(args);
  drop_orphan(t);
  t->state = TAIL_FAILED;
  t->watch.ended(t->watch.arg);
}

static void leave_out(struct redis_tail *t) {
  if (t->left_out++ == 0)
    snprintf(t->left_key, sizeof(t->left_key), "%.63s", t->key);
}

static int write_entry(struct redis_tail *t, const char *data, size_t size) {
  struct tanist_orphan_entry entry = {
      .epoch = t->from.epoch, .position = ++t->kept, .data = data, .size = size};
  t->bytes += size;
  return tanist_orphan_write(t->orphan, &entry);
}

static int write_note(struct redis_tail *t) {
  char text[200], data[256];
  int size = snprintf(text, sizeof(text), "tanist: of %" PRIu64 " streams, \"%s\" among them, not all is kept: too large or too slow",
                      t->left_out, t->left_key);
  int all = snprintf(data, sizeof(data), "*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n", size, text);
  return write_entry(t, data, (size_t)all);
}

static void finish(struct redis_tail *t) {
  if (t->orphan) {
    int rc = t->left_out > 0 ? write_note(t) : 0;
    struct tanist_orphan *orphan = t->orphan;
    t->orphan = NULL;
    if (rc == 0)
      rc = tanist_orphan_finish(orphan);
    else
      tanist_orphan_close(orphan);
    if (rc < 0 && rc != -EEXIST) {
      fail(t, "broker.streams: %.60s: %s: not following before what only this Redis holds is kept", t->path,
           strerror(-rc));
      return;
    }
    t->watch.orphaned(t->watch.arg, t->path);
  }
  if (t->left_out > 0)
    snprintf(t->trouble, sizeof(t->trouble), "of stream \"%.40s\" and %" PRIu64 " others not all that only this Redis held is kept",
             t->left_key, t->left_out - 1);
  t->state = TAIL_KEPT;
  t->watch.ended(t->watch.arg);
}

// ---- asking ----

static void ask(struct redis_tail *t, struct redis_link *link, uint32_t kind, size_t count, const char *const *words) {
  if (!redis_link_ask(link, (t->run & 0xffffU) << 16 | kind, count, words))
    fail(t, "broker.streams: no connection to Redis while looking at what only this one holds: it is tried again");
  else
    redis_link_flush(link);
}

#define ASK(t, link, kind, ...)                                                                              \
  ask((t), (link), (kind), sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                      \
      (const char *const[]){__VA_ARGS__})

static const char *chunk_text(const struct redis_tail *t) {
  return t->chunk == 1 ? "1" : "32";
}

// ---- which streams ----

static void next_pattern(struct redis_tail *t);

static void ask_page(struct redis_tail *t) {
  if (clock_now().us > t->until.us) {
    t->key = "(not all were looked for)";
    leave_out(t);
    finish(t);
    return;
  }
  t->key = NULL;
  ASK(t, t->own, ASK_SCAN, "SCAN", t->cursor, "MATCH", t->settings->streams.at[t->pattern], "COUNT", "1000", "TYPE", "stream");
}

static bool named_before(const struct redis_tail *t, const char *key) {
  for (size_t i = 0; i < t->pattern; i++)
    if (fnmatch(t->settings->streams.at[i], key, 0) == 0)
      return true;
  return false;
}

static bool is_huge(const struct redis_tail *t, const char *key) {
  for (size_t i = 0; i < t->huge_count; i++)
    if (strcmp(t->huge[i], key) == 0)
      return true;
  return false;
}

static void next_key(struct redis_tail *t) {
  while (t->keys_at < t->keys_used) {
    t->key = t->keys + t->keys_at;
    t->keys_at += strlen(t->key) + 1;
    if (named_before(t, t->key))
      continue;
    if (clock_now().us > t->until.us || is_huge(t, t->key)) {
      leave_out(t);
      continue;
    }
    snprintf(t->end, sizeof(t->end), "+");
    t->tail_from[0] = t->there[0] = '\0';
    t->differs = false;
    ASK(t, t->other, ASK_OLDEST_THERE, "XRANGE", t->key, "-", "+", "COUNT", "1");
    return;
  }
  if (strcmp(t->cursor, "0") != 0) {
    ask_page(t);
  } else {
    t->pattern++;
    next_pattern(t);
  }
}

static void next_pattern(struct redis_tail *t) {
  t->keys_used = t->keys_at = 0;
  snprintf(t->cursor, sizeof(t->cursor), "0");
  if (t->pattern == t->settings->streams.count) {
    finish(t);
    return;
  }
  ask_page(t);
}

static void take_page(struct redis_tail *t, const struct resp_value *value) {
  struct resp_value cursor, keys, key;
  ssize_t size = value->type == RESP_ARRAY ? resp_parse(value->text, value->length, &cursor) : 0;
  if (size <= 0 || cursor.length >= sizeof(t->cursor) ||
      resp_parse(value->text + size, value->length - (size_t)size, &keys) <= 0 || keys.type != RESP_ARRAY) {
    fail(t, "broker.streams: Redis' answer to SCAN is none");
    return;
  }
  snprintf(t->cursor, sizeof(t->cursor), "%.*s", (int)cursor.length, cursor.text);
  t->keys_used = t->keys_at = 0;
  for (size_t at = 0; at < keys.length; at += (size_t)size) {
    size = resp_parse(keys.text + at, keys.length - at, &key);
    if (size <= 0)
      break;
    if (key.length == 0 || key.length >= KEY_MAX || memchr(key.text, 0, key.length) || t->keys_used + key.length >= KEYS_SIZE) {
      t->key = "(a name too long to be kept)";
      leave_out(t);
      continue;
    }
    memcpy(t->keys + t->keys_used, key.text, key.length);
    t->keys[t->keys_used + key.length] = '\0';
    t->keys_used += key.length + 1;
  }
  next_key(t);
}

// ---- up to where both are the same ----

static void look_back(struct redis_tail *t) {
  ASK(t, t->own, ASK_NEWEST, "XREVRANGE", t->key, t->end, "-", "COUNT", chunk_text(t));
}

static void keep_tail(struct redis_tail *t) {
  ASK(t, t->own, ASK_TAIL, "XRANGE", t->key, t->tail_from, "+", "COUNT", chunk_text(t));
}

// `from` and all behind it, or all behind it alone.
static void keep_from(struct redis_tail *t, const char *from, bool itself) {
  if (!t->differs) {
    next_key(t);
    return;
  }
  snprintf(t->tail_from, sizeof(t->tail_from), "%s%s", itself ? "" : "(", from);
  keep_tail(t);
}

static void take_oldest(struct redis_tail *t, const struct resp_value *value) {
  struct stream_entry entry;
  size_t at = 0;
  if (redis_stream_next(value, &at, &entry))
    memcpy(t->there, entry.id, sizeof(t->there));
  look_back(t);
}

static void take_newest(struct redis_tail *t, const struct resp_value *value) {
  struct stream_entry entry;
  t->seen_count = t->answered = 0;
  for (size_t at = 0; t->seen_count < CHUNK && redis_stream_next(value, &at, &entry); t->seen_count++) {
    memcpy(t->seen[t->seen_count].id, entry.id, sizeof(entry.id));
    t->seen[t->seen_count].sum = crc32c(entry.raw, entry.size);
  }
  t->common = t->seen_count;
  if (t->seen_count == 0) {
    keep_from(t, "-", true); // none is common: all of it
    return;
  }
  for (size_t i = 0; i < t->seen_count && t->state == TAIL_BUSY; i++)
    ASK(t, t->other, ASK_SAME | (uint32_t)i << 8, "XRANGE", t->key, t->seen[i].id, t->seen[i].id);
}

static void compared(struct redis_tail *t) {
  const char *oldest = t->seen[t->seen_count - 1].id;
  if (t->common < t->seen_count) {
    t->differs = t->differs || t->common > 0;
    keep_from(t, t->seen[t->common].id, false);
    return;
  }
  t->differs = true;
  if (clock_now().us > t->until.us) {
    leave_out(t);
    keep_from(t, oldest, true);
    return;
  }
  snprintf(t->end, sizeof(t->end), "(%s", oldest);
  look_back(t);
}

static void take_same(struct redis_tail *t, size_t i, const struct resp_value *value) {
  struct stream_entry entry;
  size_t at = 0;
  bool trimmed = t->there[0] != '\0' && redis_stream_compare(t->seen[i].id, t->there) < 0;
  bool same = redis_stream_next(value, &at, &entry) && crc32c(entry.raw, entry.size) == t->seen[i].sum;
  if ((same || trimmed) && i < t->common)
    t->common = i;
  if (++t->answered == t->seen_count)
    compared(t);
}

// ---- the tail ----

static int make_orphan(struct redis_tail *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct tanist_orphan_head head = {.epoch = t->from.epoch,
                                    .position = t->from.position,
                                    .master_epoch = t->from.master_epoch,
                                    .wall_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000};
  int rc = orphans_make(t->settings->orphans);
  // The same data, and so the same file, where it has been kept already.
  snprintf(t->path, sizeof(t->path), "%s/redis-%" PRIu64 "-%.8s-%" PRIu64, t->settings->orphans, t->from.master_epoch,
           t->incarnation, t->from.position);
  return rc < 0 ? rc : tanist_orphan_create(&t->orphan, t->path, &head);
}

static int keep_entry(struct redis_tail *t, const struct stream_entry *entry) {
  int rc = t->orphan ? 0 : make_orphan(t);
  size_t size = redis_stream_xadd(NULL, t->key, entry);
  char *data = rc < 0 ? NULL : malloc(size);
  if (rc == 0 && !data)
    rc = -ENOMEM;
  if (rc == 0) {
    redis_stream_xadd(data, t->key, entry);
    rc = write_entry(t, data, size);
  }
  free(data);
  return rc;
}

static void take_tail(struct redis_tail *t, const struct resp_value *value) {
  struct stream_entry entry;
  size_t count = 0;
  bool full = false;
  int rc = 0;
  for (size_t at = 0; rc == 0 && !full && redis_stream_next(value, &at, &entry); count++) {
    full = t->bytes + entry.size > TAIL_BYTES_MAX || clock_now().us > t->until.us;
    if (!full)
      rc = keep_entry(t, &entry);
  }
  if (rc == -EEXIST) {
    finish(t); // kept before
  } else if (rc < 0) {
    fail(t, "broker.streams: %.60s: %s: not following before what only this Redis holds is kept", t->path, strerror(-rc));
  } else if (full) {
    leave_out(t);
    next_key(t);
  } else if (count < t->chunk) {
    next_key(t);
  } else {
    snprintf(t->tail_from, sizeof(t->tail_from), "(%s", entry.id);
    keep_tail(t);
  }
}

// ---- answers ----

static void refused(struct redis_tail *t, const char *whose, const struct resp_value *value) {
  bool rights = value->length >= 6 && memcmp(value->text, "NOPERM", 6) == 0;
  fail(t, "broker.streams (%s): %.*s%s", whose, (int)(value->length < 50 && !rights ? value->length : rights ? 6 : 50), value->text,
       rights ? ": not following before it may look: ACL SETUSER ... +scan +xrange +xrevrange and %R~ of the streams" : "");
}

static void take(struct redis_tail *t, const char *whose, uint32_t tag, const struct resp_value *value) {
  if (tag >> 16 != (t->run & 0xffffU) || t->state != TAIL_BUSY)
    return;
  bool other_type = value->length >= 9 && memcmp(value->text, "WRONGTYPE", 9) == 0; // no entry of it is there
  if (value->type == RESP_ERROR && !other_type) {
    refused(t, whose, value);
    return;
  }
  switch ((enum ask)(tag & 0xff)) {
  case ASK_SCAN:
    take_page(t, value);
    break;
  case ASK_OLDEST_THERE:
    take_oldest(t, value);
    break;
  case ASK_NEWEST:
    take_newest(t, value);
    break;
  case ASK_SAME:
    take_same(t, tag >> 8 & 0xff, value);
    break;
  case ASK_TAIL:
    take_tail(t, value);
    break;
  }
}

static void own_answer(void *arg, uint32_t tag, struct instant asked, const struct resp_value *value) {
  (void)asked;
  take(arg, "broker.address", tag, value);
}

static void other_answer(void *arg, uint32_t tag, struct instant asked, const struct resp_value *value) {
  (void)asked;
  take(arg, "broker.peers", tag, value);
}

static void nothing(void *arg) {
  (void)arg; // what is late is given up soon, on_down says so
}

// Too long an answer ends the connection: it is one by one then. An entry that is too long by itself is left out.
static void note_size(struct redis_tail *t) {
  if (t->chunk > 1)
    t->chunk = 1;
  else if (t->key && t->huge_count < HUGE_MAX)
    snprintf(t->huge[t->huge_count++], KEY_MAX, "%s", t->key);
}

static void on_down(void *arg, bool was_up, int error) {
  struct redis_tail *t = arg;
  if (t->state != TAIL_BUSY || !was_up)
    return;
  if (error == EBADMSG)
    note_size(t);
  fail(t, "broker.streams: the connection was lost while looking at what only this Redis holds: it is tried again");
}

// ---- outside ----

void redis_tail_keep(struct redis_tail *t, const struct redis_tail_from *from) {
  drop_orphan(t);
  t->from = *from;
  snprintf(t->incarnation, sizeof(t->incarnation), "%s", from->incarnation);
  t->from.incarnation = t->incarnation;
  t->run++;
  t->state = TAIL_BUSY;
  t->trouble[0] = '\0';
  t->until = instant_in_ms(TAIL_MS_MAX);
  t->pattern = 0;
  t->kept = t->bytes = t->left_out = 0;
  next_pattern(t);
}

void redis_tail_forget(struct redis_tail *t) {
  drop_orphan(t);
  t->state = TAIL_IDLE;
  t->trouble[0] = '\0';
  t->chunk = CHUNK;
  t->huge_count = 0;
}

static int open_link(struct redis_tail *t, struct loop *loop, struct redis_link **link, const char *what, const char *address) {
  const struct broker_settings *s = t->settings;
  const struct redis_link_settings settings = {.what = what,
                                               .address = address,
                                               .username = s->username,
                                               .password_file = s->password_file,
                                               .tls = s->tls,
                                               .name = t->name,
                                               .answer_max = ANSWER_MAX,
                                               .late_ms = LATE_MS,
                                               .give_up_ms = LATE_MS,
                                               .retry_ms = s->beat_ms};
  const struct redis_link_watch watch = {t, nothing, link == &t->own ? own_answer : other_answer, nothing, on_down};
  return redis_link_new(link, loop, &settings, &watch);
}

int redis_tail_open(struct redis_tail **out, struct loop *loop, const struct broker_settings *settings,
                    const struct redis_tail_watch *watch) {
  struct redis_tail *t = calloc(1, sizeof(*t));
  if (!t)
    return -ENOMEM;
  t->watch = *watch;
  t->settings = settings;
  t->chunk = CHUNK;
  snprintf(t->name, sizeof(t->name), "%.50s-streams", settings->cluster);
  snprintf(t->own_what, sizeof(t->own_what), "broker.address");
  snprintf(t->other_what, sizeof(t->other_what), "broker.peers.%c", 'b' - settings->self);
  int rc = open_link(t, loop, &t->own, t->own_what, settings->address);
  if (rc == 0)
    rc = open_link(t, loop, &t->other, t->other_what, settings->peers[1 - settings->self]);
  if (rc < 0)
    redis_tail_close(t);
  else
    *out = t;
  return rc;
}

void redis_tail_close(struct redis_tail *t) {
  if (!t)
    return;
  t->state = TAIL_IDLE;
  drop_orphan(t);
  redis_link_free(t->own);
  redis_link_free(t->other);
  free(t);
}
