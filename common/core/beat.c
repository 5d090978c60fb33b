// SPDX-License-Identifier: Apache-2.0
// What a beat tells: sections 3 and 4 of protocol.md, in the order in which its parts must be looked at.
#include "common/core/lease.h"
#include "common/core/record.h"
#include "common/core/step.h"

static bool addressed(const struct core *core, const struct beat *beat) {
  bool from_witness = beat->from == VOTER_W;
  return beat->from < VOTERS && beat->from != core->config.self && beat->to == core->config.self &&
         (beat->role == ROLE_WITNESS) == from_witness && beat->role < ROLE_COUNT;
}

/* A restarted sender: its numbers begin anew, and no beat of its new session has been granted yet. */
static void new_session(struct core *core, unsigned from, uint64_t session) {
  struct peer *peer = &core->peer[from];
  peer->session = session;
  peer->echo = 0;
  if (core->voter.promise.leader == from)
    core->voter.promise.grant = 0;
}

static void note_beat(struct step *s, struct peer *peer, const struct beat *beat) {
  peer->echo = beat->seq;
  peer->anew = false;
  peer->heard = s->now;
  peer->beat = *beat;
  bool foretold = beat->free_ms != 0 && beat->free_ms != FREE_NEVER;
  peer->free_at = foretold ? instant_plus_ms(s->now, beat->free_ms) : INSTANT_NEVER;
  const struct sent *echoed = find_sent(peer, beat->echo);
  if (echoed != NULL)
    peer->reached = instant_later(peer->reached, echoed->at);
}

static void adopt(struct step *s, const struct beat *beat) {
  struct core *core = s->core;
  if (voter_adopt(&core->voter, &beat->sync)) { /* V6 */
    tell_record(s, FACT_RECORD);
    if (core->role == ROLE_MASTER) /* none of its own: another was master since, or it has forgotten */
      end_reign(s, CAUSE_DEPOSED); /* L6 */
  }
  const struct frozen *mine = &core->voter.ballot.frozen, *shown = &beat->frozen;
  if (shown->serial > mine->serial || (shown->serial == mine->serial && shown->on && !mine->on))
    set_frozen(s, *shown);
}

/* Section 9: nothing is discarded before a record of that master is on this node's disk; FOLLOW is behind
 * PERSIST. */
static void follow(struct core *core, const struct beat *beat) {
  if (epoch_owner(core_record(core)->epoch) != beat->from)
    return;
  core->follow = beat->from;
  core->follow_epoch = beat->reign;
}

static void accept_master(struct step *s, const struct beat *beat) {
  struct core *core = s->core;
  uint64_t followed = core->voter.followed_reign;
  if (!voter_accept(&core->voter, beat, s->now, core->seq + 1)) /* V1 */
    return;
  if (followed != beat->reign)
    tell(s, (struct fact){.type = FACT_LEADER, .who = beat->from, .epoch = beat->reign});
  core->handing = false;
  blank_follow(s, beat->from);
  if (!is_node(core))
    return;
  hold_down_hear(s, beat);
  follow(core, beat);
  if (core->role == ROLE_SUSPECT || core->role == ROLE_CANDIDATE)
    become(s, ROLE_SECONDARY, CAUSE_HEARD);
}

static void vote(struct step *s, const struct beat *beat) {
  struct core *core = s->core;
  bool candidate = beat->role == ROLE_CANDIDATE;
  bool wishes = beat->role == ROLE_MASTER && beat->epoch > beat->reign; /* L7 */
  if (!candidate && !wishes)
    return;
  if (!voter_vote(&core->voter, beat, beat->epoch, s->now, core_leads(core, s->now))) /* V2 */
    return;
  if (core->role == ROLE_CANDIDATE)
    become(s, ROLE_SUSPECT, CAUSE_VOTED);
}

void on_beat(struct step *s, uint64_t session, const struct beat *beat) {
  struct core *core = s->core;
  if (!addressed(core, beat) || session == 0)
    return;
  struct peer *peer = &core->peer[beat->from];
  if (peer->session != session)
    new_session(core, beat->from, session);
  if (beat->seq <= peer->echo) /* section 3: whatever is not newer is dropped */
    return;
  note_beat(s, peer, beat);
  blank_memory(s, beat->from); /* B2: before anything is learnt from this beat */
  adopt(s, beat);
  force_hear(s, beat->from);
  if (is_node(core))
    role_beat(s, beat->from);
  if ((beat->flags & BEAT_RELEASED) && (beat->role == ROLE_SECONDARY || beat->role == ROLE_SUSPECT)) {
    bool leader = core->voter.promise.leader == beat->from;
    voter_release(&core->voter, beat, s->now); /* V3 */
    if (leader && (beat->flags & BEAT_HANDOVER) && is_node(core))
      handover_hear(s, beat->from);
  }
  if (beat->role == ROLE_MASTER)
    accept_master(s, beat);
  vote(s, beat);
  if (is_node(core) && beat->from == other_node(core))
    sync_progress(s);
  if (beat->flags & BEAT_ASK)
    s->answer |= (uint8_t)(1u << beat->from);
}
