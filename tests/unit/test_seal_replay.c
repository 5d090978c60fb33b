// SPDX-License-Identifier: Apache-2.0
// What was sent once is sent again: replays, floods, and all of it at random.
#include "tests/unit/seal_bed.h"

// ---- replays ----

static void test_replay_in_the_session(void **unused) {
  (void)unused;
  converge(0, 1);
  replay_all(0, 1);
  assert_true(seal_count(voter[1].seal, SEAL_REPLAY) > 0);
}

static void test_replay_after_restart(void **unused) {
  (void)unused;
  for (unsigned who = 1; who < 4; who++) { /* the sender, the receiver, both */
    converge(0, 1);
    if (who & 1)
      start(0);
    if (who & 2)
      start(1);
    converge(0, 1);
    replay_all(0, 1);
  }
}

/* Played back to one that has just started and knows nobody: hellos may name dead sessions, but none becomes
 * a peer's. */
static void test_replay_to_a_newcomer(void **unused) {
  (void)unused;
  for (int i = 0; i < 6; i++) {
    converge(0, 1);
    start(0);
  }
  size_t count = records;
  start(1);
  for (size_t i = 0; i < count; i++) {
    enum seal_result result = deliver(&recorded[i]);
    assert_true(result != SEAL_OK && result != SEAL_COPY);
  }
  assert_int_equal(seal_peer_session(voter[1].seal, 0), 0);
  now.us += FULL_US;
  for (int i = 0; i < 8; i++)
    say(0, 1), say(1, 0);
  assert_true(joined(0, 1));
}

/* A datagram of a dead session that was held back, sealed for our present one: we never saw that session in
   force, so that no list of ours could hold it. Taken, it would also drive out the true session for good. */
static void test_held_back_of_a_dead_session(void **unused) {
  (void)unused;
  size_t first, held;
  assert_int_equal(send_beat(1, 0, &first), 1);
  assert_int_equal(deliver(&recorded[first]), SEAL_HELLO);
  send_beat(0, 1, &held); // a knows b's session, b has never heard of this one of a's
  start(0);
  converge(0, 1);
  assert_true(deliver(&recorded[held]) != SEAL_OK);
  assert_true(joined(0, 1));
  now.us += FULL_US;
  say(1, 0), say(0, 1);
  assert_true(deliver(&recorded[held]) != SEAL_OK);
  replay_all(0, 1);
}

/* Two machines that run with one key: the later one takes over, and the earlier one cannot take it back, live
 * as it is. */
static void test_replaced_is_never_taken_back(void **unused) {
  (void)unused;
  converge(0, 1);
  struct voter earlier = voter[0];
  voter[0].seal = NULL;
  start(0);
  converge(0, 1);
  uint64_t session = seal_session(voter[0].seal);
  for (int i = 0; i < 20; i++) {
    unsigned char payload[WIRE_BEAT_SIZE] = {0}, out[SEAL_COPIES][SEAL_SIZE];
    size_t count = seal_beat(earlier.seal, 1, ++earlier.seq, payload, out);
    for (size_t k = 0; k < count; k++)
      expect_nothing(out[k], SEAL_SIZE, SEAL_REPLAY);
    assert_int_equal(say(1, 0), SEAL_OK);
    struct seal_opened opened; // which the earlier one hears as well
    seal_open(earlier.seal, now, 0, recorded[records - 1].bytes, SEAL_SIZE, &opened);
  }
  assert_true(seal_peer_session(voter[1].seal, 0) == session);
  seal_free(earlier.seal);
}

static void test_hello_playback(void **unused) {
  (void)unused;
  for (int i = 0; i < 12; i++) { /* hellos of a dozen dead sessions */
    converge(0, 1);
    start(0);
  }
  converge(0, 1);
  uint64_t session = seal_peer_session(voter[1].seal, 0);
  unsigned answers = 0;
  for (int round = 0; round < 50; round++)
    for (size_t i = 0; i < records; i++)
      if (recorded[i].to == 1)
        answers += deliver(&recorded[i]) == SEAL_HELLO;
  assert_true(answers <= 16); // the burst that is allowed, at one instant
  assert_true(seal_peer_session(voter[1].seal, 0) == session);
  assert_int_equal(say(0, 1), SEAL_OK);
}

/* A fresh receiver, and hellos of dead sessions played at it all the time: the true peer gets through. */
static void test_hello_playback_does_not_keep_out_the_true_one(void **unused) {
  (void)unused;
  size_t hello[12];
  for (int i = 0; i < 12; i++) {
    send_beat(0, 1, &hello[i]);
    start(0);
  }
  start(1);
  for (int round = 0; round < 100 && !joined(0, 1); round++) {
    for (int i = 0; i < 12; i++)
      deliver(&recorded[hello[i]]);
    say(0, 1);
    for (int i = 0; i < 12; i++)
      deliver(&recorded[hello[i]]);
    say(1, 0);
    now.us += 100000;
  }
  assert_true(joined(0, 1));
}

static void test_many_restarts(void **unused) {
  (void)unused;
  for (int i = 0; i < 200; i++) {
    converge(0, 1);
    start(0);
    now.us += FULL_US;
  }
  converge(0, 1);
  replay_all(0, 1);
}

static void test_window(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first = records, at;
  for (int i = 0; i < 600; i++) {
    send_beat(0, 1, &at);
    if (records - at > 1)
      records = at + 1; // without the hellos of the silence
  }
  assert_int_equal(deliver(&recorded[first + 3]), SEAL_OK);
  assert_int_equal(deliver(&recorded[first + 1]), SEAL_OK);
  assert_int_equal(deliver(&recorded[first + 1]), SEAL_REPLAY);
  assert_int_equal(deliver(&recorded[first + 3]), SEAL_REPLAY);
  assert_int_equal(deliver(&recorded[first + 599]), SEAL_OK);
  assert_int_equal(deliver(&recorded[first + 2]), SEAL_REPLAY); // too old to tell
  for (size_t i = 200; i < 599; i++)
    assert_int_equal(deliver(&recorded[first + i]), SEAL_OK);
  for (size_t i = 200; i < 600; i++)
    assert_int_equal(deliver(&recorded[first + i]), SEAL_REPLAY);
}

static void test_copies_on_paths(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first;
  send_beat(0, 1, &first);
  assert_int_equal(deliver_on(&recorded[first], 1), SEAL_OK);
  assert_int_equal(deliver_on(&recorded[first], 0), SEAL_COPY);
  assert_int_equal(deliver_on(&recorded[first], SEAL_STRANGER), SEAL_COPY);
  for (unsigned path = 0; path < 2; path++)
    assert_int_equal(deliver_on(&recorded[first], path), SEAL_REPLAY);
}

// ---- floods ----

static void test_flood_of_unknown_sessions(void **unused) {
  (void)unused;
  converge(0, 1);
  size_t first;
  send_beat(0, 1, &first);
  struct datagram d = recorded[first];
  unsigned limited = 0;
  for (unsigned i = 0; i < 1000; i++) {
    memcpy(d.bytes + 10, &i, sizeof i);
    limited += deliver_on(&d, SEAL_STRANGER) == SEAL_LIMITED;
  }
  assert_true(limited > 900);
  assert_int_equal(say(0, 1), SEAL_OK); // who is known needs no derivation
  start(0);
  assert_int_equal(say(0, 1), SEAL_HELLO); // a restarted peer comes from an address of its own
  for (unsigned i = 0; i < 1000; i++) {
    memcpy(d.bytes + 10, &i, sizeof i);
    deliver(&d);
  }
  assert_int_equal(deliver(&d), SEAL_LIMITED);
  assert_int_equal(say(0, 1), SEAL_OK);
  now.us += FULL_US;
  assert_int_equal(deliver(&d), SEAL_FORGED);
}

/* In a child of its own, for it ends there. */
static void test_a_number_is_never_used_twice(void **unused) {
  (void)unused;
  size_t first;
  send_beat(0, 1, &first);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    fclose(stderr);
    unsigned char payload[WIRE_BEAT_SIZE] = {0}, out[SEAL_COPIES][SEAL_SIZE];
    seal_beat(voter[0].seal, 1, voter[0].seq, payload, out);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

// ---- at random ----

static uint64_t state;

static uint64_t below(uint64_t limit) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % limit;
}

/* Two voters that send and restart as they like, on a network that delivers whatever it ever saw, in any
   order, any number of times or not at all. deliver() asserts what must hold of each one that is accepted. */
static void storm(void) {
  for (int step = 0; step < 400; step++) {
    uint8_t who = (uint8_t)below(2);
    size_t first;
    if (below(25) == 0)
      start(who);
    else if (below(2) == 0)
      send_beat(who, !who, &first);
    if (records == 0)
      continue;
    size_t recent = below(4) != 0 ? below(records < 6 ? records : 6) : below(records);
    const struct datagram *d = &recorded[records - 1 - recent];
    if (deliver_on(d, (unsigned)below(2)) == SEAL_HELLO && below(2) == 0)
      send_beat(d->to, d->from, &first);
    now.us += (int64_t)below(20000);
  }
}

static void test_convergence_at_random(void **unused) {
  (void)unused;
  const char *given = getenv("TANIST_SEED");
  uint64_t begin = given != NULL ? strtoull(given, NULL, 0) : 1, end = given != NULL ? begin + 1 : 301;
  for (seed = begin; seed < end; seed++) {
    state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    records = 0;
    start(0), start(1);
    storm();
    for (unsigned rounds = 0; rounds < 12 && !joined(0, 1); rounds++) {
      now.us += 100000;
      say(0, 1), say(1, 0);
    }
    assert_true(joined(0, 1));
    assert_int_equal(say(0, 1), SEAL_OK);
    assert_int_equal(say(1, 0), SEAL_OK);
    for (size_t i = 0, count = records; i < count; i++) // what was lost until now may still come, once
      deliver_on(&recorded[i], 0), deliver_on(&recorded[i], 1);
    replay_all(0, 1);
  }
  seed = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(replay_in_the_session),
      TEST(replay_after_restart),
      TEST(replay_to_a_newcomer),
      TEST(held_back_of_a_dead_session),
      TEST(replaced_is_never_taken_back),
      TEST(hello_playback),
      TEST(hello_playback_does_not_keep_out_the_true_one),
      TEST(many_restarts),
      TEST(window),
      TEST(copies_on_paths),
      TEST(flood_of_unknown_sessions),
      TEST(a_number_is_never_used_twice),
      TEST(convergence_at_random),
  };
  crypto = crypto_new();
  if (crypto == NULL)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  crypto_free(crypto);
  return failed;
}
