// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/announce.h"
#include "agent/rtnl.h"
#include "agent/vip.h"
#include "common/base/cluster.h"

#define REMOVE_PASSES 8 // an address can be there several times, with other prefix lengths

struct entry {
  const char *text, *interface;
  struct rtnl_address address; // its interface's index is asked for again at each vip_add and vip_drop
  bool routed;                 // another address of the interface brings the route to this network
  bool held;
};

struct vip {
  struct rtnl *rtnl;
  struct announce *announce;
  struct announce_target target[VIP_MAX];
  struct entry entry[VIP_MAX];
  size_t count;
  char trouble[256];
};

// ---- what went wrong, for people ----

static const char *advice(int rc) {
  switch (-rc) {
  case EPERM:
    return "; the agent needs CAP_NET_ADMIN";
  case ENODEV:
    return "; there is no such interface any more: create it again, or name another in the configuration";
  case EACCES:
    return "; IPv6 is switched off there: set net.ipv6.conf.INTERFACE.disable_ipv6=0 with sysctl";
  default:
    return "";
  }
}

static int trouble(struct vip *v, const struct entry *e, const char *what, int rc) {
  snprintf(v->trouble, sizeof(v->trouble), "virtual IP %s on %s cannot be %s: %s%s", e->text, e->interface,
           what, strerror(-rc), advice(rc));
  return rc;
}

const char *vip_trouble(const struct vip *v) {
  return v->trouble;
}

// ---- routes ----

static bool same_address(const struct rtnl_address *a, const struct rtnl_address *b) {
  return a->family == b->family && a->index == b->index &&
         memcmp(a->bytes, b->bytes, rtnl_size(a->family)) == 0;
}

static bool is_ours(const struct vip *v, const struct rtnl_address *a) {
  for (size_t i = 0; i < v->count; i++)
    if (same_address(&v->entry[i].address, a))
      return true;
  return false;
}

static bool covers(const struct rtnl_address *a, const struct rtnl_address *b) {
  if (a->family != b->family || a->index != b->index || a->prefix > b->prefix)
    return false;
  size_t whole = a->prefix / 8;
  unsigned rest = a->prefix % 8;
  if (memcmp(a->bytes, b->bytes, whole) != 0)
    return false;
  return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

static void see_route(void *arg, const struct rtnl_address *a) {
  struct vip *v = arg;
  if (is_ours(v, a)) // it comes and goes: no network can rely on it
    return;
  for (size_t i = 0; i < v->count; i++)
    v->entry[i].routed = v->entry[i].routed || covers(a, &v->entry[i].address);
}

// Which entries want no route of their own: a second route to a network would make the virtual IP the source
// of connections that the node itself opens there, and they would end with the lease.
static int see_routes(struct vip *v) {
  for (size_t i = 0; i < v->count; i++)
    v->entry[i].routed = false;
  return rtnl_each(v->rtnl, see_route, v);
}

// ---- hold ----

// 1: it was not there and is now; 0: its lifetime is renewed. Asked for exclusively first, since a mere
// replacement does not tell whether there was anything to replace.
static int hold(struct vip *v, const struct entry *e, uint32_t lifetime_s) {
  int rc = rtnl_add(v->rtnl, &e->address, e->routed, lifetime_s);
  if (rc == 0)
    return 1;
  return rc == -EEXIST ? rtnl_renew(v->rtnl, &e->address, e->routed, lifetime_s) : rc;
}

static int find_interfaces(struct vip *v) {
  for (size_t i = 0; i < v->count; i++) {
    struct entry *e = &v->entry[i];
    unsigned index = if_nametoindex(e->interface);
    if (index == 0)
      return trouble(v, e, "added", -ENODEV);
    e->address.index = (int)index;
  }
  return 0;
}

static void take_back(struct vip *v, const bool added[VIP_MAX]) {
  for (size_t i = 0; i < v->count; i++)
    if (added[i]) {
      rtnl_delete(v->rtnl, &v->entry[i].address);
      v->entry[i].held = false;
    }
}

static int add_all(struct vip *v, uint32_t lifetime_s, bool added[VIP_MAX]) {
  for (size_t i = 0; i < v->count; i++) {
    struct entry *e = &v->entry[i];
    int rc = hold(v, e, lifetime_s);
    if (rc < 0)
      return trouble(v, e, "added", rc);
    added[i] = rc == 1;
    e->held = true;
  }
  return 0;
}

int vip_add(struct vip *v, uint32_t lifetime_s) {
  bool added[VIP_MAX] = {false};
  v->trouble[0] = '\0';
  if (v->count == 0)
    return 0;
  int rc = find_interfaces(v);
  if (rc < 0)
    return rc;
  rc = see_routes(v);
  if (rc < 0)
    return trouble(v, &v->entry[0], "added", rc);
  rc = add_all(v, lifetime_s, added);
  if (rc < 0)
    take_back(v, added);
  else
    vip_announce(v);
  return rc;
}

// It may have gone together with the address that brought the route to its network: then it is added as if
// for the first time.
static int put_back(struct vip *v, const struct entry *e, uint32_t lifetime_s) {
  bool routed = e->routed;
  int rc = see_routes(v);
  if (rc < 0 || e->routed == routed)
    return rc;
  rc = rtnl_delete(v->rtnl, &e->address);
  return rc < 0 ? rc : hold(v, e, lifetime_s);
}

int vip_refresh(struct vip *v, uint32_t lifetime_s) {
  int failed = 0, deleted = 0;
  v->trouble[0] = '\0';
  for (size_t i = 0; i < v->count; i++) {
    struct entry *e = &v->entry[i];
    int rc = e->held ? hold(v, e, lifetime_s) : 0;
    if (rc == 1) {
      deleted = 1;
      rc = put_back(v, e, lifetime_s);
    }
    if (rc < 0) // the others still get their lifetime
      failed = trouble(v, e, "refreshed", rc);
  }
  if (deleted)
    vip_announce(v);
  return failed < 0 ? failed : deleted;
}

bool vip_held(const struct vip *v, size_t index) {
  assert(index < v->count);
  return v->entry[index].held;
}

// ---- announce ----

void vip_announce(struct vip *v) {
  for (size_t i = 0; i < v->count; i++)
    if (v->entry[i].held) {
      announce_start(v->announce);
      return;
    }
}

void vip_until(struct vip *v, struct instant until) {
  announce_until(v->announce, until);
}

// ---- drop ----

struct left {
  const struct vip *vip;
  struct rtnl_address at[VIP_MAX];
  size_t count;
};

static void see_left(void *arg, const struct rtnl_address *a) {
  struct left *left = arg;
  if (left->count < VIP_MAX && is_ours(left->vip, a))
    left->at[left->count++] = *a;
}

// What is left after the addresses as configured are gone: those of a former agent, of another prefix length.
static int delete_left(struct vip *v) {
  for (int pass = 0; pass < REMOVE_PASSES; pass++) {
    struct left left = {.vip = v};
    int rc = rtnl_each(v->rtnl, see_left, &left);
    if (rc < 0 || left.count == 0)
      return rc;
    for (size_t i = 0; i < left.count && rc == 0; i++)
      rc = rtnl_delete(v->rtnl, &left.at[i]);
    if (rc < 0)
      return rc;
  }
  return -EBUSY; // somebody puts them back faster than we remove them
}

static int delete_configured(struct vip *v) {
  int failed = 0;
  for (size_t i = 0; i < v->count; i++) {
    struct entry *e = &v->entry[i];
    unsigned index = if_nametoindex(e->interface);
    if (index > 0)
      e->address.index = (int)index;
    int rc = rtnl_delete(v->rtnl, &e->address);
    if (rc < 0)
      failed = trouble(v, e, "removed", rc);
    else
      e->held = false;
  }
  return failed;
}

int vip_drop(struct vip *v) {
  v->trouble[0] = '\0';
  announce_stop(v->announce);
  if (v->count == 0)
    return 0;
  int failed = delete_configured(v);
  int rc = delete_left(v);
  if (failed == 0 && rc < 0)
    failed = trouble(v, &v->entry[0], "removed", rc);
  return failed;
}

// ---- life ----

static char open_error[256]; // outlives the vip that could not be opened

static int fill_entry(struct entry *e, const char *text, const char *interface) {
  struct cluster_vip parsed = {0};
  if (!cluster_vip_parse(text, &parsed)) {
    snprintf(open_error, sizeof(open_error),
             "virtual IP \"%s\": wanted is an address with its prefix length, such as \"10.0.0.100/24\" or "
             "\"fd00::100/64\"",
             text);
    return -EINVAL;
  }
  *e = (struct entry){.text = text, .interface = interface};
  e->address = (struct rtnl_address){.family = parsed.family, .prefix = (uint8_t)parsed.prefix};
  memcpy(e->address.bytes, parsed.bytes, sizeof(e->address.bytes));
  e->address.index = (int)if_nametoindex(interface);
  if (e->address.index > 0)
    return 0;
  snprintf(open_error, sizeof(open_error),
           "virtual IP %s: there is no network interface \"%s\" on this machine; correct its name (\"ip "
           "link\" lists "
           "them), or create it before the agent starts",
           text, interface);
  return -ENODEV;
}

static int fill_entries(struct vip *v, const struct vip_settings *settings) {
  for (size_t i = 0; i < settings->count; i++) {
    struct entry *e = &v->entry[i];
    int rc = fill_entry(e, settings->at[i].address, settings->at[i].interface);
    if (rc < 0)
      return rc;
    v->target[i] = (struct announce_target){
        .family = e->address.family, .bytes = e->address.bytes, .interface = e->interface};
    v->count = i + 1;
  }
  return 0;
}

static int open_sockets(struct vip *v, struct loop *loop) {
  const char *what = "manage addresses", *need = "CAP_NET_ADMIN";
  int rc = rtnl_open(&v->rtnl);
  if (rc == 0) {
    what = "announce them";
    need = "CAP_NET_RAW";
    rc = announce_open(&v->announce, loop, v->target, v->count);
  }
  if (rc < 0)
    snprintf(open_error, sizeof(open_error), "virtual IPs: cannot %s: %s; the agent needs %s", what,
             strerror(-rc), need);
  return rc;
}

int vip_open(struct vip **out, struct loop *loop, const struct vip_settings *settings, const char **error) {
  assert(settings->count <= VIP_MAX);
  *error = open_error;
  snprintf(open_error, sizeof(open_error), "out of memory");
  struct vip *v = calloc(1, sizeof(*v));
  if (!v)
    return -ENOMEM;
  int rc = fill_entries(v, settings);
  if (rc == 0)
    rc = open_sockets(v, loop);
  if (rc < 0)
    vip_free(v);
  else
    *out = v;
  return rc;
}

void vip_free(struct vip *v) {
  if (!v)
    return;
  announce_free(v->announce);
  rtnl_free(v->rtnl);
  free(v);
}
