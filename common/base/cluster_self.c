// SPDX-License-Identifier: Apache-2.0
// Which of the nodes is this machine?
#include "common/base/cluster.h"

#include <errno.h>
#include <ifaddrs.h>
#include <string.h>
#include <unistd.h>

static int node_named(const struct cluster_conf *c, const char *name) {
  int voter = cluster_voter_find(c, name);
  return voter < NODES ? voter : -EINVAL;
}

static int by_host_name(const struct cluster_conf *c) {
  char name[256];
  if (gethostname(name, sizeof name) != 0)
    return -EINVAL;
  name[sizeof name - 1] = '\0';
  int node = node_named(c, name);
  if (node >= 0)
    return node;
  name[strcspn(name, ".")] = '\0';
  return node_named(c, name);
}

static bool is_at(const struct cluster_voter *voter, const struct sockaddr *sa) {
  for (size_t i = 0; i < voter->address_count; i++) {
    const struct net_address *a = &voter->address[i];
    if (a->any.sa_family != sa->sa_family)
      continue;
    if (sa->sa_family == AF_INET &&
        memcmp(&a->v4.sin_addr, &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
               sizeof a->v4.sin_addr) == 0)
      return true;
    if (sa->sa_family == AF_INET6 &&
        memcmp(&a->v6.sin6_addr, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr,
               sizeof a->v6.sin6_addr) == 0)
      return true;
  }
  return false;
}

// Both nodes' addresses on one machine (a trial on loopback) decide nothing.
static int by_address(const struct cluster_conf *c) {
  struct ifaddrs *all;
  bool found[NODES] = {false};
  if (getifaddrs(&all) != 0)
    return -EINVAL;
  for (const struct ifaddrs *i = all; i; i = i->ifa_next)
    for (int v = 0; i->ifa_addr && v < NODES; v++)
      found[v] |= is_at(&c->voter[v], i->ifa_addr);
  freeifaddrs(all);
  if (found[VOTER_A] == found[VOTER_B])
    return -EINVAL;
  return found[VOTER_A] ? VOTER_A : VOTER_B;
}

int cluster_self(const struct cluster_conf *c, const char *name, char *error, size_t size) {
  int node = name ? node_named(c, name) : by_host_name(c);
  if (node < 0 && !name)
    node = by_address(c);
  if (node >= 0)
    return node;
  const char *a = c->voter[VOTER_A].name, *b = c->voter[VOTER_B].name;
  if (name && strcmp(name, c->voter[VOTER_W].name) == 0)
    snprintf(error, size, "\"%s\" is the witness, which runs tanist-witness; the nodes are: %s, %s", name, a,
             b);
  else if (name)
    snprintf(error, size, "cluster \"%s\" has no node \"%s\"; the nodes are: %s, %s", c->name, name, a, b);
  else
    snprintf(error, size,
             "neither the host name nor the addresses of this machine tell which node of cluster \"%s\" it "
             "is; say -n "
             "NAME, the nodes are: %s, %s",
             c->name, a, b);
  return -EINVAL;
}
