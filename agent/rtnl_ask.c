// SPDX-License-Identifier: Apache-2.0
#include "agent/rtnl_ask.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define ANSWER_TIMEOUT_MS 200

static int message_error(const struct nlmsghdr *message) {
  const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
  return mnl_nlmsg_get_payload_len(message) < sizeof(*error) ? -EBADMSG : error->error;
}

// One datagram; true: the answer ended with it. Messages of another sequence are answers that an earlier
// question gave up waiting for.
static bool read_messages(struct rtnl_ask *r, size_t size, rtnl_message_fn *each, void *arg, int *result) {
  int left = (int)size;
  for (const struct nlmsghdr *m = (const void *)r->answer; mnl_nlmsg_ok(m, left);
       m = mnl_nlmsg_next(m, &left)) {
    if (m->nlmsg_seq != r->sequence)
      continue;
    if (m->nlmsg_flags & NLM_F_DUMP_INTR)
      *result = -EINTR;
    if (m->nlmsg_type == NLMSG_ERROR)
      *result = message_error(m);
    if (m->nlmsg_type == NLMSG_ERROR || m->nlmsg_type == NLMSG_DONE)
      return true;
    if (each)
      each(arg, m);
  }
  return false;
}

// The kernel has answered before sendto returns: the timeout is for what should not happen.
static int read_answer(struct rtnl_ask *r, rtnl_message_fn *each, void *arg) {
  int result = 0;
  for (;;) {
    ssize_t size = mnl_socket_recvfrom(r->socket, r->answer, sizeof(r->answer));
    if (size < 0 && errno == EINTR)
      continue;
    if (size < 0)
      return errno == EAGAIN ? -ETIMEDOUT : -errno;
    if (read_messages(r, (size_t)size, each, arg, &result))
      return result;
  }
}

int rtnl_ask(struct rtnl_ask *r, struct nlmsghdr *message, rtnl_message_fn *each, void *arg) {
  message->nlmsg_seq = ++r->sequence;
  if (mnl_socket_sendto(r->socket, message, message->nlmsg_len) < 0)
    return -errno;
  return read_answer(r, each, arg);
}

int rtnl_ask_open(struct rtnl_ask *r, int protocol) {
  const struct timeval timeout = {.tv_usec = ANSWER_TIMEOUT_MS * 1000};
  int on = 1;
  r->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
  if (!r->socket || mnl_socket_bind(r->socket, 0, MNL_SOCKET_AUTOPID) < 0)
    return -errno;
  int fd = mnl_socket_get_fd(r->socket);
  // an error comes without its question
  if (setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
    return -errno;
  return 0;
}

void rtnl_ask_close(struct rtnl_ask *r) {
  if (r->socket)
    mnl_socket_close(r->socket);
  r->socket = NULL;
}
