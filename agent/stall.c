// SPDX-License-Identifier: Apache-2.0
#include "agent/stall.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

#define SAMPLE_US 1000000 // the counts from before a stall are at most so old
#define TEXT_MAX 4096
#define SOON_US 5000 // the SIGCONT that ended a stall is seen by then

struct stall {
  struct loop_timer *timer, *soon;
  struct loop_signal *continued;
  struct stall_watch watch;
  int64_t beat_us, late_us;
  struct instant due, sampled;
  int64_t before[STALL_COUNTS];
  unsigned continues, continues_before;
  uint64_t total;
  int64_t longest_us;
  char cpu_stat[320]; // "" where there is none
};

const char *stall_count_name(enum stall_count count) {
  static const char *const names[STALL_COUNTS] = {"suspended_us", "stopped_us", "throttled_us",
                                                  "stolen_us",    "waited_us",  "io_pressure_us",
                                                  "memory_pressure_us", "major_faults", "involuntary_switches"};
  return names[count];
}

// ---- what the machine counts ----

static const char *read_text(const char *path, char text[TEXT_MAX]) {
  text[0] = 0;
  int fd = path[0] != 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0)
    return text;
  ssize_t size = read(fd, text, TEXT_MAX - 1);
  text[size > 0 ? size : 0] = 0;
  close(fd);
  return text;
}

/* The number behind `word`, 0 where it is not. */
static int64_t number_behind(const char *text, const char *word) {
  const char *at = strstr(text, word);
  return at != NULL ? strtoll(at + strlen(word), NULL, 10) : 0;
}

static int64_t clock_us(clockid_t clock) {
  struct timespec ts = {0};
  clock_gettime(clock, &ts);
  return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* "cpu  user nice system idle iowait irq softirq steal": in ticks, of all processors together. */
static int64_t stolen_us(const char *text) {
  int64_t ticks[8] = {0};
  sscanf(text, "cpu %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64,
         &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]);
  return ticks[7] * 1000000 / sysconf(_SC_CLK_TCK);
}

static int64_t waited_us(const char *schedstat) {
  const char *second = strchr(schedstat, ' ');
  return second != NULL ? strtoll(second, NULL, 10) / 1000 : 0;
}

static void sample(const struct stall *s, int64_t counts[STALL_COUNTS]) {
  char text[TEXT_MAX];
  struct rusage usage = {0};
  getrusage(RUSAGE_SELF, &usage);
  counts[STALL_SUSPENDED] = clock_us(CLOCK_BOOTTIME) - clock_us(CLOCK_MONOTONIC);
  counts[STALL_STOPPED] = 0;
  counts[STALL_THROTTLED] = number_behind(read_text(s->cpu_stat, text), "throttled_usec ");
  counts[STALL_STOLEN] = stolen_us(read_text("/proc/stat", text));
  counts[STALL_WAITED] = waited_us(read_text("/proc/self/schedstat", text));
  counts[STALL_IO] = number_behind(read_text("/proc/pressure/io", text), "total=");
  counts[STALL_MEMORY] = number_behind(read_text("/proc/pressure/memory", text), "total=");
  counts[STALL_FAULTS] = usage.ru_majflt;
  counts[STALL_SWITCHES] = usage.ru_nivcsw;
}

/* cgroup2's line is "0::/path"; it may be mounted elsewhere, then nothing is known of throttling. */
static void find_cpu_stat(struct stall *s) {
  char text[TEXT_MAX];
  const char *at = strstr(read_text("/proc/self/cgroup", text), "0::");
  if (at != NULL)
    snprintf(s->cpu_stat, sizeof s->cpu_stat, "/sys/fs/cgroup%.*s/cpu.stat", (int)strcspn(at + 3, "\n"), at + 3);
}

// ---- why ----

const char *stall_cause(int64_t us, const int64_t counts[STALL_COUNTS], char *text, unsigned size) {
  static const char *const words[] = {[STALL_SUSPENDED] = "the machine was suspended",
                                      [STALL_STOPPED] = "the process was stopped (SIGSTOP)",
                                      [STALL_THROTTLED] = "its cgroup was throttled",
                                      [STALL_STOLEN] = "the hypervisor ran others",
                                      [STALL_WAITED] = "other processes had the processor",
                                      [STALL_IO] = "the machine waited for a disk",
                                      [STALL_MEMORY] = "the machine waited for memory"};
  size_t used = 0;
  text[0] = 0;
  for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
    if (counts[i] > us / 4 && used < size)
      used += (size_t)snprintf(text + used, size - used, "%s%s for %" PRId64 " ms", used > 0 ? ", " : "", words[i],
                               counts[i] / 1000);
  if (counts[STALL_FAULTS] > 0 && used < size)
    snprintf(text + used, size - used, "%s%" PRId64 " pages had to be read from disk", used > 0 ? ", " : "",
             counts[STALL_FAULTS]);
  return text;
}

static void on_soon(void *arg) {
  struct stall *s = arg;
  int64_t after[STALL_COUNTS], rise[STALL_COUNTS];
  char cause[320];
  sample(s, after);
  for (unsigned i = 0; i < STALL_COUNTS; i++)
    rise[i] = after[i] - s->before[i];
  rise[STALL_STOPPED] = s->continues != s->continues_before ? s->late_us : 0;
  s->continues_before = s->continues;
  memcpy(s->before, after, sizeof s->before);
  s->sampled = clock_now();
  s->total++;
  s->longest_us = s->late_us > s->longest_us ? s->late_us : s->longest_us;
  s->watch.stalled(s->watch.arg, s->late_us, stall_cause(s->late_us, rise, cause, sizeof cause), rise);
}

static void on_timer(void *arg) {
  struct stall *s = arg;
  struct instant now = clock_now();
  int64_t late_us = now.us - s->due.us;
  if (late_us > s->beat_us) {
    s->late_us = late_us;
    loop_timer_in(s->soon, SOON_US);
  } else if (now.us - s->sampled.us > SAMPLE_US) {
    sample(s, s->before);
    s->continues_before = s->continues;
    s->sampled = now;
  }
  s->due = (struct instant){now.us + s->beat_us / 2};
  loop_timer_at(s->timer, s->due);
}

static void on_continued(void *arg, int signo) {
  struct stall *s = arg;
  (void)signo;
  s->continues++;
}

struct stall *stall_new(struct loop *loop, uint32_t beat_ms, const struct stall_watch *watch) {
  struct stall *s = calloc(1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->watch = *watch;
  s->beat_us = (int64_t)beat_ms * 1000;
  s->timer = loop_timer_new(loop, on_timer, s);
  s->soon = loop_timer_new(loop, on_soon, s);
  s->continued = loop_signal_new(loop, SIGCONT, on_continued, s);
  if (s->timer == NULL || s->soon == NULL || s->continued == NULL) {
    stall_free(s);
    return NULL;
  }
  find_cpu_stat(s);
  sample(s, s->before);
  s->sampled = clock_now();
  s->due = (struct instant){s->sampled.us + s->beat_us / 2};
  loop_timer_at(s->timer, s->due);
  return s;
}

uint64_t stall_total(const struct stall *s) {
  return s->total;
}
int64_t stall_longest_us(const struct stall *s) {
  return s->longest_us;
}

void stall_free(struct stall *s) {
  if (s == NULL)
    return;
  loop_timer_free(s->timer);
  loop_timer_free(s->soon);
  loop_signal_free(s->continued);
  free(s);
}
