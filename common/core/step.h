// SPDX-License-Identifier: Apache-2.0
// Internal to common/core: one call of core_step under way, and what its files offer each other.
#ifndef TANIST_CORE_STEP_H
#define TANIST_CORE_STEP_H

#include "common/core/core.h"

#define FACTS_MAX 14 // of one step; ACTIONS_MAX leaves room for them

struct step {
  struct core *core;
  struct instant now;
  uint8_t ask;    // bit per voter: send it a beat, with ASK where the role asks
  uint8_t answer; // bit per voter: answer its ASK
  size_t fact_count;
  struct fact fact[FACTS_MAX];
};

#define ALL_VOTERS ((1 << VOTERS) - 1)

// ---- core.c ----
bool is_node(const struct core *);
unsigned other_node(const struct core *);
uint64_t highest_epoch(const struct core *); // of all it has seen

// The one door for a change of role: checks the table, tells, and does what goes with entering the role.
void become(struct step *, enum role, enum cause);
void tell(struct step *, struct fact);
void tell_record(struct step *, enum fact_type);
void set_frozen(struct step *, struct frozen);
bool lately(const struct core *, struct instant, unsigned beats); // not more than so many beats ago
const struct sent *find_sent(const struct peer *, uint64_t seq);

// ---- beat.c: what a beat tells ----
void on_beat(struct step *, uint64_t session, const struct beat *);

// ---- role.c: L1-L7, L9 ----
void role_expire(struct step *);              // L5: before anything else
void role_beat(struct step *, unsigned from); // L3, L4, L6, L7
void role_timer(struct step *);               // L1, L2
void end_reign(struct step *, enum cause);    // L5, L6, L8

// ---- handover.c: L8 ----
void handover_order(struct step *, const struct order *);
void handover_timer(struct step *);
void handover_done(struct step *, struct position);
void handover_hear(struct step *, unsigned from); // a beat with HANDOVER
void handover_end(struct step *);                 // the reign has ended under it
bool handover_pauses(const struct core *);
bool handover_needs_pair(const struct core *); // one is under way, or due since the broker has died

// ---- sync.c: S1-S6 ----
void sync_begin(struct step *);               // a new master's first record
void sync_beat(struct step *, unsigned from); // commits
void sync_timer(struct step *);
void sync_done(struct step *, struct position); // the broker waits for the secondary from here on
void sync_progress(struct step *);              // a position has news
void sync_end(struct step *);
bool sync_replicates(const struct core *);             // S1-S3, S5, S6 apply
uint64_t sync_hold_ms(const struct core *); // S3: how long the secondary must keep up now
bool sync_holds(const struct core *, struct position); // the secondary has reached it, in this reign
bool sync_joinable(const struct core *);               // the other keeps up and could be in the pair

// ---- blank.c, force.c ----
void blank_memory(struct step *, unsigned from); // B2
void blank_follow(struct step *, unsigned from); // B1: after an accepted master's beat
void blank_timer(struct step *);                 // B3
void form_order(struct step *, const struct order *);
void force_order(struct step *);
void force_hear(struct step *, unsigned from); // is the sender forced?
void force_timer(struct step *);               // is this node's own force over?

// ---- fencing.c: L11 ----
void fencing_stand(struct step *, enum cause); // a candidacy begins
void fencing_beat(struct step *, unsigned from);
bool fencing_begins(struct step *); // an election is won: must the reign wait?
void fencing_over(struct step *, enum reason);
void fencing_end(struct core *); // the reign has ended under it
void fencing_timer(struct step *);
bool fencing_due_at(const struct core *, struct instant *); // false: nothing is waited for by the clock

// ---- hold_down.c: policy.hold_down_ms ----
void hold_down_begin(struct core *);
void hold_down_config(struct core *, uint32_t hold_down_ms); // a reload
void hold_down_planned(struct core *, bool planned);         // the lead is about to pass, by an order or not
void hold_down_reign(struct step *, uint64_t reign);         // a reign begins, here or at the other node
void hold_down_hear(struct step *, const struct beat *);     // a master's
bool hold_down_bars(const struct core *, unsigned node);     // it may not take the lead over by itself, at core->now

// ---- resume.c: L10 ----
void on_resume(struct step *);

// ---- emit.c ----
void emit(struct step *, struct actions *);
void emit_failed(struct step *); // the list's PERSIST failed

#endif
