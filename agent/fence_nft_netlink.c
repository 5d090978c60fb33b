// SPDX-License-Identifier: Apache-2.0
// Leases by netlink. A timeout is relative, a deadline is not, and between reading the clock and the kernel's
// handling of the message there may be a stop of this process, or somebody else's large rule set. So the
// arp table has a set `fresh` too, which each transaction fills for a while F, and the next one asks for: it
// deletes that element first, which fails once it has lapsed, and all with it. What succeeds was therefore
// handled before the last answer + F, and its timeouts count from there. With a renewal each beat that is one
// transaction a beat; after a pause, two.
#include "agent/fence_nft.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "common/base/clock.h"

#define NETLINK_BUFFER 1000000 // all rules go in one message
#define TRIES 3
#define FRESH_SHARE 4 // of the lease

// ---- messages and answers ----

int nft_netlink_open(struct nft *nft) {
  nft->netlink = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
  if (!nft->netlink || mnl_socket_bind(nft->netlink, 0, MNL_SOCKET_AUTOPID) < 0)
    return -errno;
  int size = NETLINK_BUFFER, on = 1;
  int fd = mnl_socket_get_fd(nft->netlink);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size,
               sizeof(size)); // rules that do not fit are refused with EMSGSIZE
  mnl_socket_setsockopt(nft->netlink, NETLINK_CAP_ACK, &on,
                        sizeof(on)); // an error without the message it is about
  return 0;
}

// The first error that the kernel reports, in `sequence` at most; -EIO when it never answers for `last`.
static int answers(struct nft *nft, uint32_t last) {
  char buffer[8192];
  int rc = -EIO;
  ssize_t size;
  while ((size = recv(mnl_socket_get_fd(nft->netlink), buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
    int left = (int)size;
    for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(h, left);
         h = mnl_nlmsg_next(h, &left)) {
      if (h->nlmsg_type != NLMSG_ERROR || left < (int)(sizeof(*h) + sizeof(struct nlmsgerr)))
        continue;
      int error = ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
      if (error != 0 && (rc == -EIO || rc == 0))
        rc = error;
      else if (error == 0 && rc == -EIO && h->nlmsg_seq == last)
        rc = 0;
    }
  }
  return rc;
}

// All is handled within sendto: afterwards the answers wait for us, or there are none.
static int send_all(struct nft *nft, const void *batch, size_t size, uint32_t last) {
  if (mnl_socket_sendto(nft->netlink, batch, size) < 0)
    return -errno;
  return answers(nft, last);
}

// ---- the tables ----

static int install(struct nft *nft, const struct nft_handed_on *from) {
  void *buffer = malloc(NFT_BATCH_MAX);
  if (!buffer)
    return -ENOMEM;
  uint32_t last;
  size_t size = nft_rules_install(&nft->layout, &nft->settings, from, buffer, &last);
  int rc = size ? send_all(nft, buffer, size, last) : -ENOMEM;
  free(buffer);
  if (rc == 0)
    nft->passes = nft->answers = nft->fresh_until = INSTANT_PAST;
  return rc;
}

int nft_install(struct nft *nft) {
  return install(nft, NULL);
}

int nft_query(struct nft *nft) {
  char question[NFT_SMALL_BATCH_MAX] __attribute__((aligned(8)));
  uint32_t last;
  size_t size = nft_rules_query(&nft->layout, question, &last);
  return send_all(nft, question, size, last);
}

void nft_remove(struct nft *nft) {
  char batch[NFT_SMALL_BATCH_MAX] __attribute__((aligned(8)));
  uint32_t last;
  size_t size = nft_rules_remove(&nft->layout, batch, &last);
  send_all(nft, batch, size, last);
}

// ---- the leases ----

static int change(struct nft *nft, struct nft_lease_change what) {
  char batch[NFT_SMALL_BATCH_MAX] __attribute__((aligned(8)));
  uint32_t last, fresh_ms = nft->settings.lease_ms / FRESH_SHARE;
  what.inet = nft->by_netlink;
  what.fresh_ms = what.open && what.timeout_ms == 0 ? 0 : fresh_ms;
  size_t size = nft_rules_lease(&nft->layout, &what, batch, &last);
  int rc = send_all(nft, batch, size, last);
  nft->fresh_until = instant_in_ms(fresh_ms); // at the latest, also where the answer was lost
  return rc;
}

static void note(struct nft *nft, struct instant until) {
  nft->answers = until;
  if (nft->by_netlink)
    nft->passes = until;
}

int nft_lease_close(struct nft *nft) {
  int rc = change(nft, (struct nft_lease_change){.lease = true});
  if (rc == 0)
    note(nft, INSTANT_PAST);
  return rc;
}

static int open_for_ever(struct nft *nft) {
  if (nft->answers.us == INSTANT_NEVER.us)
    return 0;
  int rc = change(nft, (struct nft_lease_change){.lease = true, .open = true});
  if (rc == 0)
    note(nft, INSTANT_NEVER);
  return rc;
}

// As with each extension: what the former tables' `fresh` allowed was handled before it lapsed.
int nft_take_over(struct nft *nft, struct instant until) {
  struct nft_handed_on from = {.sole = until.us == INSTANT_NEVER.us};
  int rc = from.sole ? nft_query(nft) : change(nft, (struct nft_lease_change){.lease = false});
  if (rc < 0)
    return rc;
  int64_t timeout_ms = from.sole ? 0 : (until.us - nft->fresh_until.us - nft->slack_us) / 1000;
  if (!from.sole && timeout_ms <= 0)
    return -ETIME;
  from.timeout_ms = (uint64_t)timeout_ms;
  rc = install(nft, &from);
  if (rc == 0)
    nft->passes = nft->answers = until;
  return rc;
}

// One transaction: 0; -ENOENT: the tables are gone; -EAGAIN: it came too late, and did nothing.
static int extend(struct nft *nft, struct instant until) {
  int rc = 0;
  if (nft->fresh_until.us <= clock_now().us + nft->slack_us)
    rc = change(nft, (struct nft_lease_change){.lease = false});
  int64_t timeout_ms = (until.us - nft->fresh_until.us - nft->slack_us) / 1000;
  if (rc == 0 && timeout_ms <= 0)
    return nft->answers.us > until.us ? nft_lease_close(nft) : 0;
  if (rc == 0)
    rc = change(nft, (struct nft_lease_change){
                         .if_fresh = true, .lease = true, .open = true, .timeout_ms = (uint64_t)timeout_ms});
  if (rc == 0)
    note(nft, until);
  if (rc != -ENOENT)
    return rc;
  nft->fresh_until = INSTANT_PAST;
  rc = nft_query(nft);
  return rc == 0 ? -EAGAIN : rc;
}

int nft_lease_arm(struct nft *nft, struct instant until) {
  if (until.us == INSTANT_NEVER.us)
    return open_for_ever(nft);
  int rc = -EAGAIN;
  for (int i = 0; i < TRIES && rc == -EAGAIN; i++)
    rc = extend(nft, until);
  if (rc == -EAGAIN) // somebody loads rules without end: it ends when it did, but not later than it may
    rc = nft->answers.us > until.us ? nft_lease_close(nft) : 0;
  return rc;
}
