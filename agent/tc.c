// SPDX-License-Identifier: Apache-2.0
#include "agent/tc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/rtnl_ask.h"

#define GROUPS (RTMGRP_TC | RTMGRP_LINK)

struct tc {
  struct rtnl_ask ask;
  struct mnl_socket *news; // of the kernel, about any change
  bool looked;
};

struct question {
  _Alignas(struct nlmsghdr) char bytes[512];
};

// ---- life, and news ----

static int open_news(struct tc *tc) {
  tc->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (!tc->news || mnl_socket_bind(tc->news, GROUPS, MNL_SOCKET_AUTOPID) < 0)
    return -errno;
  return 0;
}

int tc_open(struct tc **out) {
  struct tc *tc = calloc(1, sizeof(*tc));
  if (!tc)
    return -ENOMEM;
  int rc = rtnl_ask_open(&tc->ask, NETLINK_ROUTE);
  if (rc == 0)
    rc = open_news(tc);
  if (rc < 0)
    tc_free(tc);
  else
    *out = tc;
  return rc;
}

void tc_free(struct tc *tc) {
  if (!tc)
    return;
  rtnl_ask_close(&tc->ask);
  if (tc->news)
    mnl_socket_close(tc->news);
  free(tc);
}

// What the news are does not matter, and news that were lost (ENOBUFS) are news.
bool tc_changed(struct tc *tc) {
  bool changed = !tc->looked;
  char first[64];
  tc->looked = true;
  for (;;) {
    if (recv(mnl_socket_get_fd(tc->news), first, sizeof(first), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
      changed = true;
    else if (errno != EINTR)
      return changed;
  }
}

// ---- what is there ----

struct finding {
  tc_link_fn *link;
  tc_filter_fn *filter;
  void *arg;
  bool out;
};

static void copy_name(char *to, size_t size, const struct nlattr *from) {
  snprintf(to, size, "%.*s", (int)mnl_attr_get_payload_len(from), mnl_attr_get_str(from));
}

static int read_slave(const struct nlattr *attribute, void *arg) {
  struct tc_link *link = arg;
  if (mnl_attr_get_type(attribute) == IFLA_INFO_SLAVE_KIND)
    link->port = strcmp(mnl_attr_get_str(attribute), "vrf") != 0; // a VRF's interfaces stay what they are
  return MNL_CB_OK;
}

static int read_link(const struct nlattr *attribute, void *arg) {
  struct tc_link *link = arg;
  if (mnl_attr_get_type(attribute) == IFLA_IFNAME)
    copy_name(link->name, sizeof(link->name), attribute);
  if (mnl_attr_get_type(attribute) == IFLA_LINKINFO)
    mnl_attr_parse_nested(attribute, read_slave, link);
  return MNL_CB_OK;
}

static void tell_link(void *arg, const struct nlmsghdr *message) {
  const struct finding *finding = arg;
  const struct ifinfomsg *head = mnl_nlmsg_get_payload(message);
  if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*head))
    return;
  struct tc_link link = {.index = head->ifi_index, .loopback = (head->ifi_flags & IFF_LOOPBACK) != 0};
  mnl_attr_parse(message, sizeof(*head), read_link, &link);
  finding->link(finding->arg, &link);
}

static int read_bpf(const struct nlattr *attribute, void *arg) {
  struct tc_filter *filter = arg;
  if (mnl_attr_get_type(attribute) == TCA_BPF_ID)
    filter->program = mnl_attr_get_u32(attribute);
  if (mnl_attr_get_type(attribute) == TCA_BPF_NAME)
    copy_name(filter->name, sizeof(filter->name), attribute);
  return MNL_CB_OK;
}

struct options {
  bool bpf;
  const struct nlattr *at;
};

static int read_filter(const struct nlattr *attribute, void *arg) {
  struct options *options = arg;
  if (mnl_attr_get_type(attribute) == TCA_KIND)
    options->bpf = strcmp(mnl_attr_get_str(attribute), "bpf") == 0;
  if (mnl_attr_get_type(attribute) == TCA_OPTIONS)
    options->at = attribute;
  return MNL_CB_OK;
}

static void tell_filter(void *arg, const struct nlmsghdr *message) {
  const struct finding *finding = arg;
  const struct tcmsg *head = mnl_nlmsg_get_payload(message);
  if (message->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(message) < sizeof(*head) ||
      head->tcm_handle == 0) // a heading: filters of one priority and protocol follow
    return;
  struct tc_filter filter = {.index = head->tcm_ifindex,
                             .out = finding->out,
                             .priority = (uint16_t)(head->tcm_info >> 16),
                             .handle = head->tcm_handle};
  struct options options = {0};
  mnl_attr_parse(message, sizeof(*head), read_filter, &options);
  if (options.bpf && options.at)
    mnl_attr_parse_nested(options.at, read_bpf, &filter);
  finding->filter(finding->arg, &filter);
}

// ---- questions ----

static struct nlmsghdr *begin(struct question *q, uint16_t type, uint16_t flags) {
  struct nlmsghdr *message = mnl_nlmsg_put_header(q->bytes);
  message->nlmsg_type = type;
  message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
  return message;
}

static struct tcmsg *put_head(struct nlmsghdr *message, int index, uint32_t parent) {
  struct tcmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
  head->tcm_family = AF_UNSPEC;
  head->tcm_ifindex = index;
  head->tcm_parent = parent;
  return head;
}

static uint32_t parent_of(bool out) {
  return TC_H_MAKE(TC_H_CLSACT, out ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

int tc_each_link(struct tc *tc, tc_link_fn *each, void *arg) {
  struct finding finding = {.link = each, .arg = arg};
  int rc = -EINTR;
  for (int i = 0; i < RTNL_DUMP_TRIES && rc == -EINTR; i++) {
    struct question q = {0};
    struct nlmsghdr *message = begin(&q, RTM_GETLINK, NLM_F_DUMP);
    mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
    rc = rtnl_ask(&tc->ask, message, tell_link, &finding);
  }
  return rc;
}

int tc_each_filter(struct tc *tc, int index, bool out, tc_filter_fn *each, void *arg) {
  struct finding finding = {.filter = each, .arg = arg, .out = out};
  struct question q = {0};
  struct nlmsghdr *message = begin(&q, RTM_GETTFILTER, NLM_F_DUMP);
  put_head(message, index, parent_of(out));
  int rc = rtnl_ask(&tc->ask, message, tell_filter, &finding);
  return rc == -EINVAL || rc == -ENOENT || rc == -ENODEV ? 0 : rc;
}

// ---- changes ----

static int change_place(struct tc *tc, int index, uint16_t type, uint16_t flags) {
  struct question q = {0};
  struct nlmsghdr *message = begin(&q, type, NLM_F_ACK | flags);
  put_head(message, index, TC_H_CLSACT)->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  mnl_attr_put_strz(message, TCA_KIND, "clsact");
  return rtnl_ask(&tc->ask, message, NULL, NULL);
}

static struct nlmsghdr *begin_filter(struct question *q, uint16_t type, uint16_t flags,
                                     const struct tc_filter *filter) {
  struct nlmsghdr *message = begin(q, type, NLM_F_ACK | flags);
  struct tcmsg *head = put_head(message, filter->index, parent_of(filter->out));
  head->tcm_handle = filter->handle;
  head->tcm_info = TC_H_MAKE((uint32_t)TC_FIRST << 16, htons(ETH_P_ALL));
  mnl_attr_put_strz(message, TCA_KIND, "bpf");
  return message;
}

// An "ingress" discipline at the same place would take filters for the other direction too, and put them with
// its own: without NLM_F_EXCL the kernel refuses it, and takes a clsact that is there.
int tc_put(struct tc *tc, const struct tc_filter *filter, int program) {
  int rc = change_place(tc, filter->index, RTM_NEWQDISC, NLM_F_CREATE);
  if (rc < 0)
    return rc;
  struct question q = {0};
  struct nlmsghdr *message = begin_filter(&q, RTM_NEWTFILTER, NLM_F_CREATE, filter);
  struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);
  mnl_attr_put_u32(message, TCA_BPF_FD, (uint32_t)program);
  mnl_attr_put_strz(message, TCA_BPF_NAME, filter->name);
  mnl_attr_put_u32(message, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT); // the program's word is the verdict
  mnl_attr_nest_end(message, options);
  return rtnl_ask(&tc->ask, message, NULL, NULL);
}

static void count_filter(void *arg, const struct tc_filter *filter) {
  (void)filter;
  ++*(unsigned *)arg;
}

int tc_remove(struct tc *tc, const struct tc_filter *filter) {
  struct question q = {0};
  unsigned left = 0;
  int rc = rtnl_ask(&tc->ask, begin_filter(&q, RTM_DELTFILTER, 0, filter), NULL, NULL);
  if (rc < 0)
    return rc == -ENOENT || rc == -EINVAL || rc == -ENODEV ? 0 : rc;
  if (tc_each_filter(tc, filter->index, false, count_filter, &left) < 0 ||
      tc_each_filter(tc, filter->index, true, count_filter, &left) < 0 || left > 0)
    return 0;
  return change_place(tc, filter->index, RTM_DELQDISC, 0);
}
