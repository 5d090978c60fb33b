// SPDX-License-Identifier: Apache-2.0
#include "common/core/lease.h"

struct instant instant_plus_us(struct instant at, int64_t us) {
  if (at.us == INT64_MAX || at.us == INT64_MIN)
    return at;
  if (us > 0 && at.us > INT64_MAX - us)
    return INSTANT_NEVER;
  if (us < 0 && at.us < INT64_MIN - us)
    return INSTANT_PAST;
  return (struct instant){at.us + us};
}

struct instant instant_plus_ms(struct instant at, int64_t ms) {
  return instant_plus_us(at, ms * 1000);
}

int64_t instant_us_between(struct instant from, struct instant to) {
  int64_t us;
  if (__builtin_sub_overflow(to.us, from.us, &us))
    return to.us > from.us ? INT64_MAX : INT64_MIN;
  return us;
}

bool instant_before(struct instant a, struct instant b) {
  return a.us < b.us;
}
struct instant instant_later(struct instant a, struct instant b) {
  return a.us > b.us ? a : b;
}
struct instant instant_earlier(struct instant a, struct instant b) {
  return a.us < b.us ? a : b;
}

struct instant lease_end(struct instant sent, uint32_t lease_ms, uint32_t drift_ppm) {
  // lease_ms * 1000 * (1 - ppm / 1e6), rounded down: never a microsecond more than the voters promised
  int64_t us = (int64_t)lease_ms * (1000000 - (int64_t)drift_ppm) / 1000;
  return instant_plus_us(sent, us);
}

struct instant promise_end(struct instant received, uint32_t lease_ms) {
  return instant_plus_ms(received, lease_ms);
}

uint32_t ms_until(struct instant now, struct instant at) {
  int64_t us = instant_us_between(now, at);
  if (us <= 0)
    return 0;
  int64_t ms = us / 1000 + (us % 1000 != 0);
  return ms < FREE_NEVER ? (uint32_t)ms : FREE_NEVER - 1;
}
