// SPDX-License-Identifier: Apache-2.0
// check: is a configuration good, and what do its figures come to?
#include "agent/ctl.h"

#include <errno.h>
#include <string.h>

#define SAFE_LEASE_MS                                                                                        \
  300 // below it a busy machine wakes the agent too late unless it is scheduled in real time

struct figures {
  struct budget budget;
  int64_t round_trip_us, disk_sync_us; // allowances
};

static double in_ms(int64_t us) {
  return (double)us / 1000;
}

static void print_who(FILE *f, const char *file, const struct cluster_conf *c) {
  fprintf(f, "%s: good\n\n", file);
  fprintf(f, "cluster %s: nodes %s, %s; witness %s; broker %s", c->name, c->voter[VOTER_A].name,
          c->voter[VOTER_B].name, c->voter[VOTER_W].name, cluster_driver_name(c));
  if (c->broker.driver != DRIVER_NONE)
    fprintf(f, " (replication %s)", cluster_replication_name(c));
  fprintf(f, "\n");
}

static void print_budget(FILE *f, const struct figures *b) {
  fprintf(f, "timing budget: lease %u ms, beat %u ms, drift %g %%\n", b->budget.lease_ms, b->budget.beat_ms,
          (double)b->budget.drift_ppm / 10000);
  fprintf(f, "  self-fence deadline  %10.1f ms  after the last beat that was granted the master has ended\n",
          in_ms(budget_self_fence_us(&b->budget)));
  fprintf(f, "  next master elected  %10.1f ms  at worst, after the last beat heard of the lost one\n",
          in_ms(budget_election_us(&b->budget, b->round_trip_us, b->disk_sync_us)));
  fprintf(f, "  worst-case failover  %10.1f ms  until it serves\n",
          in_ms(budget_failover_us(&b->budget, b->round_trip_us, b->disk_sync_us)));
  fprintf(f, "  silence after start  %10.1f ms  in which a voter votes for nobody\n",
          in_ms(budget_silence_us(&b->budget)));
  fprintf(f, "  lost beats in a row  %10lld     that end no lease\n", (long long)budget_losses(&b->budget));
  fprintf(f, "  with a round trip of %.1f ms and a disk sync of %.1f ms\n", in_ms(b->round_trip_us),
          in_ms(b->disk_sync_us));
}

static void print_notes(FILE *f, const struct cluster_conf *c) {
  if (c->lease_ms < SAFE_LEASE_MS)
    fprintf(f,
            "note: a lease under %d ms needs real-time scheduling of the agent, or a busy machine loses it\n",
            SAFE_LEASE_MS);
  if (c->fence.kernel == KERNEL_OFF)
    fprintf(
        f,
        "note: fence.kernel is \"off\": a stopped agent's virtual IP and ports stay open past the lease\n");
  if (c->fence.agent_required)
    fprintf(f, "note: fence.agent.required is true: a failover takes longer by what the fence device takes to turn a node\n"
               "      off, and waits without end while it fails\n");
  if (c->broker.driver == DRIVER_REDIS)
    fprintf(f, "note: Redis acknowledges before its secondary has the write; nothing is lost only of what a "
               "client has\n"
               "      confirmed with WAIT 1\n");
}

static int allowance(const struct ctl *ctl, const char *text, const char *name, int64_t *us) {
  double ms;
  if (!text)
    return CTL_DONE;
  if (!ctl_number(text, 0, 60000, &ms))
    return ctl_usage(ctl, "check", "%s is \"%s\"; allowed: milliseconds, 0 to 60000", name, text);
  *us = (int64_t)(ms * 1000 + 0.5);
  return CTL_DONE;
}

static int report_errors(const struct ctl *ctl, const char *file, int result,
                         const struct conf_errors *errors) {
  if (errors->count == 0)
    return ctl_fail(ctl, CTL_FAILED, "%s: %s", file, strerror(-result));
  if (ctl->json)
    ctl_print_findings(ctl, errors);
  else
    cluster_print_errors(ctl->err, errors);
  return CTL_FAILED;
}

int ctl_check(struct ctl *ctl, int argc, char **argv) {
  static struct conf_errors errors;
  const char *file = NULL, *round_trip = NULL, *disk_sync = NULL;
  const struct ctl_option options[] = {
      {"--round-trip", &round_trip, NULL}, {"--disk-sync", &disk_sync, NULL}, {NULL, NULL, NULL}};
  struct figures figures = {.round_trip_us = 1000, .disk_sync_us = 5000};
  struct cluster_conf cluster;
  int code = ctl_options(ctl, argc, argv, options, &file);
  if (code == CTL_DONE)
    code = allowance(ctl, round_trip, "--round-trip", &figures.round_trip_us);
  if (code == CTL_DONE)
    code = allowance(ctl, disk_sync, "--disk-sync", &figures.disk_sync_us);
  if (code != CTL_DONE)
    return code;
  if (!file && !(file = ctl->conf_file))
    return ctl_usage(ctl, argv[0], "check needs a file");
  int result = cluster_load(&cluster, file, &errors);
  if (result < 0)
    return report_errors(ctl, file, result, &errors);
  figures.budget = cluster_budget(&cluster);
  if (ctl->json)
    ctl_print_budget(ctl, &cluster, figures.round_trip_us, figures.disk_sync_us);
  else {
    print_who(ctl->out, file, &cluster);
    print_budget(ctl->out, &figures);
    print_notes(ctl->out, &cluster);
  }
  cluster_free(&cluster);
  return CTL_DONE;
}
