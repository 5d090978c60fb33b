// SPDX-License-Identifier: Apache-2.0
// doctor: the kernel fence, armed for a second on a loopback address of its own and tested with datagrams.
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/doctor.h"
#include "agent/fence.h"
#include "common/base/clock.h"
#include "common/core/lease.h"

#define LOOK_MS 100 // so long is a closed fence tried
#define AFTER_MS 300
#define EVERY_MS 5

struct lane { // from one loopback address to the fenced one
  int from, to;
  struct sockaddr_in at;
};

static int bound(uint32_t address, struct sockaddr_in *at) {
  socklen_t size = sizeof *at;
  *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof *at) == 0 &&
      getsockname(fd, (struct sockaddr *)at, &size) == 0)
    return fd;
  int error = -errno;
  if (fd >= 0)
    close(fd);
  return error;
}

/* Sends for so long; counts what arrives, and by when the last of them was sent. */
static void play(const struct lane *lane, int64_t ms, unsigned *passed, int64_t *last_us) {
  struct instant end = instant_in_ms(ms);
  while (clock_now().us < end.us) {
    int64_t sent = clock_now().us, got;
    struct pollfd wait = {.fd = lane->to, .events = POLLIN};
    sendto(lane->from, &sent, sizeof sent, MSG_DONTWAIT, (const struct sockaddr *)&lane->at, sizeof lane->at);
    poll(&wait, 1, EVERY_MS);
    while (recv(lane->to, &got, sizeof got, 0) == sizeof got) {
      ++*passed;
      *last_us = got > *last_us ? got : *last_us;
    }
    if (clock_now().us < sent + EVERY_MS * 1000) /* it came at once: the next after a while */
      poll(NULL, 0, EVERY_MS);
  }
}

static void try_fence(struct fence *fence, const struct lane *lane, struct doctor_fence_trial *seen) {
  unsigned before = 0;
  int64_t last = 0;
  play(lane, LOOK_MS, &before, &last);
  seen->leaked = before > 0;
  struct instant until = instant_in_ms(DOCTOR_FENCE_MS);
  seen->error = fence_arm(fence, until);
  seen->why = "it cannot be armed";
  if (seen->error != 0)
    return;
  last = 0;
  play(lane, DOCTOR_FENCE_MS + AFTER_MS, &seen->passed, &last);
  seen->late_us = last - until.us;
}

static void note_gap(void *arg, const char *word, const char *sentence) {
  struct doctor_fence_trial *seen = arg;
  (void)word;
  if (seen->gaps < DOCTOR_GAPS_MAX)
    snprintf(seen->gap[seen->gaps++], sizeof seen->gap[0], "%s", sentence);
}

static void trial(const struct doctor *d, struct doctor_fence_trial *seen) {
  char name[32];
  struct lane lane = {.from = -1};
  struct sockaddr_in unused;
  struct fence *fence;
  uint32_t address = 0x7f000000u | (84u << 16) | ((uint32_t)getpid() & 0xffff);
  snprintf(name, sizeof name, "_%ld", (long)getpid()); /* a cluster's begins with a letter */
  struct fence_settings settings = {.cluster = name,
                                    .kernel = "require",
                                    .mechanism = cluster_mechanism_name(&d->conf),
                                    .address_count = 1,
                                    .lease_ms = DOCTOR_FENCE_MS};
  settings.address[0].family = AF_INET;
  memcpy(settings.address[0].bytes, &(uint32_t){htonl(address)}, 4);
  lane.to = bound(address, &lane.at);
  lane.from = bound(INADDR_LOOPBACK, &unused);
  seen->why = "no socket on the loopback interface: is it up?";
  seen->error = lane.to < 0 ? lane.to : lane.from < 0 ? lane.from : fence_open(&fence, &settings, &seen->why);
  if (seen->error == 0) {
    seen->mechanism = fence_mechanism(fence);
    try_fence(fence, &lane, seen);
    fence_gaps(fence, note_gap, seen);
    fence_free(fence, true);
  }
  if (lane.to >= 0)
    close(lane.to);
  if (lane.from >= 0)
    close(lane.from);
}

void doctor_judge_fence(struct doctor *d, const struct doctor_fence_trial *seen) {
  if (seen->error == -EPERM && geteuid() != 0) {
    doctor_say(d, DOCTOR_UNKNOWN, "not tested: %s", seen->why);
    doctor_mend(d, "sudo tanist doctor");
  } else if (seen->error != 0) {
    doctor_say(d, DOCTOR_FINDING, "there is no kernel fence (%s): %s", strerror(-seen->error), seen->why);
    doctor_mend(
        d, "modprobe nf_tables; sysctl net.core.bpf_jit_enable; a kernel of 5.10 or newer with nf_tables or "
           "BPF");
  } else if (seen->leaked || seen->late_us > 0) {
    doctor_say(d, DOCTOR_FINDING, "the kernel fence (%s) lets through %s", seen->mechanism,
               seen->leaked ? "while it is closed" : "what is sent after its deadline");
    doctor_mend(d, "nft list ruleset; tc filter show dev lo ingress: what accepts before it?");
  } else if (seen->passed == 0) {
    doctor_say(d, DOCTOR_FINDING, "the kernel fence (%s) lets nothing through while it is armed",
               seen->mechanism);
    doctor_mend(d, "nft list ruleset: what drops 127.0.0.0/8 on lo?");
  } else {
    doctor_say(d, DOCTOR_OK,
               "the kernel fence (%s) was armed for %d ms and closed %.1f ms before its deadline",
               seen->mechanism, DOCTOR_FENCE_MS, (double)-seen->late_us / 1000);
  }
}

void doctor_judge_gaps(struct doctor *d, const struct json *status_fence, const struct doctor_fence_trial *seen) {
  const struct json *notes = json_get(status_fence, "notes");
  const char *mechanism = json_get_text(status_fence, "mechanism", NULL);
  if (mechanism != NULL)
    doctor_say(d, DOCTOR_OK, "the running agent's kernel fence is by %s, %s", mechanism,
               json_get_text(status_fence, "kernel", "?"));
  for (size_t i = 0; mechanism != NULL && i < json_count(notes); i++)
    doctor_say(d, DOCTOR_NOTE, "%s: %s", mechanism, json_as_text(json_at(notes, i), "?"));
  for (size_t i = 0; mechanism == NULL && i < seen->gaps; i++)
    doctor_say(d, DOCTOR_NOTE, "%s: %s", seen->mechanism, seen->gap[i]);
}

void doctor_fence(struct doctor *d) {
  struct doctor_fence_trial seen = {0};
  if (d->self == VOTER_W) {
    doctor_say(d, DOCTOR_OK, "a witness needs none");
    return;
  }
  if (d->conf.fence.kernel == KERNEL_OFF) {
    doctor_say(d, DOCTOR_NOTE,
               "fence.kernel is \"off\": a stopped agent's virtual IP and ports stay open past the lease");
    return;
  }
  const char *state = json_get_text(json_get(d->status, "fence"), "kernel", "");
  if (strcmp(state, "none") == 0) {
    doctor_say(d, DOCTOR_FINDING,
               "the running agent has no kernel fence: a hung agent would leave the virtual IP behind");
    doctor_mend(d, "set fence.kernel = \"require\" to see why, then restart the agent");
  }
  trial(d, &seen);
  doctor_judge_fence(d, &seen);
  doctor_judge_gaps(d, json_get(d->status, "fence"), &seen);
}
