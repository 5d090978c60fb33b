// SPDX-License-Identifier: Apache-2.0
// policy.restart_max: a broker that ends again and again is not started without end; somebody has to look at
// it.
#include <stdio.h>

#include "agent/verbs_engine.h"
#include "common/base/clock.h"
#include "common/core/lease.h"

static unsigned allowed(const struct verbs *e) {
  uint32_t most = e->settings.restart_max != NULL ? *e->settings.restart_max : VERBS_RESTARTS_MAX;
  return most < VERBS_RESTARTS_MAX ? most : VERBS_RESTARTS_MAX;
}

struct instant verbs_restart_at(const struct verbs *e) {
  bool first = !e->seen && !e->tried;
  if (e->settings.restart_max == NULL || first || e->restarts < allowed(e))
    return INSTANT_PAST;
  if (allowed(e) == 0)
    return INSTANT_NEVER;
  return instant_plus_ms(e->restarted[(e->restarts - allowed(e)) % VERBS_RESTARTS_MAX],
                         *e->settings.restart_window_ms);
}

void verbs_count_start(struct verbs *e) {
  bool first = !e->seen && !e->tried;
  e->tried = true;
  if (!first)
    e->restarted[e->restarts++ % VERBS_RESTARTS_MAX] = clock_now();
}

bool verbs_worn_out(const struct verbs *e, char text[static VERBS_TROUBLE_MAX]) {
  struct instant at = verbs_restart_at(e);
  text[0] = 0;
  if (e->place != PLACE_DOWN || !verbs_can(e, VERB_START) || !instant_before(clock_now(), at))
    return false;
  if (allowed(e) == 0)
    snprintf(text, VERBS_TROUBLE_MAX,
             "the broker does not run, and is not started again (policy.restart_max = 0): start it");
  else
    snprintf(text, VERBS_TROUBLE_MAX,
             "the broker was started again %u times in %u s and does not run: see its log, and start it "
             "(policy.restart_max)",
             allowed(e), *e->settings.restart_window_ms / 1000);
  return true;
}
