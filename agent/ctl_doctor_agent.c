// SPDX-License-Identifier: Apache-2.0
// doctor: the daemon, and what it tells of the ways to the others and of their clocks.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/doctor.h"

#define LOSS_NOTED 1.0    // percent
#define LOSS_TOO_MUCH 5.0 // three beats in a row, which end a lease, are then lost once in some ten minutes
#define OFFSET_MAX_MS 1000
#define RATE_NOISE_PPM 500 // of a busy machine
#define ANSWER_MS 300

void doctor_agent(struct doctor *d) {
  char unit[64];
  const struct json *warnings = json_get(d->status, "warnings");
  if (d->status == NULL) {
    doctor_say(d, DOCTOR_UNKNOWN, "%s",
               d->silence[0] != 0 ? d->silence : "the daemon here does not serve this cluster");
    doctor_mend(d, "systemctl start %s", doctor_unit(d, unit, sizeof unit));
    return;
  }
  doctor_say(d, DOCTOR_OK, "%s runs as %s, pid %d", json_get_text(d->status, "node", "?"),
             json_get_text(d->status, "role", "?"), (int)d->pid);
  for (size_t i = 0; i < json_count(warnings); i++)
    doctor_say(d, DOCTOR_NOTE, "its status warns: %s", json_as_text(json_at(warnings, i), "?"));
}

// ---- paths ----

static const char *host_of(const char *address, char *buf, size_t size) {
  const char *colon = strrchr(address, ':');
  bool bracket = address[0] == '[';
  size_t n = colon != NULL ? (size_t)(colon - address) : strlen(address);
  snprintf(buf, size, "%.*s", (int)(n - (bracket ? 2 : 0)), address + (bracket ? 1 : 0));
  return buf;
}

static void judge_loss(struct doctor *d, const char *name, const char *address, const struct json *path) {
  double loss = json_get_real(path, "loss_percent", 0);
  int64_t rtt = json_get_int(path, "rtt_us", -1);
  char host[64], trip[48] = "";
  host_of(address, host, sizeof host);
  if (rtt >= 0)
    snprintf(trip, sizeof trip, ", round trip %.2f ms", (double)rtt / 1000);
  enum doctor_level level = loss >= LOSS_TOO_MUCH ? DOCTOR_FINDING
                            : loss >= LOSS_NOTED  ? DOCTOR_NOTE
                                                  : DOCTOR_OK;
  doctor_say(d, level, "%s at %s: both ways%s, %.1f %% of its beats lost on the way here", name, address,
             trip, loss);
  if (level == DOCTOR_FINDING)
    doctor_mend(
        d,
        "mtr -rwc 100 %s; look at cable, duplex and load (ip -s link); the other way is told by doctor on %s",
        host, name);
}

void doctor_judge_path(struct doctor *d, unsigned voter, const struct json *path) {
  const char *name = d->conf.voter[voter].name, *address = json_get_text(path, "address", "?");
  const char *state = json_get_text(path, "state", "?"), *port = strrchr(address, ':');
  char host[64];
  port = port != NULL ? port + 1 : "7400";
  host_of(address, host, sizeof host);
  if (strcmp(state, "up") == 0) {
    judge_loss(d, name, address, path);
  } else if (strcmp(state, "deaf") == 0) {
    doctor_say(d, DOCTOR_FINDING, "%s at %s: one way only: we are heard there, and hear nothing", name,
               address);
    doctor_mend(
        d,
        "let UDP port %s in from %s: nft list ruleset (here, and what %s lets out); see: tcpdump -ni any udp "
        "port %s and host %s",
        port, host, name, port, host);
  } else if (strcmp(state, "mute") == 0) {
    doctor_say(d, DOCTOR_FINDING, "%s at %s: one way only: we hear, and are not heard there", name, address);
    doctor_mend(
        d,
        "on %s, let UDP port %s in from here: nft list ruleset (and what this machine lets out); see there: "
        "tcpdump -ni any udp port %s",
        name, port, port);
  } else {
    /* that we are heard would come in its beats */
    doctor_say(d, DOCTOR_FINDING,
               "%s at %s: nothing is heard from there; whether we are heard, doctor on %s tells", name,
               address, name);
    doctor_mend(d, "ping -c 3 %s; ip route get %s; on %s: systemctl status %s%s", host, host, name,
                voter == VOTER_W ? "tanist-witness" : "tanist-agent@", voter == VOTER_W ? "" : d->conf.name);
  }
}

static const struct json *voter_status(const struct doctor *d, unsigned voter) {
  const struct json *voters = json_get(d->status, "voters");
  for (size_t i = 0; i < json_count(voters); i++)
    if (strcmp(json_get_text(json_at(voters, i), "name", ""), d->conf.voter[voter].name) == 0)
      return json_at(voters, i);
  return NULL;
}

/* Without an agent: one datagram that is no beat. That nothing listens comes back; else nobody can tell. */
static int knock(const struct net_address *to) {
  socklen_t size = to->any.sa_family == AF_INET ? sizeof to->v4 : sizeof to->v6;
  int error = 0, fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, &to->any, size) != 0 || send(fd, "?", 1, 0) != 1)
    error = errno;
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  socklen_t length = sizeof error;
  if (error == 0 && poll(&wait, 1, ANSWER_MS) > 0)
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (fd >= 0)
    close(fd);
  return error;
}

static void knock_at(struct doctor *d, unsigned voter, const struct net_address *address) {
  const char *name = d->conf.voter[voter].name;
  char text[NET_ADDRESS_TEXT_SIZE], host[64];
  net_address_format(address, text);
  host_of(text, host, sizeof host);
  int error = knock(address);
  if (error == ECONNREFUSED) {
    doctor_say(d, DOCTOR_FINDING, "%s at %s: its machine answers, but no daemon listens", name, text);
    doctor_mend(d, "on %s: systemctl start %s%s", name, voter == VOTER_W ? "tanist-witness" : "tanist-agent@",
                voter == VOTER_W ? "" : d->conf.name);
  } else if (error != 0) {
    doctor_say(d, DOCTOR_FINDING, "%s at %s: cannot be sent to: %s", name, text, strerror(error));
    doctor_mend(d, "ip route get %s; ping -c 3 %s", host, host);
  } else {
    doctor_say(d, DOCTOR_UNKNOWN,
               "%s at %s: whether both ways, and what is lost, the running daemon alone can tell", name,
               text);
  }
}

void doctor_paths(struct doctor *d) {
  for (unsigned v = 0; v < VOTERS; v++) {
    const struct json *paths = json_get(voter_status(d, v), "paths");
    for (size_t i = 0; v != d->self && i < json_count(paths); i++)
      doctor_judge_path(d, v, json_at(paths, i));
    for (size_t i = 0; v != d->self && d->status == NULL && i < d->conf.voter[v].address_count; i++)
      knock_at(d, v, &d->conf.voter[v].address[i]);
  }
}

// ---- clocks ----

static void judge_rate(struct doctor *d, const char *name, int64_t ppm) {
  double percent = (double)ppm / 10000;
  if (llabs(ppm) <= (int64_t)d->conf.drift_ppm + RATE_NOISE_PPM) {
    doctor_say(d, DOCTOR_OK, "%s: its clock's rate differs by %.3f %% (timing.drift_percent allows %g)", name,
               percent, d->conf.drift_percent);
    return;
  }
  doctor_say(d, DOCTOR_FINDING,
             "%s: its clock's rate differs by %.3f %%, timing.drift_percent allows %g: the lease is not safe",
             name, percent, d->conf.drift_percent);
  doctor_mend(
      d,
      "chronyc tracking (on both), cat /sys/devices/system/clocksource/clocksource0/current_clocksource; or "
      "a larger timing.drift_percent on all three");
}

void doctor_judge_clock(struct doctor *d, unsigned voter, const struct json *clock) {
  const char *name = d->conf.voter[voter].name;
  int64_t offset = json_get_int(clock, "offset_ms", 0), ppm = json_get_int(clock, "rate_ppm", INT64_MAX);
  const char *side = offset < 0 ? "behind" : "ahead";
  if (json_get(clock, "offset_ms") == NULL) {
    doctor_say(d, DOCTOR_UNKNOWN, "%s: it is not heard, so its clock is not seen", name);
    return;
  }
  if (llabs(offset) <= OFFSET_MAX_MS) {
    doctor_say(d, DOCTOR_OK, "%s: its wall clock is %lld ms %s", name, llabs(offset), side);
  } else {
    doctor_say(d, DOCTOR_FINDING,
               "%s: its wall clock is %lld ms %s; no promise rests on it, but logs and events do not line up",
               name, llabs(offset), side);
    doctor_mend(d, "chronyc makestep (on the machine that is wrong: chronyc tracking)");
  }
  if (ppm == INT64_MAX)
    doctor_say(d, DOCTOR_UNKNOWN, "%s: its clock's rate takes some twenty seconds of beats to be seen", name);
  else
    judge_rate(d, name, ppm);
}

void doctor_clocks(struct doctor *d) {
  if (d->status == NULL) {
    doctor_say(d, DOCTOR_UNKNOWN, "the others' clocks are seen in the beats that the running daemon hears");
    return;
  }
  for (unsigned v = 0; v < VOTERS; v++)
    if (v != d->self)
      doctor_judge_clock(d, v, json_get(voter_status(d, v), "clock"));
}
