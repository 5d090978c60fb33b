// SPDX-License-Identifier: Apache-2.0
// Commands in orphan files of the redis driver.
#ifndef TANIST_AGENT_CTL_ORPHANS_XADD_H
#define TANIST_AGENT_CTL_ORPHANS_XADD_H

#include <stddef.h>

// The command with "*" in place of the entry's id, so that the stream gives it one that is above all it has;
// the caller's to free. NULL: it is no XADD (or there is no memory), and is to be taken as it is.
char *ctl_xadd_with_new_id(const char *data, size_t size, size_t *new_size);

#endif
