// SPDX-License-Identifier: Apache-2.0
// One agent of a cluster in one network namespace: a name there that ends with its process.
#ifndef TANIST_AGENT_FENCE_LOCK_H
#define TANIST_AGENT_FENCE_LOCK_H

// A descriptor that holds the name, or -EPERM where another process of this user or of root has it. Another
// user's process that took it only to be in the way is not let: then too a descriptor, without the name.
int fence_lock(const char *cluster);

#endif
