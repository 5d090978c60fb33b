// SPDX-License-Identifier: Apache-2.0
// What holds after every step, whatever came in. Asserted in production too: a crash is safe, a wrong belief
// is not.
#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/step.h"

static bool master(const struct core *c) {
  return c->role == ROLE_MASTER;
}
static bool candidate(const struct core *c) {
  return c->role == ROLE_CANDIDATE;
}
static const struct ballot *ballot(const struct core *c) {
  return &c->voter.ballot;
}

static bool reign_is_own(const struct core *c) {
  return !master(c) || (epoch_owner(c->reign) == c->config.self && c->reign <= ballot(c)->epoch);
}
static bool master_may_lead(const struct core *c) {
  return !master(c) || core_leads(c, c->now);
}
static bool claims_are_own(const struct core *c) {
  bool claims = candidate(c) || (master(c) && ballot(c)->epoch != c->reign);
  return !claims || epoch_owner(ballot(c)->epoch) == c->config.self;
}
static bool candidate_is_free(const struct core *c) {
  return !candidate(c) || (c->voter.promise.leader == NOBODY && !ballot(c)->blank);
}
static bool address_needs_lead(const struct core *c) {
  return !c->shown.address || master(c);
}
static bool fence_within_lease(const struct core *c) {
  if (c->shown.fence.us == INSTANT_PAST.us)
    return true;
  return master(c) && (core_sole(c) || !instant_before(c->lease_end, c->shown.fence));
}
static bool promise_is_covered(const struct core *c) {
  return !voter_promised(&c->voter, c->now) ||
         instant_us_between(c->now, c->voter.promise.until) <= (int64_t)ballot(c)->lease_max_ms * 1000;
}
static bool record_is_sound(const struct core *c) {
  return record_valid(core_record(c));
}
static bool lead_follows_role(const struct core *c) {
  return c->shown.broker.mode != BROKER_LEAD || master(c);
}
/* need is a superset of the record: rule 1 of brokers.md */
static bool needs_cover_record(const struct core *c) {
  const struct broker_duty *duty = &c->shown.broker;
  bool serves = duty->mode == BROKER_LEAD && !duty->paused && c->config.replication == REPLICATION_SYNC;
  return !serves || duty->sync || core_sole(c);
}
static bool own_record_while_master(const struct core *c) {
  return !master(c) || core_waits(c) || epoch_owner(core_record(c)->epoch) == c->config.self;
}
static bool one_promise(const struct core *c) {
  return !master(c) || c->voter.promise.leader == NOBODY;
}
static bool blank_leads_not(const struct core *c) {
  return !ballot(c)->blank || (!master(c) && !candidate(c));
}
static bool witness_only_votes(const struct core *c) {
  return (c->role == ROLE_WITNESS) == (c->config.self == VOTER_W);
}
static bool established_by_commit(const struct core *c) {
  return !c->established || master(c);
}
static bool unfenced_leads_nothing(const struct core *c) {
  bool nothing = c->shown.broker.mode != BROKER_LEAD && !c->shown.address && c->shown.fence.us == INSTANT_PAST.us &&
                 !c->committed && !c->established;
  return c->unfenced == 0 || (master(c) && nothing);
}
static bool fences_while_it_waits(const struct core *c) {
  return c->shown.peer_off == 0 || (master(c) && c->shown.peer_off == c->unfenced);
}

static const struct {
  bool (*holds)(const struct core *);
  const char *sentence;
} invariants[] = {
    {reign_is_own, "a master's reign is its own epoch and not above its ballot"},
    {master_may_lead, "a master has a valid lease or sole ownership"},
    {claims_are_own, "an epoch that is claimed belongs to its claimant"},
    {candidate_is_free, "a candidate is promised to nobody and is not blank"},
    {address_needs_lead, "only a master holds the address"},
    {fence_within_lease, "the fence is never open beyond the lease, but under sole ownership"},
    {promise_is_covered, "lease_max covers every promise"},
    {record_is_sound, "a SOLE record names a node, a PAIR record nobody"},
    {lead_follows_role, "only a master's broker leads"},
    {needs_cover_record, "a broker that acknowledges waits for all whom the record names"},
    {own_record_while_master, "a master's record is of its own"},
    {one_promise, "a master is promised to nobody else"},
    {blank_leads_not, "a blank voter neither stands nor leads"},
    {witness_only_votes, "the witness never leads, a node is never witness"},
    {established_by_commit, "what was established ends with the reign"},
    {unfenced_leads_nothing, "nothing of a reign begins before the other node is out of the way, where that is required"},
    {fences_while_it_waits, "the other node is turned off only for a reign that waits for it"},
};

unsigned core_check(const struct core *core) {
  for (unsigned i = 0; i < sizeof invariants / sizeof invariants[0]; i++)
    if (!invariants[i].holds(core))
      return i + 1;
  return 0;
}

const char *core_invariant(unsigned number) {
  bool known = number > 0 && number <= sizeof invariants / sizeof invariants[0];
  return known ? invariants[number - 1].sentence : "?";
}
