// SPDX-License-Identifier: Apache-2.0
#include "agent/vip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent/announce.h"

#define ANSWER_MS 200 // the kernel answers at once; a call that waits longer is given up

struct address {
  int family;
  unsigned char bytes[16];
  uint8_t prefix;
  unsigned interface;
  unsigned char mac[6];
  bool held;
};

struct vip {
  int netlink, packet;
  uint32_t sequence;
  struct loop_timer *timer;
  size_t announced; // how often since the addresses came
  size_t count;
  struct address at[VIP_MAX];
};

static char error_text[256];

// ---- rtnetlink ----

struct request {
  struct nlmsghdr header;
  struct ifaddrmsg address;
  char attributes[128];
};

static void put(struct request *r, unsigned short type, const void *data, size_t length) {
  struct rtattr *attribute = (void *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = (unsigned short)RTA_LENGTH(length);
  memcpy(RTA_DATA(attribute), data, length);
  r->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

static struct request request_of(struct vip *v, const struct address *a, unsigned short type,
                                 unsigned flags) {
  struct request r = {0};
  size_t length = a->family == AF_INET ? 4 : 16;
  r.header.nlmsg_len = NLMSG_LENGTH(sizeof r.address);
  r.header.nlmsg_type = type;
  r.header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
  r.header.nlmsg_seq = ++v->sequence;
  r.address.ifa_family = (unsigned char)a->family;
  r.address.ifa_prefixlen = a->prefix;
  r.address.ifa_index = a->interface;
  put(&r, IFA_LOCAL, a->bytes, length);
  put(&r, IFA_ADDRESS, a->bytes, length);
  return r;
}

/* Sends it and waits for its own acknowledgement; a late one of an older request is passed over. */
static int transact(struct vip *v, const struct request *r) {
  char answer[1024];
  if (send(v->netlink, r, r->header.nlmsg_len, 0) < 0)
    return -errno;
  for (;;) {
    ssize_t length = recv(v->netlink, answer, sizeof answer, 0);
    const struct nlmsghdr *header = (const void *)answer;
    if (length < 0)
      return errno == EAGAIN ? -ETIMEDOUT : -errno;
    if (NLMSG_OK(header, (size_t)length) && header->nlmsg_seq == r->header.nlmsg_seq &&
        header->nlmsg_type == NLMSG_ERROR)
      return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
  }
}

static int put_address(struct vip *v, const struct address *a, unsigned flags, uint32_t lifetime_s) {
  struct request r = request_of(v, a, RTM_NEWADDR, flags);
  uint32_t lifetime = lifetime_s != 0 ? lifetime_s : UINT32_MAX; /* the kernel's "for ever" */
  struct ifa_cacheinfo cache = {.ifa_prefered = lifetime, .ifa_valid = lifetime};
  uint32_t address_flags =
      IFA_F_NODAD | IFA_F_NOPREFIXROUTE; /* the node's own address has the network's route */
  put(&r, IFA_CACHEINFO, &cache, sizeof cache);
  put(&r, IFA_FLAGS, &address_flags, sizeof address_flags);
  return transact(v, &r);
}

static int remove_address(struct vip *v, const struct address *a) {
  struct request r = request_of(v, a, RTM_DELADDR, 0);
  int rc = transact(v, &r);
  return rc == -EADDRNOTAVAIL || rc == -ENODEV ? 0 : rc; /* not there: as it is to be */
}

// ---- announcements ----

static void announce(struct vip *v) {
  for (size_t i = 0; i < v->count; i++)
    if (v->at[i].held) /* best effort: it is said again soon */
      announce_send(v->packet, (int)v->at[i].interface, v->at[i].mac, v->at[i].family, v->at[i].bytes);
}

static void on_timer(void *arg) {
  static const int64_t again_us[] = {10000, 40000, 150000, 800000, 30000000}; /* after the one before */
  struct vip *v = arg;
  size_t last = sizeof again_us / sizeof again_us[0] - 1;
  announce(v);
  loop_timer_in(v->timer, again_us[v->announced < last ? v->announced : last]);
  v->announced++;
}

static void announce_anew(struct vip *v) {
  v->announced = 0;
  on_timer(v);
}

// ---- the addresses ----

static int parse(struct address *a, const char *text) {
  char copy[INET6_ADDRSTRLEN + 8];
  char *slash;
  if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy || (slash = strchr(copy, '/')) == NULL)
    return -EINVAL;
  *slash = 0;
  a->family = strchr(copy, ':') != NULL ? AF_INET6 : AF_INET;
  a->prefix = (uint8_t)strtoul(slash + 1, NULL, 10);
  return inet_pton(a->family, copy, a->bytes) == 1 ? 0 : -EINVAL;
}

static int find_interface(struct vip *v, struct address *a, const char *name) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  a->interface = if_nametoindex(name);
  if (a->interface == 0 || ioctl(v->packet, SIOCGIFHWADDR, &request) < 0)
    return -ENODEV;
  memcpy(a->mac, request.ifr_hwaddr.sa_data, 6);
  return 0;
}

static int open_sockets(struct vip *v, struct loop *loop) {
  struct timeval patience = {.tv_usec = ANSWER_MS * 1000};
  v->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  v->packet =
      socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* protocol 0: it receives nothing */
  v->timer = loop_timer_new(loop, on_timer, v);
  if (v->netlink < 0 || v->packet < 0 || v->timer == NULL)
    return -errno;
  return setsockopt(v->netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ? -errno : 0;
}

int vip_open(struct vip **out, struct loop *loop, const struct vip_settings *settings, const char **error) {
  struct vip *v = calloc(1, sizeof *v);
  *error = error_text;
  snprintf(error_text, sizeof error_text, "no memory");
  if (v == NULL)
    return -ENOMEM;
  v->netlink = v->packet = -1;
  int rc = settings->count == 0 ? 0 : open_sockets(v, loop);
  if (rc != 0)
    snprintf(error_text, sizeof error_text,
             "netlink or packet socket: %s; the agent needs CAP_NET_ADMIN and CAP_NET_RAW", strerror(-rc));
  for (size_t i = 0; rc == 0 && i < settings->count; i++) {
    struct address *a = &v->at[v->count++];
    rc = parse(a, settings->at[i].address);
    if (rc == 0)
      rc = find_interface(v, a, settings->at[i].interface);
    if (rc != 0)
      snprintf(error_text, sizeof error_text, "virtual_ip %s: no interface \"%s\" here; `ip link` lists them",
               settings->at[i].address, settings->at[i].interface);
  }
  if (rc != 0) {
    vip_free(v);
    return rc;
  }
  *out = v;
  return 0;
}

static void take_back(struct vip *v, const bool *before) {
  for (size_t i = 0; i < v->count; i++) {
    if (v->at[i].held && !before[i]) {
      remove_address(v, &v->at[i]);
      v->at[i].held = false;
    }
  }
}

int vip_add(struct vip *v, uint32_t lifetime_s) {
  bool before[VIP_MAX];
  for (size_t i = 0; i < v->count; i++)
    before[i] = v->at[i].held;
  for (size_t i = 0; i < v->count; i++) {
    int rc = put_address(v, &v->at[i], NLM_F_CREATE | NLM_F_REPLACE, lifetime_s);
    if (rc != 0) {
      take_back(v, before);
      return rc;
    }
    v->at[i].held = true;
  }
  if (v->count > 0)
    announce_anew(v);
  return 0;
}

/* First as a new address: that it exists already is what is expected, and that it does not tells of a
 * deletion by hand. */
int vip_refresh(struct vip *v, uint32_t lifetime_s) {
  int put_back = 0;
  for (size_t i = 0; i < v->count; i++) {
    int rc = put_address(v, &v->at[i], NLM_F_CREATE | NLM_F_EXCL, lifetime_s);
    if (rc == -EEXIST)
      rc = put_address(v, &v->at[i], NLM_F_REPLACE, lifetime_s);
    else if (rc == 0)
      put_back = 1;
    if (rc != 0)
      return rc;
  }
  if (put_back)
    announce_anew(v);
  return put_back;
}

int vip_drop(struct vip *v) {
  int rc = 0;
  if (v->timer != NULL)
    loop_timer_at(v->timer, INSTANT_NEVER);
  for (size_t i = 0; i < v->count; i++) {
    int one = remove_address(v, &v->at[i]);
    v->at[i].held &= one != 0;
    rc = rc != 0 ? rc : one;
  }
  return rc;
}

bool vip_held(const struct vip *v, size_t index) {
  return index < v->count && v->at[index].held;
}

void vip_free(struct vip *v) {
  if (v == NULL)
    return;
  loop_timer_free(v->timer);
  if (v->netlink >= 0)
    close(v->netlink);
  if (v->packet >= 0)
    close(v->packet);
  free(v);
}
