// SPDX-License-Identifier: Apache-2.0
// One core at work: its ballot, its place on the network and its timer. Agent and witness are runners with
// different hands. A list's actions are performed in order, PERSIST being a barrier, before the next event is
// looked at.
#ifndef TANIST_BASE_RUNNER_H
#define TANIST_BASE_RUNNER_H

#include "common/base/cluster.h"
#include "common/base/crypto.h"
#include "common/base/endpoint.h"
#include "common/base/loop.h"
#include "common/base/net.h"
#include "common/base/peer_clock.h"
#include "common/base/reign.h"
#include "common/core/core.h"

struct runner;

struct runner_hands {
  void *arg;
  // Everything but PERSIST, SEND; TELL too. Must not call runner_event: see runner_later.
  void (*perform)(void *arg, const struct action *);
  void (*stepped)(void *arg); // after each list; may call runner_event
  // What goes with each beat to `to` beside it, of which the core knows nothing: its length, 0 for none. NULL:
  // never any.
  size_t (*note)(void *arg, uint8_t to, char *buf, size_t size);
  // The same of a beat that came, after it was handled. NULL: nobody reads it.
  void (*noted)(void *arg, const struct beat *, const char *note, size_t size);
};

struct runner_shared { // by all runners of a process; must outlive them
  struct loop *loop;
  struct net *net;
  struct crypto *crypto;
  const char *state_directory;
  const char *keys_directory; // NULL: the configuration's
  const char *trace;          // file to append the trace to; NULL: none
  struct reign *reign;        // L10: where a master's core is kept; NULL: nowhere
};

// Reads key and ballot and opens the endpoint; nothing is sent before runner_start. 0 or a negative errno
// with `error` filled: what is wrong, where, and what mends it. `conf` must outlive the runner.
int runner_open(struct runner **, const struct runner_shared *, const struct cluster_conf *conf,
                unsigned self, const struct runner_hands *, char *error, size_t size);
void runner_start(struct runner *);
// L10: what runner_open found in shared.reign may go on: then runner_start resumes that reign.
bool runner_resumes(const struct runner *);
const char *runner_broker(const struct runner *); // which broker led in it (reign_broker)
// The configuration that the runner was opened with was read again, in place: what may change while it runs
// (struct core_settings) goes to the core, as an event.
void runner_reload(struct runner *);
void runner_close(struct runner *); // NULL is allowed

// Steps the core with an event of this moment (`now` is filled in). Not from within `perform`.
void runner_event(struct runner *, struct event);
// From within `perform`: the event is handled right after the list.
void runner_later(struct runner *, enum event_type);

const struct core *runner_core(const struct runner *);
const struct cluster_conf *runner_conf(const struct runner *);
const struct peer_clock *runner_peer_clock(const struct runner *, unsigned voter);
const struct endpoint *runner_endpoint(const struct runner *);
int runner_disk_error(const struct runner *); // errno of the last PERSIST, 0 if it succeeded

// What a freeze or a thaw that was ordered here has reached so far. Returns buf.
const char *runner_freeze_text(const struct cluster_conf *, const struct core *, char *buf, size_t size);

#define SENTENCE_MAX 512 // bytes, with the 0

// A fact as the sentence that people read, with the names of the configuration. Returns buf.
const char *runner_sentence(const struct cluster_conf *, unsigned self, const struct fact *, char *buf,
                            size_t size);

#endif
