// SPDX-License-Identifier: Apache-2.0
// The object of `tanist --json status`: interface.md, "tanist".
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/core/lease.h"

static void put_master(const struct agent *a, struct json *status) {
  const struct core *core = runner_core(a->runner);
  struct instant now = clock_now();
  unsigned leader = NOBODY;
  const struct peer *promised = &core->peer[core->voter.promise.leader < VOTERS ? core->voter.promise.leader : 0];
  if (core_leads(core, now)) /* who waits for its fence device (L11) is elected, and leads nobody yet */
    leader = core_waits(core) ? NOBODY : a->self;
  else if (voter_promised(&core->voter, now) && promised->beat.role == ROLE_MASTER &&
           !(promised->beat.flags & BEAT_WAITS))
    leader = core->voter.promise.leader;
  json_put_text(status, "master", leader < NODES ? a->conf.voter[leader].name : NULL);
}

static struct json *lease(const struct agent *a) {
  const struct core *core = runner_core(a->runner);
  struct instant now = clock_now();
  struct json *lease = json_new_object();
  bool valid = core_leads(core, now), sole = core_sole(core);
  json_put_bool(lease, "valid", valid);
  json_put_bool(lease, "sole", sole);
  if (valid && !sole)
    json_put_int(lease, "remaining_ms", instant_us_between(now, core->lease_end) / 1000);
  else
    json_put_null(lease, "remaining_ms");
  return lease;
}

static struct json *record(const struct agent *a) {
  const struct core *core = runner_core(a->runner);
  const struct record *sync = &core->voter.ballot.sync;
  struct json *record = json_new_object();
  json_put_uint(record, "epoch", sync->epoch);
  json_put_uint(record, "version", sync->version);
  json_put_text(record, "mode", sync->mode == RECORD_SOLE ? "sole" : "pair");
  json_put_text(record, "owner", sync->mode == RECORD_SOLE ? a->conf.voter[sync->owner].name : NULL);
  if (core->role == ROLE_MASTER)
    json_put_bool(record, "committed", core->committed);
  return record;
}

static struct json *check(const struct agent *a, size_t i) {
  const struct health_status *result = &health_result(a->health)->check[i];
  struct json *check = json_new_object();
  json_put_text(check, "name", a->conf.check[i].name);
  json_put_text(check, "state", health_state_name(result->state));
  if (result->why[0] != 0)
    json_put_text(check, "why", result->why);
  return check;
}

/* A group, with the names of its checks. */
static struct json *group(const struct agent *a, size_t i) {
  const struct cluster_group *from = &a->conf.group[i];
  struct json *group = json_new_object(), *checks = json_new_array();
  json_put_text(group, "name", from->name);
  json_put_text(group, "state", health_state_name(health_result(a->health)->group[i]));
  json_put_int(group, "need", from->need);
  for (size_t k = 0; k < from->checks.count; k++)
    json_add_text(checks, from->checks.at[k]);
  json_put(group, "checks", checks);
  return group;
}

/* Said before anything is lost, not after. */
static void put_loss(const struct agent *a, struct json *broker, bool pair) {
  char note[160];
  uint64_t most = a->conf.broker.max_lag_bytes;
  json_put_uint(broker, "may_lose", pair ? most : 0);
  snprintf(
      note, sizeof note,
      pair ? "replication is asynchronous: a failover may lose the last %llu (broker.max_lag_bytes)"
           : "replication is asynchronous and the other node is further behind than %llu: no failover to it",
      (unsigned long long)most);
  json_put_text(broker, "note", note);
}

/* What the broker tells of itself. While it is not reachable, its check says what is wrong. */
static void put_own_word(const struct broker_view *view, struct json *broker) {
  if (view->reachable && view->trouble[0] != 0) {
    struct json *notes = json_new_array();
    json_add_text(notes, view->trouble);
    json_put(broker, "notes", notes);
  }
  if (!view->counts)
    return;
  json_put_uint(broker, "received", view->received);
  json_put_uint(broker, "acknowledged", view->acknowledged);
  json_put_uint(broker, "delivered", view->delivered);
}

static struct json *broker(const struct agent *a) {
  const struct core *core = runner_core(a->runner);
  const struct broker_view *view = broker_view(a->broker);
  struct json *broker = json_new_object();
  uint64_t peer = core->role == ROLE_MASTER && view->peer.offset != 0
                      ? view->peer.offset
                      : core->peer[1 - a->self].beat.position.offset;
  json_put_text(broker, "driver", cluster_driver_name(&a->conf));
  json_put_text(broker, "state", view->state);
  json_put_bool(broker, "healthy", health_result(a->health)->healthy);
  json_put_uint(broker, "position", view->position.offset);
  if (core->peer[1 - a->self].session != 0 && peer != 0)
    json_put_uint(broker, "peer_position", peer);
  else
    json_put_null(broker, "peer_position");
  json_put_bool(broker, "in_sync", core->voter.ballot.sync.mode == RECORD_PAIR);
  json_put_text(broker, "replication", cluster_replication_name(&a->conf));
  struct json *checks = json_new_array();
  for (size_t i = 0; i < a->conf.check_count; i++)
    json_add(checks, check(a, i));
  json_put(broker, "checks", checks);
  put_own_word(view, broker);
  struct json *groups = json_new_array();
  for (size_t i = 0; i < a->conf.group_count; i++)
    json_add(groups, group(a, i));
  json_put(broker, "groups", groups);
  if (a->conf.broker.replication == REPLICATION_ASYNC)
    put_loss(a, broker, core->voter.ballot.sync.mode == RECORD_PAIR);
  if (a->conf.broker.driver == DRIVER_REDIS && a->conf.broker.replication == REPLICATION_SYNC)
    json_put_text(
        broker, "note",
        "Redis acknowledges asynchronously: only writes confirmed by WAIT 1 are promised to survive");
  return broker;
}

/* Connections on the virtual IPs: here, and at the other node as it tells. */
static struct json *clients(const struct agent *a) {
  struct json *clients = json_new_object();
  json_put_uint(clients, "here", a->clients != NULL ? clients_count(a->clients) : 0);
  json_put_uint(clients, "other", a->clients != NULL ? clients_of_other(a->clients) : 0);
  return clients;
}

static struct json *addresses(const struct agent *a) {
  struct json *list = json_new_array();
  for (size_t i = 0; i < a->conf.vip_count; i++) {
    struct json *address = json_new_object();
    json_put_text(address, "address", a->conf.vip[i].text);
    json_put_bool(address, "held", vip_held(a->vip, i));
    take_over_put(a->take_over, i, address);
    json_add(list, address);
  }
  return list;
}

static struct json *path(const struct agent *a, unsigned voter, unsigned number) {
  struct endpoint_path at = endpoint_path(runner_endpoint(a->runner), (uint8_t)voter, number);
  char text[NET_ADDRESS_TEXT_SIZE];
  struct json *path = json_new_object();
  net_address_format(&at.peer, text);
  json_put_text(path, "address", text);
  json_put_text(path, "state", path_state_name(at.state));
  if (at.rtt_us >= 0)
    json_put_int(path, "rtt_us", at.rtt_us);
  else
    json_put_null(path, "rtt_us");
  json_put_real(path, "loss_percent", at.loss_percent);
  if (at.error != 0)
    json_put_text(path, "error", strerror(at.error));
  return path;
}

static struct json *voter(const struct agent *a, unsigned i) {
  const struct core *core = runner_core(a->runner);
  const struct peer *peer = &core->peer[i];
  struct json *voter = json_new_object();
  json_put_text(voter, "name", a->conf.voter[i].name);
  json_put_bool(voter, "reachable", core_hears(core, i, clock_now()));
  json_put_text(voter, "role",
                i == VOTER_W         ? "witness"
                : peer->session != 0 ? role_name(peer->beat.role)
                                     : "secondary");
  json_put_uint(voter, "epoch", peer->beat.epoch);
  json_put_bool(voter, "healthy", i == VOTER_W ? peer->session != 0 : peer->beat.health > 0);
  json_put_bool(voter, "blank", core_blank_peer(core, i));
  struct json *paths = json_new_array();
  for (unsigned k = 0; k < endpoint_paths(runner_endpoint(a->runner), (uint8_t)i); k++)
    if (endpoint_path(runner_endpoint(a->runner), (uint8_t)i, k).present)
      json_add(paths, path(a, i, k));
  json_put(voter, "paths", paths);
  json_put(voter, "clock", peer_clock_json(runner_peer_clock(a->runner, i)));
  return voter;
}

static struct json *rejected(const struct agent *a) {
  struct endpoint_counters counters = endpoint_counters(runner_endpoint(a->runner));
  static const enum seal_result bad[] = {SEAL_REPLAY,  SEAL_FORGED,    SEAL_VERSION,
                                         SEAL_CLUSTER, SEAL_MALFORMED, SEAL_LIMITED};
  struct json *rejected = json_new_object();
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    json_put_uint(rejected, seal_result_name(bad[i]), counters.result[bad[i]]);
  return rejected;
}

static struct json *traffic(const struct agent *a) {
  struct endpoint_counters counters = endpoint_counters(runner_endpoint(a->runner));
  struct json *traffic = json_new_object();
  json_put_uint(traffic, "datagrams_in", counters.datagrams_in);
  json_put_uint(traffic, "bytes_in", counters.bytes_in);
  json_put_uint(traffic, "datagrams_out", counters.datagrams_out);
  json_put_uint(traffic, "bytes_out", counters.bytes_out);
  return traffic;
}

__attribute__((format(printf, 2, 3))) static void warn(struct json *warnings, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  json_add_text(warnings, text);
}

static void warn_if(struct json *warnings, const char *trouble) {
  if (trouble[0] != 0)
    json_add_text(warnings, trouble);
}

static void warn_of_voters(const struct agent *a, struct json *warnings) {
  const struct core *core = runner_core(a->runner);
  for (unsigned i = 0; i < VOTERS; i++) {
    const char *name = a->conf.voter[i].name;
    if (i == a->self)
      continue;
    if (!core_hears(core, i, clock_now()))
      warn(warnings, "%s is not heard: see that its daemon runs, and that UDP reaches it both ways", name);
    else if (core_blank_peer(core, i))
      warn(warnings, "%s has no memory that counts: it votes for nobody until it has followed a master",
           name);
    else if (core->peer[i].beat.config != core->config.config)
      warn(warnings, "%s runs with another configuration: the file must be the same on all three", name);
  }
}

static void warn_of_broker(const struct agent *a, struct json *warnings) {
  const struct core *core = runner_core(a->runner);
  const struct health_result *health = health_result(a->health);
  if (broker_view(a->broker)->trouble[0] != 0)
    warn(warnings, "broker: %s", broker_view(a->broker)->trouble);
  if (core->role == ROLE_MASTER && health->dead)
    warn(warnings, "the master's broker is dead and %s cannot take over: restart the broker here",
         a->conf.voter[1 - a->self].name);
  if (core->role == ROLE_MASTER && core_record(core)->mode == RECORD_SOLE && core->committed)
    warn(warnings, "%s may not be promoted: it does not hold everything that was acknowledged (record SOLE)",
         a->conf.voter[1 - a->self].name);
}

static void warn_of_take_over(void *arg, const char *text) {
  warn(arg, "%s", text);
}

static struct json *warnings(const struct agent *a) {
  const struct core *core = runner_core(a->runner);
  struct json *list = json_new_array();
  if (core->voter.ballot.blank)
    json_add_text(
        list, "this voter is blank: it votes for nobody and stands for nothing until the cluster is formed, "
              "or it has followed a master; see `tanist form`");
  if (runner_disk_error(a->runner) != 0)
    warn(list,
         "the ballot cannot be written (%s): no vote is given and no lease renewed until it can; mend the "
         "disk",
         strerror(runner_disk_error(a->runner)));
  if (!fence_enforced(a->fence))
    json_add_text(list, "no kernel fence: a hung agent would leave the virtual IP behind");
  if (core_held_down(core, clock_now()))
    warn(list,
         "a failover was not long ago: for another %lld s nobody takes over by itself (policy.hold_down_ms); "
         "'tanist switchover' at the master does",
         (long long)(instant_us_between(clock_now(), core_held_down_until(core)) / 1000000));
  warn_if(list, a->reload_trouble);
  char trouble[512];
  warn_if(list, events_trouble(a->events, trouble, sizeof trouble));
  warn_if(list, history_trouble(a->history, trouble, sizeof trouble));
  marks_warn(a->marks, &a->conf, &core->voter.ballot, list);
  warn_if(list, a->http_trouble);
  warn_if(list, hooks_trouble(a->hooks));
  warn_if(list, a->fence_trouble);
  char watchdog[512];
  warn_if(list, watchdog_note(a->watchdog, watchdog, sizeof watchdog));
  char awaited[1024];
  warn_if(list, peer_off_note(a->peer_off, awaited, sizeof awaited));
  if (fence_agent_trouble(a->fence_agent)[0] != 0)
    warn(list, "the fence device cannot be used, so that %s: %s",
         a->conf.fence.agent_required ? "no failover would come about (fence.agent.required)"
                                      : "force-master --fence would fail",
         fence_agent_trouble(a->fence_agent));
  warn_if(list, a->address_trouble);
  suspicion_warn(a, list);
  take_over_warn(a->take_over, warn_of_take_over, list);
  warn_of_broker(a, list);
  warn_of_voters(a, list);
  return list;
}

struct gaps {
  struct json *words, *notes;
};

static void add_gap(void *arg, const char *word, const char *sentence) {
  struct gaps *gaps = arg;
  if (word[0] != 0)
    json_add_text(gaps->words, word);
  json_add_text(gaps->notes, sentence);
}

static struct json *fence(const struct agent *a) {
  struct json *fence = json_new_object();
  struct gaps gaps = {json_new_array(), json_new_array()};
  json_put_text(fence, "kernel", fence_state(a->fence));
  json_put_text(fence, "mechanism", fence_mechanism(a->fence));
  json_put_text(fence, "watchdog", watchdog_class(a->watchdog));
  if (a->watchdog != NULL) {
    json_put_text(fence, "watchdog_identity", watchdog_identity(a->watchdog));
    json_put_int(fence, "watchdog_timeout_s", watchdog_timeout_s(a->watchdog));
  }
  if (fence_agent_there(a->fence_agent)) {
    const char *trouble = fence_agent_trouble(a->fence_agent);
    bool known = fence_agent_known(a->fence_agent);
    json_put_text(fence, "device", !known ? "unchecked" : trouble[0] == 0 ? "usable" : "unusable");
  } else {
    json_put_text(fence, "device", "none");
  }
  peer_off_put(a->peer_off, fence);
  fence_gaps(a->fence, add_gap, &gaps);
  json_put(fence, "uncovered", gaps.words);
  json_put(fence, "notes", gaps.notes);
  return fence;
}

/* Is it on time? */
static struct json *process(const struct agent *a) {
  struct json *process = json_new_object(), *notes = json_new_array();
  json_put_bool(process, "realtime", a->realtime.scheduled);
  json_put_bool(process, "memory_locked", a->realtime.locked);
  json_put_uint(process, "stalls", stall_total(a->stall));
  json_put_int(process, "longest_stall_ms", stall_longest_us(a->stall) / 1000);
  if (!a->realtime.scheduled)
    json_add_text(notes, a->realtime.why_not_scheduled);
  if (!a->realtime.locked)
    json_add_text(notes, a->realtime.why_not_locked);
  json_put(process, "notes", notes);
  return process;
}

/* How long no node takes over by itself, after a failover that this one has seen. */
static void put_hold_down(const struct agent *a, struct json *status) {
  const struct core *core = runner_core(a->runner);
  struct instant now = clock_now();
  if (core_held_down(core, now))
    json_put_int(status, "held_down_ms", instant_us_between(now, core_held_down_until(core)) / 1000);
  else
    json_put_null(status, "held_down_ms");
}

struct json *agent_status(const struct agent *a) {
  const struct core *core = runner_core(a->runner);
  struct json *status = json_new_object(), *voters = json_new_array();
  json_put_text(status, "cluster", a->conf.name);
  json_put_text(status, "node", a->conf.voter[a->self].name);
  json_put_int(status, "pid", getpid());
  json_put_text(status, "configuration", a->file);
  json_put_text(status, "role", role_name(core->role));
  json_put_uint(status, "epoch", core->voter.ballot.epoch);
  json_put_uint(status, "reign", core->reign);
  put_master(a, status);
  json_put_bool(status, "frozen", core->voter.ballot.frozen.on);
  put_hold_down(a, status);
  marks_put_status(a->marks, &a->conf, &core->voter.ballot, status);
  json_put_bool(status, "blank", core->voter.ballot.blank);
  json_put(status, "lease", lease(a));
  json_put(status, "record", record(a));
  json_put(status, "broker", broker(a));
  json_put(status, "virtual_ip", addresses(a));
  json_put(status, "clients", clients(a));
  json_put(status, "fence", fence(a));
  json_put(status, "process", process(a));
  for (unsigned i = 0; i < VOTERS; i++)
    if (i != a->self)
      json_add(voters, voter(a, i));
  json_put(status, "voters", voters);
  json_put(status, "rejected", rejected(a));
  json_put(status, "traffic", traffic(a));
  json_put_uint(status, "events", events_count(a->events));
  json_put_uint(status, "reigns", history_count(a->history));
  json_put(status, "warnings", warnings(a));
  return status;
}
