// SPDX-License-Identifier: Apache-2.0
// The trace of a scenario: time in ms since its beginning, the voter, what it did. Beats, renewals of the
// lease and ballots that only note what another showed are left out, unless `verbose on`.
#include <inttypes.h>
#include <string.h>

#include "common/base/explain_text.h"
#include "common/base/trace.h"
#include "common/core/lease.h"
#include "common/core/record.h"
#include "tests/scenario/world.h"

static void put_time(struct world *w, unsigned voter) {
  fprintf(w->out, "%7" PRId64 ".%" PRId64 " %s  ", w->now / 1000, w->now / 100 % 10, voter_name(voter));
}

static void put_line(struct world *w, unsigned voter, const char *line) {
  put_time(w, voter);
  fprintf(w->out, "%s\n", line);
}

static void put_record(FILE *out, const struct record *record) {
  bool sole = record->mode == RECORD_SOLE;
  fprintf(out, "(%" PRIu64 ",%" PRIu32 ",%s%s)", record->epoch, record->version, sole ? "sole-" : "pair",
          sole ? voter_name(record->owner) : "");
}

static bool same_vote(const struct ballot *a, const struct ballot *b) {
  return a->epoch == b->epoch && record_equal(&a->sync, &b->sync) && a->lease_max_ms == b->lease_max_ms &&
         a->blank == b->blank && a->frozen.serial == b->frozen.serial && a->frozen.on == b->frozen.on &&
         a->forced[VOTER_A] == b->forced[VOTER_A] && a->forced[VOTER_B] == b->forced[VOTER_B];
}

static void show_persist(struct world *w, unsigned voter, const struct ballot *ballot) {
  struct machine *m = &w->machine[voter];
  const struct ballot *disk = &m->disk;
  if (same_vote(disk, ballot) || m->disk_told)
    return;
  m->disk_told = m->disk_fails;
  put_time(w, voter);
  fprintf(w->out, "persist");
  if (ballot->epoch != disk->epoch)
    fprintf(w->out, " epoch %" PRIu64, ballot->epoch);
  if (!record_equal(&ballot->sync, &disk->sync)) {
    fprintf(w->out, " record ");
    put_record(w->out, &ballot->sync);
  }
  if (ballot->lease_max_ms != disk->lease_max_ms)
    fprintf(w->out, " lease_max %" PRIu32, ballot->lease_max_ms);
  if (ballot->blank != disk->blank)
    fprintf(w->out, ballot->blank ? " blank" : " not blank");
  if (ballot->frozen.serial != disk->frozen.serial || ballot->frozen.on != disk->frozen.on)
    fprintf(w->out, " %s", ballot->frozen.on ? "frozen" : "thawed");
  for (unsigned i = 0; i < NODES; i++)
    if (ballot->forced[i] != disk->forced[i])
      fprintf(w->out, ballot->forced[i] != 0 ? " forced-%s" : " forced-%s over", voter_name(i));
  fprintf(w->out, "%s\n", m->disk_fails ? ": the disk fails" : "");
}

static void show_arm(struct world *w, unsigned voter, struct instant until) {
  struct instant before = w->machine[voter].fence, now = world_local(w, voter);
  bool open = instant_before(now, before);
  if (until.us == INSTANT_NEVER.us)
    put_line(w, voter, "fence open without end");
  else if (!open || before.us == INSTANT_NEVER.us)
    put_line(w, voter, "fence open for the lease");
}

void show_action(struct world *w, unsigned voter, const struct action *action) {
  char line[TRACE_LINE_MAX];
  if (w->out == NULL)
    return;
  trace_action(line, sizeof line, world_local(w, voter), action);
  if (w->verbose || action->type == ACTION_BROKER || action->type == ACTION_ADDRESS_ADD ||
      action->type == ACTION_ADDRESS_DROP || action->type == ACTION_FENCE_CLOSE ||
      action->type == ACTION_FENCE_PEER || action->type == ACTION_SPARE_PEER)
    put_line(w, voter, line);
  else if (action->type == ACTION_PERSIST)
    show_persist(w, voter, &action->ballot);
  else if (action->type == ACTION_FENCE_ARM)
    show_arm(w, voter, action->until);
  else if (action->type == ACTION_TELL)
    put_line(w, voter, line + strlen("tell "));
}

void show_event(struct world *w, unsigned voter, const struct event *event) {
  char line[TRACE_LINE_MAX];
  if (!w->verbose || w->out == NULL)
    return;
  trace_event(line, sizeof line, event->now, event);
  put_time(w, voter);
  fprintf(w->out, "> %s\n", strchr(line, ' ') + 1);
}

// ---- state ----

static void put_until(FILE *out, struct instant now, struct instant until) {
  if (until.us == INSTANT_NEVER.us)
    fprintf(out, "without end");
  else
    fprintf(out, "%" PRIu32 " ms", ms_until(now, until));
}

static void put_promise(FILE *out, const struct core *core, struct instant now) {
  const struct promise *promise = &core->voter.promise;
  if (promise->leader != NOBODY && instant_before(now, promise->until))
    fprintf(out, ", promised to %s@%" PRIu64 " for %" PRIu32 " ms", voter_name(promise->leader),
            promise->leader_epoch, ms_until(now, promise->until));
  if (voter_silent(&core->voter, now))
    fprintf(out, ", silent for %" PRIu32 " ms", ms_until(now, core->voter.silence_until));
}

static void put_core(FILE *out, const struct core *core, struct instant now) {
  const struct ballot *ballot = &core->voter.ballot;
  fprintf(out, "%s, epoch %" PRIu64, role_name(core->role), ballot->epoch);
  if (core->role == ROLE_MASTER)
    fprintf(out, ", reign %" PRIu64, core->reign);
  fprintf(out, " ");
  put_record(out, &ballot->sync);
  if (core->role == ROLE_MASTER)
    fprintf(out, "%s%s, lease %" PRIu32 " ms", core->committed ? " committed" : " proposed",
            core_sole(core) ? " sole owner" : "", ms_until(now, core->lease_end));
  put_promise(out, core, now);
  fprintf(out, "%s%s%s", ballot->blank ? ", BLANK" : "", ballot->frozen.on ? ", frozen" : "",
          core->forced ? ", forced" : "");
  if (core_waits(core))
    fprintf(out, ", waits%s", core->device_due ? " for its fence device" : "");
  for (unsigned i = 0; i < NODES; i++)
    if (ballot->forced[i] != 0)
      fprintf(out, ", knows %s as forced", voter_name(i));
}

static void put_broker(FILE *out, const struct machine *m) {
  const struct broker_model *broker = &m->broker;
  const struct broker_duty *duty = &broker->duty;
  fprintf(out, "; broker%s %s", broker->running ? "" : " dead,", broker_mode_name(duty->mode));
  if (duty->mode == BROKER_FOLLOW)
    fprintf(out, " %s%s", voter_name(duty->master), broker->attached ? "" : " unattached");
  fprintf(out, "%s%s, log %" PRIu64 ":%zu", duty->paused ? " paused" : "", duty->sync ? " sync" : "",
          broker->epoch, broker->count);
}

static void show_machine(struct world *w, unsigned voter) {
  const struct machine *m = &w->machine[voter];
  struct instant now = world_local(w, voter);
  fprintf(w->out, "%s  ", voter_name(voter));
  if (m->agent)
    put_core(w->out, &m->core, now);
  else
    fprintf(w->out, m->power ? "not running" : "off");
  if (m->agent && m->stopped)
    fprintf(w->out, ", stopped");
  if (voter < NODES && m->power)
    put_broker(w->out, m);
  if (m->address)
    fprintf(w->out, "; address");
  if (instant_before(now, m->fence)) {
    fprintf(w->out, "; fence open ");
    put_until(w->out, now, m->fence);
  }
  fprintf(w->out, "\n");
}

void show_state(struct world *w) {
  for (unsigned v = 0; v < VOTERS; v++)
    show_machine(w, v);
}

void show_queue(struct world *w) {
  for (size_t i = 0; i < w->queued; i++) {
    char line[TRACE_LINE_MAX];
    struct action action = {.type = ACTION_SEND, .beat = w->queue[i].beat};
    trace_action(line, sizeof line, (struct instant){0}, &action);
    fprintf(w->out, "%zu: %s\n", i + 1, line + strlen("send "));
  }
}

void show_explain(struct world *w, unsigned voter) {
  static const char *const names[VOTERS] = {"a", "b", "w"};
  const struct machine *m = &w->machine[voter];
  for (unsigned node = 0; node < NODES && m->agent && !m->stopped; node++) {
    struct hurdle h = explain(&m->core, node, world_local(w, voter));
    char text[320];
    fprintf(w->out, "%s  of %s: %s\n", names[voter], names[node],
            explain_text(names, node, &h, text, sizeof text));
  }
}
