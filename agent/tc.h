// SPDX-License-Identifier: Apache-2.0
// Where BPF programs hang on network interfaces: the queueing discipline clsact, and filters in it, which
// outlive whoever made them. One question over rtnetlink at a time (rtnl_ask.h).
#ifndef TANIST_AGENT_TC_H
#define TANIST_AGENT_TC_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define TC_NAME_MAX 64
#define TC_FIRST 1 // the priority before all others

struct tc;

struct tc_link {
  int index;
  char name[IFNAMSIZ];
  bool loopback;
  bool port; // of a bridge, a bond, a team: the machine's own traffic passes their interface, not this one
};

struct tc_filter {
  int index; // of the interface
  bool out;
  uint16_t priority;
  uint32_t handle;
  uint32_t program;       // its id; 0: not BPF
  char name[TC_NAME_MAX]; // "" for other filters than BPF
};

typedef void tc_link_fn(void *arg, const struct tc_link *);
typedef void tc_filter_fn(void *arg, const struct tc_filter *);

int tc_open(struct tc **); // 0 or a negative errno
void tc_free(struct tc *); // NULL is allowed

// Whether interfaces, queueing disciplines or filters of this network namespace may have changed since the
// last call, by whomever; the first says so. No system call but one recv where nothing has.
bool tc_changed(struct tc *);

int tc_each_link(struct tc *, tc_link_fn *, void *arg);
// In the order in which they see packets. 0 also where there are none, nor a place for them.
int tc_each_filter(struct tc *, int index, bool out, tc_filter_fn *, void *arg);

// Hangs a program in at TC_FIRST, before whatever has the same priority; one of the same handle is replaced
// at once, with no packet in between. Makes the place for it. -EINVAL, -EEXIST where another's filter or an
// old "ingress" discipline is in the way.
int tc_put(struct tc *, const struct tc_filter *, int program);
// Takes it away, and the place too if it is empty then. 0 also if it was not there.
int tc_remove(struct tc *, const struct tc_filter *);

#endif
