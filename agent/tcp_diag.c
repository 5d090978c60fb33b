// SPDX-License-Identifier: Apache-2.0
#include "agent/tcp_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rtnl_ask.h"

#define STATES ((1U << TCP_ESTABLISHED) | (1U << TCP_SYN_RECV) | (1U << TCP_FIN_WAIT1) | (1U << TCP_FIN_WAIT2) | \
                (1U << TCP_CLOSE_WAIT) | (1U << TCP_LAST_ACK) | (1U << TCP_CLOSING))
#define DESTROY_AT_ONCE 512 // of one dump; then it is asked again

struct tcp_diag {
  struct rtnl_ask ask;
};

int tcp_diag_open(struct tcp_diag **out) {
  struct tcp_diag *d = calloc(1, sizeof *d);
  if (d == NULL)
    return -ENOMEM;
  int rc = rtnl_ask_open(&d->ask, NETLINK_SOCK_DIAG);
  if (rc < 0) {
    tcp_diag_close(d);
    return rc;
  }
  *out = d;
  return 0;
}

void tcp_diag_close(struct tcp_diag *d) {
  if (d == NULL)
    return;
  rtnl_ask_close(&d->ask);
  free(d);
}

// ---- one dump ----

struct dump {
  int family;
  const uint8_t *local;
  tcp_diag_fn *each;
  void *arg;
  struct inet_diag_sockid id[DESTROY_AT_ONCE]; // where they are wanted
  size_t count, room;
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

// An address of a socket as one of `family`; false: it is none.
static bool address_of(const struct inet_diag_msg *m, const uint32_t *from, int family, uint8_t to[16]) {
  size_t size = family == AF_INET ? 4 : 16;
  memset(to, 0, 16);
  if (m->idiag_family == family) {
    memcpy(to, from, size);
    return true;
  }
  if (family != AF_INET || memcmp(from, mapped, sizeof mapped) != 0)
    return false;
  memcpy(to, from + 3, 4);
  return true;
}

static void see(void *arg, const struct nlmsghdr *message) {
  struct dump *d = arg;
  const struct inet_diag_msg *m = mnl_nlmsg_get_payload(message);
  struct tcp_flow flow = {.family = (uint8_t)d->family};
  if (mnl_nlmsg_get_payload_len(message) < sizeof *m || !address_of(m, m->id.idiag_src, d->family, flow.local) ||
      memcmp(flow.local, d->local, d->family == AF_INET ? 4 : 16) != 0 ||
      !address_of(m, m->id.idiag_dst, d->family, flow.peer))
    return;
  flow.local_port = ntohs(m->id.idiag_sport);
  flow.peer_port = ntohs(m->id.idiag_dport);
  if (d->each != NULL)
    d->each(d->arg, &flow);
  if (d->count < d->room)
    d->id[d->count++] = m->id;
}

// The kernel leaves out what has another local address.
static void put_filter(struct nlmsghdr *message, int family, const uint8_t *local) {
  uint8_t size = family == AF_INET ? 4 : 16;
  struct inet_diag_hostcond condition = {.family = (uint8_t)family, .prefix_len = (uint8_t)(size * 8), .port = -1};
  uint8_t length = (uint8_t)(sizeof(struct inet_diag_bc_op) + sizeof condition + size);
  struct inet_diag_bc_op op = {
      .code = INET_DIAG_BC_S_COND, .yes = length, .no = (uint16_t)(length + 4)}; // past the end: not this one
  char code[sizeof op + sizeof condition + 16];
  memcpy(code, &op, sizeof op);
  memcpy(code + sizeof op, &condition, sizeof condition);
  memcpy(code + sizeof op + sizeof condition, local, size);
  mnl_attr_put(message, INET_DIAG_REQ_BYTECODE, length, code);
}

static int dump_sockets(struct tcp_diag *d, int socket_family, struct dump *dump) {
  _Alignas(struct nlmsghdr) char buffer[256];
  struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(message, sizeof *request);
  *request = (struct inet_diag_req_v2){
      .sdiag_family = (uint8_t)socket_family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = STATES};
  put_filter(message, dump->family, dump->local);
  return rtnl_ask(&d->ask, message, see, dump);
}

// A broker that listens on :: has sockets of IPv6 for clients of IPv4.
int tcp_diag_each(struct tcp_diag *d, int family, const uint8_t *local, tcp_diag_fn *each, void *arg) {
  struct dump dump = {.family = family, .local = local, .each = each, .arg = arg};
  int rc = dump_sockets(d, AF_INET6, &dump);
  return rc < 0 || family == AF_INET6 ? rc : dump_sockets(d, AF_INET, &dump);
}

// ---- the end of connections ----

static int destroy(struct tcp_diag *d, int socket_family, const struct inet_diag_sockid *id) {
  _Alignas(struct nlmsghdr) char buffer[256];
  struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = SOCK_DESTROY;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(message, sizeof *request);
  *request = (struct inet_diag_req_v2){
      .sdiag_family = (uint8_t)socket_family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = STATES, .id = *id};
  int rc = rtnl_ask(&d->ask, message, NULL, NULL);
  return rc == -ENOENT ? 0 : rc; // it has ended by itself
}

static int destroy_family(struct tcp_diag *d, int socket_family, int family, const uint8_t *local) {
  int destroyed = 0;
  for (;;) {
    struct dump dump = {.family = family, .local = local, .room = DESTROY_AT_ONCE};
    int rc = dump_sockets(d, socket_family, &dump);
    for (size_t i = 0; rc >= 0 && i < dump.count; i++, destroyed++)
      rc = destroy(d, socket_family, &dump.id[i]);
    if (rc < 0)
      return rc;
    if (dump.count < DESTROY_AT_ONCE)
      return destroyed;
  }
}

int tcp_diag_destroy(struct tcp_diag *d, int family, const uint8_t *local) {
  int six = destroy_family(d, AF_INET6, family, local);
  if (six < 0 || family == AF_INET6)
    return six;
  int four = destroy_family(d, AF_INET, family, local);
  return four < 0 ? four : six + four;
}
