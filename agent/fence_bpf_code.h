// SPDX-License-Identifier: Apache-2.0
// The programs of the BPF fence: what each does to a packet, as instructions for the kernel. Pure.
//
// A program passes everything until the deadline in the map (CLOCK_BOOTTIME, ns; all ones: none). Afterwards
// it drops what would serve a virtual IP or a fenced port of this node, by the place that it stands at:
//
//   in        to a virtual IP, whoever it is for (it may be forwarded); ARP and neighbour solicitations for
//   it;
//             TCP to a fenced port, but from the other node
//   out       from a virtual IP; ARP and neighbour advertisements that claim it; TCP from a fenced port, but
//             to the other node
//   loopback  from or to a virtual IP: such a packet is this node's own, so it holds the address
//
// What this node sends to a virtual IP that the other node holds, and gets back, passes. "Pass" is
// TC_ACT_UNSPEC: other programs at the same place have their say as well.
#ifndef TANIST_AGENT_FENCE_BPF_CODE_H
#define TANIST_AGENT_FENCE_BPF_CODE_H

#include <linux/bpf.h>

#include "agent/fence.h"

#define FENCE_BPF_CODE_MAX 1536 // instructions; as much as the settings allow takes some 1,000

enum fence_bpf_place { FENCE_BPF_IN, FENCE_BPF_OUT, FENCE_BPF_LOOPBACK, FENCE_BPF_PLACES };

// Writes the program to `out` (FENCE_BPF_CODE_MAX) and returns its length. `map`: descriptor of an array
// whose first value is the deadline.
size_t fence_bpf_code(enum fence_bpf_place, const struct fence_settings *, int map, struct bpf_insn *out);

#endif
