// SPDX-License-Identifier: Apache-2.0
// What a mechanism of the kernel fence offers; one is a row of fence_table in fence.c.
#ifndef TANIST_AGENT_FENCE_MECHANISM_H
#define TANIST_AGENT_FENCE_MECHANISM_H

#include "agent/fence.h"

// The functions do what their namesakes in fence.h say, to the state that `open` made.
struct fence_mechanism {
  const char *name;
  bool enforced; // by the kernel, whatever becomes of this process
  int (*open)(void **state, const struct fence_settings *, const char **error);
  int (*arm)(void *state, struct instant until);
  int (*close)(void *state);
  int (*check)(void *state);
  const char *(*text)(const void *state); // fence_state
  void (*gaps)(const void *state, fence_gap_fn *, void *arg);
  void (*free)(void *state, bool remove);
  // Removes what an agent of this cluster left that used this mechanism; nothing if there is nothing.
  void (*sweep)(const struct fence_settings *);
};

extern const struct fence_mechanism fence_bpf, fence_nft, fence_netlink;

#endif
