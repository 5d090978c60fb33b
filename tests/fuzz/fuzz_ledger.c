// SPDX-License-Identifier: Apache-2.0
// The files of lines that people are shown, events and history of epochs. Input: which of them; one line that
// is added; then the file's bytes. What is damaged is passed over; what is told rises by one a line.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/events.h"
#include "common/base/history.h"
#include "common/base/ledger.h"
#include "tests/fuzz/cluster.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Returns how many lines there are. */
static size_t look(struct ledger *ledger) {
  size_t count = 0;
  uint64_t before = 0;
  struct ledger_line line = ledger_after(ledger, 0);
  for (; line.length > 0; line = ledger_following(ledger, &line), count++) {
    assert(line.serial > before && line.serial < ledger_next_serial(ledger));
    assert(memchr(line.text, '\n', line.length) == NULL);
    before = line.serial;
  }
  return count;
}

static void ledger(void) {
  char line[64];
  struct ledger *l = ledger_open(input_directory(), "orders.a.events", 4096);
  assert(l != NULL);
  look(l);
  uint64_t serial = ledger_next_serial(l);
  int length = snprintf(line, sizeof line, "{\"serial\":%llu}", (unsigned long long)serial);
  assert(ledger_add(l, line, (size_t)length) == 0 && ledger_next_serial(l) == serial + 1);
  size_t count = look(l);
  ledger_close(l);
  l = ledger_open(input_directory(), "orders.a.events", 4096);
  assert(look(l) == count && ledger_next_serial(l) == serial + 1);
  ledger_close(l);
}

static void events(void) {
  char trouble[256];
  struct events *e = events_open(input_directory(), fuzz_cluster(), VOTER_A);
  assert(e != NULL);
  events_add(e, events_new(e, "daemon", "started"), LOG_NOTICE, "the agent has started");
  events_trouble(e, trouble, sizeof trouble);
  events_close(e);
}

static void history(void) {
  static const struct core_config config = {.self = VOTER_A, .lease_ms = 1000, .beat_ms = 100};
  static const struct ballot ballot = {.sync = {.owner = NOBODY}, .seen = {{0}}};
  struct marks_force force = {
      .wall_ms = 1, .epoch = 2, .who = "root", .reason = "the rack burns", .confirmed = "b"};
  struct core core;
  struct history *h = history_open(input_directory(), fuzz_cluster(), VOTER_A);
  assert(h != NULL);
  core_init(&core, &config, &ballot, (struct instant){1000}, 1);
  history_look(h, &core);
  core.role = ROLE_MASTER;
  core.reign = 2;
  history_look(h, &core);
  history_forced(h, VOTER_A, &force);
  history_fact(h, &(struct fact){.type = FACT_ROLE, .from = ROLE_MASTER, .to = ROLE_SECONDARY});
  core.role = ROLE_SECONDARY;
  history_look(h, &core);
  history_close(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static void (*const readers[])(void) = {ledger, events, history};
  static const char *const names[] = {"orders.a.events", "orders.a.events", "orders.a.history"};
  static const char *const older[] = {"orders.a.events.1", "orders.a.events.1", "orders.a.history.1"};
  struct input input = {bytes, size};
  unsigned which = input_below(&input, 3);
  const uint8_t *first;
  size_t length = input_bytes(&input, input_u16(&input), &first);
  input_file(older[which], first, length);
  input_file(names[which], input.at, input.left);
  readers[which]();
  return 0;
}
