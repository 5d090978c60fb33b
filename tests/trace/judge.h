// SPDX-License-Identifier: Apache-2.0
// What the traces of all voters together must show: P1, P2, and that no vote contradicts a promise.
#ifndef TANIST_TRACE_JUDGE_H
#define TANIST_TRACE_JUDGE_H

#include "tests/trace/replay.h"

struct judge;

// `one_clock`: all voters ran on one machine (network namespaces), so that their instants are of one clock
// and can be compared. Without it every voter is judged by its own instants, and P1 is not looked at.
struct judge *judge_new(bool one_clock);
struct watcher judge_watcher(struct judge *);
void judge_verdict(struct judge *); // after all files: what only the merged traces show
void judge_summary(const struct judge *);
void judge_free(struct judge *);

#endif
