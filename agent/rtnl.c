// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/rtnl.h"
#include "agent/rtnl_ask.h"

#define FOREVER UINT32_MAX

struct rtnl {
  struct rtnl_ask ask;
};

struct question {
  _Alignas(struct nlmsghdr) char bytes[256]; // an address's longest message has 92
};

// Who wants the messages of an answer.
struct reader {
  rtnl_address_fn *each;
  void *arg;
};

size_t rtnl_size(int family) {
  return family == AF_INET ? 4 : 16;
}

// ---- an answer ----

static int keep_address(const struct nlattr *attribute, void *arg) {
  const struct nlattr **found = arg;
  uint16_t type = mnl_attr_get_type(attribute);
  if (type == IFA_LOCAL || (type == IFA_ADDRESS && !*found)) // of a point-to-point pair our end
    *found = attribute;
  return MNL_CB_OK;
}

static bool read_address(const struct nlmsghdr *message, struct rtnl_address *out) {
  const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
  if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof(*head))
    return false;
  if (head->ifa_family != AF_INET && head->ifa_family != AF_INET6)
    return false;
  *out = (struct rtnl_address){
      .family = head->ifa_family, .index = (int)head->ifa_index, .prefix = head->ifa_prefixlen};
  const struct nlattr *found = NULL;
  mnl_attr_parse(message, sizeof(*head), keep_address, &found);
  if (!found || mnl_attr_get_payload_len(found) != rtnl_size(out->family))
    return false;
  memcpy(out->bytes, mnl_attr_get_payload(found), rtnl_size(out->family));
  return true;
}

static void tell_address(void *arg, const struct nlmsghdr *message) {
  const struct reader *reader = arg;
  struct rtnl_address address;
  if (read_address(message, &address))
    reader->each(reader->arg, &address);
}

// ---- a question ----

static struct nlmsghdr *begin(struct question *q, uint16_t type, uint16_t flags,
                              const struct rtnl_address *a) {
  struct nlmsghdr *message = mnl_nlmsg_put_header(q->bytes);
  message->nlmsg_type = type;
  message->nlmsg_flags = NLM_F_REQUEST | flags;
  struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
  if (!a)
    return message;
  head->ifa_family = (uint8_t)a->family;
  head->ifa_prefixlen = a->prefix;
  head->ifa_index = (uint32_t)a->index;
  mnl_attr_put(message, IFA_LOCAL, rtnl_size(a->family), a->bytes);
  mnl_attr_put(message, IFA_ADDRESS, rtnl_size(a->family), a->bytes);
  return message;
}

static int ask(struct rtnl *r, struct nlmsghdr *message) {
  return rtnl_ask(&r->ask, message, NULL, NULL);
}

static int put_address(struct rtnl *r, const struct rtnl_address *a, uint16_t flags, bool routed,
                       uint32_t lifetime_s) {
  struct question q = {0};
  struct nlmsghdr *message = begin(&q, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | flags, a);
  // Duplicate detection takes a second, and is no judge of who owns the address: the lease is.
  uint32_t wanted = (a->family == AF_INET6 ? IFA_F_NODAD : 0) | (routed ? IFA_F_NOPREFIXROUTE : 0);
  mnl_attr_put_u32(message, IFA_FLAGS, wanted);
  uint32_t seconds = lifetime_s == 0 ? FOREVER : lifetime_s;
  // Linux takes the newest IPv6 address of a network as the source of what the node itself opens there, the
  // link to the other broker among it, which would end with the lease: one that is not preferred it takes
  // last. IPv4 takes the oldest.
  const struct ifa_cacheinfo lifetime = {.ifa_prefered = a->family == AF_INET6 ? 0 : seconds,
                                         .ifa_valid = seconds};
  mnl_attr_put(message, IFA_CACHEINFO, sizeof(lifetime), &lifetime);
  return ask(r, message);
}

int rtnl_add(struct rtnl *r, const struct rtnl_address *a, bool routed, uint32_t lifetime_s) {
  return put_address(r, a, NLM_F_EXCL, routed, lifetime_s);
}

int rtnl_renew(struct rtnl *r, const struct rtnl_address *a, bool routed, uint32_t lifetime_s) {
  return put_address(r, a, NLM_F_REPLACE, routed, lifetime_s);
}

int rtnl_delete(struct rtnl *r, const struct rtnl_address *a) {
  struct question q = {0};
  int rc = ask(r, begin(&q, RTM_DELADDR, NLM_F_ACK, a));
  return rc == -EADDRNOTAVAIL || rc == -ENODEV ? 0 : rc;
}

int rtnl_each(struct rtnl *r, rtnl_address_fn *each, void *arg) {
  struct reader reader = {each, arg};
  int rc = -EINTR;
  for (int i = 0; i < RTNL_DUMP_TRIES && rc == -EINTR; i++) {
    struct question q = {0}; // family 0: all
    rc = rtnl_ask(&r->ask, begin(&q, RTM_GETADDR, NLM_F_DUMP, NULL), tell_address, &reader);
  }
  return rc;
}

// ---- life ----

int rtnl_open(struct rtnl **out) {
  // The kernel looks at the capability before it looks for interface 0, which there never is.
  const struct rtnl_address nowhere = {.family = AF_INET, .prefix = 32};
  struct rtnl *r = calloc(1, sizeof(*r));
  if (!r)
    return -ENOMEM;
  int rc = rtnl_ask_open(&r->ask, NETLINK_ROUTE);
  if (rc == 0)
    rc = rtnl_delete(r, &nowhere);
  if (rc < 0)
    rtnl_free(r);
  else
    *out = r;
  return rc;
}

void rtnl_free(struct rtnl *r) {
  if (!r)
    return;
  rtnl_ask_close(&r->ask);
  free(r);
}
