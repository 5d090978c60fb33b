// SPDX-License-Identifier: Apache-2.0
#include "common/base/peer_clock.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"

#define PPM_MAX 1000000000 // more is a clock that was set

static void end_window(struct peer_clock *c) {
  if (c->former_at != 0) {
    int64_t passed = c->best_at - c->former_at, more = c->best - c->former;
    int64_t ppm = passed > 0 && more < PPM_MAX && more > -PPM_MAX ? more * 1000000 / passed : PPM_MAX;
    ppm = ppm > PPM_MAX ? PPM_MAX : ppm < -PPM_MAX ? -PPM_MAX : ppm;
    c->ppm[c->count++ % PEER_CLOCK_RATES] = (int32_t)ppm;
  }
  c->former = c->best;
  c->former_at = c->best_at;
}

void peer_clock_beat(struct peer_clock *c, int64_t wall_ms, struct instant now) {
  int64_t ahead = wall_ms * 1000 - now.us;
  if (c->ends.us != 0 && now.us < c->ends.us) {
    if (ahead > c->best) {
      c->best = ahead;
      c->best_at = now.us;
    }
    return;
  }
  if (c->ends.us != 0)
    end_window(c);
  c->best = ahead;
  c->best_at = now.us;
  c->ends.us = now.us + PEER_CLOCK_WINDOW_US;
}

bool peer_clock_offset(const struct peer_clock *c, int64_t own_wall_ms, struct instant now, int64_t *us) {
  if (c->ends.us == 0)
    return false;
  /* the window is young after its first beat, which may have come late */
  int64_t ahead = c->former_at != 0 && now.us < c->ends.us - PEER_CLOCK_WINDOW_US / 2 ? c->former : c->best;
  *us = ahead - (own_wall_ms * 1000 - now.us);
  return true;
}

bool peer_clock_rate(const struct peer_clock *c, int32_t *ppm) {
  unsigned n = c->count < PEER_CLOCK_RATES ? c->count : PEER_CLOCK_RATES;
  int32_t sorted[PEER_CLOCK_RATES];
  if (n < PEER_CLOCK_RATES_MIN)
    return false;
  for (unsigned i = 0; i < n; i++) {
    unsigned at = i;
    for (; at > 0 && sorted[at - 1] > c->ppm[i]; at--)
      sorted[at] = sorted[at - 1];
    sorted[at] = c->ppm[i];
  }
  *ppm = sorted[n / 2];
  return true;
}

struct json *peer_clock_json(const struct peer_clock *c) {
  struct json *json = json_new_object();
  int64_t us;
  int32_t ppm;
  if (peer_clock_offset(c, clock_wall_ms(), clock_now(), &us))
    json_put_int(json, "offset_ms", us / 1000);
  else
    json_put_null(json, "offset_ms");
  if (peer_clock_rate(c, &ppm))
    json_put_int(json, "rate_ppm", ppm);
  else
    json_put_null(json, "rate_ppm");
  return json;
}
