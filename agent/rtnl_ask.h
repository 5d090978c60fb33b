// SPDX-License-Identifier: Apache-2.0
// One question over netlink at a time, each answered before the return; an answer that stays away is
// -ETIMEDOUT after 200 ms. For rtnl.c (addresses), tc.c (hooks for
// programs) and tcp_diag.c (connections).
#ifndef TANIST_AGENT_RTNL_ASK_H
#define TANIST_AGENT_RTNL_ASK_H

#include <libmnl/libmnl.h>
#include <stdint.h>

#define RTNL_ANSWER_SIZE 32768 // what the kernel fills in a dump, at most
#define RTNL_DUMP_TRIES 3      // a dump is worth nothing if what it tells changed meanwhile

struct rtnl_ask {
  struct mnl_socket *socket;
  uint32_t sequence;
  _Alignas(struct nlmsghdr) char answer[RTNL_ANSWER_SIZE];
};

typedef void rtnl_message_fn(void *arg, const struct nlmsghdr *);

int rtnl_ask_open(struct rtnl_ask *, int protocol); // NETLINK_ROUTE and its like; 0 or a negative errno, then too rtnl_ask_close is owed
void rtnl_ask_close(struct rtnl_ask *); // zeroed, and never opened, is allowed

// Gives the message its sequence and sends it; `each` (or NULL) sees every message of the answer. 0, the
// kernel's negative errno, or -EINTR for a dump that was overtaken by a change.
int rtnl_ask(struct rtnl_ask *, struct nlmsghdr *, rtnl_message_fn *each, void *arg);

#endif
