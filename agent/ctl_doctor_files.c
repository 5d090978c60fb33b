// SPDX-License-Identifier: Apache-2.0
// doctor: the key file, and the time budget with what this machine's disk and network take.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/doctor.h"
#include "common/base/clock.h"
#include "common/base/key.h"

#define SYNCS 5

// ---- the key ----

static void mend_key(struct doctor *d, const struct doctor_key_seen *seen) {
  const char *cluster = d->conf.name, *name = d->conf.voter[d->self].name;
  if (seen->result == -EPERM)
    doctor_mend(d, "chmod 0600 %s", seen->path);
  else if (seen->result == -ENOENT)
    doctor_mend(
        d, "tanist keygen --cluster %s --name %s --directory %s, then its line into public_key on all three",
        cluster, name, d->conf.keys_directory);
  else if (seen->result == -EACCES)
    doctor_mend(d, "sudo tanist doctor");
  else if (seen->result != 0)
    doctor_mend(
        d,
        "mv %s %s.bad; tanist keygen --cluster %s --name %s --directory %s, then its line into public_key on "
        "all three",
        seen->path, seen->path, cluster, name, d->conf.keys_directory);
}

void doctor_judge_key(struct doctor *d, const struct doctor_key_seen *seen) {
  const char *name = d->conf.voter[d->self].name;
  if (seen->result != 0) {
    doctor_say(d, seen->result == -EACCES && geteuid() != 0 ? DOCTOR_UNKNOWN : DOCTOR_FINDING, "%s",
               seen->error);
    mend_key(d, seen);
  } else if (!seen->matches) {
    doctor_say(d, DOCTOR_FINDING,
               "%s is not the key of %s: its public key is another than the configuration's", seen->path,
               name);
    doctor_mend(
        d, "tanist pubkey --cluster %s --name %s --directory %s, then its line into public_key on all three",
        d->conf.name, name, d->conf.keys_directory);
  } else if (seen->daemon != (uid_t)-1 && seen->daemon != 0 && seen->owner != seen->daemon) {
    doctor_say(d, DOCTOR_FINDING, "%s belongs to uid %u; the daemon runs as uid %u and cannot read it",
               seen->path, (unsigned)seen->owner, (unsigned)seen->daemon);
    doctor_mend(d, "chown %u %s", (unsigned)seen->daemon, seen->path);
  } else {
    doctor_say(d, DOCTOR_OK, "%s is the key of %s, and open to its owner alone", seen->path, name);
  }
}

/* Whom the daemon runs as: the owner of its /proc entry. */
static uid_t daemon_uid(const struct doctor *d) {
  char path[64];
  struct stat at;
  snprintf(path, sizeof path, "/proc/%d", (int)d->pid);
  return d->pid > 0 && stat(path, &at) == 0 ? at.st_uid : (uid_t)-1;
}

void doctor_keys(struct doctor *d) {
  char path[CTL_PATH_MAX], error[DOCTOR_TEXT_MAX] = "";
  struct key key;
  struct stat at;
  struct doctor_key_seen seen = {.path = cluster_key_path(&d->conf, d->self, path, sizeof path),
                                 .error = error,
                                 .daemon = daemon_uid(d)};
  seen.result = key_load(path, &key, error, sizeof error);
  seen.matches = seen.result == 0 && memcmp(key.public_key, d->conf.voter[d->self].key, KEY_SIZE) == 0;
  seen.owner = stat(path, &at) == 0 ? at.st_uid : (uid_t)-1;
  key_wipe(&key);
  doctor_judge_key(d, &seen);
}

// ---- the time budget ----

/* The slowest of a few, of what a ballot's write takes at least; -1: cannot be measured, and errno why. */
static int64_t disk_sync_us(const char *directory) {
  char path[CTL_PATH_MAX], bytes[512] = {0};
  int64_t slowest = 0;
  snprintf(path, sizeof path, "%s/.doctor.%d", directory, (int)getpid());
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return -1;
  unlink(path);
  for (int i = 0; slowest >= 0 && i < SYNCS; i++) {
    int64_t begin = clock_now().us;
    if (pwrite(fd, bytes, sizeof bytes, i * (off_t)sizeof bytes) != sizeof bytes || fsync(fd) != 0)
      slowest = -1;
    else if (clock_now().us - begin > slowest)
      slowest = clock_now().us - begin;
  }
  int error = errno;
  close(fd);
  errno = error;
  return slowest;
}

static int64_t slowest_trip_us(const struct doctor *d) {
  const struct json *voters = json_get(d->status, "voters");
  int64_t slowest = -1;
  for (size_t i = 0; i < json_count(voters); i++) {
    const struct json *paths = json_get(json_at(voters, i), "paths");
    for (size_t k = 0; k < json_count(paths); k++) {
      int64_t trip = json_get_int(json_at(paths, k), "rtt_us", -1);
      slowest = trip > slowest ? trip : slowest;
    }
  }
  return slowest;
}

/* The shortest lease in which three beats and an answer fit, with half as much again. */
static uint32_t roomy_lease_ms(const struct budget *b, int64_t answer_us) {
  int64_t least_us = (3000 * (int64_t)b->beat_ms + answer_us) * 1000000 / (1000000 - b->drift_ppm);
  return (uint32_t)((least_us * 3 / 2 + 9999) / 10000 * 10);
}

void doctor_judge_budget(struct doctor *d, int64_t rtt_us, int64_t sync_us) {
  struct budget b = cluster_budget(&d->conf);
  int64_t answer = rtt_us > BUDGET_ANSWER_US ? rtt_us : BUDGET_ANSWER_US;
  int64_t held_us = (int64_t)b.lease_ms * (1000000 - (int64_t)b.drift_ppm) / 1000;
  char trip[64] = "not measured (who leads measures it)", sync[64] = "not measured";
  if (rtt_us >= 0)
    snprintf(trip, sizeof trip, "%.2f ms", (double)rtt_us / 1000);
  if (sync_us >= 0)
    snprintf(sync, sizeof sync, "%.2f ms", (double)sync_us / 1000);
  if (held_us < 3000 * (int64_t)b.beat_ms + answer) {
    doctor_say(d, DOCTOR_FINDING,
               "two lost beats end a lease of %u ms: three beats of %u ms and a round trip of %s do "
               "not fit in",
               b.lease_ms, b.beat_ms, trip);
    doctor_mend(d,
                "timing.lease_ms = %u on all three, then restart them; see tanist check %s --round-trip %.1f",
                roomy_lease_ms(&b, answer), d->file, (double)answer / 1000);
  }
  if (sync_us > (int64_t)b.lease_ms * 500) {
    doctor_say(d, DOCTOR_FINDING,
               "a disk sync in %s takes %s, more than half of the lease of %u ms: votes and records "
               "come too late",
               d->conf.state_directory, sync, b.lease_ms);
    doctor_mend(
        d, "put state_directory on a faster disk (ioping -D %s), or a longer timing.lease_ms on all three",
        d->conf.state_directory);
  }
  doctor_say(
      d, DOCTOR_OK, "round trip %s, disk sync %s: worst-case failover %.1f ms, self-fence deadline %.1f ms",
      trip, sync,
      (double)budget_failover_us(&b, rtt_us >= 0 ? rtt_us : 1000, sync_us >= 0 ? sync_us : 5000) / 1000,
      (double)budget_self_fence_us(&b) / 1000);
}

void doctor_budget(struct doctor *d) {
  int64_t sync = disk_sync_us(d->conf.state_directory);
  if (sync < 0) {
    int error = errno;
    bool mine = error == EACCES && geteuid() != 0;
    doctor_say(d, mine ? DOCTOR_UNKNOWN : DOCTOR_FINDING,
               "no file can be written in %s (state_directory): %s", d->conf.state_directory,
               strerror(error));
    if (mine)
      doctor_mend(d, "sudo tanist doctor");
    else
      doctor_mend(d, "install -d -o tanist -g tanist -m 0700 %s; df -h %s; findmnt -T %s",
                  d->conf.state_directory, d->conf.state_directory, d->conf.state_directory);
  }
  doctor_judge_budget(d, slowest_trip_us(d), sync);
}
