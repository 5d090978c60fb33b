// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/net.h"
#include "common/core/wire.h"

#define GIVE_UP_US 10000000

static struct loop *loop;
static struct net *net;
static char error[256];

static struct {
  unsigned count, last, own;
  unsigned cluster[4];
  struct net_address from;
  unsigned char bytes[1400];
  size_t size;
} got;
static unsigned expected;

static void too_late(void *arg) {
  (void)arg;
  loop_stop(loop);
}

static int setup(void **unused) {
  (void)unused;
  memset(&got, 0, sizeof got);
  expected = 1;
  loop = loop_new();
  net = net_new(loop);
  return loop != NULL && net != NULL ? 0 : -1;
}

static int teardown(void **unused) {
  (void)unused;
  net_free(net);
  loop_free(loop);
  return 0;
}

static void on_datagram(void *arg, unsigned own, const struct net_address *from, const unsigned char *bytes,
                        size_t size) {
  got.last = (unsigned)(uintptr_t)arg;
  got.cluster[got.last]++;
  got.own = own;
  got.from = *from;
  got.size = size;
  memcpy(got.bytes, bytes, size);
  if (++got.count == expected)
    loop_stop(loop);
}

/* Runs until so many datagrams have come. */
static void wait_for(unsigned count) {
  struct loop_timer *timer = loop_timer_new(loop, too_late, NULL);
  expected = count;
  loop_timer_in(timer, GIVE_UP_US);
  assert_int_equal(loop_run(loop), 0);
  loop_timer_free(timer);
  assert_int_equal(got.count, count);
}

/* A port that nobody has at the moment. */
static struct net_address loopback(int family) {
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

static struct net_port *join(const struct net_address *address, uint64_t cluster, unsigned number) {
  struct net_port *port = NULL;
  assert_int_equal(
      net_join(net, &port, address, cluster, on_datagram, (void *)(uintptr_t)number, number + 40), 0);
  return port;
}

static void make_header(uint64_t cluster, unsigned char out[WIRE_HEADER_SIZE]) {
  wire_header_encode(&(struct wire_header){cluster, 0, 1, 1}, out);
}

// ---- addresses ----

static void test_parse(void **unused) {
  (void)unused;
  const char *good[] = {"10.0.0.1:7400",   "127.0.0.1:1", "192.168.255.255:65535", "[fd00::1]:7400",
                        "[2001:db8::7]:9", "[::1]:7400",  "223.255.255.1:80"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    struct net_address address, again;
    char text[NET_ADDRESS_TEXT_SIZE];
    assert_int_equal(net_address_parse(good[i], &address, error, sizeof error), 0);
    net_address_format(&address, text);
    assert_string_equal(text, good[i]);
    assert_int_equal(net_address_parse(text, &again, error, sizeof error), 0);
    assert_true(net_address_equal(&address, &again));
  }
}

static void test_parse_errors(void **unused) {
  (void)unused;
  const struct {
    const char *text, *why;
  } bad[] = {
      {"", "no port"},
      {"10.0.0.1", "no port"},
      {"10.0.0.1:", "no port from"},
      {"10.0.0.1:0", "no port from"},
      {"10.0.0.1:65536", "no port from"},
      {"10.0.0.1:99999999999999999999", "no port from"},
      {"10.0.0.1:74x", "no port from"},
      {"10.0.0.1:-1", "no port from"},
      {"10.0.0.1: 1", "no port from"},
      {"10.0.0.1:0080", "no port from"},
      {"10.0.0.256:7400", "no numeric address"},
      {"localhost:7400", "names are not looked up"},
      {":7400", "no numeric address"},
      {"fd00::1:7400", "without brackets"},
      {"[fd00::1]", "no port"},
      {"[fd00::1]7400", "no port"},
      {"[fd00::1", "no port"},
      {"[10.0.0.1]:7400", "no numeric address"},
      {"[fe80::1%eth0]:7400", "no numeric address"},
      {"[fe80::1]:7400", "link-local"},
      {"[::]:7400", "wildcard"},
      {"[ff02::1]:7400", "group"},
      {"[::ffff:10.0.0.1]:7400", "not one machine"},
      {"0.0.0.0:7400", "wildcard"},
      {"224.0.0.1:7400", "group"},
      {"255.255.255.255:7400", "not one machine"},
      {"1111111111111111111111111111111111111111111111111111:1", "no address"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct net_address address;
    error[0] = '\0';
    assert_int_equal(net_address_parse(bad[i].text, &address, error, sizeof error), -EINVAL);
    if (strstr(error, bad[i].why) == NULL || strstr(error, "10.0.0.1:7400") == NULL)
      fail_msg("\"%s\": %s", bad[i].text, error);
  }
}

static void test_equality(void **unused) {
  (void)unused;
  const char *different[] = {"10.0.0.1:7400",  "10.0.0.2:7400",  "10.0.0.1:7401",
                             "[fd00::1]:7400", "[fd00::2]:7400", "[fd00::1]:7401"};
  for (size_t i = 0; i < 6; i++)
    for (size_t k = 0; k < 6; k++) {
      struct net_address a, b;
      assert_int_equal(net_address_parse(different[i], &a, error, sizeof error), 0);
      assert_int_equal(net_address_parse(different[k], &b, error, sizeof error), 0);
      assert_int_equal(net_address_equal(&a, &b), i == k);
      assert_int_equal(net_same_family(&a, &b), (i < 3) == (k < 3));
    }
}

// ---- sockets ----

static void exchange(int family) {
  struct net_address here = loopback(family), there = loopback(family);
  struct net_port *a = join(&here, 1, 0);
  join(&there, 1, 1);
  assert_int_equal(net_send(a, &there, "hello", 5), 0);
  wait_for(1);
  assert_int_equal(got.last, 1);
  assert_int_equal(got.own, 41);
  assert_int_equal(got.size, 5);
  assert_memory_equal(got.bytes, "hello", 5);
  assert_true(net_address_equal(&got.from, &here));
}

static void test_exchange_v4(void **unused) {
  (void)unused;
  exchange(AF_INET);
}

static void test_exchange_v6(void **unused) {
  (void)unused;
  exchange(AF_INET6);
}

static void test_clusters_share_a_socket(void **unused) {
  (void)unused;
  struct net_address here = loopback(AF_INET), there = loopback(AF_INET);
  const uint64_t clusters[3] = {UINT64_MAX, 3, UINT64_C(1) << 63};
  unsigned char bytes[WIRE_HEADER_SIZE];
  struct net_port *from = join(&there, 9, 3);
  for (unsigned i = 0; i < 3; i++)
    join(&here, clusters[i], i);
  for (unsigned i = 0; i < 3; i++)
    for (unsigned n = 0; n <= i; n++) {
      make_header(clusters[i], bytes);
      assert_int_equal(net_send(from, &here, bytes, sizeof bytes), 0);
    }
  make_header(4, bytes); // nobody's
  assert_int_equal(net_send(from, &here, bytes, sizeof bytes), 0);
  assert_int_equal(net_send(from, &here, bytes, 8), 0);
  make_header(3, bytes);
  assert_int_equal(net_send(from, &here, bytes, sizeof bytes), 0);
  wait_for(7);
  assert_int_equal(got.cluster[0], 1);
  assert_int_equal(got.cluster[1], 3);
  assert_int_equal(got.cluster[2], 3);
  assert_int_equal(net_unclaimed(net), 2);
}

static void test_alone_gets_everything(void **unused) {
  (void)unused;
  struct net_address here = loopback(AF_INET), there = loopback(AF_INET);
  struct net_port *from = join(&there, 9, 3);
  unsigned char big[2000] = {0};
  join(&here, 1, 0);
  assert_int_equal(net_send(from, &here, "x", 1), 0);
  assert_int_equal(net_send(from, &here, "", 0), 0);
  assert_int_equal(net_send(from, &here, big, sizeof big), 0);
  wait_for(3);
  assert_int_equal(got.size, 1280); // cut, and longer than any beat
  assert_int_equal(net_unclaimed(net), 0);
}

static void test_join_and_leave(void **unused) {
  (void)unused;
  struct net_address here = loopback(AF_INET), there = loopback(AF_INET);
  struct net_port *from = join(&there, 9, 3), *again;
  struct net_port *first = join(&here, 1, 0), *second = join(&here, 2, 1);
  unsigned char bytes[WIRE_HEADER_SIZE];
  assert_int_equal(net_join(net, &again, &here, 1, on_datagram, NULL, 0), -EEXIST);
  net_leave(first);
  make_header(2, bytes);
  assert_int_equal(net_send(from, &here, bytes, sizeof bytes), 0);
  wait_for(1);
  assert_int_equal(got.last, 1);
  net_leave(second); // the socket is closed, and can be had anew, by another process too
  struct net *other = net_new(loop);
  assert_int_equal(net_join(other, &again, &here, 1, on_datagram, NULL, 0), 0);
  assert_int_equal(net_join(net, &first, &here, 1, on_datagram, NULL, 0), -EADDRINUSE);
  net_free(other);
  net_leave(NULL);
}

/* An address whose interface is not there (yet): it can be joined, and what fails is said by each sending. */
static void test_address_that_is_not_here(void **unused) {
  (void)unused;
  const char *absent[] = {"192.0.2.77:7400", "[2001:db8::77]:7400"};
  struct net_address there = loopback(AF_INET);
  for (unsigned i = 0; i < 2; i++) {
    struct net_address address;
    assert_int_equal(net_address_parse(absent[i], &address, error, sizeof error), 0);
    struct net_port *port = join(&address, 1, i);
    if (i == 0)
      assert_true(net_send(port, &there, "x", 1) < 0);
  }
}

/* A flood on one socket leaves the others their turn. */
static void test_flood(void **unused) {
  (void)unused;
  struct net_address flooded = loopback(AF_INET), quiet = loopback(AF_INET), there = loopback(AF_INET);
  struct net_port *from = join(&there, 9, 3);
  join(&flooded, 1, 0);
  join(&quiet, 1, 1);
  for (unsigned i = 0; i < 200; i++)
    assert_int_equal(net_send(from, &flooded, "x", 1), 0);
  assert_int_equal(net_send(from, &quiet, "y", 1), 0);
  wait_for(65); // one turn of the flooded socket, and the quiet one's datagram
  assert_int_equal(got.cluster[1], 1);
  wait_for(201);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(parse),
      TEST(parse_errors),
      TEST(equality),
      TEST(exchange_v4),
      TEST(exchange_v6),
      TEST(clusters_share_a_socket),
      TEST(alone_gets_everything),
      TEST(join_and_leave),
      TEST(address_that_is_not_here),
      TEST(flood),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
