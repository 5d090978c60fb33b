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
    note(a, note_new(a, "fence", "restored"), LOG_NOTICE, "the kernel fence is in force again");
  if (rc == 0) {
    a->fence_trouble[0] = 0;
    return;
  }
  char text[sizeof a->fence_trouble];
  snprintf(
      text, sizeof text,
      "the kernel fence could not be set (%s): not leading without; see that no other program removes it",
      strerror(-rc));
  if (strcmp(text, a->fence_trouble) != 0) { /* it is tried again at each beat: told once */
    memcpy(a->fence_trouble, text, sizeof text);
    note(a, note_new(a, "fence", "lost"), LOG_ERROR, "%s", text);
  }
  runner_later(a->runner, EVENT_FENCE_LOST);
}

static void address_trouble(struct agent *a, const char *what, int rc) {
  if (rc >= 0) {
    a->address_trouble[0] = 0;
    return;
  }
  char text[sizeof a->address_trouble];
  snprintf(text, sizeof text, "a virtual IP could not be %s: %s", what, vip_trouble(a->vip));
  if (strcmp(text, a->address_trouble) == 0)
    return; /* it is tried again and again: told once */
  memcpy(a->address_trouble, text, sizeof text);
  note(a, note_new(a, "address", "failed"), LOG_ERROR, "%s", text);
}

/* Often enough for its lifetime, and for somebody who deletes it; not at each grant. */
static void renew_address(struct agent *a) {
  struct instant now = clock_now();
  if (!runner_core(a->runner)->shown.address || instant_before(now, a->renew_at))
    return;
  a->renew_at = instant_plus_ms(now, RENEW_MS);
  int rc = vip_refresh(a->vip, lifetime_s(a));
  if (rc == 1)
    note(a, note_new(a, "address", "restored"), LOG_WARNING,
         "a virtual IP had been deleted by somebody and was put back");
  address_trouble(a, "renewed", rc);
}

void agent_address_changed(struct agent *a) {
  a->renew_at = INSTANT_PAST;
  renew_address(a);
}

static void arm(struct agent *a, struct instant until) {
  int rc = fence_arm(a->fence, until);
  vip_until(a->vip, until);
  if (rc == -ENOENT) { /* somebody removed it; it is back, closed */
    note(a, note_new(a, "fence", "removed"), LOG_WARNING,
         "the kernel fence had been removed by another program and was put back");
    rc = fence_arm(a->fence, until);
  }
  fence_trouble(a, rc);
  renew_address(a);
}

static void hold_clients(struct agent *a) {
  if (a->clients == NULL || a->address_trouble[0] != 0)
    return;
  bool had = clients_of_other(a->clients) > 0;
  clients_held(a->clients);
  if (!had)
    return;
  struct json *event = note_new(a, "address", "clients-woken");
  json_put_uint(event, "clients", clients_woken(a->clients));
  note(a, event, LOG_INFO, "%zu clients that the other node had were woken", clients_woken(a->clients));
}

static void kick_watchdog(struct agent *a) {
  const struct core *core = runner_core(a->runner);
  int rc = watchdog_look(a->watchdog, core->role != ROLE_MASTER || core_leads(core, clock_now()));
  if (rc != 0 && !a->watchdog_failed)
    note(a, note_new(a, "watchdog", "failed"), LOG_ERROR, "the watchdog cannot be kicked (%s): the machine is about "
         "to be reset", strerror(-rc));
  a->watchdog_failed = rc != 0;
}

/* Each beat, whether a lease is renewed or sole ownership needs none: what another program took away is put
 * back. */
void agent_watch(void *arg) {
  struct agent *a = arg;
  struct instant until = runner_core(a->runner)->shown.fence;
  loop_timer_in(a->watch_timer, 1000 * (int64_t)a->conf.beat_ms);
  kick_watchdog(a);
  state_page_update(a->state_page, runner_core(a->runner), clock_now());
  note_paths(a);
  if (runner_core(a->runner)->shown.address)
    hold_clients(a); /* held since before this agent started (L10) */
  agent_failback_look(a);
  take_over_watch(a->take_over);
  int rc = fence_check(a->fence);
  if (rc == 0) {
    if (a->fence_trouble[0] != 0)
      fence_trouble(a, 0);
    renew_address(a);
    return;
  }
  if (rc == -ENOENT)
    note(a, note_new(a, "fence", "removed"), LOG_WARNING,
         "the kernel fence had been removed by another program");
  if (until.us != INSTANT_PAST.us)
    arm(a, until);
  else
    fence_trouble(a, rc == -ENOENT ? 0 : rc);                   /* it is back, closed as it was */
  runner_event(a->runner, (struct event){.type = EVENT_TIMER}); /* hears of a fence that is lost */
}

static void close_fence(struct agent *a) {
  int rc = fence_close(a->fence);
  if (rc == -ENOENT)
    note(a, note_new(a, "fence", "removed"), LOG_WARNING,
         "the kernel fence had been removed by another program and was put back, closed");
  else if (rc != 0)
    fence_trouble(a, rc);
}

static void apply(struct agent *a, const struct broker_duty *duty) {
  struct json *event = note_new(a, "broker", "duty");
  json_put_text(event, "duty", broker_mode_name(duty->mode));
  json_put_uint(event, "epoch", duty->epoch);
  json_put_bool(event, "paused", duty->paused);
  json_put_bool(event, "synchronous", duty->sync);
  note(a, event, LOG_INFO, "broker: to %s%s%s%s in epoch %llu", broker_mode_name(duty->mode),
       duty->paused ? ", paused" : "", duty->sync ? ", synchronous" : "",
       duty->evict ? ", without its clients" : "", (unsigned long long)duty->epoch);
  if (!hooks_before(a->hooks, duty))
    agent_apply(a, duty);
}

void agent_apply(struct agent *a, const struct broker_duty *duty) {
  state_page_duty(a->state_page, duty);
  if (!duty->evict || !a->given) {
    struct broker_duty given = *duty;
    if (duty->evict) /* L10: the driver knows nothing of it yet; the clients' end alone answers for the duty */
      given.serial = 0, given.evict = false;
    broker_apply(a->broker, &given);
    a->given = true;
  }
  if (!duty->evict)
    return;
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

/* While the address is still there: they meet a reset, not silence. */
static void reset_clients(struct agent *a) {
  int count = a->clients != NULL ? clients_reset(a->clients) : 0;
  if (count == 0)
    return;
  struct json *event = note_new(a, "address", "clients-reset");
  json_put_int(event, "clients", count > 0 ? count : 0);
  if (count > 0)
    note(a, event, LOG_INFO, "%d connections of clients were reset: they come back at the other node", count);
  else
    note(a, event, LOG_WARNING, "the clients' connections could not be reset (%s): those that only listen may wait long",
         strerror(-count));
}

void agent_perform(void *arg, const struct action *action) {
  struct agent *a = arg;
  switch (action->type) {
  case ACTION_ADDRESS_DROP:
    reset_clients(a);
    address_trouble(a, "removed", vip_drop(a->vip));
    return;
  case ACTION_FENCE_CLOSE:
    state_page_lease(a->state_page, INSTANT_PAST);
    close_fence(a);
    return;
  case ACTION_FENCE_ARM:
    arm(a, action->until);
    state_page_lease(a->state_page, a->fence_trouble[0] == 0 ? action->until : INSTANT_PAST);
    return;
  case ACTION_BROKER:
    apply(a, &action->broker);
    return;
  case ACTION_ADDRESS_ADD:
    a->renew_at = instant_plus_ms(clock_now(), RENEW_MS);
    address_trouble(a, "added", vip_add(a->vip, lifetime_s(a)));
    hold_clients(a);
    return;
  case ACTION_FENCE_PEER:
    peer_off_begin(a->peer_off, action->peer_off);
    return;
  case ACTION_SPARE_PEER:
    peer_off_end(a->peer_off);
    return;
  case ACTION_TELL:
    note_fact(a, &action->fact);
    agent_order_fact(a, &action->fact);
    return;
  case ACTION_PERSIST:
  case ACTION_SEND:
  case ACTION_COUNT:
    return; /* the runner's */
  }
}
