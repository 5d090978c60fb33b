// SPDX-License-Identifier: Apache-2.0
// What happens to a core and what it answers, as text, one line each: to be read by people, compared by
// tests, and parsed again, so that a recorded session can be replayed through a core.
//
//   start self b lease 1000 beat 100 … random 5eed base 1234 epoch 4 sync (4,2,pair) …
//   100250 beat a>b session 7 #12 master ask echo 9 grant 9 epoch 4 sync (4,2,pair) reign 4 leader a@4 …
//     tell leader a epoch 4
//     persist epoch 4 sync (4,2,pair) lease_max 1000
//
// Instants are µs since `base`, "never" and "past" for the two that are none. What has its usual value is
// left out.
#ifndef TANIST_BASE_TRACE_H
#define TANIST_BASE_TRACE_H

#include "common/core/core.h"

#define TRACE_LINE_MAX 1024 // holds every line with its final zero
// Put there by who appends next: the end of a line that its writer could not finish, and a line `lost N`
// where N steps could not be written. `resumed T`: L10, the run goes on in another process, from the core as it was
// after its event at T.
#define TRACE_CUT " (cut)"
#define TRACE_LOST "lost"
#define TRACE_RESUMED "resumed"

// All that, beside its events, decides what a core does.
struct trace_start {
  struct core_config config;
  struct ballot ballot;
  uint64_t random;
  struct instant base; // the `now` of core_init
};

// Each writes one line, without its end, and returns its length (as long as it would be, like snprintf).
size_t trace_start(char *line, size_t size, const struct trace_start *);
size_t trace_event(char *line, size_t size, struct instant base, const struct event *);
size_t trace_action(char *line, size_t size, struct instant base, const struct action *);
// One line an action, each after two spaces and with its end.
size_t trace_actions(char *text, size_t size, struct instant base, const struct actions *);

// The inverse of trace_start and trace_event. False: *error says what was not understood, until the next
// call.
bool trace_parse_start(const char *line, struct trace_start *, const char **error);
bool trace_parse_event(const char *line, struct instant base, struct event *, const char **error);

#endif
