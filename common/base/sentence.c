// SPDX-License-Identifier: Apache-2.0
// Facts as sentences: what the log and the events say, with the configuration's names.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/runner.h"

static const char *name_of(const struct cluster_conf *conf, unsigned voter) {
  return voter < VOTERS ? conf->voter[voter].name : "nobody";
}

static void record_text(const struct cluster_conf *conf, const struct record *sync, char *buf, size_t size) {
  bool sole = sync->mode == RECORD_SOLE;
  snprintf(buf, size, "(%" PRIu64 ", %" PRIu32 ") %s%s", sync->epoch, sync->version,
           sole ? "SOLE of " : "PAIR", sole ? name_of(conf, sync->owner) : "");
}

static void role_text(const struct fact *fact, char *buf, size_t size) {
  const struct transition *t = transition_find(fact->from, fact->to, fact->cause);
  snprintf(buf, size, "%s -> %s, epoch %" PRIu64 " (%s): %s", role_name(fact->from), role_name(fact->to),
           fact->epoch, t != NULL ? t->rule : "?", t != NULL ? t->sentence : "?");
}

const char *runner_sentence(const struct cluster_conf *conf, unsigned self, const struct fact *fact,
                            char *buf, size_t size) {
  char record[96];
  record_text(conf, &fact->sync, record, sizeof record);
  const char *who = name_of(conf, fact->who), *order = order_name(fact->order), *why = reason_text(fact->why);
  switch ((enum fact_type)fact->type) {
  case FACT_ROLE:
    role_text(fact, buf, size);
    break;
  case FACT_REIGN:
    snprintf(buf, size, "leading on in epoch %" PRIu64 ": a failed candidacy had raised the others' (L7)",
             fact->epoch);
    break;
  case FACT_LEADER:
    snprintf(buf, size, "%s leads in epoch %" PRIu64, who, fact->epoch);
    break;
  case FACT_RECORD:
    snprintf(buf, size, "the sync record is now %s", record);
    break;
  case FACT_COMMITTED:
    snprintf(buf, size, "the sync record %s is committed", record);
    break;
  case FACT_FORMED:
    snprintf(buf, size, "%s is no longer blank: epoch %" PRIu64 ", record %s", name_of(conf, self),
             fact->epoch, record);
    break;
  case FACT_BLANKED:
    snprintf(buf, size,
             "this voter has lost its memory (B2: others saw it further on): blank until it has followed a "
             "master; never restore a voter from a snapshot");
    break;
  case FACT_AMNESIAC:
    snprintf(buf, size,
             "%s shows less than it has shown before (B2): it counts as blank; was it restored from a "
             "snapshot?",
             who);
    break;
  case FACT_FROZEN:
    snprintf(buf, size, "frozen: no automatic failover until thawed");
    break;
  case FACT_THAWED:
    snprintf(buf, size, "thawed: automatic failover again");
    break;
  case FACT_FORCED:
    snprintf(buf, size,
             "an operator forced %s to lead without a majority, in epoch %" PRIu64
             " (F1): what the other node alone holds may be lost",
             who, fact->epoch);
    break;
  case FACT_FORCE_OVER:
    snprintf(buf, size,
             "the forced failover of %s (epoch %" PRIu64
             ") is over: a majority exists again, and both nodes are in it",
             who, fact->epoch);
    break;
  case FACT_BOTH_FORCED:
    snprintf(buf, size,
             "both nodes were forced to lead: %s in epoch %" PRIu64 ", %s in epoch %" PRIu64
             "; the higher epoch wins: %s leads, %s rejoins, and what %s acknowledged alone is set aside; "
             "compare what clients of both were told",
             who, fact->epoch, name_of(conf, 1u - fact->who), fact->sync.epoch, who,
             name_of(conf, 1u - fact->who), name_of(conf, 1u - fact->who));
    break;
  case FACT_REFUSED:
    snprintf(buf, size, "order %s refused: %s", order, why);
    break;
  case FACT_ACCEPTED:
    snprintf(buf, size, "order %s is under way", order);
    break;
  case FACT_COMPLETED:
    snprintf(buf, size, "order %s is done", order);
    break;
  case FACT_TAKEN_BACK:
    snprintf(buf, size, "order %s was taken back, this node goes on: %s", order, why);
    break;
  case FACT_FENCING:
    snprintf(buf, size,
             "elected in epoch %" PRIu64 ", and waits with everything until the fence device says that %s is off",
             fact->epoch, who);
    break;
  case FACT_CLEARED:
    snprintf(buf, size, "%s is out of the way, the reign in epoch %" PRIu64 " begins: %s", who, fact->epoch, why);
    break;
  case FACT_COUNT:
    snprintf(buf, size, "?");
    break;
  }
  return buf;
}

const char *runner_freeze_text(const struct cluster_conf *conf, const struct core *core, char *buf,
                               size_t size) {
  const struct frozen *frozen = &core->voter.ballot.frozen;
  char away[96] = "";
  for (unsigned i = 0; i < VOTERS; i++)
    if (i != core->config.self && !core_hears(core, i, core->now)) {
      size_t used = strlen(away);
      snprintf(away + used, sizeof away - used, "%s%s", used > 0 ? " and " : "", conf->voter[i].name);
    }
  snprintf(buf, size, "%s (serial %" PRIu32 ")%s%s",
           frozen->on ? "frozen: no automatic failover until thawed" : "thawed: automatic failover again",
           frozen->serial, away[0] != 0 ? "; not heard now, and told when heard again: " : "", away);
  return buf;
}
