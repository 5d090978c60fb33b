// SPDX-License-Identifier: Apache-2.0
// What --json prints. One object a line.
#include "agent/ctl.h"

#include <stdlib.h>

#include "common/base/json.h"

void ctl_print_json(const struct ctl *ctl, const struct json *json) {
  char *text = json_text(json);
  fprintf(ctl->out, "%s\n", text ? text : "{\"ok\":false,\"code\":1,\"error\":\"out of memory\"}");
  free(text);
}

static void print_and_free(const struct ctl *ctl, struct json *json) {
  ctl_print_json(ctl, json);
  json_free(json);
}

void ctl_print_error(const struct ctl *ctl, enum ctl_exit code, const char *text) {
  struct json *json = json_new_object();
  json_put_bool(json, "ok", false);
  json_put_int(json, "code", code);
  json_put_text(json, "error", text);
  print_and_free(ctl, json);
}

void ctl_print_text(const struct ctl *ctl, const char *key, const char *text) {
  struct json *json = json_new_object();
  json_put_bool(json, "ok", true);
  json_put_text(json, key, text);
  print_and_free(ctl, json);
}

void ctl_print_findings(const struct ctl *ctl, const struct conf_errors *errors) {
  struct json *json = json_new_object(), *findings = json_new_array();
  for (size_t i = 0; i < errors->count; i++) {
    struct json *finding = json_new_object();
    json_put_uint(finding, "line", errors->at[i].line);
    json_put_text(finding, "text", errors->at[i].text);
    json_add(findings, finding);
  }
  json_put_bool(json, "ok", false);
  json_put_int(json, "code", CTL_FAILED);
  json_put_text(json, "error", errors->count ? errors->at[0].text : "");
  json_put(json, "findings", findings);
  print_and_free(ctl, json);
}

void ctl_print_budget(const struct ctl *ctl, const struct cluster_conf *cluster, int64_t round_trip_us,
                      int64_t disk_sync_us) {
  struct json *json = json_new_object(), *budget = json_new_object();
  struct budget b = cluster_budget(cluster);
  json_put_uint(budget, "lease_ms", b.lease_ms);
  json_put_uint(budget, "beat_ms", b.beat_ms);
  json_put_real(budget, "drift_percent", cluster->drift_percent);
  json_put_int(budget, "round_trip_us", round_trip_us);
  json_put_int(budget, "disk_sync_us", disk_sync_us);
  json_put_int(budget, "self_fence_us", budget_self_fence_us(&b));
  json_put_int(budget, "election_us", budget_election_us(&b, round_trip_us, disk_sync_us));
  json_put_int(budget, "failover_us", budget_failover_us(&b, round_trip_us, disk_sync_us));
  json_put_int(budget, "silence_us", budget_silence_us(&b));
  json_put_int(budget, "losses", budget_losses(&b));
  json_put_bool(json, "ok", true);
  json_put_text(json, "cluster", cluster->name);
  json_put(json, "budget", budget);
  print_and_free(ctl, json);
}
