// SPDX-License-Identifier: Apache-2.0
// The agent's own stalls: a loop that was away for longer than a beat says so, for how long and, where that can be
// known, why. Looked at by a timer of half a beat, so a stall is told as shorter than it was by no more than that.
//
// What a stall could spoil is looked after elsewhere: every step of the core begins with the clock, and a beat of a
// master whose lease has ended is not sent (runner.c).
#ifndef TANIST_AGENT_STALL_H
#define TANIST_AGENT_STALL_H

#include <stdint.h>

#include "common/base/loop.h"

// What the machine counts, in µs but for the last two; by how much it rose around a stall.
enum stall_count {
  STALL_SUSPENDED, // CLOCK_BOOTTIME went on and CLOCK_MONOTONIC did not
  STALL_STOPPED,   // the process was stopped and continued: the whole of it
  STALL_THROTTLED, // its cgroup's quota (cpu.stat)
  STALL_STOLEN,    // by the hypervisor (/proc/stat)
  STALL_WAITED,    // ready to run, and others ran (/proc/self/schedstat)
  STALL_IO,        // the machine's tasks waited for a disk (PSI)
  STALL_MEMORY,    // the machine's tasks waited for memory (PSI)
  STALL_FAULTS,    // major page faults of this process
  STALL_SWITCHES,  // it was made to give way so often
  STALL_COUNTS
};

struct stall;

struct stall_watch {
  void *arg;
  // `cause` is a sentence's end, as "suspended for 6000 ms", or "" where nothing explains it.
  void (*stalled)(void *arg, int64_t us, const char *cause, const int64_t counts[STALL_COUNTS]);
};

// NULL: out of memory.
struct stall *stall_new(struct loop *, uint32_t beat_ms, const struct stall_watch *);
const char *stall_count_name(enum stall_count);
uint64_t stall_total(const struct stall *); // how many so far
int64_t stall_longest_us(const struct stall *);
void stall_free(struct stall *); // NULL is allowed

// Which of the counts explain a stall of so many µs. Returns text.
const char *stall_cause(int64_t us, const int64_t counts[STALL_COUNTS], char *text, unsigned size);

#endif
