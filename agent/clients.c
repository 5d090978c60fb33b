// SPDX-License-Identifier: Apache-2.0
#include "agent/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/flows.h"
#include "agent/tickle.h"
#include "common/base/clock.h"
#include "common/core/lease.h"

#define WAKE_AT_ONCE 100 // a packet to a client costs up to 0.1 ms, and beats must go on meanwhile
static const int64_t wake_us[] = {0, 50 * 1000, 200 * 1000, 1000 * 1000};
#define WAKES (sizeof wake_us / sizeof wake_us[0])

struct clients {
  struct clients_settings settings;
  struct tcp_diag *diag;
  struct tickle *tickle;
  struct flows_sender *here;
  struct flows_receiver *there;
  struct loop_timer *look, *wake;
  struct instant held_at;
  size_t wakes, next, woken; // rounds done, the next one in this round, all of them
  bool held;
  size_t place; // of the address that is looked at
};

// ---- at the master ----

static void see(void *arg, const struct tcp_flow *socket) {
  struct clients *c = arg;
  struct flow flow;
  memset(&flow, 0, sizeof flow); /* padding too: flows are compared as bytes */
  flow.address = (uint8_t)c->place;
  flow.family = socket->family;
  flow.local_port = socket->local_port;
  flow.peer_port = socket->peer_port;
  memcpy(flow.peer, socket->peer, sizeof flow.peer);
  flows_add(c->here, &flow);
}

static void look(struct clients *c) {
  int rc = 0;
  flows_begin(c->here);
  for (c->place = 0; c->held && rc >= 0 && c->place < c->settings.count; c->place++)
    rc = tcp_diag_each(c->diag, c->settings.at[c->place].family, c->settings.at[c->place].bytes, see, c);
  if (rc >= 0) /* a dump that a change overtook is worth nothing: the next one comes soon */
    flows_end(c->here);
}

static void on_look(void *arg) {
  struct clients *c = arg;
  if (!c->held)
    return;
  look(c);
  loop_timer_in(c->look, (int64_t)c->settings.every_ms * 1000);
}

int clients_reset(struct clients *c) {
  int sum = 0;
  bool held = c->held;
  c->held = false;
  loop_timer_at(c->wake, INSTANT_NEVER);
  for (size_t i = 0; i < c->settings.count; i++) {
    int rc = tcp_diag_destroy(c->diag, c->settings.at[i].family, c->settings.at[i].bytes);
    if (rc < 0)
      return rc;
    sum += rc;
  }
  if (held)
    look(c); /* nothing is left */
  return sum;
}

// ---- after a take-over ----

static void wake(const struct clients *c, const struct flow *flow) {
  struct tcp_flow to = {.family = flow->family, .local_port = flow->local_port, .peer_port = flow->peer_port};
  if (flow->address >= c->settings.count || c->settings.at[flow->address].family != flow->family)
    return; /* of another configuration */
  memcpy(to.local, c->settings.at[flow->address].bytes, to.family == AF_INET6 ? 16 : 4);
  memcpy(to.peer, flow->peer, sizeof to.peer);
  tickle_send(c->tickle, &to);
}

static void on_wake(void *arg) {
  struct clients *c = arg;
  const struct flow *flows;
  size_t count = flows_known(c->there, &flows);
  for (size_t i = 0; i < WAKE_AT_ONCE && c->next < count; i++)
    wake(c, &flows[c->next++]);
  if (c->next < count) {
    loop_timer_in(c->wake, 0);
    return;
  }
  c->next = 0;
  if (++c->wakes < WAKES)
    loop_timer_at(c->wake, instant_plus_us(c->held_at, wake_us[c->wakes]));
  else
    flows_forget(c->there);
}

void clients_held(struct clients *c) {
  const struct flow *flows;
  if (c->held)
    return;
  c->held = true;
  c->held_at = clock_now();
  c->wakes = c->next = 0;
  c->woken = flows_known(c->there, &flows);
  if (c->woken > 0)
    loop_timer_in(c->wake, 0);
  loop_timer_in(c->look, 0);
}

// ---- between the nodes ----

size_t clients_write(const struct clients *c, uint8_t *to, size_t room) {
  return c->held ? flows_write(c->here, to, room) : flows_confirm(c->there, to, room);
}

void clients_read(struct clients *c, const uint8_t *bytes, size_t size) {
  if (c->held)
    flows_confirmed(c->here, bytes, size);
  else
    flows_read(c->there, bytes, size);
}

size_t clients_count(const struct clients *c) {
  return c->held ? flows_count(c->here) : 0;
}

size_t clients_of_other(const struct clients *c) {
  const struct flow *flows;
  return c->held ? 0 : flows_known(c->there, &flows);
}

size_t clients_woken(const struct clients *c) {
  return c->woken;
}

// ---- life ----

static int open_parts(struct clients *c, struct loop *loop, const char **error) {
  uint32_t generation = 0;
  *error = "sock_diag is not to be had in this kernel (CONFIG_INET_DIAG): the clients of the virtual IPs are not "
           "known";
  int rc = tcp_diag_open(&c->diag);
  if (rc < 0)
    return rc;
  *error = "clients cannot be woken after a take-over; the agent needs CAP_NET_RAW";
  rc = tickle_open(&c->tickle);
  if (rc < 0)
    return rc;
  *error = "out of memory";
  while (generation == 0)
    if (getrandom(&generation, sizeof generation, 0) != sizeof generation)
      return -errno;
  c->here = flows_sender_new(generation);
  c->there = flows_receiver_new();
  c->look = loop_timer_new(loop, on_look, c);
  c->wake = loop_timer_new(loop, on_wake, c);
  return c->here && c->there && c->look && c->wake ? 0 : -ENOMEM;
}

int clients_open(struct clients **out, struct loop *loop, const struct clients_settings *settings,
                 const char **error) {
  *error = "out of memory";
  struct clients *c = calloc(1, sizeof *c);
  if (c == NULL)
    return -ENOMEM;
  c->settings = *settings;
  int rc = open_parts(c, loop, error);
  if (rc < 0) {
    clients_close(c);
    return rc;
  }
  *out = c;
  return 0;
}

void clients_close(struct clients *c) {
  if (c == NULL)
    return;
  loop_timer_free(c->look);
  loop_timer_free(c->wake);
  flows_sender_free(c->here);
  flows_receiver_free(c->there);
  tickle_close(c->tickle);
  tcp_diag_close(c->diag);
  free(c);
}
