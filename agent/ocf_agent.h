// SPDX-License-Identifier: Apache-2.0
// One OCF resource agent: where it is, what it says of itself, and how it is called (OCF resource agent API 1.1; the
// words of 1.0, Master and Slave, are told too).
//
// One that knows promote and demote runs on both nodes, as a clone of two, unless replication is "shared": two of them
// on one storage would ruin it. Any other is a service, started on the master alone. It finds what a cluster manager would give it:
// OCF_ROOT (/usr/lib/ocf, where the environment has none), OCF_RESKEY_*, HA_RSCTMP. The commands of a cluster manager,
// crm_attribute and its like, are stand-ins (packaging/ocf): they take a promotion score and forget it; whatever needs
// a cluster's database they refuse, and note it for ocf_agent_refused.
#ifndef TANIST_AGENT_OCF_AGENT_H
#define TANIST_AGENT_OCF_AGENT_H

#include "agent/broker.h"
#include "agent/ocf_metadata.h"
#include "agent/words.h"
#include "common/base/child.h"

#define OCF_PATH_SIZE 512
#define OCF_LOOK_MS 5000 // so long may `meta-data` take

// What an action may end with besides 0 to 9 (OCF 1.1).
#define OCF_DEGRADED 190
#define OCF_DEGRADED_MASTER 191

struct ocf_agent {
  struct ocf_metadata about;
  bool promotable; // runs on both nodes and is promoted on one; else it is a service of the master's
  const struct conf_map *options;
  char root[OCF_PATH_SIZE], path[OCF_PATH_SIZE], scratch[OCF_PATH_SIZE];
  char standins[OCF_PATH_SIZE]; // "" they are not installed, or the environment has HA_SBIN_DIR
  char provider[OCF_NAME_SIZE], type[OCF_NAME_SIZE];
  char instance[OCF_NAME_SIZE], node[OCF_NAME_SIZE], peer[OCF_NAME_SIZE];
};

struct ocf_call {
  const char *action;
  unsigned level;       // monitor: OCF_CHECK_LEVEL
  uint32_t interval_ms; // monitor: 0 is a probe
  uint32_t deadline_ms; // as it is told
  // notify: "pre" or "post", of which operation at which node; and who leads, as far as known
  const char *type, *operation, *of, *master;
  const struct words *words; // told as TANIST_*; NULL: none
  char *output;              // as in child_settings
  size_t output_size;
};

// Finds it and reads its meta-data, which is waited for: at start only. -EINVAL with `why`: there is none, it does not
// say what it is, or broker.options do not fit it. `options` are the settings'.
int ocf_agent_open(struct ocf_agent *, const struct broker_settings *, char *why, size_t why_size);

// Starts an action; its end comes as that of any child. A negative errno: it could not be started.
int ocf_agent_call(const struct ocf_agent *, struct child **, struct loop *, const struct ocf_call *, child_fn *,
                   void *arg);

// Has it asked for a cluster manager's database? Then it cannot do its work here; `said` says so. Remembered until
// the next ocf_agent_open.
bool ocf_agent_refused(const struct ocf_agent *, char *said, size_t size);

// What it gave as its reason (ocf-exit-reason), else its last line on standard error, cleaned for people.
void ocf_agent_reason(const struct child_result *, char *said, size_t size);

#endif
