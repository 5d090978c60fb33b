// SPDX-License-Identifier: Apache-2.0
// The files beside which a voter's word is worth nothing: ballot and orders; and the note of a beat, which
// ends up in the latter. Input: which of them and how, then its bytes (slot.h where magic and checksum are to
// be right, else the file as it is), or the other's clock and the note.
#include <assert.h>
#include <string.h>

#include "common/base/ballot.h"
#include "common/base/marks.h"
#include "tests/fuzz/cluster.h"
#include "tests/fuzz/slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define BALLOT "orders.a.ballot"
#define MARKS "orders.a.orders"

static struct ballot_store *open_ballot(struct ballot *ballot) {
  struct ballot_store *store = NULL;
  const char *error = NULL;
  bool fresh = true;
  memset(ballot, 0, sizeof *ballot);
  int rc = ballot_open(&store, input_directory(), "orders", "a", ballot, &fresh, &error);
  assert(rc == 0 || (rc < 0 && error != NULL && *error != 0));
  assert(rc != 0 || !fresh);
  return rc == 0 ? store : NULL;
}

/* What was read is written as it was read. */
static void ballot(void) {
  struct ballot read, again;
  struct ballot_store *store = open_ballot(&read);
  if (store == NULL)
    return;
  assert(ballot_write(store, &read) == 0);
  ballot_close(store);
  store = open_ballot(&again);
  assert(store != NULL && again.epoch == read.epoch && again.lease_max_ms == read.lease_max_ms &&
         again.blank == read.blank && again.forced[1] == read.forced[1] &&
         memcmp(&again.seen[VOTER_W].epoch, &read.seen[VOTER_W].epoch, sizeof again.seen[0].epoch) == 0);
  ballot_close(store);
}

static void show(struct marks *m, const struct ballot *ballot) {
  char note[MARKS_NOTE_MAX];
  struct json *status = json_new_object(), *warnings = json_new_array();
  marks_put_status(m, fuzz_cluster(), ballot, status);
  marks_warn(m, fuzz_cluster(), ballot, warnings);
  assert(marks_note(m, ballot, ballot->forced[VOTER_A], note, sizeof note) <= sizeof note);
  json_free(status);
  json_free(warnings);
}

/* `note`: what another voter's beat brings; NULL: none. */
static void marks(struct input *rest, struct input *note) {
  struct ballot ballot = {.frozen = {2, true}, .forced = {UINT64_C(1) << 32, 0}};
  int error = 1;
  struct marks *m = marks_open(input_directory(), "orders", "a", VOTER_A, &error);
  assert(m != NULL && error <= 0);
  for (unsigned i = 0; i < 2; i++) {
    show(m, &ballot);
    ballot.frozen.serial = input_u8(rest);
    marks_look(m, &ballot, i == 0 ? "root (uid 0)" : "", "a");
  }
  if (note != NULL) {
    int64_t wall_ms = (int64_t)input_u64(note);
    marks_noted(m, VOTER_B, wall_ms, (const char *)note->at, note->left);
    show(m, &ballot);
  }
  marks_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct input input = {bytes, size};
  uint8_t how = input_below(&input, 5);
  bool is_ballot = how < 2;
  const char *name = is_ballot ? BALLOT : MARKS;
  if (how == 4)
    input_file(name, NULL, 0);
  else if (how % 2 == 0)
    slot_file(name, is_ballot ? "orders/a" : "orders/a/orders", &input);
  else
    input_file(name, input.at, input.left);
  struct input again = {bytes, size};
  if (is_ballot)
    ballot();
  else
    marks(&again, how == 4 ? &input : NULL);
  return 0;
}
