// SPDX-License-Identifier: Apache-2.0
// Where a fence device is required, an election alone lets nobody lead: rule L11, in ARCHITECTURE.md. The
// reign's lease runs and is renewed, and nothing else of it begins, no record and no duty, until the other
// node is out of the way: it is off, as the fence device says, or it shows that nothing of any reign runs
// there.
#include "common/core/lease.h"
#include "common/core/standing.h"
#include "common/core/step.h"

void fencing_stand(struct step *s, enum cause cause) {
  s->core->clear = cause == CAUSE_HANDOVER; /* L8: the other has let go, and said so */
}

/* An answer to a beat of this candidacy, or of what came of it: no older one, which may have been overtaken.
 */
void fencing_beat(struct step *s, unsigned from) {
  struct core *core = s->core;
  const struct beat *beat = &core->peer[from].beat;
  bool asks = core->role == ROLE_CANDIDATE || core_waits(core);
  bool idle = beat->role == ROLE_SECONDARY || beat->role == ROLE_SUSPECT;
  if (asks && from == other_node(core) && idle && (beat->flags & BEAT_RELEASED) &&
      beat->echo >= core->claim_seq)
    core->clear = true;
}

bool fencing_begins(struct step *s) {
  struct core *core = s->core;
  if (!core->config.fence_required || core->clear)
    return false;
  core->unfenced = core->reign;
  core->device_due = false;
  core->device_at = instant_plus_ms(s->now, core->config.lease_ms); /* what a broker needs to let go */
  return true;
}

void fencing_end(struct core *core) {
  core->unfenced = 0;
  core->device_due = false;
  core->device_at = INSTANT_NEVER;
}

void fencing_over(struct step *s, enum reason why) {
  struct core *core = s->core;
  if (core->device_due)
    tell(s, (struct fact){.type = FACT_CLEARED,
                          .who = (uint8_t)other_node(core),
                          .why = (uint8_t)why,
                          .epoch = core->reign});
  fencing_end(core);
  sync_begin(s);
}

/* Who is heard gets the time to answer and to let go; who is not, none. */
static struct instant due_at(const struct core *core) {
  const struct peer *other = &core->peer[other_node(core)];
  return instant_earlier(core->device_at,
                         instant_plus_us(other->heard, (int64_t)core->config.beat_ms * 2500));
}

bool fencing_due_at(const struct core *core, struct instant *at) {
  *at = due_at(core);
  return core_waits(core) && !core->device_due;
}

void fencing_timer(struct step *s) {
  struct core *core = s->core;
  if (!core_waits(core))
    return;
  if (core->clear) {
    fencing_over(s, REASON_PEER_QUIET);
  } else if (standing_fit(core, core->config.self) == HURDLE_UNHEALTHY) {
    end_reign(s, CAUSE_GAVE_UP); /* let the other one try, should it come back */
  } else if (!core->device_due && !instant_before(s->now, due_at(core))) {
    core->device_due = true;
    tell(s, (struct fact){.type = FACT_FENCING, .who = (uint8_t)other_node(core), .epoch = core->reign});
  }
}
