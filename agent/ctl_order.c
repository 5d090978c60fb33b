// SPDX-License-Identifier: Apache-2.0
// What asks the agent for something: status, and the orders switchover and form.
#include "agent/ctl.h"

#include "common/base/json.h"

#define STATUS_TIMEOUT_MS 3000 // a healthy agent answers in a millisecond
#define SWITCHOVER_S 30        // what --timeout is by default
#define MARGIN_MS                                                                                            \
  5000 // an agent that gives an order up says so: wait for its word longer than it waits itself

struct json *ctl_request(const char *command) {
  struct json *request = json_new_object();
  json_put_text(request, "command", command);
  return request;
}

int ctl_status(struct ctl *ctl, int argc, char **argv) {
  const struct ctl_option none[] = {{NULL, NULL, NULL}};
  struct json *reply;
  int code = ctl_options(ctl, argc, argv, none, NULL);
  if (code == CTL_DONE)
    code = ctl_ask(ctl, ctl_request("status"), STATUS_TIMEOUT_MS, &reply);
  if (code != CTL_DONE)
    return code;
  const struct json *status = json_get(reply, "status");
  if (!status)
    code = ctl_fail(ctl, CTL_FAILED, "the agent's answer holds no status: is it of another version?");
  else if (ctl->json)
    ctl_print_json(ctl, status);
  else
    ctl_render_status(ctl->out, status);
  json_free(reply);
  return code;
}

int ctl_order(const struct ctl *ctl, struct json *request, int timeout_ms) {
  struct json *reply;
  int code = ctl_ask(ctl, request, timeout_ms, &reply);
  if (code != CTL_DONE)
    return code;
  if (ctl->json)
    ctl_print_json(ctl, reply);
  else
    fprintf(ctl->out, "%s\n", json_get_text(reply, "text", "done"));
  json_free(reply);
  return CTL_DONE;
}

int ctl_switchover(struct ctl *ctl, int argc, char **argv) {
  const char *to = NULL, *timeout = NULL;
  bool dry_run = false;
  const struct ctl_option options[] = {
      {"--to", &to, NULL}, {"--timeout", &timeout, NULL}, {"--dry-run", NULL, &dry_run}, {NULL, NULL, NULL}};
  double seconds = SWITCHOVER_S;
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code != CTL_DONE)
    return code;
  if (timeout && !ctl_number(timeout, 0.1, 3600, &seconds))
    return ctl_usage(ctl, argv[0], "--timeout is \"%s\"; allowed: seconds, 0.1 to 3600", timeout);
  if (to && !cluster_is_name(to))
    return ctl_usage(ctl, argv[0], "--to is \"%s\"; allowed: the name of a node", to);
  int timeout_ms = (int)(seconds * 1000 + 0.5);
  struct json *request = ctl_request("switchover");
  if (to)
    json_put_text(request, "to", to);
  json_put_int(request, "timeout_ms", timeout_ms);
  json_put_bool(request, "dry_run", dry_run);
  return ctl_order(ctl, request, timeout_ms + MARGIN_MS);
}

int ctl_form(struct ctl *ctl, int argc, char **argv) {
  const char *data = NULL, *above = NULL;
  const struct ctl_option options[] = {
      {"--data", &data, NULL}, {"--above", &above, NULL}, {NULL, NULL, NULL}};
  uint64_t epoch = 0;
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code != CTL_DONE)
    return code;
  if (!data || !cluster_is_name(data))
    return ctl_usage(ctl, argv[0], "form needs --data with the name of the node whose data counts");
  if (above && (!ctl_epoch(above, &epoch) || epoch >= EPOCH_FOUND_MAX))
    return ctl_usage(ctl, argv[0], "--above is \"%s\"; allowed: an epoch, 0 to %llu", above,
                     (unsigned long long)EPOCH_FOUND_MAX - 1);
  struct json *request = ctl_request("form");
  json_put_text(request, "data", data);
  json_put_uint(request, "above", epoch);
  return ctl_order(ctl, request, SWITCHOVER_S * 1000);
}

int ctl_report(struct ctl *ctl, int argc, char **argv) {
  const char *suspect = NULL, *reason = NULL;
  const struct ctl_option options[] = {
      {"--suspect", &suspect, NULL}, {"--reason", &reason, NULL}, {NULL, NULL, NULL}};
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code != CTL_DONE)
    return code;
  if (!suspect || !reason || !*reason)
    return ctl_usage(ctl, argv[0], "report needs --suspect with a node's name, and --reason");
  struct json *request = ctl_request("report");
  json_put_text(request, "suspect", suspect);
  json_put_text(request, "reason", reason);
  return ctl_order(ctl, request, STATUS_TIMEOUT_MS);
}
