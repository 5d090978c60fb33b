// SPDX-License-Identifier: Apache-2.0
#include "agent/link_watch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct link_watch {
  struct mnl_socket *socket;
  struct loop_io *io;
  link_watch_fn *changed;
  void *arg;
};

// An address that comes is none: our own renewals are told, too.
static bool matters(const void *news, size_t size) {
  int left = (int)size;
  for (const struct nlmsghdr *m = news; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
    if (m->nlmsg_type != RTM_NEWADDR)
      return true;
  return false;
}

// What has become of it is looked at anew, so that an overrun (ENOBUFS) does no harm.
static void on_news(void *arg, bool readable, bool writable) {
  struct link_watch *w = arg;
  _Alignas(struct nlmsghdr) char news[8192];
  bool some = false;
  (void)readable;
  (void)writable;
  for (;;) {
    ssize_t size = recv(mnl_socket_get_fd(w->socket), news, sizeof news, MSG_DONTWAIT);
    if (size < 0 && errno != ENOBUFS)
      break;
    some = some || size < 0 || matters(news, (size_t)size);
  }
  if (some)
    w->changed(w->arg);
}

int link_watch_open(struct link_watch **out, struct loop *loop, link_watch_fn *changed, void *arg) {
  struct link_watch *w = calloc(1, sizeof *w);
  if (w == NULL)
    return -ENOMEM;
  w->changed = changed;
  w->arg = arg;
  w->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  int rc = w->socket == NULL ||
                   mnl_socket_bind(w->socket, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, MNL_SOCKET_AUTOPID) < 0
               ? -errno
               : 0;
  if (rc == 0 && (w->io = loop_io_new(loop, mnl_socket_get_fd(w->socket), on_news, w)) == NULL)
    rc = -ENOMEM;
  if (rc < 0) {
    link_watch_close(w);
    return rc;
  }
  loop_io_want(w->io, true, false);
  *out = w;
  return 0;
}

void link_watch_close(struct link_watch *w) {
  if (w == NULL)
    return;
  loop_io_free(w->io);
  if (w->socket != NULL)
    mnl_socket_close(w->socket);
  free(w);
}

bool link_is_up(const char *interface) {
  struct ifreq request = {0};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return true; /* not known to be down */
  memcpy(request.ifr_name, interface, strnlen(interface, sizeof request.ifr_name - 1));
  bool known = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  bool up = known && (request.ifr_flags & IFF_UP) != 0 && (request.ifr_flags & IFF_RUNNING) != 0;
  up = up || (!known && errno != ENODEV);
  close(fd);
  return up;
}
