// SPDX-License-Identifier: Apache-2.0
// What happens on this node, said once: to the log, to the events, and to whoever waits for either.
#ifndef TANIST_AGENT_NOTE_H
#define TANIST_AGENT_NOTE_H

#include "common/base/events.h"
#include "common/base/history.h"
#include "common/base/path_watch.h"

struct agent;

// What was told last; all zeros: nothing yet.
struct noted {
  unsigned lease;
  bool held[CLUSTER_VIPS_MAX];
  char fence[24], broker[24], trouble[160];
  struct path_watch paths;
};

struct json *note_new(struct agent *, const char *event, const char *what); // as events_new
void note(struct agent *, struct json *event, enum log_level, const char *format, ...)
    __attribute__((format(printf, 4, 5))); // takes the event over
void note_fact(struct agent *, const struct fact *);
void note_look(struct agent *);  // after each step
void note_paths(struct agent *); // about once a beat
int note_open(
    struct agent *); // events and history; 0 or -ENOMEM: what the disk lacks is told, and no failure
// A runner's hands: what is told the people at the other voters (marks.h).
size_t note_for_others(void *agent, uint8_t to, char *buf, size_t size);
void note_of_others(void *agent, const struct beat *, const char *note, size_t size);

#endif
