// SPDX-License-Identifier: Apache-2.0
// The system call bpf(), without any library: one map that is memory of ours as well, and programs for it.
#ifndef TANIST_AGENT_BPF_H
#define TANIST_AGENT_BPF_H

#include <linux/bpf.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_word {
  int map; // descriptor of an array with one value
  _Atomic uint64_t *value;
};

// A word that programs read where we write it: no system call, no capability once it is there. 0 or a
// negative errno: -EPERM without CAP_BPF or in a user namespace, -EOPNOTSUPP where 64 bits are not stored at
// once.
int bpf_word_open(struct bpf_word *, const char *name);
void bpf_word_close(struct bpf_word *); // the programs keep the map

// Loads a program for tc. Its descriptor, or a negative errno; what the kernel's verifier says of it goes to
// `log` (NULL: to nobody).
int bpf_load(const struct bpf_insn *code, size_t count, const char *name, char *log, uint32_t log_size);

int bpf_id(int program, uint32_t *id); // the kernel's own number for it

// How many programs of others stand in front of tc's filters on an interface (tcx, Linux 6.6); 0 where there
// is no such thing.
uint32_t bpf_in_front(int index, bool out);

// Runs a program `times` on an Ethernet frame: its verdict, and the ns that it took each time. For tests.
int bpf_run(int program, const void *frame, uint32_t size, uint32_t times, uint32_t *verdict, uint32_t *ns);

#endif
