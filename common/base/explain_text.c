// SPDX-License-Identifier: Apache-2.0
#include "common/base/explain_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const char *name_of(const char *const name[VOTERS], unsigned voter) {
  return voter < VOTERS ? name[voter] : "somebody";
}

static void heard(const struct hurdle *h, char *buf, size_t size) {
  if (h->heard_ms_ago < 0)
    snprintf(buf, size, "has not been heard since this start");
  else if (h->heard_ms_ago < 1000)
    snprintf(buf, size, "is not heard both ways, its last beat came %" PRId64 " ms ago", h->heard_ms_ago);
  else
    snprintf(buf, size, "is not heard since %" PRId64 " s", h->heard_ms_ago / 1000);
}

static void wait(const struct hurdle *h, char *buf, size_t size) {
  if (h->timed)
    snprintf(buf, size, "for another %" PRIu32 " ms", h->wait_ms);
  else
    snprintf(buf, size, "without end");
}

/* The sentence behind the rule. */
static void sentence(const char *const name[VOTERS], unsigned node, const struct hurdle *h, char *buf,
                     size_t size) {
  char span[64], when[96];
  const char *says = name_of(name, h->voter), *leader = name_of(name, h->leader), *of = name_of(name, node);
  wait(h, span, sizeof span);
  heard(h, when, sizeof when);
  switch ((enum hurdle_type)h->type) {
  case HURDLE_NONE:
    snprintf(buf, size, "nothing known to %s says no", says);
    return;
  case HURDLE_LEADS:
    snprintf(buf, size, "%s leads in epoch %" PRIu64 "%s%s", of, h->epoch, h->timed ? ", " : " as sole owner",
             h->timed ? span : "");
    return;
  case HURDLE_FENCING:
    snprintf(buf, size, "%s was elected in epoch %" PRIu64 ", and waits for the fence device to turn the other node off",
             of, h->epoch);
    return;
  case HURDLE_UNHEARD:
    snprintf(buf, size, "%s %s", says, when);
    return;
  case HURDLE_RETIRED:
    snprintf(buf, size, "%s's agent is being stopped", of);
    return;
  case HURDLE_BLANK:
    snprintf(buf, size, "%s is blank: it has no memory that counts", of);
    return;
  case HURDLE_EXCLUDED:
    snprintf(buf, size, "record (%" PRIu64 ",%" PRIu32 ") SOLE(%s)", h->record.epoch, h->record.version,
             name_of(name, h->record.owner));
    return;
  case HURDLE_NO_EPOCH:
    snprintf(buf, size, "no epoch is left for %s above those seen", of);
    return;
  case HURDLE_UNHEALTHY:
    snprintf(buf, size, "%s's broker is not fit to lead", of);
    return;
  case HURDLE_FROZEN:
    snprintf(buf, size, "frozen, and the last reign was not %s's", of);
    return;
  case HURDLE_HELD_DOWN:
    snprintf(buf, size, "after a failover %s does not take over by itself %s", of, span);
    return;
  case HURDLE_OWN_PROMISE:
  case HURDLE_PROMISED:
    if (h->leader < NODES)
      snprintf(buf, size, "%s promised to %s %s", says, leader, span);
    else
      snprintf(buf, size, "%s votes for nobody %s", says, span);
    return;
  case HURDLE_SILENT:
    snprintf(buf, size, "%s has just started and votes for nobody %s", says, span);
    return;
  case HURDLE_HELD:
    snprintf(buf, size, "%s stands no more %s", of, span);
    return;
  case HURDLE_LEADING:
    snprintf(buf, size, "%s leads itself", says);
    return;
  case HURDLE_VOTER_BLANK:
    snprintf(buf, size, "%s is blank, its vote does not count", says);
    return;
  case HURDLE_NEVER:
    snprintf(buf, size, "%s would vote for it after no length of waiting", says);
    return;
  case HURDLE_TIE:
    snprintf(buf, size, "%s waits a beat longer: the other node is to go first", of);
    return;
  case HURDLE_COUNT:
    break;
  }
  snprintf(buf, size, "?");
}

const char *explain_text(const char *const name[VOTERS], unsigned node, const struct hurdle *h, char *buf,
                         size_t size) {
  char text[256];
  sentence(name, node, h, text, sizeof text);
  const char *rule = hurdle_rule(h->type);
  snprintf(buf, size, "%s%s%s", rule, rule[0] != 0 ? ": " : "", text);
  return buf;
}

static void put_text_or_null(struct json *object, const char *key, const char *text) {
  json_put_text(object, key, text != NULL && text[0] != 0 ? text : NULL);
}

static struct json *node_json(const struct cluster_conf *conf, const struct core *core, unsigned node,
                              struct instant now, const char *health) {
  const char *const name[VOTERS] = {conf->voter[0].name, conf->voter[1].name, conf->voter[2].name};
  struct hurdle h = explain(core, node, now);
  struct json *out = json_new_object(), *record = json_new_object();
  char text[320];
  explain_text(name, node, &h, text, sizeof text);
  if (h.type == HURDLE_UNHEALTHY && node == core->config.self && health != NULL && health[0] != 0)
    snprintf(text, sizeof text, "health: %s", health);
  json_put_text(out, "name", name[node]);
  json_put_bool(out, "may_lead", h.type == HURDLE_NONE || h.type == HURDLE_LEADS);
  json_put_bool(out, "leads", h.type == HURDLE_LEADS);
  put_text_or_null(out, "rule", hurdle_rule(h.type));
  json_put_text(out, "reason", hurdle_name(h.type));
  json_put_text(out, "why", text);
  json_put_text(out, "change", hurdle_change(h.type));
  json_put_text(out, "voter", name_of(name, h.voter));
  json_put_text(out, "promised_to", h.leader < NODES ? name[h.leader] : NULL);
  if (h.timed)
    json_put_uint(out, "wait_ms", h.wait_ms);
  else
    json_put_null(out, "wait_ms");
  if (node == core->config.self || h.heard_ms_ago < 0)
    json_put_null(out, "heard_ms_ago");
  else
    json_put_int(out, "heard_ms_ago", h.heard_ms_ago);
  json_put_uint(record, "epoch", h.record.epoch);
  json_put_uint(record, "version", h.record.version);
  json_put_text(record, "mode", h.record.mode == RECORD_SOLE ? "sole" : "pair");
  json_put_text(record, "owner", h.record.mode == RECORD_SOLE ? name_of(name, h.record.owner) : NULL);
  json_put(out, "record", record);
  return out;
}

struct json *explain_json(const struct cluster_conf *conf, const struct core *core, struct instant now,
                          const char *health) {
  struct json *out = json_new_object(), *nodes = json_new_array();
  json_put_text(out, "cluster", conf->name);
  json_put_text(out, "node", conf->voter[core->config.self].name);
  json_put_text(out, "role", role_name(core->role));
  for (unsigned i = 0; i < NODES; i++)
    json_add(nodes, node_json(conf, core, i, now, health));
  json_put(out, "nodes", nodes);
  return out;
}
