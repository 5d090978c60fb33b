// SPDX-License-Identifier: Apache-2.0
// A trace (common/base/trace.h) played through the core once more: the same events must give the same
// actions, word by word, and all of core_check must hold after each.
#ifndef TANIST_TRACE_REPLAY_H
#define TANIST_TRACE_REPLAY_H

#include "common/base/trace.h"
#include "tests/trace/place.h"

// Who looks at what the replay does. `before` and `after` are the core's state around a step.
struct watcher {
  void *arg;
  void (*started)(void *arg, const struct place *, const struct trace_start *);
  void (*stepped)(void *arg, const struct place *, const struct core *before, const struct event *,
                  const struct actions *, const struct core *after);
  // Steps are missing from here on, up to the next start: what the core came to know in them cannot be known.
  void (*lost)(void *arg, const struct place *, const struct core *);
};

// Plays all runs of a file, one behind the other. A run may end in the middle of a line or of a step, as a
// SIGKILL leaves it; anything else that is no trace is `malformed`. A difference is a `finding`, and ends the
// run.
void replay_file(const char *file, const struct watcher *);

// The first line of a file that begins a run; false: it has none.
bool replay_first(const char *file, struct trace_start *);

// The step under way, for whoever must tell where the core broke off.
const struct place *replay_place(void);

#endif
