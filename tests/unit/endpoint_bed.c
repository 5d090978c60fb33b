// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/endpoint_bed.h"

struct loop *loop;
struct net *net;
struct crypto *crypto;
struct key keys[VOTERS];
struct endpoint_config config;
struct member members[MEMBERS];
char error[512];
struct puppet puppet;
// ---- waiting for something ----

static bool (*until)(void);
static struct loop_timer *tick;
static struct instant give_up;

static void check(void) {
  if (until != NULL && until())
    loop_stop(loop);
}

/* Not everything that is waited for is told by a callback: copies and refused datagrams are only counted. */
static void on_tick(void *arg) {
  (void)arg;
  if (clock_now().us > give_up.us)
    fail_msg("%s", "it did not happen");
  check();
  loop_timer_in(tick, 1000);
}

void wait_until(bool (*condition)(void)) {
  tick = loop_timer_new(loop, on_tick, NULL);
  give_up = instant_in_ms(GIVE_UP_MS);
  until = condition;
  loop_timer_in(tick, 0);
  assert_int_equal(loop_run(loop), 0);
  until = NULL;
  loop_timer_free(tick);
}

static void stop(void *arg) {
  (void)arg;
  loop_stop(loop);
}

void pass(int64_t ms) {
  struct loop_timer *timer = loop_timer_new(loop, stop, NULL);
  loop_timer_in(timer, ms * 1000);
  assert_int_equal(loop_run(loop), 0);
  loop_timer_free(timer);
}

// ---- members ----

int say(struct member *m, uint8_t to, uint8_t flags) {
  struct beat beat = {.from = m->self, .to = to, .seq = ++m->seq, .leader = NOBODY, .flags = flags};
  beat.role = m->self == VOTER_W ? ROLE_WITNESS : ROLE_SECONDARY;
  beat.sync.owner = beat.seen_you.sync.owner = NOBODY;
  beat.echo = m->last.from == to ? m->last.seq : 0;
  beat.health = 100;
  return endpoint_send(m->endpoint, &beat, m->note, strlen(m->note));
}

static void on_beat(void *arg, uint64_t session, const struct beat *beat, const char *note, size_t size) {
  struct member *m = arg;
  assert_int_equal(beat->to, m->self);
  assert_true(session != m->session || beat->seq > m->last.seq); // first copies, newer ones, nothing else
  m->beats++;
  m->session = session;
  m->last = *beat;
  assert_in_range(size, 0, sizeof m->noted - 1);
  memcpy(m->noted, note, size);
  m->noted[size] = 0;
  if ((beat->flags & BEAT_ASK) != 0)
    say(m, beat->from, 0);
  check();
}

static void on_hello(void *arg, uint8_t peer) {
  struct member *m = arg;
  m->hellos++;
  say(m, peer, 0);
  check();
}

struct net_address loopback(int family) {
  struct net_address address = {.any.sa_family = (sa_family_t)family};
  socklen_t size = family == AF_INET6 ? sizeof address.v6 : sizeof address.v4;
  if (family == AF_INET6)
    address.v6.sin6_addr = in6addr_loopback;
  else
    address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(family, SOCK_DGRAM, 0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, &address.any, size), 0);
  assert_int_equal(getsockname(fd, &address.any, &size), 0);
  close(fd);
  return address;
}

int setup(void **unused) {
  static const char *const names[] = {"alpha", "beta", "gamma"};
  (void)unused;
  memset(members, 0, sizeof members);
  loop = loop_new();
  net = net_new(loop);
  config = (struct endpoint_config){.cluster = "orders", .timeout_ms = TIMEOUT_MS};
  for (unsigned i = 0; i < VOTERS; i++) {
    struct endpoint_voter *voter = &config.voter[i];
    crypto_random(keys[i].private_key, KEY_SIZE);
    crypto_public(keys[i].private_key, keys[i].public_key);
    memcpy(voter->public_key, keys[i].public_key, KEY_SIZE);
    voter->name = names[i];
    voter->addresses = 1;
    voter->address[0] = loopback(AF_INET);
  }
  return loop != NULL && net != NULL ? 0 : -1;
}

int teardown(void **unused) {
  (void)unused;
  net_free(puppet.net);
  seal_free(puppet.seal);
  memset(&puppet, 0, sizeof puppet);
  for (unsigned i = 0; i < MEMBERS; i++)
    endpoint_close(members[i].endpoint);
  net_free(net);
  loop_free(loop);
  return 0;
}

int open_member(struct member *m, uint8_t self) {
  endpoint_close(m->endpoint);
  *m = (struct member){.self = self};
  config.self = self;
  config.key = &keys[self];
  return endpoint_open(&m->endpoint, net, crypto, &config, on_beat, on_hello, m, error, sizeof error);
}

void two_paths(void) {
  for (unsigned i = 0; i < NODES; i++) {
    config.voter[i].addresses = 2;
    config.voter[i].address[1] = loopback(AF_INET6);
  }
}

void open_nodes(void) {
  assert_int_equal(open_member(&members[0], VOTER_A), 0);
  assert_int_equal(open_member(&members[1], VOTER_B), 0);
}

bool both_know(void) {
  return members[0].session != 0 && members[0].session == endpoint_session(members[1].endpoint) &&
         members[1].session != 0 && members[1].session == endpoint_session(members[0].endpoint);
}

unsigned wanted;

bool b_has_them(void) {
  return members[1].beats >= wanted;
}

uint64_t received(unsigned member, uint8_t peer, unsigned path) {
  return endpoint_path(members[member].endpoint, peer, path).received;
}

uint64_t awaited[2];

bool paths_have_them(void) {
  return received(1, VOTER_A, 0) >= awaited[0] && received(1, VOTER_A, 1) >= awaited[1];
}

enum path_state path_state(unsigned member, uint8_t peer, unsigned path) {
  return endpoint_path(members[member].endpoint, peer, path).state;
}
