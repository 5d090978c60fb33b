// SPDX-License-Identifier: Apache-2.0
// The inside of the verb engine, shared by its files alone: broker_verbs.c (the outside, its timers, the verb under
// way), verbs_take.c (answers), verbs_duty.c (the next verb), verbs_restarts.c (how often the broker is started), verbs_view.c (what is shown), verbs_trouble.c (in
// words for people).
#ifndef TANIST_AGENT_VERBS_ENGINE_H
#define TANIST_AGENT_VERBS_ENGINE_H

#include "agent/broker_verbs.h"

#define VERBS_TROUBLE_MAX 160 // broker_view.trouble
#define VERBS_RESTARTS_MAX 1000u // the most that policy.restart_max may be
#define VERBS_UNNAMED "unnamed" // the incarnation of a broker that tells none

enum verbs_place { PLACE_UNKNOWN, PLACE_DOWN, PLACE_SECONDARY, PLACE_MASTER };
enum verbs_switch { SWITCH_UNKNOWN, SWITCH_ON, SWITCH_OFF };

struct verbs {
  struct loop *loop;
  struct broker_watch watch;
  struct broker_settings settings; // its strings are the engine's own copies
  const struct verbs_transport *transport;
  void *carrier; // the transport's state
  uint32_t carries, supports; // by the transport, and by what answers there
  struct loop_timer *tick, *deadline, *clearing;

  // The verb under way
  bool busy, preempted; // preempted: killed soon for a newer duty; that says nothing of the broker
  bool fresh;           // who is to answer was only just started, and has not answered yet
  enum verb verb;
  struct instant begun, until; // until: its deadline
  uint32_t limit_ms;
  uint64_t asked; // what it was asked: the epoch, or the position
  bool asked_sync, asked_paused;
  struct words words; // as it was told, reused

  // What answers
  bool greeted;
  char lost[VERBS_TROUBLE_MAX]; // why nobody does; "" somebody does
  char missing[VERBS_TROUBLE_MAX]; // that it lacks verbs; ""

  // What is known of the broker, by its last words
  enum verbs_place place;
  bool looked;   // a look was answered, or was not in time
  int look_rc;   // of the last one
  bool stale;    // something was done since: look first
  bool well;     // the last look said so, in time
  bool seen;     // it has been seen running
  bool resumed;  // it led under the agent before, and has not been seen since (L10)
  bool unplaced; // no position was told since what was done last
  bool doubtful; // ... though it was asked for
  bool told_position, told_peer;
  uint64_t own_epoch, offset, peer;
  enum verbs_switch link, writable;
  char incarnation[48];
  char note[VERBS_TROUBLE_MAX]; // of its last look
  struct instant look_at, pos_at;

  // What was asked of it with success
  bool held;         // no master since; FOLLOW leaves it so
  uint64_t promoted; // the epoch; 0: it does not lead
  enum verbs_switch pause, sync;
  struct instant paused_until;
  bool joined;
  uint64_t joined_epoch;
  struct instant joined_at;
  uint64_t epoch;  // led or followed once attached; 0 unknown
  uint64_t waited; // so much the secondary holds, by waitpos

  // What failed
  struct {
    enum verb verb;
    int rc; // 0: nothing
    unsigned times;
    struct instant again;
    char said[VERBS_TROUBLE_MAX];
  } failure;
  unsigned stage; // of stepping down: demote, fence, stop
  bool stopped;   // by the last of these
  struct instant start_at;
  unsigned starts;
  bool tried;                                  // it was started at all
  uint64_t restarts;                           // started again so often, all in all
  struct instant restarted[VERBS_RESTARTS_MAX]; // when: a ring

  // The duty
  struct broker_duty duty;
  bool has_duty, reached, untold;
  struct instant since;
  bool distrust, had_data, dead; // distrust: restarted while it led
  struct instant distrust_until;
  unsigned clears;
  bool evict;

  struct broker_view view, told;
};

static inline bool verbs_can(const struct verbs *e, enum verb verb) {
  return (e->supports & VERB_BIT(verb)) != 0;
}

// ---- verbs_duty.c ----

// The next verb, if there is one; what it is asked goes to e->asked and into e->words.
bool verbs_next(struct verbs *, enum verb *);
struct instant verbs_due(const struct verbs *); // when there may be one, if nothing happens
void verbs_judge(struct verbs *);               // is the duty reached, may the broker be trusted again
bool verbs_replicates(const struct verbs *);
bool verbs_rests(const struct verbs *);   // a service: not running is how it is elsewhere than on the master
bool verbs_emptied(const struct verbs *); // it came back without the data it had
int64_t verbs_pause_ms(const struct verbs *);
void verbs_orphan_path(const struct verbs *, char *path, size_t size); // of the rejoin in words; makes its directory

// ---- verbs_take.c ----

void verbs_take(struct verbs *, enum verb, const struct verb_reply *); // an answer, or what stands for it
void verbs_take_words(struct verbs *, const struct words *);

// ---- verbs_restarts.c ----

// When it may be started next, as policy.restart_max has it; PAST: at once.
struct instant verbs_restart_at(const struct verbs *);
void verbs_count_start(struct verbs *);
// It is down and is not started for the time being: why, and what to do.
bool verbs_worn_out(const struct verbs *, char text[static VERBS_TROUBLE_MAX]);

// ---- verbs_view.c ----

struct position verbs_position(const struct verbs *);
void verbs_update_view(struct verbs *);
bool verbs_view_differs(const struct broker_view *, const struct broker_view *);

// ---- verbs_trouble.c ----

// What an answer that is no success means, and what to do: for people.
void verbs_trouble(char out[static VERBS_TROUBLE_MAX], enum verb, int rc, uint32_t limit_ms, const char *said);

#endif
