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
// moved by netlink (fence_nft_netlink.c), which may wait, so this is done but twice a lease.
//
// The mechanism "netlink" has the same tables and moves both leases by netlink, at each renewal: for where no
// datagram gets to the rules. Its wait for others costs it a good part of a short lease, so it wants 500 ms.
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
#include "agent/fence_nft.h"
#include "common/base/clock.h"
#include "common/base/cluster.h"

#define NONCES 64 // keys of NFT_FRESH, in turn
#define TRIES 8 // a try fails if we were away for longer than `fresh`

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

// ---- orders ----

// 1: carried out (the rule drops the datagram); 0: nobody saw it; or a negative errno.
static int send_order(const struct nft *nft, unsigned order) {
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)order), .sin_addr.s_addr = nft->layout.control};
  if (sendto(nft->orders, &nft->nonce, sizeof(nft->nonce), MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof(to)) >= 0)
    return 0;
  return errno == EPERM ? 1 : -errno;
}

// Somebody removed our rules: put them back, closed.
static int mend(struct nft *nft) {
  int rc = nft_install(nft);
  return rc < 0 ? rc : -ENOENT;
}

// The kernel may be short of memory for a moment: an order that nobody saw is given once more.
static int order(struct nft *nft, unsigned what) {
  int rc = 0;
  for (int i = 0; i < 2 && rc == 0; i++) {
    if (what == NFT_ORDER_FRESHEN)
      nft->nonce = (nft->nonce + 1) % NONCES;
    rc = send_order(nft, what);
  }
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
  int rc = nft->by_netlink ? 0 : inet_close(nft);
  if (rc < 0)
    return rc;
  rc = nft_lease_close(nft);
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
  const struct instant over = {0}, furthest = instant_in_ms(nft->settings.lease_ms);
  if (is_never(until) || (until.us >= 0 && until.us <= furthest.us))
    return until;
  return until.us < 0 ? over : furthest;
}

// What netlink moves: with datagrams ARP alone, while much of its lease is left nothing.
static int lease_arm(struct nft *nft, struct instant until) {
  int64_t half_us = (int64_t)nft->settings.lease_ms * 500;
  if (!nft->by_netlink && !is_never(until) && nft->answers.us <= until.us &&
      nft->answers.us > clock_now().us + half_us)
    return 0;
  return nft_lease_arm(nft, until);
}

static int nft_arm(void *state, struct instant until) {
  struct nft *nft = state;
  until = within_reach(nft, until);
  int rc = close_if_slept(nft);
  if (rc == 0 && !nft->by_netlink)
    rc = inet_arm(nft, until);
  if (rc < 0)
    return rc;
  rc = lease_arm(nft, until);
  if (rc == 0)
    rc = close_if_slept(nft); // or the machine slept in between
  return rc == -ENOENT ? mend(nft) : rc;
}

static int nft_check(void *state) {
  struct nft *nft = state;
  int rc = close_if_slept(nft);
  if (rc == 0 && !nft->by_netlink)
    rc = order(nft, NFT_ORDER_FRESHEN);
  if (rc < 0)
    return rc;
  rc = nft_query(nft);
  return rc == -ENOENT ? mend(nft) : rc;
}

static const char *nft_text(const void *state) {
  const struct nft *nft = state;
  if (is_never(nft->passes))
    return "open";
  return nft->passes.us > clock_now().us ? "armed" : "closed";
}

static void nft_gaps(const void *state, fence_gap_fn *tell, void *arg) {
  const struct nft *nft = state;
  if (!nft->layout.sees_translated)
    tell(arg, "translated-ports",
         "not covered: ports of a broker behind address translation; the module nft_fib_inet is missing");
  if (!nft->layout.owned)
    tell(arg, "flush",
         "not covered: the time until the next beat after another program's flush (Linux 6.9 prevents it)");
  tell(arg, "sleep",
       "not covered: the time that the machine slept, until the agent runs: nf_tables does not count it");
  tell(arg, "announcements", "not covered: announcements; the agent itself keeps them within its lease");
}

static void nft_free(void *state, bool remove) {
  struct nft *nft = state;
  if (remove && nft->netlink)
    nft_remove(nft);
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

static int open_orders(struct nft *nft) {
  if (nft->by_netlink)
    return 0;
  nft->orders = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (nft->orders < 0)
    return -errno;
  const uint32_t mark = nft->layout.mark;
  return setsockopt(nft->orders, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;
}

// What outlives us, and nobody else can flush, needs Linux 6.9; before, tables that anybody may flush. What
// sees ports before they are translated needs a module that may be missing.
static int install_first(struct nft *nft) {
  int rc = -EINVAL;
  for (int less = 0; less < 4 && (rc == -EOPNOTSUPP || rc == -EINVAL || rc == -ENOENT); less++) {
    nft->layout.owned = less % 2 == 0;
    nft->layout.sees_translated = less < 2;
    struct instant until = nft->settings.until;
    if (until.us > 0 && nft_take_over(nft, within_reach(nft, until)) == 0)
      return 0;
    rc = nft_install(nft);
  }
  return rc;
}

// An order that no rule knows must pass, or a firewall's EPERM would be taken for our rule's; a known one
// must not.
static int try_orders(struct nft *nft) {
  if (nft->by_netlink)
    return 0;
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
  } steps[] = {{"opening netlink", nft_netlink_open},
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

static int open_by(void **state, const struct fence_settings *settings, bool by_netlink, const char **error) {
  struct nft *nft = calloc(1, sizeof(*nft));
  *error = "out of memory";
  if (!nft)
    return -ENOMEM;
  nft->orders = -1;
  nft->by_netlink = by_netlink;
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

static int nft_open(void **state, const struct fence_settings *settings, const char **error) {
  return open_by(state, settings, false, error);
}

static int netlink_open(void **state, const struct fence_settings *settings, const char **error) {
  *error =
      "the kernel fence (netlink) wants a lease of at least 500 ms: a renewal may have to wait for another "
      "program's rules; make timing.lease_ms longer, or see why neither \"bpf\" nor \"nft\" works here";
  return settings->lease_ms < FENCE_NETLINK_LEASE_MS_MIN ? -ERANGE : open_by(state, settings, true, error);
}

static void nft_sweep(const struct fence_settings *settings) {
  struct nft nft = {.orders = -1};
  if (name_table(&nft.layout, settings->cluster) == 0 && nft_netlink_open(&nft) == 0)
    nft_remove(&nft);
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

const struct fence_mechanism fence_netlink = {
    .name = "netlink",
    .enforced = true,
    .open = netlink_open,
    .arm = nft_arm,
    .close = nft_close,
    .check = nft_check,
    .text = nft_text,
    .gaps = nft_gaps,
    .free = nft_free,
    .sweep = nft_sweep,
};
