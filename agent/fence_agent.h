// SPDX-License-Identifier: Apache-2.0
// A fence device: any program of the package fence-agents, which turns the other node off. It is told what to do on
// its standard input, a line NAME=VALUE each, so that no password stands in a command line; what it says is logged
// without the values of options that may be secret.
//
// An option whose name ends with "__NODE" holds for that node alone: { ip__a = "10.9.0.1"; ip__b = "10.9.0.2"; }. A
// device with several outlets is told the node's name as its `plug`, unless the options name one.
#ifndef TANIST_AGENT_FENCE_AGENT_H
#define TANIST_AGENT_FENCE_AGENT_H

#include "common/base/conf.h"
#include "common/base/loop.h"

#define FENCE_AGENT_CHECK_MS 3600000 // between two looks at the device
#define FENCE_AGENT_MONITOR_MS 30000 // so long may `monitor` and `status` take
#define FENCE_AGENT_OFF_MS 60000     // and `off`, which waits for the machine
#define FENCE_AGENT_TEXT_MAX 320

struct fence_agent;

struct fence_agent_settings { // all of it must outlive the fence agent
  const struct conf_texts *command; // argv; empty: there is no device
  const struct conf_map *options;
  const char *node; // to be turned off
  int64_t monitor_ms, off_ms, check_ms; // 0: as above
};

struct fence_agent_watch {
  void *arg;
  // What `monitor` said, when it differs from what it said before: "" while all is well.
  void (*checked)(void *arg, const char *trouble);
};

// Looks at the device at once and then every hour. 0; -ENOMEM.
int fence_agent_open(struct fence_agent **, struct loop *, const struct fence_agent_settings *,
                     const struct fence_agent_watch *);

bool fence_agent_there(const struct fence_agent *);          // one is configured
bool fence_agent_known(const struct fence_agent *);          // `monitor` has answered
const char *fence_agent_trouble(const struct fence_agent *); // "" while it can be used

// Turns the node off: `off`, and then `status` must answer that it is off. `why_not` is "" only then. A look at the
// device that is under way is broken off. -EBUSY while it is at it already, -ENOENT where there is no device.
typedef void fence_agent_fn(void *arg, const char *why_not);
int fence_agent_off(struct fence_agent *, fence_agent_fn *, void *arg);
// Nobody wants it any more: what runs is ended, and nobody is told. It may have happened all the same.
void fence_agent_break_off(struct fence_agent *);

void fence_agent_close(struct fence_agent *); // ends what runs; NULL is allowed

#endif
