// SPDX-License-Identifier: Apache-2.0
#include "common/base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static struct timespec read_clock(clockid_t clock) {
  struct timespec ts;
  int rc = clock_gettime(clock, &ts);
  assert(rc == 0); // both clocks exist wherever this was built for
  (void)rc;
  return ts;
}

struct instant clock_now(void) {
  struct timespec ts = read_clock(CLOCK_BOOTTIME);
  return (struct instant){(int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000};
}

int64_t clock_wall_ms(void) {
  struct timespec ts = read_clock(CLOCK_REALTIME);
  return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct instant instant_in_ms(int64_t ms) {
  struct instant at;
  // Out of range is as good as never (or as long ago), never a wrapped-around moment.
  if (__builtin_mul_overflow(ms, 1000, &at.us) || __builtin_add_overflow(at.us, clock_now().us, &at.us))
    return ms < 0 ? INSTANT_PAST : INSTANT_NEVER;
  return at;
}

const char *clock_wall_text(int64_t wall_ms, char buf[CLOCK_WALL_TEXT_SIZE]) {
  int64_t ms = (wall_ms % 1000 + 1000) % 1000;
  time_t at = (time_t)((wall_ms - ms) / 1000);
  struct tm utc;
  char text[24] = "";
  if (gmtime_r(&at, &utc) != NULL)
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(buf, CLOCK_WALL_TEXT_SIZE, "%s.%03dZ", text, (int)ms);
  return buf;
}

const char *clock_boot_id(void) {
  static char id[CLOCK_BOOT_ID_SIZE];
  FILE *file = id[0] == 0 ? fopen("/proc/sys/kernel/random/boot_id", "re") : NULL;
  if (file == NULL)
    return id;
  if (fscanf(file, "%36s", id) != 1)
    id[0] = 0;
  fclose(file);
  return id;
}
