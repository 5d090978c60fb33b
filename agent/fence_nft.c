// SPDX-License-Identifier: Apache-2.0
// The kernel fence in nf_tables. All rules pass everything while the set `lease` (or `sole`) holds an
// element, whose timeout is the lease's end: the kernel removes it, whether this process runs or not.
//
// The inet table's lease is moved by datagrams: a rule in the output hook sees ours (mark, address), changes
// the set and drops it, so that sendto answers EPERM. That takes 2 µs and no lock; netlink would wait for
// whoever loads a rule set. If sendto succeeds instead, no rule was there: another program removed the table.
//
// A timeout is relative, a deadline is not, and a process may be stopped between the two: it would extend a
// lease that ended long ago. So a lease is extended in two steps. The first fills the set `fresh` for a few
// milliseconds, then the clock is read at t; the second extends the lease only while `fresh` is filled, hence
// at t + fresh at the latest. With t + fresh + timeout <= until the lease ends in time, wherever the process
// is stopped in between.
//
// Timeouts are constants of rules, so there is a ladder of them: the longest that fits is taken, and what it
// falls short (a thirtieth of the lease) is made good by the next renewal.
//
// ARP does not come by the inet hooks, and sets are not shared between tables: the arp table's own lease is
// moved by netlink, which may wait. So this is done but twice a lease, and an answer that came late is taken
// back: then ARP alone stays closed until the next renewal, and never holds up or outlives the rest by more
// than that wait.
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

#include "agent/fence_mechanism.h"
#include "agent/fence_nft_rules.h"
#include "common/base/clock.h"

#define TRIES 8                // a try fails if we were away for longer than `fresh`
#define NETLINK_BUFFER 1000000 // all rules go in one message

struct nft {
  struct fence_settings settings;
  char cluster[NFT_TABLE_NAME_MAX]; // of settings
  struct nft_layout layout;
  struct mnl_socket *netlink; // owns the tables
  int orders;                 // sends the datagrams
  int64_t slack_us;           // of the kernel's timers: two of its ticks, and a little
  struct instant passes;      // inet: closed from then on; NEVER: sole; PAST: closed
  struct instant answers;     // arp, likewise
  int64_t slept_us;           // what CLOCK_BOOTTIME has more than CLOCK_MONOTONIC
};

// ---- the clock ----

static int64_t read_us(clockid_t clock) {
  struct timespec ts = {0};
  clock_gettime(clock, &ts);
  return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

// The difference of two clocks that are not read at once: at most 1 ms wrong, unless we never come to run
// that long.
static int64_t slept_us(void) {
  int64_t before, boot, after;
  for (int i = 0; i < TRIES; i++) {
    before = read_us(CLOCK_MONOTONIC);
    boot = clock_now().us;
    after = read_us(CLOCK_MONOTONIC);
    if (after - before < 1000)
      break;
  }
  return boot - after;
}

static bool is_never(struct instant at) {
  return at.us == INSTANT_NEVER.us;
}

// ---- netlink ----

// The first error that the kernel reports, in `sequence` at most; -EIO when it never answers for `last`.
static int netlink_answers(struct nft *nft, uint32_t last) {
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
static int netlink_send(struct nft *nft, const void *batch, size_t size, uint32_t last) {
  if (mnl_socket_sendto(nft->netlink, batch, size) < 0)
    return -errno;
  return netlink_answers(nft, last);
}

static int install(struct nft *nft) {
  void *buffer = malloc(NFT_BATCH_MAX);
  if (!buffer)
    return -ENOMEM;
  uint32_t last;
  size_t size = nft_rules_install(&nft->layout, &nft->settings, buffer, &last);
  int rc = size ? netlink_send(nft, buffer, size, last) : -ENOMEM;
  free(buffer);
  if (rc == 0)
    nft->passes = nft->answers = INSTANT_PAST;
  return rc;
}

// ---- the arp table's lease ----

// timeout 0: none.
static int arp_set(struct nft *nft, bool open, uint64_t timeout_ms) {
  char batch[NFT_SMALL_BATCH_MAX] __attribute__((aligned(8)));
  uint32_t last;
  size_t size = nft_rules_arp_lease(&nft->layout, open, timeout_ms, batch, &last);
  return netlink_send(nft, batch, size, last);
}

static int arp_close(struct nft *nft) {
  int rc = arp_set(nft, false, 0);
  if (rc == 0)
    nft->answers = INSTANT_PAST;
  return rc;
}

static int arp_arm(struct nft *nft, struct instant until) {
  if (is_never(until)) {
    int rc = is_never(nft->answers) ? 0 : arp_set(nft, true, 0);
    nft->answers = rc == 0 ? INSTANT_NEVER : nft->answers;
    return rc;
  }
  struct instant before = clock_now();
  int64_t half_us = (int64_t)nft->settings.lease_ms * 500;
  if (nft->answers.us <= until.us && nft->answers.us > before.us + half_us)
    return 0;
  int64_t timeout_ms = (until.us - before.us - nft->slack_us) / 1000;
  if (timeout_ms <= 0)
    return nft->answers.us > until.us ? arp_close(nft) : 0;
  int rc = arp_set(nft, true, (uint64_t)timeout_ms);
  if (rc < 0)
    return rc;
  nft->answers = until;
  return clock_now().us - before.us > nft->slack_us ? arp_close(nft) : 0; // it may end too late
}

// ---- orders ----

// 1: carried out (the rule drops the datagram); 0: nobody saw it; or a negative errno.
static int send_order(const struct nft *nft, unsigned order) {
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)order), .sin_addr.s_addr = nft->layout.control};
  if (sendto(nft->orders, "", 0, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof(to)) >= 0)
    return 0;
  return errno == EPERM ? 1 : -errno;
}

// Somebody removed our rules: put them back, closed.
static int mend(struct nft *nft) {
  int rc = install(nft);
  return rc < 0 ? rc : -ENOENT;
}

static int order(struct nft *nft, unsigned what) {
  int rc = send_order(nft, what);
  if (rc == 0)
    return mend(nft);
  return rc < 0 ? rc : 0;
}

static int inet_close(struct nft *nft) {
  int rc = order(nft, NFT_ORDER_CLOSE);
  if (rc == 0)
    nft->passes = INSTANT_PAST;
  return rc;
}

// The longest rung that fits into `room_us`; NFT_RUNGS when none does.
static unsigned longest_rung(const struct nft *nft, int64_t room_us) {
  unsigned i = 0;
  while (i < NFT_RUNGS && (nft->layout.rung_ms[i] == 0 || (int64_t)nft->layout.rung_ms[i] * 1000 > room_us))
    i++;
  return i;
}

// 1 when the lease now ends within (t + a rung, until]; 0 when it is as it was; or a negative errno.
static int extend(struct nft *nft, struct instant until) {
  for (int i = 0; i < TRIES; i++) {
    int rc = order(nft, NFT_ORDER_FRESHEN);
    if (rc < 0)
      return rc;
    int64_t room_us = until.us - clock_now().us - (int64_t)nft->layout.fresh_ms * 1000;
    unsigned rung = longest_rung(nft, room_us);
    if (rung == NFT_RUNGS)
      return 0;
    rc = send_order(nft, NFT_ORDER_EXTEND + rung);
    if (rc != 0)
      return rc;
  }
  return 0;
}

static int inet_sole(struct nft *nft) {
  int rc = is_never(nft->passes) ? order(nft, NFT_ORDER_FRESHEN) : order(nft, NFT_ORDER_SOLE_ON);
  if (rc == 0)
    nft->passes = INSTANT_NEVER;
  return rc;
}

// The lease comes before sole goes: no gap between them.
static int inet_arm(struct nft *nft, struct instant until) {
  if (is_never(until))
    return inet_sole(nft);
  int rc = extend(nft, until);
  if (rc < 0)
    return rc;
  if (rc == 0)
    return nft->passes.us > until.us ? inet_close(nft) : 0;
  if (is_never(nft->passes) && (rc = order(nft, NFT_ORDER_SOLE_OFF)) < 0)
    return rc;
  nft->passes = until;
  return 0;
}

// ---- the mechanism ----

static int nft_close(void *state) {
  struct nft *nft = state;
  int rc = inet_close(nft);
  if (rc < 0)
    return rc;
  rc = arp_close(nft);
  return rc == -ENOENT ? mend(nft) : rc;
}

// The kernel's timeouts stand still while the machine sleeps, deadlines do not.
static int close_if_slept(struct nft *nft) {
  int64_t slept = slept_us();
  bool jumped = slept > nft->slept_us + 2000; // what the difference can be wrong by, twice
  int rc = jumped && nft->passes.us != INSTANT_PAST.us ? nft_close(nft) : 0;
  if (rc == 0)
    nft->slept_us = slept;
  return rc;
}

// The same deadline, or one that is as good as it, for sums that cannot overflow and timeouts that the kernel
// takes.
static struct instant within_reach(const struct nft *nft, struct instant until) {
  struct instant furthest = instant_in_ms(nft->settings.lease_ms);
  if (is_never(until) || (until.us >= 0 && until.us <= furthest.us))
    return until;
  return until.us < 0 ? (struct instant){0} : furthest;
}

static int nft_arm(void *state, struct instant until) {
  struct nft *nft = state;
  until = within_reach(nft, until);
  int rc = close_if_slept(nft);
  if (rc < 0)
    return rc;
  rc = inet_arm(nft, until);
  if (rc == 0)
    rc = close_if_slept(nft); // or the machine slept in between
  if (rc < 0)
    return rc;
  rc = arp_arm(nft, until);
  return rc == -ENOENT ? mend(nft) : rc;
}

static int arp_check(struct nft *nft) {
  char batch[NFT_SMALL_BATCH_MAX] __attribute__((aligned(8)));
  uint32_t last;
  size_t size = nft_rules_arp_query(&nft->layout, batch, &last);
  return netlink_send(nft, batch, size, last);
}

static int nft_check(void *state) {
  struct nft *nft = state;
  int rc = close_if_slept(nft);
  if (rc == 0)
    rc = order(nft, NFT_ORDER_FRESHEN);
  if (rc < 0)
    return rc;
  rc = arp_check(nft);
  return rc == -ENOENT ? mend(nft) : rc;
}

static const char *nft_text(const void *state) {
  const struct nft *nft = state;
  if (is_never(nft->passes))
    return "open";
  return nft->passes.us > clock_now().us ? "armed" : "closed";
}

static void nft_gaps(const void *state, fence_gap_fn *tell, void *arg) {
  (void)state;
  tell(arg, "the time that the machine slept, until the agent runs again: nf_tables' timeouts stand still");
  tell(arg, "announcements, which the agent itself keeps within its lease");
}

// Nobody is left to hear of a failure: the caller is about to end, and closed tables do no harm.
static void remove_tables(struct nft *nft) {
  char batch[NFT_SMALL_BATCH_MAX] __attribute__((aligned(8)));
  uint32_t last;
  size_t size = nft_rules_remove(&nft->layout, batch, &last);
  netlink_send(nft, batch, size, last);
}

static void nft_free(void *state, bool remove) {
  struct nft *nft = state;
  if (remove && nft->netlink)
    remove_tables(nft);
  if (nft->orders >= 0)
    close(nft->orders);
  if (nft->netlink)
    mnl_socket_close(nft->netlink);
  free(nft);
}

// ---- opening ----

static uint64_t hash(const char *text) {
  uint64_t h = 14695981039346656037u; // FNV-1a
  for (; *text; text++)
    h = (h ^ (unsigned char)*text) * 1099511628211u;
  return h ^ h >> 29;
}

// A table's name may have letters, digits and -_. ; what a cluster's has besides is written out, so that no
// two meet.
static int name_table(struct nft_layout *layout, const char *cluster) {
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  int used = snprintf(layout->table, sizeof(layout->table), "tanist_");
  for (; *cluster; cluster++) {
    if ((size_t)used + 4 > sizeof(layout->table))
      return -ENAMETOOLONG;
    used += strchr(plain, *cluster) ? snprintf(layout->table + used, 2, "%c", *cluster)
                                    : snprintf(layout->table + used, 4, "/%02x", (unsigned char)*cluster);
  }
  return 0;
}

// Rungs reach from the longest lease that is left when a grant has come, down to two ticks of the kernel's
// timers.
static void lay_out(struct nft *nft) {
  struct nft_layout *layout = &nft->layout;
  struct timespec tick = {0};
  clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
  nft->slack_us = 2 * (tick.tv_nsec / 1000) + 2000;
  layout->fresh_ms = (uint32_t)(nft->slack_us / 1000);
  uint64_t h = hash(nft->cluster);
  layout->mark = (uint32_t)(h >> 32) | 1;
  layout->control = htonl(127u << 24 | 1u << 23 | ((uint32_t)h & 0x7ffffe));
  uint32_t spent = layout->fresh_ms + 1 + nft->settings.lease_ms / 200;
  uint32_t top = nft->settings.lease_ms > spent ? nft->settings.lease_ms - spent : 1;
  for (uint32_t i = 0; i < NFT_RUNGS; i++)
    layout->rung_ms[i] = top * (NFT_RUNGS - i) / NFT_RUNGS;
}

static int open_netlink(struct nft *nft) {
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

static int open_orders(struct nft *nft) {
  nft->orders = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (nft->orders < 0)
    return -errno;
  const uint32_t mark = nft->layout.mark;
  return setsockopt(nft->orders, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;
}

// What outlives us, and nobody else can flush, needs Linux 6.9; before, tables that anybody may flush.
static int install_first(struct nft *nft) {
  nft->layout.owned = true;
  int rc = install(nft);
  if (rc != -EOPNOTSUPP && rc != -EINVAL)
    return rc;
  nft->layout.owned = false;
  return install(nft);
}

// An order that no rule knows must pass, or a firewall's EPERM would be taken for our rule's; a known one
// must not.
static int try_orders(struct nft *nft) {
  int rc = send_order(nft, NFT_ORDER_NOTHING);
  if (rc != 0)
    return rc > 0 ? -EBUSY : rc;
  rc = send_order(nft, NFT_ORDER_FRESHEN);
  return rc < 0 ? rc : rc == 0 ? -EPROTO : 0;
}

static const char *explain(const struct nft *nft, const char *step, int rc) {
  static char text[320];
  const char *advice =
      "run the agent with CAP_NET_ADMIN, on a kernel with nf_tables (modules nf_tables, nft_dynset)";
  if (rc == -EPERM && step[0] == 'i')
    advice =
        "either CAP_NET_ADMIN is missing, or another agent of this cluster runs and owns the tables: stop it";
  else if (rc == -EBUSY)
    advice = "a firewall on this node drops datagrams to 127.0.0.0/8 on the interface lo: let them pass";
  else if (rc == -ENETUNREACH)
    advice = "the interface lo is down: ip link set lo up";
  snprintf(text, sizeof(text), "the kernel fence (nf_tables %s) cannot be had: %s: %s; %s", nft->layout.table,
           step, strerror(-rc), advice);
  return text;
}

static int nft_start(struct nft *nft, const char **error) {
  static const struct {
    const char *name;
    int (*run)(struct nft *);
  } steps[] = {{"opening netlink", open_netlink},
               {"marking datagrams", open_orders},
               {"installing the rules", install_first},
               {"trying the rules", try_orders}};
  for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
    int rc = steps[i].run(nft);
    if (rc < 0) {
      *error = explain(nft, steps[i].name, rc);
      return rc;
    }
  }
  return 0;
}

static int nft_open(void **state, const struct fence_settings *settings, const char **error) {
  struct nft *nft = calloc(1, sizeof(*nft));
  *error = "out of memory";
  if (!nft)
    return -ENOMEM;
  nft->orders = -1;
  nft->settings = *settings;
  *error = "the cluster's name is too long for the kernel fence";
  int rc = name_table(&nft->layout, settings->cluster);
  if (rc == 0) {
    snprintf(nft->cluster, sizeof(nft->cluster), "%s", settings->cluster);
    nft->settings.cluster = nft->cluster;
    nft->passes = nft->answers = INSTANT_PAST;
    nft->slept_us = slept_us();
    lay_out(nft);
    rc = nft_start(nft, error);
  }
  if (rc < 0)
    nft_free(nft, false);
  else
    *state = nft;
  return rc;
}

static void nft_sweep(const struct fence_settings *settings) {
  struct nft nft = {.orders = -1};
  if (name_table(&nft.layout, settings->cluster) == 0 && open_netlink(&nft) == 0)
    remove_tables(&nft);
  if (nft.netlink)
    mnl_socket_close(nft.netlink);
}

const struct fence_mechanism fence_nft = {
    .name = "nft",
    .enforced = true,
    .open = nft_open,
    .arm = nft_arm,
    .close = nft_close,
    .check = nft_check,
    .text = nft_text,
    .gaps = nft_gaps,
    .free = nft_free,
    .sweep = nft_sweep,
};
