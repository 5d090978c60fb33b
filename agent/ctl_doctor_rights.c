// SPDX-License-Identifier: Apache-2.0
// doctor: what the agent's process may do, as /proc tells; without one, what this process may.
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/doctor.h"

#define SHORT_LEASE_MS                                                                                       \
  300 // below it a busy machine wakes an agent too late that is not scheduled in real time

static const struct {
  int number;
  const char *name, *what_for;
  bool required; // on a node
} capabilities[] = {
    {CAP_NET_ADMIN, "CAP_NET_ADMIN", "virtual IPs and the kernel fence", true},
    {CAP_NET_RAW, "CAP_NET_RAW", "announcing virtual IPs", true},
    {CAP_BPF, "CAP_BPF", "the BPF fence", false},
};

static pid_t examined(const struct doctor *d) {
  return d->pid > 0 ? d->pid : getpid();
}

static const char *whose(const struct doctor *d) {
  return d->pid > 0 ? "the running daemon" : "this command (no daemon runs)";
}

/* "CapEff:\t0000…" of /proc/PID/status. */
static bool read_effective(pid_t pid, uint64_t *effective) {
  char path[64], line[256];
  bool found = false;
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *f = fopen(path, "re");
  while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
    found = sscanf(line, "CapEff: %" SCNx64, effective) == 1;
  if (f != NULL)
    fclose(f);
  return found;
}

static bool required(const struct doctor *d, size_t i) {
  if (capabilities[i].number == CAP_BPF)
    return d->conf.fence.mechanism == MECHANISM_BPF && d->conf.fence.kernel == KERNEL_REQUIRE;
  return capabilities[i].required && (d->conf.vip_count > 0 || capabilities[i].number == CAP_NET_ADMIN);
}

void doctor_judge_capabilities(struct doctor *d, uint64_t effective, const char *of) {
  char unit[64], missing[128] = "";
  for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++) {
    if (effective >> capabilities[i].number & 1)
      continue;
    size_t used = strlen(missing);
    snprintf(missing + used, sizeof missing - used, "%s%s", used > 0 ? " " : "", capabilities[i].name);
    doctor_say(d, required(d, i) ? DOCTOR_FINDING : DOCTOR_NOTE, "%s lacks %s, for %s", of,
               capabilities[i].name, capabilities[i].what_for);
    doctor_mend(
        d, "systemctl edit %s: [Service] AmbientCapabilities=%s CapabilityBoundingSet=%s; then restart it",
        doctor_unit(d, unit, sizeof unit), capabilities[i].name, capabilities[i].name);
  }
  if (missing[0] == 0)
    doctor_say(d, DOCTOR_OK, "%s has CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF", of);
}

void doctor_capabilities(struct doctor *d) {
  uint64_t effective;
  if (d->self == VOTER_W)
    doctor_say(d, DOCTOR_OK, "a witness needs none");
  else if (d->pid == 0 && geteuid() != 0)
    doctor_say(d, DOCTOR_UNKNOWN,
               "no agent runs, and this user is not root: what an agent would have is not seen"),
        doctor_mend(d, "sudo tanist doctor");
  else if (!read_effective(examined(d), &effective))
    doctor_say(d, DOCTOR_UNKNOWN, "/proc/%d/status cannot be read: %s", (int)examined(d), strerror(errno));
  else
    doctor_judge_capabilities(d, effective, whose(d));
}

void doctor_judge_realtime(struct doctor *d, const struct doctor_realtime_seen *seen) {
  bool realtime = seen->policy == SCHED_FIFO || seen->policy == SCHED_RR;
  bool needed = d->conf.lease_ms < SHORT_LEASE_MS;
  char unit[64];
  doctor_unit(d, unit, sizeof unit);
  if (realtime || (seen->allowed && !needed)) {
    doctor_say(d, DOCTOR_OK, "%s %s", seen->whose,
               realtime ? "is scheduled in real time" : "may be scheduled in real time");
    return;
  }
  if (needed)
    doctor_say(
        d, DOCTOR_FINDING,
        "%s is not scheduled in real time, which a lease of %u ms (below %d) needs: a busy machine loses it",
        seen->whose, d->conf.lease_ms, SHORT_LEASE_MS);
  else
    doctor_say(d, DOCTOR_NOTE, "%s has no right to real-time scheduling; a lease of %u ms does without",
               seen->whose, d->conf.lease_ms);
  if (d->pid > 0 && seen->allowed)
    doctor_mend(d,
                "chrt -r -p 10 %d; to stay: systemctl edit %s: [Service] CPUSchedulingPolicy=rr "
                "CPUSchedulingPriority=10",
                (int)d->pid, unit);
  else
    doctor_mend(
        d,
        "systemctl edit %s: [Service] LimitRTPRIO=50 CPUSchedulingPolicy=rr CPUSchedulingPriority=10; then "
        "restart it%s",
        unit, needed ? "; or a longer timing.lease_ms" : "");
}

void doctor_realtime(struct doctor *d) {
  struct doctor_realtime_seen seen = {.policy = sched_getscheduler(examined(d)), .whose = whose(d)};
  struct rlimit limit = {0};
  uint64_t effective = 0;
  bool known = prlimit(examined(d), RLIMIT_RTPRIO, NULL, &limit) == 0;
  known |= read_effective(examined(d), &effective);
  if (seen.policy < 0 || !known) {
    doctor_say(d, DOCTOR_UNKNOWN, "how %s is scheduled cannot be read: %s", seen.whose, strerror(errno));
    doctor_mend(d, "sudo tanist doctor");
    return;
  }
  seen.policy &= ~SCHED_RESET_ON_FORK;
  seen.allowed = limit.rlim_cur > 0 || (effective >> CAP_SYS_NICE & 1) != 0;
  doctor_judge_realtime(d, &seen);
}
