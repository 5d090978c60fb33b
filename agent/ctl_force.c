// SPDX-License-Identifier: Apache-2.0
// force-master, freeze and thaw: an operator's word against the rules, and over them.
#include <string.h>
#include <unistd.h>

#include "agent/ctl.h"
#include "common/base/json.h"
#include "common/base/text.h"

#define ORDER_TIMEOUT_MS 10000  // it takes a sync of a disk, and waits for nobody
#define FENCE_TIMEOUT_MS 130000 // a look at the device that is under way, `off`, `status`

struct force {
  const char *reason, *down, *understood;
  bool fence;
};

static struct json *force_request(const struct force *force, bool dry_run) {
  struct json *request = ctl_request("force-master");
  json_put_text(request, "reason", force->reason);
  json_put_bool(request, "fence", force->fence);
  json_put_text(request, "confirm_down", force->down);
  json_put_bool(request, "dry_run", dry_run);
  return request;
}

/* --confirm-down NODE is the word that a script gives. Who sits at a terminal is asked once more, after
   reading what may be lost. */
static bool confirm(const struct ctl *ctl, const struct force *force, const char *node, char *text) {
  char line[128];
  text_clean(text, strlen(text));
  fprintf(ctl->err, "%s\n", text);
  if (force->understood)
    return strcmp(force->understood, node) == 0;
  if (!isatty(fileno(ctl->in)))
    return true;
  fprintf(ctl->err, "Type the name of the node that is down to go on: ");
  fflush(ctl->err);
  if (!fgets(line, sizeof line, ctl->in))
    return false;
  line[strcspn(line, "\r\n")] = '\0';
  return strcmp(line, node) == 0;
}

static int force_master(const struct ctl *ctl, const struct force *force) {
  char text[1024], node[CLUSTER_NAME_MAX + 1];
  struct json *reply;
  int code = ctl_ask(ctl, force_request(force, true), ORDER_TIMEOUT_MS, &reply);
  if (code != CTL_DONE)
    return code;
  snprintf(text, sizeof text, "%s", json_get_text(reply, "text", ""));
  snprintf(node, sizeof node, "%s", json_get_text(reply, "node", ""));
  json_free(reply);
  if (!confirm(ctl, force, node, text))
    return ctl_fail(ctl, CTL_FAILED,
                    "nothing done: \"%s\" was not typed, or not given with --yes-i-understand", node);
  return ctl_order(ctl, force_request(force, false), force->fence ? FENCE_TIMEOUT_MS : ORDER_TIMEOUT_MS);
}

int ctl_force_master(struct ctl *ctl, int argc, char **argv) {
  struct force force = {0};
  const struct ctl_option options[] = {{"--reason", &force.reason, NULL},
                                       {"--confirm-down", &force.down, NULL},
                                       {"--yes-i-understand", &force.understood, NULL},
                                       {"--fence", NULL, &force.fence},
                                       {NULL, NULL, NULL}};
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code != CTL_DONE)
    return code;
  if (!force.reason || !*force.reason)
    return ctl_usage(ctl, argv[0], "force-master needs --reason: the words that the history keeps");
  if (force.fence == (force.down != NULL))
    return ctl_usage(ctl, argv[0],
                     "force-master needs one of --fence and --confirm-down NODE, the other node");
  return force_master(ctl, &force);
}

static int freeze_or_thaw(struct ctl *ctl, int argc, char **argv) {
  struct json *request = ctl_request(argv[0]);
  int code = ctl_cluster_options(ctl, argc, argv, NULL, request);
  if (code != CTL_DONE) {
    json_free(request);
    return code;
  }
  return ctl_order(ctl, request, ORDER_TIMEOUT_MS);
}

int ctl_freeze(struct ctl *ctl, int argc, char **argv) {
  return freeze_or_thaw(ctl, argc, argv);
}

int ctl_thaw(struct ctl *ctl, int argc, char **argv) {
  return freeze_or_thaw(ctl, argc, argv);
}
