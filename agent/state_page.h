// SPDX-License-Identifier: Apache-2.0
// The state page of this node (common/client/layout.h), which brokers and consumers read through libtanist,
// and the report page beside it, which the broker writes. What is taken away stands there before anything
// else is done about it; what is given, only once it is in force: the lease is the fence's, the duty the
// broker's.
#ifndef TANIST_AGENT_STATE_PAGE_H
#define TANIST_AGENT_STATE_PAGE_H

#include "common/client/layout.h"
#include "common/core/core.h"

struct state_page;

struct state_page_settings {
  const char *state_path, *report_path;
  unsigned self;              // VOTER_A or VOTER_B
  uint64_t cluster;           // seal_cluster_id
  const char *brokers[NODES]; // how each broker is reached by the other; "" or NULL where not given
  uint64_t max_lag; // async: so far behind may the other be when something is acknowledged
  bool admits; // a duty is for one broker only, the one that state_page_admit names
  bool resumes; // L10: this node goes on as what it was
  uint32_t alive_ms;          // a reader may find the agent dead when it has written nothing for so long
};

// Makes both pages, or takes up those of a former agent under their inodes; says at once that this node is no
// master, unless `resumes`. 0 or a negative errno. The settings' brokers must outlive it.
int state_page_open(struct state_page **, const struct state_page_settings *);

void state_page_lease(struct state_page *, struct instant until); // PAST: none, NEVER: sole ownership
void state_page_duty(struct state_page *, const struct broker_duty *);
// The broker that the duty is for; 0: none as yet.
void state_page_admit(struct state_page *, uint64_t incarnation);
uint64_t state_page_admitted(const struct state_page *);
// An inotify descriptor that is readable when the broker rings; the caller closes it. A negative errno.
int state_page_bell(const struct state_page *);
uint32_t state_page_serial(const struct state_page *); // of the duty that stands there
// Asks the broker whether its loop turns; the report's `pong` becomes what this returns.
uint64_t state_page_ping(struct state_page *);
// What the broker has said last; false: it was being written all the while.
bool state_page_reported(const struct state_page *, struct page_report *);
// After each list of actions, and at least each beat.
void state_page_update(struct state_page *, const struct core *, struct instant now);

// Leaves the pages, without lease and duty, or `as_they_are` for an agent that goes on (L10). NULL is allowed.
void state_page_close(struct state_page *, bool as_they_are);

#endif
