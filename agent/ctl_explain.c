// SPDX-License-Identifier: Apache-2.0
// explain: for each node, may it lead now, and which rule says no.
#include "agent/ctl.h"

#include <string.h>

#include "common/base/json.h"
#include "common/base/text.h"

#define TIMEOUT_MS 3000 // a healthy agent answers in a millisecond

static void print_text(FILE *f, const struct json *from, const char *key) {
  char text[512];
  snprintf(text, sizeof text, "%s", json_get_text(from, key, "?"));
  text_clean(text, strlen(text));
  fputs(text, f);
}

static void print_node(FILE *f, const struct json *node) {
  bool leads = json_get_bool(node, "leads", false), may = json_get_bool(node, "may_lead", false);
  fputs("  ", f);
  print_text(f, node, "name");
  fputs(leads ? " leads: " : may ? " may lead: " : " may not lead: ", f);
  print_text(f, node, "why");
  fputs("\n      what would change it: ", f);
  print_text(f, node, "change");
  fputc('\n', f);
}

static void print_cluster(FILE *f, const struct json *cluster) {
  const struct json *nodes = json_get(cluster, "nodes");
  fputs("cluster ", f);
  print_text(f, cluster, "cluster");
  fputs(", as ", f);
  print_text(f, cluster, "node");
  fputs(" (", f);
  print_text(f, cluster, "role");
  fputs(") knows it now:\n", f);
  for (size_t i = 0; i < json_count(nodes); i++)
    print_node(f, json_at(nodes, i));
}

int ctl_explain(struct ctl *ctl, int argc, char **argv) {
  const struct ctl_option none[] = {{NULL, NULL, NULL}};
  struct json *reply;
  int code = ctl_options(ctl, argc, argv, none, NULL);
  if (code == CTL_DONE)
    code = ctl_ask(ctl, ctl_request("explain"), TIMEOUT_MS, &reply);
  if (code != CTL_DONE)
    return code;
  const struct json *all = json_get(reply, "explain"), *clusters = json_get(all, "clusters");
  if (all == NULL)
    code = ctl_fail(ctl, CTL_FAILED, "the agent's answer explains nothing: is it of another version?");
  else if (ctl->json)
    ctl_print_json(ctl, all);
  else if (clusters == NULL)
    print_cluster(ctl->out, all);
  for (size_t i = 0; code == CTL_DONE && !ctl->json && i < json_count(clusters); i++)
    print_cluster(ctl->out, json_at(clusters, i));
  json_free(reply);
  return code;
}
