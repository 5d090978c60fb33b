// SPDX-License-Identifier: Apache-2.0
#include "agent/ocf_metadata.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/node_option.h"
#include "common/base/text.h"

#define SILENT (XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)

// ---- reading ----

static void take_attribute(const xmlNode *node, const char *name, char *to, size_t size) {
  xmlChar *value = xmlGetProp(node, (const xmlChar *)name);
  snprintf(to, size, "%s", value != NULL ? (const char *)value : "");
  text_clean(to, strlen(to));
  xmlFree(value);
}

static const xmlNode *child_named(const xmlNode *parent, const char *name) {
  for (const xmlNode *node = parent->children; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0)
      return node;
  return NULL;
}

// "20s", "20", "500ms", "2min"
static uint32_t duration_ms(const char *text) {
  static const struct {
    const char *unit;
    double ms;
  } units[] = {{"", 1000}, {"s", 1000}, {"sec", 1000}, {"ms", 1}, {"msec", 1}, {"m", 60000}, {"min", 60000},
               {"h", 3600000}, {"hr", 3600000}};
  char *rest;
  double number = strtod(text, &rest);
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
    if (rest != text && strcmp(rest, units[i].unit) == 0 && number >= 0 && number * units[i].ms < UINT32_MAX)
      return (uint32_t)(number * units[i].ms);
  return 0;
}

static void take_parameter(struct ocf_metadata *m, const xmlNode *node) {
  char required[8];
  const xmlNode *content = child_named(node, "content");
  take_attribute(node, "name", m->parameter[m->parameters].name, OCF_NAME_SIZE);
  take_attribute(node, "required", required, sizeof required);
  bool wanted = strcmp(required, "1") == 0 || strcmp(required, "true") == 0;
  bool has_default = content != NULL && xmlHasProp(content, (const xmlChar *)"default") != NULL;
  m->parameter[m->parameters++].needed = wanted && !has_default;
}

static void take_action(struct ocf_metadata *m, const xmlNode *node) {
  char timeout[24], depth[24];
  take_attribute(node, "name", m->action[m->actions].name, OCF_NAME_SIZE);
  take_attribute(node, "timeout", timeout, sizeof timeout);
  take_attribute(node, "depth", depth, sizeof depth);
  m->action[m->actions].timeout_ms = duration_ms(timeout);
  m->action[m->actions++].depth = (unsigned)strtoul(depth, NULL, 10);
}

static void take_all(struct ocf_metadata *m, const xmlNode *root) {
  const xmlNode *parameters = child_named(root, "parameters"), *actions = child_named(root, "actions");
  for (const xmlNode *node = parameters != NULL ? parameters->children : NULL; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && m->parameters < OCF_PARAMETERS_MAX)
      take_parameter(m, node);
  for (const xmlNode *node = actions != NULL ? actions->children : NULL; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && m->actions < OCF_ACTIONS_MAX)
      take_action(m, node);
}

static bool take_document(struct ocf_metadata *m, const xmlNode *root, char *why, size_t why_size) {
  static const char *const wanted[] = {"start", "stop", "monitor"};
  if (root == NULL || strcmp((const char *)root->name, "resource-agent") != 0) {
    snprintf(why, why_size, "it does not begin with <resource-agent>");
    return false;
  }
  take_all(m, root);
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
    if (!ocf_metadata_has(m, wanted[i])) {
      snprintf(why, why_size, "it lacks the action \"%s\", which every resource agent has", wanted[i]);
      return false;
    }
  return true;
}

bool ocf_metadata_read(struct ocf_metadata *m, const char *xml, size_t size, char *why, size_t why_size) {
  memset(m, 0, sizeof *m);
  xmlDoc *document = size <= OCF_METADATA_MAX ? xmlReadMemory(xml, (int)size, NULL, NULL, SILENT) : NULL;
  if (document == NULL) {
    const xmlError *error = xmlGetLastError();
    snprintf(why, why_size, "it is no XML, in line %d", error != NULL ? error->line : 0);
    return false;
  }
  bool read = take_document(m, xmlDocGetRootElement(document), why, why_size);
  xmlFreeDoc(document);
  return read;
}

// ---- asking ----

bool ocf_metadata_has(const struct ocf_metadata *m, const char *action) {
  for (size_t i = 0; i < m->actions; i++)
    if (strcmp(m->action[i].name, action) == 0)
      return true;
  return false;
}

bool ocf_metadata_promotable(const struct ocf_metadata *m) {
  return ocf_metadata_has(m, "promote") && ocf_metadata_has(m, "demote");
}

uint32_t ocf_metadata_timeout_ms(const struct ocf_metadata *m, const char *action) {
  uint32_t longest = 0;
  for (size_t i = 0; i < m->actions; i++)
    if (strcmp(m->action[i].name, action) == 0 && m->action[i].timeout_ms > longest)
      longest = m->action[i].timeout_ms;
  return longest;
}

unsigned ocf_metadata_level(const struct ocf_metadata *m, unsigned most) {
  unsigned deepest = 0;
  for (size_t i = 0; i < m->actions; i++)
    if (strcmp(m->action[i].name, "monitor") == 0 && m->action[i].depth <= most && m->action[i].depth > deepest)
      deepest = m->action[i].depth;
  return deepest;
}

static bool has_parameter(const struct ocf_metadata *m, const char *name, size_t length) {
  for (size_t i = 0; i < m->parameters; i++)
    if (strlen(m->parameter[i].name) == length && memcmp(m->parameter[i].name, name, length) == 0)
      return true;
  return false;
}

static bool refuse_unknown(const struct ocf_metadata *m, const char *option, int length, char *why, size_t size) {
  size_t used = (size_t)snprintf(why, size, "broker.options.%.*s: the resource agent has no such parameter; it has",
                                 length, option);
  for (size_t i = 0; i < m->parameters && used < size; i++)
    used += (size_t)snprintf(why + used, size - used, "%s %s", i > 0 ? "," : "", m->parameter[i].name);
  if (m->parameters == 0 && used < size)
    snprintf(why + used, size - used, " none");
  return false;
}

bool ocf_metadata_takes(const struct ocf_metadata *m, const struct conf_map *options, const char *node, char *why,
                        size_t size) {
  size_t length;
  for (size_t i = 0; i < options->count; i++) {
    node_option(options->at[i].key, node, &length); // of the other node's, too, the name must be right
    if (!has_parameter(m, options->at[i].key, length))
      return refuse_unknown(m, options->at[i].key, (int)length, why, size);
  }
  for (size_t i = 0; i < m->parameters; i++)
    if (m->parameter[i].needed && node_option_find(options, m->parameter[i].name, node) == NULL) {
      snprintf(why, size, "broker.options: the resource agent needs its parameter \"%s\", which is not given",
               m->parameter[i].name);
      return false;
    }
  return true;
}
