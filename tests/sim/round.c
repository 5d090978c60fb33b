// SPDX-License-Identifier: Apache-2.0
// The course of a run: rounds of chaos (safety alone), after each of which everything heals and progress is
// demanded (P4).
#include "common/core/lease.h"
#include "tests/sim/sim.h"

#define SLACK (25 * MS) // two round trips, two syncs; one more of each until it serves; what the broker takes

static bool serves(unsigned node) {
  const struct process *p = &sim.process[node];
  return p->up && core_leads(&p->core, local_now(node)) && broker_serves(node);
}

static unsigned master(void) {
  return serves(VOTER_A) ? VOTER_A : serves(VOTER_B) ? VOTER_B : NOBODY;
}

static bool served(void) {
  return master() != NOBODY;
}

static bool all_well(void) {
  unsigned m = master();
  if (m == NOBODY || sim.forced || disk_ballot(VOTER_A)->frozen.on)
    return false;
  for (unsigned i = 0; i < VOTERS; i++)
    if (disk_ballot(i)->blank)
      return false;
  const struct core *core = &sim.process[m].core;
  return core->committed && core_record(core)->mode == RECORD_PAIR;
}

// ---- P4 ----

/* `lease × (1 + epsilon) + beat + 2 round trips + 2 disk syncs`, the lease by the slowest clock. Where a fence device is
   required, another lease for who is heard to let go, and what the device takes (L11). */
static int64_t bound(void) {
  int64_t drift = sim.config.drift_ppm, lease = (int64_t)sim.config.lease_ms * MS;
  lease = lease * (1000000 + drift) / (1000000 - drift);
  int64_t device = sim.config.fence_required ? lease + DEVICE_US : 0;
  return lease + device + (int64_t)sim.config.beat_ms * MS + SLACK;
}

static int64_t hold_down(void) {
  return (int64_t)sim.config.hold_down_ms * MS;
}

/* From when on a node may stand again: L2, L8, and the hold-down, which suspends P4. */
static int64_t stands_at(unsigned node) {
  const struct core *core = &sim.process[node].core;
  return true_at(node, instant_later(core->stand_after, core_held_down_until(core)));
}

/* From when on P4 counts: the end of the start-up silences, of a broker's hold, and of what a node waits
   before it stands again makes it eligible. */
static int64_t eligible_at(int64_t healed) {
  int64_t at = healed + 125 * MS; /* a report of the broker's health */
  for (unsigned i = 0; i < VOTERS; i++) {
    const struct core *core = &sim.process[i].core;
    int64_t silence = true_at(i, core->voter.silence_until);
    at = silence != INT64_MAX && silence > at ? silence : at;
    at = i < NODES && stands_at(i) > at ? stands_at(i) : at;
  }
  for (unsigned i = 0; i < NODES; i++)
    at = sim.broker[i].held_until + 125 * MS > at ? sim.broker[i].held_until + 125 * MS : at;
  return at;
}

static int64_t wait_for(bool (*well)(void), int64_t most) {
  int64_t began = sim.now;
  while (sim.broken == NULL && !well() && sim.now - began < most) {
    operator_look();
    run_until(sim.now + 10 * MS);
  }
  return sim.now - began;
}

static void demand(const char *promise, bool (*well)(void), int64_t most, int64_t *longest) {
  int64_t took = wait_for(well, most);
  if (sim.broken == NULL && !well())
    broken(promise, "not within %ld ms", most / MS);
  *longest = took > *longest ? took : *longest;
}

/* Where votes can help at all, nobody waits longer than P4 says; what an operator has to do takes its own
 * time. */
static void demand_service(void) {
  int64_t healed = sim.now, forced = (int64_t)sim.forces + (int64_t)sim.forms, late = 0;
  while (sim.broken == NULL && !served() && sim.now - healed < 12 * SECOND + hold_down()) {
    operator_look();
    run_until(sim.now + 10 * MS);
    late = sim.now - eligible_at(healed) - bound();
    bool by_votes = all_formed() && (int64_t)(sim.forces + sim.forms) == forced && !sim.forced;
    if (late > 10 * MS && by_votes)
      broken("P4: a healed cluster serves in time", "%ld ms late", late / MS);
  }
  if (sim.broken == NULL && !served())
    broken("P4: a healed cluster serves", "not within %ld ms", (sim.now - healed) / MS);
  sim.heal_max = sim.now - healed > sim.heal_max ? sim.now - healed : sim.heal_max;
}

/* A secondary that came and went has to keep up for eight holds (sync.c). */
static void demand_pair(const char *promise) {
  demand(promise, all_well, 20 * SECOND + 8 * (int64_t)sim.config.join_hold_ms * MS + hold_down(), &sim.pair_max);
}

// ---- what is done in peace ----

/* A node that is cut off does not disturb a working master, neither while it is away nor when it is back. */
static void cut_off(unsigned who) {
  unsigned m = master(), ways = 1 + (unsigned)below(3);
  uint64_t reign = sim.process[m].core.reign, epoch = sim.process[m].core.voter.ballot.epoch;
  trace("%s is cut off in peace, ways %u", voter_name(who), ways);
  isolate(who, ways);
  run_until(sim.now + between(0, 8 * SECOND));
  mend_links();
  trace("%s is back", voter_name(who));
  run_until(sim.now + 4 * SECOND);
  const struct core *core = &sim.process[m].core;
  if (sim.broken == NULL &&
      (core->role != ROLE_MASTER || core->reign != reign || core->voter.ballot.epoch != epoch))
    broken("P4: who is cut off disturbs nobody", "%s was away, %s led in %lu", voter_name(who), voter_name(m),
           reign);
}

static void restart_later(unsigned node, int64_t most) {
  schedule(sim.now + between(0, most), WHAT_RESTART, node, sim.process[node].life, UINT32_MAX, 0);
  schedule(sim.now + between(0, most), WHAT_BROKER_RESTART, node, sim.broker[node].life, UINT32_MAX, 0);
}

static void kill_master(void) {
  unsigned m = master();
  if (stands_at(1 - m) > sim.now) /* it has just handed over (L8), or is held down */
    return;
  trace("%s is killed in peace", voter_name(m));
  process_crash(m, true);
  demand("P4: a dead master is replaced in time", served, bound(), &sim.failover_max);
  restart_later(m, 3 * SECOND);
  run_until(sim.now + 3 * SECOND + 1);
}

/* While one node is away the other leads, fails, and leads again: data of reigns that the first has never
 * heard of. */
static void absence(void) {
  unsigned away = (unsigned)below(NODES), other = 1 - away;
  trace("%s goes away for long", voter_name(away));
  process_crash(away, true);
  for (uint64_t failures = 1 + below(3); failures > 0; failures--) {
    demand("P4: the other leads alone", served, 8 * SECOND + hold_down(), &sim.heal_max);
    run_until(sim.now + between(0, 3 * SECOND));
    chance(2) ? process_crash(other, true) : broker_die(other);
    restart_later(other, SECOND);
    run_until(sim.now + between(0, 2 * SECOND));
  }
  restart_later(away, SECOND);
  run_until(sim.now + SECOND + 1);
  heal();
  demand_service();
}

static void chaos(void) {
  sim.chaos = true;
  run_until(sim.now + between(SECOND, 60 * SECOND));
  if (sim.broken == NULL)
    heal();
}

static void round_of(bool first) {
  if (!first && (sim.kinds & KIND_WIPE) && chance(12))
    disaster();
  if (!first)
    chaos();
  demand_service();
  demand_pair("P4: a healed cluster is a pair again");
  run_until(sim.now + 4 * SECOND); /* a restarted broker was held, a node that handed over waits */
  demand_pair("P4: a pair stays one");
  if (sim.broken == NULL && chance(2))
    cut_off(chance(2) ? VOTER_W : 1 - master());
  demand_pair("P4: a pair again after a cut");
  if (sim.broken == NULL && chance(4))
    absence();
  demand_pair("P4: a pair again after an absence");
  if (sim.broken == NULL && sim.config.replication == REPLICATION_SYNC)
    check_data(master());
  if (sim.broken == NULL && chance(3))
    kill_master();
}

void play_rounds(void) {
  for (unsigned i = 0; i < 6 && sim.broken == NULL; i++)
    round_of(i == 0);
}
