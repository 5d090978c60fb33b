// SPDX-License-Identifier: Apache-2.0
// What an OCF resource agent says of itself (action `meta-data`, XML): the only file that uses libxml2.
#ifndef TANIST_AGENT_OCF_METADATA_H
#define TANIST_AGENT_OCF_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/conf.h"

#define OCF_METADATA_MAX 131072 // bytes; the longest of resource-agents 4.12 have 13,000
#define OCF_PARAMETERS_MAX 128
#define OCF_ACTIONS_MAX 32
#define OCF_NAME_SIZE 64
#define OCF_WHY_SIZE 1536 // room for the names of all parameters of most agents

struct ocf_metadata {
  size_t parameters, actions;
  struct {
    char name[OCF_NAME_SIZE];
    bool needed; // required, and without a default
  } parameter[OCF_PARAMETERS_MAX];
  struct {
    char name[OCF_NAME_SIZE];
    uint32_t timeout_ms; // as it advises; 0: it says nothing
    unsigned depth;      // of monitor: an OCF_CHECK_LEVEL
  } action[OCF_ACTIONS_MAX];
};

// False with `why` where it is no description of a resource agent. Nothing is fetched: no DTD, no entity.
bool ocf_metadata_read(struct ocf_metadata *, const char *xml, size_t size, char *why, size_t why_size);

bool ocf_metadata_has(const struct ocf_metadata *, const char *action);
bool ocf_metadata_promotable(const struct ocf_metadata *); // it knows promote and demote
uint32_t ocf_metadata_timeout_ms(const struct ocf_metadata *, const char *action); // the longest; 0: none is told
unsigned ocf_metadata_level(const struct ocf_metadata *, unsigned most); // the deepest monitor that is no deeper

// May it be given these options on this node (node_option.h)? False with `why`: one that it does not have, naming
// those that there are, or one that it needs and is not given.
bool ocf_metadata_takes(const struct ocf_metadata *, const struct conf_map *, const char *node, char *why,
                        size_t why_size);

#endif
