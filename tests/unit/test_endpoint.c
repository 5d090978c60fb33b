// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/endpoint_bed.h"

// ---- two endpoints ----

static void test_meeting_needs_one_beat(void **unused) {
  (void)unused;
  open_nodes();
  assert_int_equal(say(&members[0], VOTER_B, 0), 0);
  wait_until(both_know); // by the answers to hellos alone
  assert_true(members[0].seq <= 3 && members[1].seq <= 3);
}

static bool a_measured(void) {
  return endpoint_path(members[0].endpoint, VOTER_B, 0).rtt_us >= 0 &&
         endpoint_path(members[0].endpoint, VOTER_B, 1).rtt_us >= 0;
}

static bool b_has_the_note(void) {
  return strcmp(members[1].noted, members[0].note) == 0;
}

static void test_a_note_goes_with_a_beat(void **unused) {
  (void)unused;
  open_nodes();
  strcpy(members[0].note, "the rack burns");
  for (int i = 0; i < 2; i++) { /* and none when there is none any more */
    say(&members[0], VOTER_B, 0);
    wait_until(both_know);
    say(&members[0], VOTER_B, 0);
    wait_until(b_has_the_note);
    assert_string_equal(members[0].noted, "");
    members[0].note[0] = 0;
  }
}

static void test_two_paths(void **unused) {
  (void)unused;
  two_paths();
  open_nodes();
  say(&members[0], VOTER_B, 0);
  wait_until(both_know);
  unsigned before = members[1].beats;
  for (unsigned k = 0; k < 2; k++)
    awaited[k] = received(1, VOTER_A, k) + 50;
  for (unsigned i = 0; i < 50; i++)
    say(&members[0], VOTER_B, 0);
  wait_until(paths_have_them);
  assert_int_equal(members[1].beats, before + 50); // the first copy of each
  assert_int_equal(endpoint_paths(members[1].endpoint, VOTER_A), 2);
  struct endpoint_counters counters = endpoint_counters(members[1].endpoint);
  assert_true(counters.result[SEAL_COPY] >= 50);
  assert_int_equal(counters.result[SEAL_REPLAY], 0);
  assert_int_equal(counters.result[SEAL_FORGED], 0);
  for (unsigned k = 0; k < 2; k++)
    assert_true(endpoint_path(members[1].endpoint, VOTER_A, k).loss_percent == 0);
}

static void test_rtt(void **unused) {
  (void)unused;
  two_paths();
  open_nodes();
  say(&members[0], VOTER_B, 0);
  wait_until(both_know);
  assert_int_equal(endpoint_path(members[0].endpoint, VOTER_B, 0).rtt_us, -1);
  say(&members[0], VOTER_B, BEAT_ASK);
  wait_until(a_measured);
  for (unsigned k = 0; k < 2; k++)
    assert_in_range(endpoint_path(members[0].endpoint, VOTER_B, k).rtt_us, 1, GIVE_UP_MS * 1000);
}

static bool a_is_up_on_0(void) {
  return path_state(0, VOTER_B, 0) == PATH_UP;
}

/* Path 1 ends where nobody is, on both sides: path 0 carries on, and the status says which is which. */
static void test_one_path_cut(void **unused) {
  (void)unused;
  two_paths();
  struct net_address true_end = config.voter[VOTER_B].address[1];
  config.voter[VOTER_B].address[1] = loopback(AF_INET6);
  assert_int_equal(open_member(&members[0], VOTER_A), 0);
  config.voter[VOTER_B].address[1] = true_end;
  config.voter[VOTER_A].address[1] = loopback(AF_INET6);
  assert_int_equal(open_member(&members[1], VOTER_B), 0);
  say(&members[0], VOTER_B, 0);
  wait_until(both_know);
  say(&members[0], VOTER_B, BEAT_ASK);
  wait_until(a_is_up_on_0);
  assert_int_equal(path_state(0, VOTER_B, 1), PATH_DOWN);
  assert_int_equal(received(0, VOTER_B, 1), 0);
  assert_true(endpoint_path(members[0].endpoint, VOTER_B, 1).sent > 0);
}

static void test_restarts(void **unused) {
  (void)unused;
  open_nodes();
  say(&members[0], VOTER_B, 0);
  wait_until(both_know);
  for (unsigned i = 0; i < 70; i++) {
    unsigned who = i % 3; // a, b, both
    uint64_t session = endpoint_session(members[0].endpoint);
    if (who != 1)
      assert_int_equal(open_member(&members[0], VOTER_A), 0);
    if (who != 0)
      assert_int_equal(open_member(&members[1], VOTER_B), 0);
    assert_true((session != endpoint_session(members[0].endpoint)) == (who != 1));
    say(&members[who == 1], who == 1 ? VOTER_A : VOTER_B, 0);
    wait_until(both_know);
  }
}

// ---- with the puppet ----

static void ignore(void *arg, unsigned own, const struct net_address *from, const unsigned char *bytes,
                   size_t size) {
  struct seal_opened opened;
  (void)own, (void)from;
  seal_open(arg, clock_now(), 0, bytes, size, &opened);
}

static void make_puppet(void) {
  unsigned char public_keys[VOTERS][KEY_SIZE];
  for (unsigned i = 0; i < VOTERS; i++)
    memcpy(public_keys[i], keys[i].public_key, KEY_SIZE);
  two_paths();
  assert_int_equal(seal_new(&puppet.seal, crypto, seal_cluster_id("orders"), VOTER_A, keys[0].private_key,
                            (const unsigned char(*)[KEY_SIZE])public_keys, error, sizeof error),
                   0);
  puppet.seq = 0;
  puppet.net = net_new(loop);
  for (unsigned i = 0; i < 2; i++)
    assert_int_equal(net_join(puppet.net, &puppet.port[i], &config.voter[VOTER_A].address[i],
                              seal_cluster_id("orders"), ignore, puppet.seal, i),
                     0);
  assert_int_equal(open_member(&members[1], VOTER_B), 0);
}

static struct beat puppet_beat(uint8_t heard) {
  struct beat beat = {
      .from = VOTER_A, .to = VOTER_B, .role = ROLE_SECONDARY, .leader = NOBODY, .paths_heard = heard};
  beat.sync.owner = beat.seen_you.sync.owner = NOBODY;
  return beat;
}

static size_t puppet_seal(const struct beat *beat, unsigned char out[SEAL_COPIES][SEAL_SIZE]) {
  unsigned char payload[WIRE_BEAT_SIZE];
  wire_encode(beat, payload);
  return seal_beat(puppet.seal, VOTER_B, ++puppet.seq, payload, out);
}

static void puppet_says(const struct beat *beat, bool path_0, bool path_1) {
  unsigned char out[SEAL_COPIES][SEAL_SIZE];
  const bool on[2] = {path_0, path_1};
  size_t copies = puppet_seal(beat, out);
  for (size_t i = 0; i < copies; i++)
    for (unsigned k = 0; k < 2; k++)
      if (on[k])
        assert_int_equal(net_send(puppet.port[k], &config.voter[VOTER_B].address[k], out[i], SEAL_SIZE), 0);
}

static bool puppet_met(void) {
  return seal_peer_session(puppet.seal, VOTER_B) != 0;
}

static uint64_t expected_in;
static bool b_counted(void) {
  return endpoint_counters(members[1].endpoint).datagrams_in >= expected_in;
}

static void wait_for_datagrams(uint64_t more) {
  expected_in = endpoint_counters(members[1].endpoint).datagrams_in + more;
  wait_until(b_counted);
}

static void meet_puppet(void) {
  struct beat beat = puppet_beat(0);
  make_puppet();
  puppet_says(&beat, true, true);
  wait_until(puppet_met);
  puppet_says(&beat, true, true);
  awaited[0] = awaited[1] = 1;
  wait_until(paths_have_them);
}

static void test_path_states(void **unused) {
  (void)unused;
  meet_puppet();
  struct beat one = puppet_beat(1), two = puppet_beat(3), none = puppet_beat(0);
  wait_for_datagrams(0);
  puppet_says(&one, true, true);
  wait_for_datagrams(2);
  assert_int_equal(path_state(1, VOTER_A, 0), PATH_UP);
  assert_int_equal(path_state(1, VOTER_A, 1), PATH_MUTE);
  pass(TIMEOUT_MS + 20);
  assert_int_equal(path_state(1, VOTER_A, 0), PATH_DOWN);
  puppet_says(&two, true, false);
  wait_for_datagrams(1);
  assert_int_equal(path_state(1, VOTER_A, 0), PATH_UP);
  assert_int_equal(path_state(1, VOTER_A, 1), PATH_DEAF);
  puppet_says(&none, true, false);
  wait_for_datagrams(1);
  assert_int_equal(path_state(1, VOTER_A, 0), PATH_MUTE);
  assert_int_equal(path_state(1, VOTER_A, 1), PATH_DOWN);
}

static void test_loss(void **unused) {
  (void)unused;
  meet_puppet();
  struct beat beat = puppet_beat(3);
  for (unsigned k = 0; k < 2; k++)
    awaited[k] = received(1, VOTER_A, k);
  for (unsigned i = 0; i < 2000; i++) {
    bool lost = i % 4 == 0;
    puppet.seq += 2; // numbers for others, which are no losses
    puppet_says(&beat, true, !lost);
    awaited[0]++;
    awaited[1] += !lost;
    if (i % 8 == 7) // or the socket's buffer would lose some itself
      wait_until(paths_have_them);
  }
  assert_true(endpoint_path(members[1].endpoint, VOTER_A, 0).loss_percent == 0);
  double percent = endpoint_path(members[1].endpoint, VOTER_A, 1).loss_percent;
  assert_true(percent > 20 && percent < 30);
}

static void test_late_and_malformed(void **unused) {
  (void)unused;
  meet_puppet();
  unsigned char first[SEAL_COPIES][SEAL_SIZE], second[SEAL_COPIES][SEAL_SIZE];
  struct beat beat = puppet_beat(3);
  const struct net_address *to = &config.voter[VOTER_B].address[0];
  unsigned before = members[1].beats;
  puppet_seal(&beat, first);
  puppet_seal(&beat, second);
  net_send(puppet.port[0], to, second[0], SEAL_SIZE);
  net_send(puppet.port[0], to, first[0], SEAL_SIZE);
  beat.role = ROLE_WITNESS; // which a cannot be
  puppet_says(&beat, true, false);
  net_send(puppet.port[0], to, "\1unk", 4);
  wait_for_datagrams(4);
  struct endpoint_counters counters = endpoint_counters(members[1].endpoint);
  assert_int_equal(members[1].beats, before + 1);
  assert_int_equal(counters.late, 1);
  assert_int_equal(counters.result[SEAL_MALFORMED], 2);
}

/* From an address that the configuration does not know: the seal is what counts. */
static void test_stranger(void **unused) {
  (void)unused;
  meet_puppet();
  struct net_address elsewhere = loopback(AF_INET);
  struct net_port *port = NULL;
  unsigned char out[SEAL_COPIES][SEAL_SIZE];
  struct beat beat = puppet_beat(3);
  uint64_t before = received(1, VOTER_A, 0);
  assert_int_equal(net_join(puppet.net, &port, &elsewhere, 1, ignore, puppet.seal, 0), 0);
  puppet_seal(&beat, out);
  wanted = members[1].beats + 1;
  assert_int_equal(net_send(port, &config.voter[VOTER_B].address[0], out[0], SEAL_SIZE), 0);
  wait_until(b_has_them);
  assert_int_equal(received(1, VOTER_A, 0), before);
}

// ---- strangers and mistakes ----

static void test_wrong_key(void **unused) {
  (void)unused;
  assert_int_equal(open_member(&members[1], VOTER_B), 0);
  crypto_random(keys[0].private_key, KEY_SIZE);
  crypto_public(keys[0].private_key, keys[0].public_key);
  assert_int_equal(open_member(&members[0], VOTER_A), -EKEYREJECTED);
  assert_non_null(strstr(error, "alpha"));
  memcpy(config.voter[0].public_key, keys[0].public_key, KEY_SIZE); // a forged configuration, then
  assert_int_equal(open_member(&members[0], VOTER_A), 0);
  say(&members[0], VOTER_B, 0);
  wait_for_datagrams(1);
  assert_int_equal(endpoint_counters(members[1].endpoint).result[SEAL_FORGED], 1);
  assert_int_equal(members[1].beats + members[1].hellos, 0);
}

static void test_wrong_cluster(void **unused) {
  (void)unused;
  assert_int_equal(open_member(&members[1], VOTER_B), 0);
  config.cluster = "invoices";
  assert_int_equal(open_member(&members[0], VOTER_A), 0);
  say(&members[0], VOTER_B, 0);
  wait_for_datagrams(1);
  assert_int_equal(endpoint_counters(members[1].endpoint).result[SEAL_CLUSTER], 1);
  assert_int_equal(members[1].beats + members[1].hellos, 0);
}

static void test_low_order_key(void **unused) {
  (void)unused;
  memset(config.voter[1].public_key, 0, KEY_SIZE);
  assert_int_equal(open_member(&members[0], VOTER_A), -EINVAL);
}

static void test_no_common_family(void **unused) {
  (void)unused;
  config.voter[VOTER_W].address[0] = loopback(AF_INET6);
  assert_int_equal(open_member(&members[0], VOTER_A), -EAFNOSUPPORT);
  assert_non_null(strstr(error, "alpha to gamma"));
  config.voter[VOTER_A].addresses = 2; // its second reaches the witness's only one
  config.voter[VOTER_A].address[1] = loopback(AF_INET6);
  assert_int_equal(open_member(&members[0], VOTER_A), 0);
  assert_int_equal(endpoint_paths(members[0].endpoint, VOTER_W), 2);
  assert_false(endpoint_path(members[0].endpoint, VOTER_W, 0).present);
  assert_true(endpoint_path(members[0].endpoint, VOTER_W, 1).present);
  assert_int_equal(say(&members[0], VOTER_W, 0), 0);
}

static void test_address_in_use(void **unused) {
  (void)unused;
  struct net *other = net_new(loop);
  struct net_port *port = NULL;
  char text[NET_ADDRESS_TEXT_SIZE];
  assert_int_equal(net_join(other, &port, &config.voter[0].address[0], 1, ignore, NULL, 0), 0);
  assert_int_equal(open_member(&members[0], VOTER_A), -EADDRINUSE);
  net_address_format(&config.voter[0].address[0], text);
  assert_non_null(strstr(error, text));
  net_free(other);
  config.voter[0].addresses = 2;
  config.voter[0].address[1] = config.voter[0].address[0];
  assert_int_equal(open_member(&members[0], VOTER_A), -EEXIST);
}

/* An own address that this machine does not have: counted, said, and nothing worse. */
static void test_errors_of_sending(void **unused) {
  (void)unused;
  assert_int_equal(net_address_parse("192.0.2.77:7400", &config.voter[0].address[0], error, sizeof error), 0);
  assert_int_equal(open_member(&members[0], VOTER_A), 0);
  assert_true(say(&members[0], VOTER_B, 0) < 0);
  struct endpoint_path path = endpoint_path(members[0].endpoint, VOTER_B, 0);
  assert_true(path.error != 0 && path.errors == 1 && path.sent == 0);
  assert_int_equal(path.state, PATH_DOWN);
  assert_int_equal(endpoint_counters(members[0].endpoint).datagrams_out, 0);
}

// ---- a witness of several clusters ----

static bool all_met(void) {
  for (unsigned i = 0; i < 3; i++) {
    const struct member *node = &members[2 * i], *witness = &members[2 * i + 1];
    if (node->session != endpoint_session(witness->endpoint) ||
        witness->session != endpoint_session(node->endpoint))
      return false;
  }
  return true;
}

static void test_clusters_on_one_port(void **unused) {
  static const char *const clusters[] = {"orders", "invoices", "mail"};
  (void)unused;
  for (unsigned i = 0; i < 3; i++) {
    config.cluster = clusters[i];
    config.voter[VOTER_A].address[0] = loopback(AF_INET);
    assert_int_equal(open_member(&members[2 * i], VOTER_A), 0);
    assert_int_equal(open_member(&members[2 * i + 1], VOTER_W), 0); // on the same address each time
  }
  for (unsigned i = 0; i < 3; i++)
    say(&members[2 * i], VOTER_W, 0);
  wait_until(all_met);
  for (unsigned i = 0; i < 3; i++)
    assert_int_equal(endpoint_counters(members[2 * i + 1].endpoint).result[SEAL_CLUSTER], 0);
  assert_int_equal(net_unclaimed(net), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(meeting_needs_one_beat),
      TEST(a_note_goes_with_a_beat),
      TEST(two_paths),
      TEST(rtt),
      TEST(one_path_cut),
      TEST(restarts),
      TEST(path_states),
      TEST(loss),
      TEST(late_and_malformed),
      TEST(stranger),
      TEST(wrong_key),
      TEST(wrong_cluster),
      TEST(low_order_key),
      TEST(no_common_family),
      TEST(address_in_use),
      TEST(errors_of_sending),
      TEST(clusters_on_one_port),
  };
  crypto = crypto_new();
  if (crypto == NULL)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  crypto_free(crypto);
  return failed;
}
