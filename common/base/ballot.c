// SPDX-License-Identifier: Apache-2.0
#include "common/base/ballot.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/durable.h"

#define LAYOUT 2
#define LAYOUT_BEFORE_FORCE 1 // ended where `forced` begins now
#define COMMON_BYTES (BALLOT_BYTES - NODES * 8)
static_assert(BALLOT_BYTES <= DURABLE_PAYLOAD_MAX, "a ballot fits into a slot");

#define NAME_MAX_BYTES 232 // of the file; leaves room for what set-aside adds

struct ballot_store {
  struct durable *durable;
  bool torn;
};

static const struct record blank_record = {.mode = RECORD_PAIR, .owner = NOBODY};

// ---- ballot <-> bytes ----

static void put_record(uint8_t **at, const struct record *record) {
  bool sole = record->mode == RECORD_SOLE;
  assert(sole ? record->owner < NODES : record->mode == RECORD_PAIR);
  bytes_put_u64(at, record->epoch);
  bytes_put_u32(at, record->version);
  bytes_put_u8(at, record->mode);
  bytes_put_u8(at, sole ? record->owner : NOBODY);
}

void ballot_encode(uint8_t bytes[BALLOT_BYTES], const struct ballot *ballot) {
  uint8_t *at = bytes;
  bytes_put_u32(&at, LAYOUT);
  bytes_put_u64(&at, ballot->epoch);
  put_record(&at, &ballot->sync);
  bytes_put_u32(&at, ballot->lease_max_ms);
  bytes_put_u8(&at, ballot->blank);
  bytes_put_u32(&at, ballot->frozen.serial);
  bytes_put_u8(&at, ballot->frozen.on);
  for (unsigned i = 0; i < VOTERS; i++) {
    bytes_put_u64(&at, ballot->seen[i].epoch);
    put_record(&at, &ballot->seen[i].sync);
  }
  for (unsigned i = 0; i < NODES; i++)
    bytes_put_u64(&at, ballot->forced[i]);
  assert(at == bytes + BALLOT_BYTES);
}

static bool get_record(const uint8_t **at, struct record *record) {
  record->epoch = bytes_get_u64(at);
  record->version = bytes_get_u32(at);
  record->mode = bytes_get_u8(at);
  record->owner = bytes_get_u8(at);
  return record->mode == RECORD_PAIR ? record->owner == NOBODY
                                     : record->mode == RECORD_SOLE && record->owner < NODES;
}

static bool get_bool(const uint8_t **at, bool *value) {
  uint8_t byte = bytes_get_u8(at);
  *value = byte == 1;
  return byte <= 1;
}

int ballot_decode(struct ballot *ballot, const uint8_t *bytes, size_t size) {
  const uint8_t *at = bytes;
  if (size < 4)
    return -EBADMSG;
  uint32_t layout = bytes_get_u32(&at);
  if (layout != LAYOUT && layout != LAYOUT_BEFORE_FORCE)
    return -EPROTONOSUPPORT;
  if (size != (layout == LAYOUT ? BALLOT_BYTES : COMMON_BYTES))
    return -EBADMSG;
  ballot->epoch = bytes_get_u64(&at);
  bool sound = get_record(&at, &ballot->sync);
  ballot->lease_max_ms = bytes_get_u32(&at);
  sound &= get_bool(&at, &ballot->blank);
  ballot->frozen.serial = bytes_get_u32(&at);
  sound &= get_bool(&at, &ballot->frozen.on);
  for (unsigned i = 0; i < VOTERS; i++) {
    ballot->seen[i].epoch = bytes_get_u64(&at);
    sound &= get_record(&at, &ballot->seen[i].sync);
  }
  for (unsigned i = 0; i < NODES; i++)
    ballot->forced[i] = layout == LAYOUT ? bytes_get_u64(&at) : 0;
  return sound ? 0 : -EBADMSG;
}

// ---- names ----

static bool is_name(const char *text) {
  return *text != 0 && strchr(text, '/') == NULL;
}

// A '/' is in no name, so that the identity can be taken apart again.
static int name_ballot(const char *cluster, const char *voter, char name[NAME_MAX_BYTES],
                       char identity[DURABLE_IDENTITY_MAX + 1]) {
  if (!is_name(cluster) || !is_name(voter))
    return -EINVAL;
  if (snprintf(name, NAME_MAX_BYTES, "%s.%s.ballot", cluster, voter) >= NAME_MAX_BYTES ||
      snprintf(identity, DURABLE_IDENTITY_MAX + 1, "%s/%s", cluster, voter) > DURABLE_IDENTITY_MAX)
    return -ENAMETOOLONG;
  return 0;
}

// ---- what to tell people ----

static char error_text[1024];

__attribute__((format(printf, 1, 2))) static void set_error(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error_text, sizeof error_text, format, arguments);
  va_end(arguments);
}

static void explain_foreign(const char *file, const char *identity) {
  const char *slash = strchr(identity, '/');
  set_error("%s is the ballot of voter %s of cluster %.*s: give every cluster and voter a state_directory or "
            "names of "
            "its own, and put this file back where it belongs",
            file, slash == NULL ? "?" : slash + 1, slash == NULL ? 1 : (int)(slash - identity),
            slash == NULL ? "?" : identity);
}

static void explain(int rc, const char *directory, const char *name, const struct durable_content *content) {
  char file[512];
  snprintf(file, sizeof file, "%s/%s", directory, name);
  if (rc == -EBADMSG)
    set_error("%s is damaged: neither copy of the ballot in it can be read. If the disk is sound again, "
              "`tanist -c FILE reset-voter` puts it aside and starts this voter blank",
              file);
  else if (rc == -EXDEV)
    explain_foreign(file, content->identity);
  else if (rc == -EPROTONOSUPPORT)
    set_error("%s was written by a newer version of Tanist: install that version again; or "
              "`tanist -c FILE reset-voter` puts it aside and starts this voter blank",
              file);
  else if (rc == -EBUSY)
    set_error("%s is in use: another process runs as this voter; stop that one first", file);
  else if (rc == -ENOTDIR)
    set_error("%s is no directory: make it, owned by the user that runs this, or set state_directory",
              directory);
  else if (rc == -EACCES || rc == -EPERM || rc == -EROFS)
    set_error("%s: %s: the user that runs this must be able to read and write there", file, strerror(-rc));
  else if (rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG)
    set_error("%s cannot be written: %s: make room, or set state_directory to another disk", file,
              strerror(-rc));
  else
    set_error("%s: %s", file, strerror(-rc));
}

// ---- open, write, close ----

static int create(struct ballot_store *store, const char *directory, const char *name, const char *identity,
                  struct ballot *out) {
  uint8_t bytes[BALLOT_BYTES];
  *out = (struct ballot){.blank = true, .sync = blank_record};
  for (unsigned i = 0; i < VOTERS; i++)
    out->seen[i].sync = blank_record;
  ballot_encode(bytes, out);
  int rc = durable_create(&store->durable, directory, name, identity, bytes, sizeof bytes);
  return rc == -EEXIST ? -EBUSY : rc; // there was none a moment ago: another process just made it
}

static int open_store(struct ballot_store *store, const char *directory, const char *name,
                      const char *identity, struct ballot *out, bool *fresh) {
  struct durable_content content;
  int rc = durable_open(&store->durable, directory, name, identity, &content);
  *fresh = rc == -ENOENT;
  if (*fresh)
    rc = create(store, directory, name, identity, out);
  else if (rc == 0)
    rc = ballot_decode(out, content.payload, content.size);
  if (rc != 0)
    explain(rc, directory, name, &content);
  store->torn = rc == 0 && content.torn;
  return rc;
}

int ballot_open(struct ballot_store **out_store, const char *directory, const char *cluster,
                const char *voter, struct ballot *out, bool *fresh, const char **error) {
  char name[NAME_MAX_BYTES], identity[DURABLE_IDENTITY_MAX + 1];
  *out_store = NULL;
  *fresh = false;
  *error = error_text;
  memset(out, 0, sizeof *out);
  int rc = name_ballot(cluster, voter, name, identity);
  if (rc != 0) {
    set_error("cluster \"%s\" and voter \"%s\" can be no file's name: %s", cluster, voter, strerror(-rc));
    return rc;
  }
  struct ballot_store *store = calloc(1, sizeof *store);
  if (store == NULL) {
    set_error("out of memory");
    return -ENOMEM;
  }
  rc = open_store(store, directory, name, identity, out, fresh);
  if (rc == 0)
    *out_store = store;
  else
    ballot_close(store);
  return rc;
}

bool ballot_torn(const struct ballot_store *store) {
  return store->torn;
}

int ballot_write(struct ballot_store *store, const struct ballot *ballot) {
  uint8_t bytes[BALLOT_BYTES];
  ballot_encode(bytes, ballot);
  return durable_write(store->durable, bytes, sizeof bytes);
}

void ballot_close(struct ballot_store *store) {
  if (store == NULL)
    return;
  durable_close(store->durable);
  free(store);
}

int ballot_set_aside(const char *directory, const char *cluster, const char *voter, char *kept_as,
                     size_t size) {
  char name[NAME_MAX_BYTES], identity[DURABLE_IDENTITY_MAX + 1];
  int rc = name_ballot(cluster, voter, name, identity);
  return rc != 0 ? rc : durable_set_aside(directory, name, kept_as, size);
}
