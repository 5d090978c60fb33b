// SPDX-License-Identifier: Apache-2.0
// An operator orders this node to lead without a majority: rule F1 of protocol.md.
#include "common/core/record.h"
#include "common/core/step.h"

void force_order(struct step *s) {
  struct core *core = s->core;
  uint64_t above = ((highest_epoch(core) >> 32) + 1) << 32; /* beyond anything a vote can have reached */
  uint64_t epoch = above != 0 ? epoch_next(core->config.self, above) : 0;
  enum reason why = core->role == ROLE_MASTER ? REASON_LEADS_ALREADY
                    : epoch == 0              ? REASON_NO_EPOCH
                                              : REASON_NONE;
  if (why != REASON_NONE) {
    tell(s, (struct fact){.type = FACT_REFUSED, .order = ORDER_FORCE, .why = (uint8_t)why});
    return;
  }
  voter_stand(&core->voter, epoch);
  core->voter.ballot.blank = false;
  core->voter.dirty = true;
  core->reign = epoch;
  become(s, ROLE_MASTER, CAUSE_FORCED);
  sync_begin(s);
  core->committed = core->established = core->forced = true;
  tell(s, (struct fact){.type = FACT_COMPLETED, .order = ORDER_FORCE, .epoch = epoch});
}
