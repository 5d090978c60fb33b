// SPDX-License-Identifier: Apache-2.0
// What the keys of a configuration mean to each other: derived values, and contradictions.
#include "common/base/cluster.h"

#include <assert.h>
#include <string.h>
#include <sys/un.h>

#define PATH_SIZE 64 // "nodes[1].addresses[15]" and the like
#define ITEM_SIZE 32

static const char *voter_path(char *buf, int voter, const char *key) {
  if (voter == VOTER_W)
    snprintf(buf, PATH_SIZE, "witness.%s", key);
  else
    snprintf(buf, PATH_SIZE, "nodes[%d].%s", voter, key);
  return buf;
}

// ---- who there is ----

// The table has checked the form of every address.
static struct net_address parsed(const char *text) {
  struct net_address address = {0};
  char error[256];
  int result = net_address_parse(text, &address, error, sizeof error);
  assert(result == 0);
  return address;
}

static void take_addresses(struct cluster_voter *v) {
  v->address_count = v->address_texts.count;
  for (size_t i = 0; i < v->address_count; i++)
    v->address[i] = parsed(v->address_texts.at[i]);
}

// Is the address listed before [voter][index]?
static bool is_taken(const struct cluster_conf *c, int voter, size_t index) {
  const struct net_address *mine = &c->voter[voter].address[index];
  for (int v = 0; v <= voter; v++)
    for (size_t i = 0; i < (v == voter ? index : c->voter[v].address_count); i++)
      if (net_address_equal(&c->voter[v].address[i], mine))
        return true;
  return false;
}

static void check_addresses(const struct cluster_conf *c, struct conf *conf, int voter) {
  char path[PATH_SIZE], item[ITEM_SIZE];
  for (size_t i = 0; i < c->voter[voter].address_count; i++) {
    snprintf(item, sizeof item, "addresses[%zu]", i);
    if (is_taken(c, voter, i))
      conf_error(conf, voter_path(path, voter, item),
                 "\"%s\" is %s, which is listed before; allowed: each address once", path,
                 c->voter[voter].address_texts.at[i]);
  }
}

static void check_identity(const struct cluster_conf *c, struct conf *conf, int voter) {
  char path[PATH_SIZE];
  const struct cluster_voter *mine = &c->voter[voter];
  for (int v = 0; v < voter; v++) {
    if (strcmp(c->voter[v].name, mine->name) == 0)
      conf_error(conf, voter_path(path, voter, "name"),
                 "\"%s\" is \"%s\" like another voter's; allowed: three different names", path, mine->name);
    if (memcmp(c->voter[v].key, mine->key, CLUSTER_KEY_SIZE) == 0)
      conf_error(conf, voter_path(path, voter, "public_key"),
                 "\"%s\" is the key of \"%s\" too; allowed: a key pair of its own, from `tanist keygen`",
                 path, c->voter[v].name);
  }
}

// Path k runs from one's address k to the other's, each counted round; its two ends must be of one kind.
static bool have_path(const struct cluster_voter *a, const struct cluster_voter *b) {
  size_t n = a->address_count > b->address_count ? a->address_count : b->address_count;
  for (size_t k = 0; k < n; k++)
    if (net_same_family(&a->address[k % a->address_count], &b->address[k % b->address_count]))
      return true;
  return false;
}

static void check_reachable(const struct cluster_conf *c, struct conf *conf, int voter) {
  char path[PATH_SIZE];
  for (int v = 0; v < voter; v++)
    if (!have_path(&c->voter[voter], &c->voter[v]))
      conf_error(conf, voter_path(path, voter, "addresses"),
                 "\"%s\" has no path to \"%s\": the first address of one is joined with the first of the "
                 "other, and so "
                 "on; allowed: at least one such pair both IPv4 or both IPv6",
                 path, c->voter[v].name);
}

static void complete_voters(struct cluster_conf *c, struct conf *conf) {
  for (int v = 0; v < VOTERS; v++) {
    cluster_key_parse(c->voter[v].key_text, c->voter[v].key);
    take_addresses(&c->voter[v]);
    check_identity(c, conf, v);
    check_addresses(c, conf, v);
    check_reachable(c, conf, v);
  }
}

// ---- timing ----

static void complete_timing(struct cluster_conf *c, struct conf *conf) {
  c->drift_ppm = (uint32_t)(c->drift_percent * 10000 + 0.5);
  struct budget budget = cluster_budget(c);
  if (budget_fits(&budget))
    return;
  int64_t room_ms = (budget_self_fence_us(&budget) - BUDGET_ANSWER_US) / 3000;
  conf_error(conf, "timing.beat_ms",
             "\"timing.beat_ms\" is %u, too long for a lease of %u ms: two lost beats would end it; allowed: "
             "up to %lld "
             "with this lease and drift, or a longer lease",
             c->beat_ms, c->lease_ms, (long long)room_ms);
}

// ---- addresses that move ----

static bool same_vip(const struct cluster_vip *a, const struct cluster_vip *b) {
  return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static bool is_voters_own(const struct cluster_conf *c, const struct cluster_vip *vip) {
  for (int v = 0; v < VOTERS; v++)
    for (size_t i = 0; i < c->voter[v].address_count; i++) {
      const struct net_address *a = &c->voter[v].address[i];
      const void *bytes = a->any.sa_family == AF_INET ? (const void *)&a->v4.sin_addr : &a->v6.sin6_addr;
      if (a->any.sa_family == vip->family && memcmp(bytes, vip->bytes, vip->family == AF_INET ? 4 : 16) == 0)
        return true;
    }
  return false;
}

static void complete_vips(struct cluster_conf *c, struct conf *conf) {
  for (size_t i = 0; i < c->vip_count; i++) {
    char path[PATH_SIZE];
    struct cluster_vip *vip = &c->vip[i];
    cluster_vip_parse(vip->text, vip);
    snprintf(path, sizeof path, "virtual_ip[%zu].address", i);
    for (size_t j = 0; j < i; j++)
      if (same_vip(vip, &c->vip[j]))
        conf_error(conf, path, "\"%s\" is %s, which is listed before; allowed: each address once", path,
                   vip->text);
    if (is_voters_own(c, vip))
      conf_error(conf, path,
                 "\"%s\" is %s, where a voter listens; allowed: an address that no machine has for itself",
                 path, vip->text);
  }
}

// ---- the broker ----

// In the order of enum cluster_driver: has it a switch for synchronous replication?
static const bool can_sync[] = {
    [DRIVER_NONE] = false,     [DRIVER_REDIS] = true, [DRIVER_POSTGRESQL] = true, [DRIVER_EXEC] = true,
    [DRIVER_COPROCESS] = true, [DRIVER_OCF] = false,  [DRIVER_SYSTEMD] = false,   [DRIVER_LIBRARY] = true};

static void complete_replication(struct cluster_conf *c, struct conf *conf) {
  const char *driver = cluster_driver_name(c);
  bool asks = c->broker.driver == DRIVER_EXEC; // it may be any broker
  if (c->broker.replication == CONF_UNSET)
    c->broker.replication = can_sync[c->broker.driver] && !asks ? REPLICATION_SYNC : REPLICATION_NONE;
  if (c->broker.replication == REPLICATION_SYNC && !can_sync[c->broker.driver])
    conf_error(conf, "broker.replication",
               "\"broker.replication\" is \"sync\", which driver \"%s\" cannot; allowed with it: \"shared\", "
               "\"none\"",
               driver);
  if (c->broker.replication == REPLICATION_SHARED && c->broker.driver == DRIVER_REDIS)
    conf_error(conf, "broker.replication",
               "\"broker.replication\" is \"shared\", which driver \"%s\" cannot; allowed with it: \"sync\", "
               "\"none\"",
               driver);
  if ((c->broker.replication == REPLICATION_ASYNC) != (c->broker.max_lag_bytes > 0))
    conf_error(conf, "broker.max_lag_bytes",
               c->broker.max_lag_bytes > 0
                   ? "\"broker.max_lag_bytes\" is given, but broker.replication is not \"async\"; allowed: 0, or \"async\""
                   : "\"broker.max_lag_bytes\" is 0, but broker.replication is \"async\"; allowed: how much a failover may lose, 1 or more");
  if (c->broker.replication == REPLICATION_ASYNC && !can_sync[c->broker.driver])
    conf_error(conf, "broker.replication",
               "\"broker.replication\" is \"async\", but driver \"%s\" tells no positions; allowed with it: \"shared\", "
               "\"none\"",
               driver);
  if (c->broker.strict && c->broker.replication != REPLICATION_SYNC)
    conf_error(
        conf, "broker.strict",
        "\"broker.strict\" is true, but broker.replication is not \"sync\"; allowed: false, or \"sync\"");
}

static void check_tls(const struct cluster_conf *c, struct conf *conf) {
  bool ca = c->broker.tls.ca_file[0] != 0, certificate = c->broker.tls.certificate_file[0] != 0;
  if (!ca && (certificate || c->broker.tls.key_file[0] != 0 || c->broker.tls.server_name[0] != 0))
    conf_error(conf, "broker.tls",
               "\"broker.tls\" has no ca_file, without which there is no TLS; allowed: ca_file, or none of its keys");
  if (certificate != (c->broker.tls.key_file[0] != 0))
    conf_error(conf, "broker.tls", "\"broker.tls\" has one of certificate_file and key_file; allowed: both, or neither");
  if (ca && c->broker.driver != DRIVER_REDIS)
    conf_error(conf, "broker.tls", "\"broker.tls\" is given, but broker.driver is not \"redis\"; allowed: with \"redis\" alone");
}

static void take_peers(struct cluster_conf *c, struct conf *conf) {
  struct conf_map sorted = {0};
  for (size_t i = 0; i < c->broker.peer_map.count; i++) {
    const char *name = c->broker.peer_map.at[i].key;
    char path[PATH_SIZE];
    int voter = cluster_voter_find(c, name);
    snprintf(path, sizeof path, "broker.peers.%s", name);
    if (voter < NODES)
      c->broker.peers[voter] = c->broker.peer_map.at[i].value;
    else
      conf_error(conf, path, "\"%s\" names no node; allowed: %s, %s", path, c->voter[VOTER_A].name,
                 c->voter[VOTER_B].name);
  }
  for (int v = 0; v < NODES; v++)
    if (c->broker.peers[v]) {
      sorted.at[sorted.count].key = c->voter[v].name;
      sorted.at[sorted.count++].value = c->broker.peers[v];
    } else
      c->broker.peers[v] = "";
  c->broker.peer_map = sorted; // the order of the file says nothing
}

static void check_reach(const struct cluster_conf *c, struct conf *conf) {
  const char *driver = cluster_driver_name(c);
  if (!*c->broker.address)
    conf_error(conf, "broker.address",
               "\"broker.address\" is missing, driver \"%s\" needs it; allowed: where an agent reaches its "
               "own broker, "
               "as in \"127.0.0.1:6379\"",
               driver);
  for (int v = 0; v < NODES; v++)
    if (!*c->broker.peers[v])
      conf_error(conf, "broker.peers",
                 "\"broker.peers.%s\" is missing, driver \"%s\" needs it; allowed: where the other broker "
                 "reaches that "
                 "of %s",
                 c->voter[v].name, driver, c->voter[v].name);
  if (*c->broker.peers[VOTER_A] && strcmp(c->broker.peers[VOTER_A], c->broker.peers[VOTER_B]) == 0)
    conf_error(conf, "broker.peers", "\"broker.peers\" gives %s twice; allowed: two different addresses",
               c->broker.peers[VOTER_A]);
}

// What runs on the master alone need not be reached by anybody.
static bool is_service(const struct cluster_conf *c) {
  bool any = c->broker.driver == DRIVER_EXEC || c->broker.driver == DRIVER_COPROCESS ||
             c->broker.driver == DRIVER_OCF || c->broker.driver == DRIVER_SYSTEMD;
  return any && (c->broker.replication == REPLICATION_SHARED || c->broker.replication == REPLICATION_NONE);
}

static void complete_broker(struct cluster_conf *c, struct conf *conf) {
  complete_replication(c, conf);
  take_peers(c, conf);
  check_tls(c, conf);
  if (c->broker.driver != DRIVER_NONE && !is_service(c))
    check_reach(c, conf);
  cluster_complete_driver(c, conf);
}

// ---- fence, policy, files ----

static void complete_fence(struct cluster_conf *c, struct conf *conf) {
  struct conf_numbers *ports = &c->fence.ports;
  if (ports->count == 0 && *c->broker.address) {
    struct net_address broker = parsed(c->broker.address);
    ports->at[ports->count++] =
        ntohs(broker.any.sa_family == AF_INET ? broker.v4.sin_port : broker.v6.sin6_port);
  }
  for (size_t i = 0; i < ports->count; i++)
    for (size_t j = 0; j < i; j++)
      if (ports->at[i] == ports->at[j])
        conf_error(conf, "fence.ports", "\"fence.ports\" has %u twice; allowed: each port once",
                   ports->at[i]);
  if (c->fence.mechanism == MECHANISM_NETLINK && c->lease_ms < FENCE_NETLINK_LEASE_MS_MIN)
    conf_error(
        conf, "fence.mechanism",
        "\"fence.mechanism\" is \"netlink\", whose renewals may have to wait for other programs, with a "
        "lease of %u ms; allowed: a lease of %u ms or more, or another mechanism",
        c->lease_ms, FENCE_NETLINK_LEASE_MS_MIN);
}

static void check_option(const struct cluster_conf *c, struct conf *conf, size_t i) {
  char path[PATH_SIZE];
  const char *key = c->fence.agent_options.at[i].key, *mark = strstr(key, "__");
  snprintf(path, sizeof path, "fence.agent.options.%.40s", key);
  if (strcmp(key, "action") == 0 || strcmp(key, "nodename") == 0)
    conf_error(conf, path, "\"%s\" is the agent's to tell the device; allowed: any other option", path);
  if (mark != NULL && cluster_voter_find(c, mark + 2) >= NODES)
    conf_error(conf, path, "\"%s\" ends with the name of no node; allowed behind \"__\": %s, %s", path,
               c->voter[VOTER_A].name, c->voter[VOTER_B].name);
  if (strpbrk(c->fence.agent_options.at[i].value, "\r\n") != NULL)
    conf_error(conf, path, "\"%s\" has more than one line; allowed: one line", path);
}

static void complete_fence_agent(struct cluster_conf *c, struct conf *conf) {
  const struct conf_texts *command = &c->fence.agent_command;
  if (command->count > 0 && command->at[0][0] != '/')
    conf_error(conf, "fence.agent.command",
               "\"fence.agent.command\" begins with \"%.80s\"; allowed: the program's path from the root",
               command->at[0]);
  if (command->count == 0 && c->fence.agent_options.count > 0)
    conf_error(conf, "fence.agent.options",
               "\"fence.agent.options\" is given without \"fence.agent.command\"; allowed: both, or neither");
  if (command->count == 0 && c->fence.agent_required)
    conf_error(conf, "fence.agent.required",
               "\"fence.agent.required\" is true, but \"fence.agent.command\" names no device: nobody could ever be "
               "promoted; allowed: false, or a device");
  for (size_t i = 0; i < c->fence.agent_options.count; i++)
    check_option(c, conf, i);
}

// Which drivers start their broker by a verb of its own, so that it can be counted.
static const bool can_start[] = {
    [DRIVER_NONE] = false,     [DRIVER_REDIS] = false, [DRIVER_POSTGRESQL] = false, [DRIVER_EXEC] = true,
    [DRIVER_COPROCESS] = true, [DRIVER_OCF] = true,    [DRIVER_SYSTEMD] = false,    [DRIVER_LIBRARY] = false};

static void check_restarts(const struct cluster_conf *c, struct conf *conf) {
  if (!can_start[c->broker.driver] && c->policy.restart_max != CLUSTER_RESTART_MAX)
    conf_error(conf, "policy.restart_max",
               "\"policy.restart_max\" is %u, but driver \"%s\" is not told when to start a broker; allowed with it: %d",
               c->policy.restart_max, cluster_driver_name(c), CLUSTER_RESTART_MAX);
}

static void complete_policy(struct cluster_conf *c, struct conf *conf) {
  check_restarts(c, conf);
  if (!*c->policy.preferred_name)
    c->policy.preferred_name = c->voter[VOTER_A].name;
  int voter = cluster_voter_find(c, c->policy.preferred_name);
  c->policy.preferred = (uint8_t)voter;
  if (voter >= NODES)
    conf_error(conf, "policy.preferred", "\"policy.preferred\" is \"%s\"; allowed: \"%s\", \"%s\"",
               c->policy.preferred_name, c->voter[VOTER_A].name, c->voter[VOTER_B].name);
}

// A Unix socket's path has little room, and a start is too late to learn it.
static void check_paths(const struct cluster_conf *c, struct conf *conf) {
  char path[256];
  size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
  for (unsigned v = 0; v < NODES; v++)
    if (strlen(cluster_socket_path(c, v, path, sizeof path)) > room) {
      conf_error(conf, "run_directory",
                 "\"run_directory\" makes %s, which is too long for a socket; allowed: %zu characters in all",
                 path, room);
      return;
    }
}

void cluster_complete(struct cluster_conf *c, struct conf *conf) {
  complete_voters(c, conf);
  complete_timing(c, conf);
  complete_vips(c, conf);
  complete_broker(c, conf);
  cluster_complete_health(c, conf);
  complete_fence(c, conf);
  complete_fence_agent(c, conf);
  complete_policy(c, conf);
  check_paths(c, conf);
}
