// SPDX-License-Identifier: Apache-2.0
// What the witness says of itself: { "clusters": [ … ] }
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/explain_text.h"
#include "witness/witness.h"

static struct json *record(const struct witnessed *w) {
  const struct record *sync = core_record(runner_core(w->runner));
  bool sole = sync->mode == RECORD_SOLE;
  struct json *record = json_new_object();
  json_put_uint(record, "epoch", sync->epoch);
  json_put_uint(record, "version", sync->version);
  json_put_text(record, "mode", sole ? "sole" : "pair");
  json_put_text(record, "owner", sole ? w->conf.voter[sync->owner].name : NULL);
  return record;
}

static struct json *path(const struct witnessed *w, unsigned voter, unsigned number) {
  struct endpoint_path at = endpoint_path(runner_endpoint(w->runner), (uint8_t)voter, number);
  char text[NET_ADDRESS_TEXT_SIZE];
  struct json *path = json_new_object();
  net_address_format(&at.peer, text);
  json_put_text(path, "address", text);
  json_put_text(path, "state", path_state_name(at.state));
  json_put_null(path, "rtt_us"); /* who never asks cannot measure it */
  json_put_real(path, "loss_percent", at.loss_percent);
  return path;
}

static struct json *node(const struct witnessed *w, unsigned i) {
  const struct core *core = runner_core(w->runner);
  const struct peer *peer = &core->peer[i];
  struct json *node = json_new_object(), *paths = json_new_array();
  json_put_text(node, "name", w->conf.voter[i].name);
  json_put_bool(node, "reachable", core_hears(core, i, clock_now()));
  json_put_text(node, "role", peer->session != 0 ? role_name(peer->beat.role) : "secondary");
  json_put_uint(node, "epoch", peer->beat.epoch);
  json_put_bool(node, "healthy", peer->beat.health > 0);
  json_put_bool(node, "blank", core_blank_peer(core, i));
  for (unsigned k = 0; k < endpoint_paths(runner_endpoint(w->runner), (uint8_t)i); k++)
    if (endpoint_path(runner_endpoint(w->runner), (uint8_t)i, k).present)
      json_add(paths, path(w, i, k));
  json_put(node, "paths", paths);
  json_put(node, "clock", peer_clock_json(runner_peer_clock(w->runner, i)));
  return node;
}

static struct json *rejected(const struct witnessed *w) {
  struct endpoint_counters counters = endpoint_counters(runner_endpoint(w->runner));
  static const enum seal_result bad[] = {SEAL_REPLAY,  SEAL_FORGED,    SEAL_VERSION,
                                         SEAL_CLUSTER, SEAL_MALFORMED, SEAL_LIMITED};
  struct json *rejected = json_new_object();
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    json_put_uint(rejected, seal_result_name(bad[i]), counters.result[bad[i]]);
  return rejected;
}

static struct json *warnings(const struct witnessed *w) {
  const struct core *core = runner_core(w->runner);
  struct json *list = json_new_array();
  char text[256];
  if (w->witness->trouble[0] != 0)
    json_add_text(list, w->witness->trouble);
  if (core->voter.ballot.blank)
    json_add_text(
        list, "this voter is blank: its votes do not count until the cluster is formed, or it has followed a "
              "master");
  if (runner_disk_error(w->runner) != 0) {
    snprintf(text, sizeof text,
             "the ballot cannot be written (%s): no vote is given until it can; mend the disk",
             strerror(runner_disk_error(w->runner)));
    json_add_text(list, text);
  }
  for (unsigned i = 0; i < NODES; i++) {
    if (core_hears(core, i, clock_now()))
      continue;
    snprintf(text, sizeof text, "%s is not heard: see that its agent runs, and that UDP reaches it both ways",
             w->conf.voter[i].name);
    json_add_text(list, text);
  }
  char trouble[512];
  if (events_trouble(w->events, trouble, sizeof trouble)[0] != 0)
    json_add_text(list, trouble);
  if (history_trouble(w->history, trouble, sizeof trouble)[0] != 0)
    json_add_text(list, trouble);
  marks_warn(w->marks, &w->conf, &core->voter.ballot, list);
  return list;
}

struct json *witness_cluster_status(const struct witnessed *w) {
  const struct core *core = runner_core(w->runner);
  const struct promise *promise = &core->voter.promise;
  bool promised = voter_promised(&core->voter, clock_now()) && promise->leader < NODES;
  struct json *cluster = json_new_object(), *voters = json_new_array();
  json_put_text(cluster, "cluster", w->conf.name);
  json_put_text(cluster, "node", w->conf.voter[VOTER_W].name);
  json_put_int(cluster, "pid", getpid());
  json_put_text(cluster, "role", "witness");
  json_put_uint(cluster, "epoch", core->voter.ballot.epoch);
  json_put_text(cluster, "leader", promised ? w->conf.voter[promise->leader].name : NULL);
  json_put_uint(cluster, "leader_epoch", promise->leader_epoch);
  json_put_bool(cluster, "frozen", core->voter.ballot.frozen.on);
  marks_put_status(w->marks, &w->conf, &core->voter.ballot, cluster);
  json_put_bool(cluster, "blank", core->voter.ballot.blank);
  json_put(cluster, "record", record(w));
  for (unsigned i = 0; i < NODES; i++)
    json_add(voters, node(w, i));
  json_put(cluster, "voters", voters);
  json_put(cluster, "rejected", rejected(w));
  json_put_uint(cluster, "events", events_count(w->events));
  json_put_uint(cluster, "reigns", history_count(w->history));
  json_put(cluster, "warnings", warnings(w));
  return cluster;
}

struct json *witness_status(const struct witness *witness) {
  struct json *status = json_new_object(), *clusters = json_new_array();
  for (size_t i = 0; i < witness->count; i++)
    json_add(clusters, witness_cluster_status(witness->at[i]));
  json_put(status, "clusters", clusters);
  return status;
}

struct json *witness_explain(const struct witness *witness) {
  struct json *out = json_new_object(), *clusters = json_new_array();
  for (size_t i = 0; i < witness->count; i++) {
    const struct witnessed *w = witness->at[i];
    json_add(clusters, explain_json(&w->conf, runner_core(w->runner), clock_now(), NULL));
  }
  json_put(out, "clusters", clusters);
  return out;
}
