// SPDX-License-Identifier: Apache-2.0
// An agent that was started again takes up the reign that it led: rule L10 of protocol.md. To the others, and to
// this core, it is a pause: beats on their way were lost, and of the last list of actions nobody knows how far it
// came.
#include "common/core/record.h"
#include "common/core/step.h"

/* Beside what is compared here, `config` is a digest of the whole file. */
static bool same_config(const struct core_config *a, const struct core_config *b) {
  return a->self == b->self && a->preferred == b->preferred && a->replication == b->replication &&
         a->strict == b->strict && a->lease_ms == b->lease_ms && a->beat_ms == b->beat_ms &&
         a->drift_ppm == b->drift_ppm && a->witness_grace_ms == b->witness_grace_ms &&
         a->degrade_ms == b->degrade_ms && a->join_hold_ms == b->join_hold_ms && a->hold_down_ms == b->hold_down_ms &&
         a->max_lag == b->max_lag &&
         a->withholds == b->withholds && a->fence_required == b->fence_required && a->config == b->config;
}

/* The disk has what the core had, or what it had before a PERSIST that never came to be. */
static bool disk_agrees(const struct ballot *kept, const struct ballot *disk) {
  return kept->blank == disk->blank && disk->epoch <= kept->epoch && !record_newer(&disk->sync, &kept->sync) &&
         disk->frozen.serial <= kept->frozen.serial;
}

bool core_resumable(const struct core *kept, const struct core_config *config, const struct ballot *disk,
                    struct instant now) {
  return same_config(&kept->config, config) && config->self < NODES && core_check(kept) == 0 &&
         now.us >= kept->now.us && !kept->retired && core_leads(kept, now) &&
         disk_agrees(&kept->voter.ballot, disk);
}

/* What the last list released may be in force still, what it claimed may be not, and its ballot may not be on the
   disk. So all of it is shown again (emit.c), behind the disk what is a claim. */
void on_resume(struct step *s) {
  struct core *core = s->core;
  uint32_t serial = core->shown.broker.serial;
  core->shown = core->released;
  core->shown.broker.serial = serial; /* serials are never given twice */
  core->shown.unknown = UNKNOWN_ALL;
  core->shown.peer_off = 0; /* L11: whatever the device was told, nobody listens to it any more */
  core->voter.dirty = true;
  core->disk_failing = false;
  s->ask = ALL_VOTERS; /* they are to learn the new session */
}
