// SPDX-License-Identifier: Apache-2.0
// An agent that is started again within the lease of the one before it goes on with that one's reign, and touches
// neither broker nor address (L10).
#include "agent/resume.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/seal.h"
#include "common/core/lease.h"

int resume_open(struct agent *a) {
  char path[256];
  cluster_run_path(&a->conf, a->self, "reign", path, sizeof path);
  int rc = reign_open(&a->reign, path, seal_cluster_id(a->conf.name), a->self);
  if (rc == -EBUSY) {
    log_error("%s: another agent of this node runs: is it started twice?", path);
    return rc;
  }
  if (rc != 0)
    log_warning("%s cannot be kept (%s): after a crash or a restart this agent begins as secondary", path,
                strerror(-rc));
  return 0;
}

bool resume_wanted(const struct agent *a) {
  return runner_resumes(a->runner);
}

struct instant resume_fence(const struct agent *a) {
  return resume_wanted(a) ? runner_core(a->runner)->released.fence : INSTANT_PAST;
}

const char *resume_incarnation(const struct agent *a) {
  return resume_wanted(a) ? runner_broker(a->runner) : "";
}

void resume_begin(struct agent *a) {
  const struct core *core = runner_core(a->runner);
  struct instant now = clock_now();
  struct json *event = note_new(a, "daemon", "resumed");
  json_put_uint(event, "epoch", core->reign);
  if (core_sole(core))
    note(a, event, LOG_NOTICE, "goes on with the reign of the agent before, epoch %" PRIu64 ", as sole owner",
         core->reign);
  else
    note(a, event, LOG_NOTICE,
         "goes on with the reign of the agent before, epoch %" PRIu64 ", %" PRId64 " ms before its lease ends",
         core->reign, instant_us_between(now, core->lease_end) / 1000);
  a->unseen = a->unjudged = true;
}

static bool judged(const struct health_result *health, size_t checks) {
  for (size_t i = 0; i < checks; i++)
    if (health->check[i].state == HEALTH_UNKNOWN)
      return false;
  return true;
}

bool resume_report(struct agent *a, struct broker_report *report) {
  const struct core *core = runner_core(a->runner);
  if (a->unseen && !broker_view(a->broker)->dead) /* proof alone: it may only be slow to tell */
    return false;
  a->unjudged = a->unjudged && !report->dead && !judged(health_result(a->health), a->conf.check_count);
  if (a->unjudged)
    report->health = core->broker.health;
  return true;
}

void resume_seen(struct agent *a) {
  a->unseen = false;
}

void resume_note_broker(struct agent *a) {
  if (a->reign != NULL && !a->unseen)
    reign_broker(a->reign, broker_view(a->broker)->incarnation);
}

void resume_leave(void *arg, int signo) {
  struct agent *a = arg;
  (void)signo;
  note(a, note_new(a, "daemon", "leaving"), LOG_NOTICE,
       "SIGUSR1: leaving address, broker and fence as they are, to be started again within the lease");
  a->leaving = true;
  loop_stop(a->loop);
}
