// SPDX-License-Identifier: Apache-2.0
// The Redis driver at work, with a Redis that answers whatever the input says: each time it is asked
// something it sends the next piece. Input: which duty; the pieces, each two bytes of length before it (0: it
// hangs up).
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/broker.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define RUN_US 30000
#define CLIENTS_MAX 8

static struct {
  struct loop *loop;
  struct input input;
  struct broker *broker;
  struct loop_io *listening;
  struct {
    int fd;
    struct loop_io *io;
  } client[CLIENTS_MAX];
} world;

static int listener;
static char address[32];

static void look_at(const struct broker_view *view) {
  assert(memchr(view->state, 0, sizeof view->state) != NULL);
  assert(memchr(view->trouble, 0, sizeof view->trouble) != NULL);
}

static void on_changed(void *arg) {
  (void)arg;
  look_at(broker_view(world.broker));
}
static void on_done(void *arg, uint32_t serial, struct position position) {
  (void)arg, (void)position;
  assert(serial == 1);
}
static void on_cleared(void *arg) {
  (void)arg;
}
static void on_orphaned(void *arg, const char *path) {
  (void)arg, (void)path;
}

// ---- the Redis ----

static void hang_up(size_t i) {
  if (world.client[i].fd < 0)
    return;
  loop_io_free(world.client[i].io);
  close(world.client[i].fd);
  world.client[i].fd = -1;
}

static void on_asked(void *arg, bool readable, bool writable) {
  char asked[4096];
  size_t i = (size_t)(uintptr_t)arg;
  const uint8_t *piece;
  (void)readable, (void)writable;
  ssize_t got = recv(world.client[i].fd, asked, sizeof asked, MSG_DONTWAIT);
  if (world.input.left == 0)
    loop_stop(world.loop);
  size_t size = input_bytes(&world.input, input_u16(&world.input), &piece);
  if (got <= 0 || size == 0 || send(world.client[i].fd, piece, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    hang_up(i);
}

static void on_connection(void *arg, bool readable, bool writable) {
  (void)arg, (void)readable, (void)writable;
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  for (size_t i = 0; fd >= 0 && i < CLIENTS_MAX; i++) {
    if (world.client[i].fd >= 0)
      continue;
    world.client[i].fd = fd;
    world.client[i].io = loop_io_new(world.loop, fd, on_asked, (void *)(uintptr_t)i);
    loop_io_want(world.client[i].io, true, false);
    return;
  }
  if (fd >= 0)
    close(fd);
}

static void listen_once(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  if (listener != 0)
    return;
  listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, size) != 0 || listen(listener, 64) != 0 ||
      getsockname(listener, (struct sockaddr *)&at, &size) != 0)
    abort();
  snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
}

// ---- the driver ----

static void on_end(void *arg) {
  loop_stop(arg);
}

static void open_driver(void) {
  struct broker_settings settings = {.cluster = "orders",
                                     .self = VOTER_A,
                                     .driver = "redis",
                                     .address = address,
                                     .peers = {address, address},
                                     .username = "",
                                     .password_file = "",
                                     .replication = REPLICATION_SYNC,
                                     .beat_ms = 5,
                                     .lease_ms = 50,
                                     .probe_every_ms = 1,
                                     .probe_timeout_ms = 10};
  struct broker_watch watch = {
      .changed = on_changed, .done = on_done, .cleared = on_cleared, .orphaned = on_orphaned};
  const char *error = "";
  if (broker_open(&world.broker, world.loop, &settings, &watch, &error) != 0) {
    fprintf(stderr, "%s\n", error);
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  listen_once();
  world.input = (struct input){bytes, size};
  world.loop = loop_new();
  world.listening = loop_io_new(world.loop, listener, on_connection, NULL);
  loop_io_want(world.listening, true, false);
  for (size_t i = 0; i < CLIENTS_MAX; i++)
    world.client[i].fd = -1;
  open_driver();
  uint8_t bits = input_u8(&world.input);
  struct broker_duty duty = {.serial = 1,
                             .mode = bits % BROKER_MODE_COUNT,
                             .master = VOTER_B,
                             .epoch = bits >> 4,
                             .paused = (bits & 4) != 0,
                             .evict = (bits & 4) != 0,
                             .sync = (bits & 8) != 0};
  broker_apply(world.broker, &duty);
  if ((bits & 0x80) != 0)
    broker_kill_clients(world.broker);
  struct loop_timer *timer = loop_timer_new(world.loop, on_end, world.loop);
  loop_timer_in(timer, RUN_US);
  loop_run(world.loop);
  look_at(broker_view(world.broker));
  broker_close(world.broker);
  for (size_t i = 0; i < CLIENTS_MAX; i++)
    hang_up(i);
  loop_io_free(world.listening);
  loop_timer_free(timer);
  loop_free(world.loop);
  return 0;
}
