// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/ballot.h"
#include "common/base/durable.h"

static char directory[64], path[128];
static struct ballot_store *store;
static struct ballot ballot;
static const char *error;
static bool fresh;

static int set_up(void **state) {
  (void)state;
  store = NULL;
  strcpy(directory, "/tmp/test_ballot.XXXXXX");
  if (mkdtemp(directory) == NULL)
    return -1;
  snprintf(path, sizeof path, "%s/orders.a.ballot", directory);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  ballot_close(store);
  unlink(path);
  return rmdir(directory);
}

static int reopen(void) {
  ballot_close(store);
  return ballot_open(&store, directory, "orders", "a", &ballot, &fresh, &error);
}

static void assert_record_equal(const struct record *a, const struct record *b) {
  assert_int_equal(a->epoch, b->epoch);
  assert_int_equal(a->version, b->version);
  assert_int_equal(a->mode, b->mode);
  assert_int_equal(a->owner, b->owner);
}

static void assert_ballot_equal(const struct ballot *a, const struct ballot *b) {
  assert_int_equal(a->epoch, b->epoch);
  assert_record_equal(&a->sync, &b->sync);
  assert_int_equal(a->lease_max_ms, b->lease_max_ms);
  assert_int_equal(a->blank, b->blank);
  assert_int_equal(a->frozen.serial, b->frozen.serial);
  assert_int_equal(a->frozen.on, b->frozen.on);
  for (int i = 0; i < NODES; i++)
    assert_int_equal(a->forced[i], b->forced[i]);
  for (int i = 0; i < VOTERS; i++) {
    assert_int_equal(a->seen[i].epoch, b->seen[i].epoch);
    assert_record_equal(&a->seen[i].sync, &b->seen[i].sync);
  }
}

static const struct ballot full = {
    .epoch = 0x0123456789abcdef,
    .sync = {.epoch = UINT64_MAX, .version = UINT32_MAX, .mode = RECORD_SOLE, .owner = VOTER_B},
    .lease_max_ms = 60000,
    .frozen = {.serial = 0xfedcba98, .on = true},
    .forced = {0x100000002, 0x300000001},
    .seen = {{.epoch = 1, .sync = {.epoch = 2, .version = 3, .mode = RECORD_PAIR, .owner = NOBODY}},
             {.epoch = 4, .sync = {.epoch = 5, .version = 6, .mode = RECORD_SOLE, .owner = VOTER_A}},
             {.epoch = 7, .sync = {.epoch = 8, .version = 9, .mode = RECORD_SOLE, .owner = VOTER_B}}},
};

#define NO_RECORD {.mode = RECORD_PAIR, .owner = NOBODY}
static const struct record none = NO_RECORD;
static const struct ballot blank = {
    .blank = true, .sync = NO_RECORD, .seen = {{.sync = NO_RECORD}, {.sync = NO_RECORD}, {.sync = NO_RECORD}}};

static void absent_ballot_is_blank_on_disk_at_once(void **state) {
  (void)state;
  assert_int_equal(reopen(), 0);
  assert_true(fresh);
  assert_ballot_equal(&ballot, &blank);
  memset(&ballot, 0xff, sizeof ballot);
  assert_int_equal(reopen(), 0);
  assert_false(fresh);
  assert_ballot_equal(&ballot, &blank);
  assert_false(ballot_torn(store));
}

static void every_field_survives(void **state) {
  (void)state;
  assert_int_equal(reopen(), 0);
  assert_int_equal(ballot_write(store, &full), 0);
  assert_int_equal(reopen(), 0);
  assert_ballot_equal(&ballot, &full);
  struct ballot other = blank; // and each alone, so that no field is another's copy
  other.frozen.on = true;
  assert_int_equal(ballot_write(store, &other), 0);
  assert_int_equal(reopen(), 0);
  assert_ballot_equal(&ballot, &other);
}

// A record that was never shown may be all zero: what is written can always be read.
static void zeroed_seen_records_are_written_as_none(void **state) {
  (void)state;
  assert_int_equal(reopen(), 0);
  struct ballot zero = {.sync = none};
  assert_int_equal(ballot_write(store, &zero), 0);
  assert_int_equal(reopen(), 0);
  assert_record_equal(&ballot.seen[VOTER_W].sync, &none);
}

// The layout, byte by byte: a change of it needs a new number.
static void layout_is_fixed(void **state) {
  (void)state;
  static const uint8_t wanted[] = {
      0,    0,    0,    2,                                                          // layout
      0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,                               // epoch
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, // sync
      0,    0,    0xea, 0x60,                                                       // lease_max_ms
      0,                                                                            // blank
      0xfe, 0xdc, 0xba, 0x98, 1,                                                    // frozen
      0,    0,    0,    0,    0,    0,    0,    1,                                  // seen by a
      0,    0,    0,    0,    0,    0,    0,    2,    0,    0,    0,    3,    0, 3,
      0,    0,    0,    0,    0,    0,    0,    4, // by b
      0,    0,    0,    0,    0,    0,    0,    5,    0,    0,    0,    6,    1, 0,
      0,    0,    0,    0,    0,    0,    0,    7, // by w
      0,    0,    0,    0,    0,    0,    0,    8,    0,    0,    0,    9,    1, 1,
      0,    0,    0,    1,    0,    0,    0,    2, // forced: a
      0,    0,    0,    3,    0,    0,    0,    1, // b
  };
  struct durable *durable;
  struct durable_content content;
  assert_int_equal(reopen(), 0);
  assert_int_equal(ballot_write(store, &full), 0);
  ballot_close(store);
  store = NULL;
  assert_int_equal(durable_open(&durable, directory, "orders.a.ballot", "orders/a", &content), 0);
  durable_close(durable);
  assert_int_equal(content.size, sizeof wanted);
  assert_memory_equal(content.payload, wanted, sizeof wanted);
}

// Writes a payload as a whole, sound file with its checksums, and opens it as a ballot.
static int open_payload(const uint8_t *payload, size_t size) {
  struct durable *durable;
  unlink(path);
  assert_int_equal(durable_create(&durable, directory, "orders.a.ballot", "orders/a", payload, size), 0);
  durable_close(durable);
  return reopen();
}

static void impossible_values_are_damage(void **state) {
  (void)state;
  struct durable *durable;
  struct durable_content content;
  uint8_t bad[200] = {0};
  assert_int_equal(reopen(), 0);
  ballot_close(store);
  store = NULL;
  assert_int_equal(durable_open(&durable, directory, "orders.a.ballot", "orders/a", &content), 0);
  durable_close(durable);
  assert_int_equal(open_payload(content.payload, content.size), 0);

  const struct {
    size_t at;
    uint8_t value;
  } bad_byte[] = {
      {24, 2},                                // sync: a mode that is none
      {24, 1},                                // SOLE of nobody
      {25, VOTER_A},                          // PAIR with an owner
      {25, 4},                                // an owner that is none
      {30, 2},                                // blank: neither true nor false
      {35, 0xff},                             // frozen
      {56, 7},       {57, 0},        {57, 9}, // seen
      {100, 1},      {101, VOTER_W},
  };
  for (size_t i = 0; i < sizeof bad_byte / sizeof *bad_byte; i++) {
    memcpy(bad, content.payload, content.size);
    bad[bad_byte[i].at] = bad_byte[i].value;
    assert_int_equal(open_payload(bad, content.size), -EBADMSG);
    assert_null(store);
  }
  memcpy(bad, content.payload, content.size);
  for (size_t size = 4; size < content.size; size++)
    assert_int_equal(open_payload(bad, size), -EBADMSG);
  assert_int_equal(open_payload(bad, content.size + 1), -EBADMSG);
  assert_int_equal(open_payload(bad, 3), -EBADMSG);
  bad[3] = 3;
  assert_int_equal(open_payload(bad, content.size), -EPROTONOSUPPORT);
}

static void layout_before_force_is_read(void **state) {
  (void)state;
  struct durable *durable;
  struct durable_content content;
  assert_int_equal(reopen(), 0);
  assert_int_equal(ballot_write(store, &full), 0);
  ballot_close(store);
  store = NULL;
  assert_int_equal(durable_open(&durable, directory, "orders.a.ballot", "orders/a", &content), 0);
  durable_close(durable);
  content.payload[3] = 1;
  assert_int_equal(open_payload(content.payload, content.size), -EBADMSG);
  assert_int_equal(open_payload(content.payload, content.size - sizeof full.forced), 0);
  struct ballot wanted = full;
  wanted.forced[VOTER_A] = wanted.forced[VOTER_B] = 0;
  assert_ballot_equal(&ballot, &wanted);
}

static void damaged_ballot_says_how_to_recover(void **state) {
  (void)state;
  int fd = open(path, O_WRONLY | O_CREAT, 0600);
  assert_int_equal(ftruncate(fd, 8192), 0);
  close(fd);
  assert_int_equal(reopen(), -EBADMSG);
  assert_null(store);
  assert_non_null(strstr(error, path));
  assert_non_null(strstr(error, "`tanist -c FILE reset-voter`"));
}

static void foreign_ballot_says_whose_it_is(void **state) {
  (void)state;
  char other[128];
  assert_int_equal(ballot_open(&store, directory, "payments", "b", &ballot, &fresh, &error), 0);
  snprintf(other, sizeof other, "%s/payments.b.ballot", directory);
  assert_int_equal(rename(other, path), 0);
  assert_int_equal(reopen(), -EXDEV);
  assert_non_null(strstr(error, "voter b of cluster payments"));
}

static void ballot_in_use_is_refused(void **state) {
  (void)state;
  struct ballot_store *second;
  char kept[128];
  assert_int_equal(reopen(), 0);
  assert_int_equal(ballot_open(&second, directory, "orders", "a", &ballot, &fresh, &error), -EBUSY);
  assert_null(second);
  assert_non_null(strstr(error, "in use"));
  assert_int_equal(ballot_set_aside(directory, "orders", "a", kept, sizeof kept), -EBUSY);
}

static void torn_slot_gives_the_one_before_and_says_so(void **state) {
  (void)state;
  assert_int_equal(reopen(), 0);
  struct ballot newer = full;
  newer.epoch++;
  assert_int_equal(ballot_write(store, &full), 0);  // slot 1
  assert_int_equal(ballot_write(store, &newer), 0); // slot 0
  int fd = open(path, O_WRONLY);
  assert_int_equal(write(fd, "x", 1), 1);
  close(fd);
  assert_int_equal(reopen(), 0);
  assert_true(ballot_torn(store));
  assert_ballot_equal(&ballot, &full);
}

static void set_aside_makes_room_for_a_blank_one(void **state) {
  (void)state;
  char kept[128], kept_path[256];
  assert_int_equal(reopen(), 0);
  assert_int_equal(ballot_write(store, &full), 0);
  ballot_close(store);
  store = NULL;
  assert_int_equal(ballot_set_aside(directory, "orders", "a", kept, sizeof kept), 0);
  assert_int_equal(ballot_set_aside(directory, "orders", "a", kept_path, sizeof kept_path), -ENOENT);
  assert_int_equal(reopen(), 0);
  assert_true(fresh && ballot.blank);
  snprintf(kept_path, sizeof kept_path, "%s/%s", directory, kept);
  assert_int_equal(unlink(kept_path), 0);
}

static void names_that_are_no_file_names_are_refused(void **state) {
  (void)state;
  char longest[300];
  memset(longest, 'x', sizeof longest);
  longest[sizeof longest - 1] = 0;
  assert_int_equal(ballot_open(&store, directory, "../etc", "a", &ballot, &fresh, &error), -EINVAL);
  assert_int_equal(ballot_open(&store, directory, "orders", "", &ballot, &fresh, &error), -EINVAL);
  assert_int_equal(ballot_open(&store, directory, longest, "a", &ballot, &fresh, &error), -ENAMETOOLONG);
  assert_int_equal(ballot_open(&store, "/nonexistent", "orders", "a", &ballot, &fresh, &error), -ENOTDIR);
  assert_non_null(strstr(error, "state_directory"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(absent_ballot_is_blank_on_disk_at_once),
      TEST(every_field_survives),
      TEST(zeroed_seen_records_are_written_as_none),
      TEST(layout_is_fixed),
      TEST(layout_before_force_is_read),
      TEST(impossible_values_are_damage),
      TEST(damaged_ballot_says_how_to_recover),
      TEST(foreign_ballot_says_whose_it_is),
      TEST(ballot_in_use_is_refused),
      TEST(torn_slot_gives_the_one_before_and_says_so),
      TEST(set_aside_makes_room_for_a_blank_one),
      TEST(names_that_are_no_file_names_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
