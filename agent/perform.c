// SPDX-License-Identifier: Apache-2.0
// Performs the core's actions on this node: address, fence, broker, log.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/core/lease.h"

#define RENEW_MS 500 // a lifetime is two seconds and more

/* The second layer under the fence: an address that nobody renews goes within so many seconds. Under sole
   ownership nobody else can be elected, and a killed agent leaves the address serving (S5). */
static uint32_t lifetime_s(const struct agent *a) {
  return core_sole(runner_core(a->runner)) ? 0 : a->conf.lease_ms / 1000 + 2;
}

static void fence_trouble(struct agent *a, int rc) {
  if (rc == 0 && a->fence_trouble[0] != 0)
    log_notice("the kernel fence is in force again");
  if (rc == 0) {
    a->fence_trouble[0] = 0;
    return;
  }
  snprintf(
      a->fence_trouble, sizeof a->fence_trouble,
      "the kernel fence could not be set (%s): stepping down; see that no other program removes its tables",
      strerror(-rc));
  log_error("%s", a->fence_trouble);
  runner_later(a->runner, EVENT_FENCE_LOST);
}

static void address_trouble(struct agent *a, const char *what, int rc) {
  if (rc >= 0) {
    a->address_trouble[0] = 0;
    return;
  }
  snprintf(a->address_trouble, sizeof a->address_trouble, "a virtual IP could not be %s: %s", what,
           vip_trouble(a->vip));
  log_error("%s", a->address_trouble);
}

/* Often enough for its lifetime, and for somebody who deletes it; not at each grant. */
static void renew_address(struct agent *a) {
  struct instant now = clock_now();
  if (!runner_core(a->runner)->shown.address || instant_before(now, a->renew_at))
    return;
  a->renew_at = instant_plus_ms(now, RENEW_MS);
  int rc = vip_refresh(a->vip, lifetime_s(a));
  if (rc == 1)
    log_warning("a virtual IP had been deleted by somebody and was put back");
  address_trouble(a, "renewed", rc);
}

static void arm(struct agent *a, struct instant until) {
  int rc = fence_arm(a->fence, until);
  vip_until(a->vip, until);
  if (rc == -ENOENT) { /* somebody removed it; it is back, closed */
    log_warning("the kernel fence had been removed by another program and was put back");
    rc = fence_arm(a->fence, until);
  }
  fence_trouble(a, rc);
  renew_address(a);
}

/* Each beat, whether a lease is renewed or sole ownership needs none: what another program took away is put
 * back. */
void agent_watch(void *arg) {
  struct agent *a = arg;
  struct instant until = runner_core(a->runner)->shown.fence;
  loop_timer_in(a->watch_timer, 1000 * (int64_t)a->conf.beat_ms);
  int rc = fence_check(a->fence);
  if (rc == 0) {
    renew_address(a);
    return;
  }
  log_warning("the kernel fence had been removed by another program");
  if (until.us != INSTANT_PAST.us)
    arm(a, until);
  else
    fence_trouble(a, rc == -ENOENT ? 0 : rc); /* it is back, closed as it was */
  runner_event(a->runner, (struct event){.type = EVENT_TIMER}); /* hears of a fence that is lost */
}

static void close_fence(struct agent *a) {
  int rc = fence_close(a->fence);
  if (rc == -ENOENT)
    log_warning("the kernel fence had been removed by another program and was put back, closed");
  else if (rc != 0)
    fence_trouble(a, rc);
}

static void apply(struct agent *a, const struct broker_duty *duty) {
  log_info("broker: to %s%s%s%s in epoch %llu", broker_mode_name(duty->mode), duty->paused ? ", paused" : "",
           duty->sync ? ", synchronous" : "", duty->evict ? ", without its clients" : "",
           (unsigned long long)duty->epoch);
  if (!duty->evict) {
    broker_apply(a->broker, duty);
    return;
  }
  a->evict_serial = duty->serial; /* paused it is already: the clients alone go */
  broker_kill_clients(a->broker);
}

void agent_cleared(struct agent *a) {
  struct event event = {.type = EVENT_DONE};
  event.done.serial = a->evict_serial;
  event.done.position = broker_view(a->broker)->position;
  a->evict_serial = 0;
  if (event.done.serial != 0)
    runner_event(a->runner, event);
}

static enum log_level level_of(const struct fact *fact) {
  switch ((enum fact_type)fact->type) {
  case FACT_BLANKED:
  case FACT_AMNESIAC:
  case FACT_TAKEN_BACK:
  case FACT_FORCED:
  case FACT_BOTH_FORCED:
    return LOG_WARNING;
  case FACT_COMMITTED:
  case FACT_RECORD:
  case FACT_LEADER:
    return LOG_INFO;
  case FACT_ROLE:
  case FACT_REIGN:
  case FACT_FORMED:
  case FACT_FROZEN:
  case FACT_THAWED:
  case FACT_FORCE_OVER:
  case FACT_REFUSED:
  case FACT_ACCEPTED:
  case FACT_COMPLETED:
  case FACT_COUNT:
    break;
  }
  return LOG_NOTICE;
}

void agent_perform(void *arg, const struct action *action) {
  struct agent *a = arg;
  char text[SENTENCE_MAX];
  switch (action->type) {
  case ACTION_ADDRESS_DROP:
    address_trouble(a, "removed", vip_drop(a->vip));
    return;
  case ACTION_FENCE_CLOSE:
    close_fence(a);
    return;
  case ACTION_FENCE_ARM:
    arm(a, action->until);
    return;
  case ACTION_BROKER:
    apply(a, &action->broker);
    return;
  case ACTION_ADDRESS_ADD:
    a->renew_at = instant_plus_ms(clock_now(), RENEW_MS);
    address_trouble(a, "added", vip_add(a->vip, lifetime_s(a)));
    return;
  case ACTION_TELL:
    log_line(level_of(&action->fact), "%s",
             runner_sentence(&a->conf, a->self, &action->fact, text, sizeof text));
    agent_order_fact(a, &action->fact);
    return;
  case ACTION_PERSIST:
  case ACTION_SEND:
  case ACTION_COUNT:
    return; /* the runner's */
  }
}
