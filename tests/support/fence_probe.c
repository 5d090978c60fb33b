// SPDX-License-Identifier: Apache-2.0
// Drives one kernel fence by hand: commands on stdin, an answer on stdout for each.
//   arm MS (from now; "never")   close   check   state   gaps   remove   leave
//   bench N (what renewing and closing costs)   packets FROM TO N (what a packet costs, in ns)
// An answer is the result, the state, when the command began and ended, and the deadline if it armed one, in
// µs. usage: fence_probe CLUSTER LEASE_MS KERNEL [mechanism=NAME] [until=MS | at=US] [vip=ADDRESS] [peer=ADDRESS]
// [port=PORT] ...
//        fence_probe survey   what could be had here: a line for each mechanism
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/fence.h"
#include "common/base/clock.h"

#define BATCH 200 // packets: short enough that some batch is not interrupted

static struct fence_settings settings = {.mechanism = "auto"};
static struct fence *fence;

static int parse_address(const char *text, int *family, unsigned char *bytes) {
  *family = strchr(text, ':') ? AF_INET6 : AF_INET;
  return inet_pton(*family, text, bytes) == 1 ? 0 : -EINVAL;
}

static int option(const char *text) {
  if (strncmp(text, "port=", 5) == 0) {
    settings.port[settings.port_count++] = (uint16_t)atoi(text + 5);
    return 0;
  }
  if (strncmp(text, "mechanism=", 10) == 0) {
    settings.mechanism = text + 10;
    return 0;
  }
  if (strncmp(text, "at=", 3) == 0) {
    settings.until = (struct instant){atoll(text + 3)};
    return 0;
  }
  if (strncmp(text, "until=", 6) == 0) {
    settings.until = instant_in_ms(atol(text + 6));
    return 0;
  }
  if (strncmp(text, "vip=", 4) == 0) {
    size_t i = settings.address_count++;
    return parse_address(text + 4, &settings.address[i].family, settings.address[i].bytes);
  }
  size_t i = settings.peer_count++;
  return strncmp(text, "peer=", 5) == 0
             ? parse_address(text + 5, &settings.peer[i].family, settings.peer[i].bytes)
             : -EINVAL;
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int64_t monotonic_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

// Median and 99th percentile of n arms, and of n pairs of a close after an arm.
static void bench(size_t n) {
  int64_t *arm = calloc(n, sizeof(*arm)), *off = calloc(n, sizeof(*off));
  if (!arm || !off)
    exit(1);
  for (int both = 0; both < 2; both++)
    for (size_t i = 0; i < n; i++) {
      int64_t t = monotonic_ns();
      fence_arm(fence, instant_in_ms(settings.lease_ms - 1));
      arm[i] = both ? arm[i] : monotonic_ns() - t;
      t = monotonic_ns();
      if (both)
        fence_close(fence);
      off[i] = monotonic_ns() - t;
    }
  qsort(arm, n, sizeof(*arm), compare);
  qsort(off, n, sizeof(*off), compare);
  printf("arm %" PRId64 " %" PRId64 " close %" PRId64 " %" PRId64 "\n", arm[n / 2], arm[n * 99 / 100],
         off[n / 2], off[n * 99 / 100]);
  free(arm);
  free(off);
}

// UDP datagrams from one address to another: the best of many batches, each an average.
static void packets(const char *line) {
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(9)};
  char text[2][INET_ADDRSTRLEN];
  int batches, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int64_t best = INT64_MAX;
  if (sscanf(line, "packets %15s %15s %d", text[0], text[1], &batches) != 3 ||
      inet_pton(AF_INET, text[0], &from.sin_addr) != 1 || inet_pton(AF_INET, text[1], &to.sin_addr) != 1 ||
      bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ||
      connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
    exit(2);
  for (int i = 0; i < batches; i++) {
    int64_t began = monotonic_ns();
    for (int k = 0; k < BATCH; k++)
      (void)!send(fd, "?", 1, MSG_DONTWAIT); // refused by a closed fence: that is what it costs
    int64_t each = (monotonic_ns() - began) / BATCH;
    best = each < best ? each : best;
  }
  printf("%" PRId64 "\n", best);
  close(fd);
}

static int run(const char *line, struct instant *until) {
  if (strncmp(line, "arm ", 4) == 0) {
    *until = strcmp(line, "arm never") == 0 ? INSTANT_NEVER : instant_in_ms(atol(line + 4));
    return fence_arm(fence, *until);
  }
  if (strcmp(line, "close") == 0)
    return fence_close(fence);
  if (strcmp(line, "check") == 0)
    return fence_check(fence);
  return strcmp(line, "state") == 0 ? 0 : -EINVAL;
}

static void gap(void *arg, const char *word, const char *sentence) {
  (void)arg, (void)word;
  printf("%s. ", sentence);
}

static void told(void *arg, const char *mechanism, const char *why_not) {
  (void)arg;
  printf("%s %s\n", mechanism, why_not);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "survey") == 0) {
    fence_survey(told, NULL);
    return 0;
  }
  if (argc < 4)
    return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  settings.cluster = argv[1];
  settings.lease_ms = (uint32_t)atoi(argv[2]);
  settings.kernel = argv[3];
  for (int i = 4; i < argc; i++)
    if (option(argv[i]) < 0)
      return 2;
  const char *error = "";
  int rc = fence_open(&fence, &settings, &error);
  if (rc < 0) {
    printf("error %d %s\n", rc, error);
    return 1;
  }
  printf("open %s %d %s\n", fence_mechanism(fence), fence_enforced(fence), fence_state(fence));
  char line[128];
  while (fgets(line, sizeof(line), stdin)) {
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "remove") == 0 || strcmp(line, "leave") == 0)
      break;
    if (strncmp(line, "bench ", 6) == 0) {
      bench((size_t)atol(line + 6));
      continue;
    }
    if (strncmp(line, "packets ", 8) == 0) {
      packets(line);
      continue;
    }
    if (strcmp(line, "gaps") == 0) {
      fence_gaps(fence, gap, NULL);
      putchar('\n');
      continue;
    }
    struct instant before = clock_now(), until = before;
    rc = run(line, &until);
    printf("%d %s %" PRId64 " %" PRId64 " %" PRId64 "\n", rc, fence_state(fence), before.us, clock_now().us,
           until.us);
  }
  fence_free(fence, strcmp(line, "remove") == 0);
  return 0;
}
