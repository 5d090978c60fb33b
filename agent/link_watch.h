// SPDX-License-Identifier: Apache-2.0
// News of the kernel's links and addresses (rtnetlink groups), so that an address that somebody deletes is put
// back at once and a link that goes down is known.
#ifndef TANIST_AGENT_LINK_WATCH_H
#define TANIST_AGENT_LINK_WATCH_H

#include <stdbool.h>

#include "common/base/loop.h"

struct link_watch;

typedef void link_watch_fn(void *arg); // something changed: look; called from the loop

int link_watch_open(struct link_watch **, struct loop *, link_watch_fn *, void *arg); // 0 or a negative errno
void link_watch_close(struct link_watch *);                                           // NULL is allowed

// Whether an interface is up and has a carrier; one that is gone has not.
bool link_is_up(const char *interface);

#endif
