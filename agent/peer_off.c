// SPDX-License-Identifier: Apache-2.0
#include "agent/peer_off.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/core/lease.h"

struct peer_off {
  struct agent *agent;
  struct loop_timer *timer; // the next try
  struct instant next_at;   // not before
  uint64_t reign;           // that waits; 0
  bool trying;
  unsigned tries; // that failed, since one succeeded
  char why_not[FENCE_AGENT_TEXT_MAX];
};

static const char *other_name(const struct peer_off *p) {
  return p->agent->conf.voter[1 - p->agent->self].name;
}

static int64_t pause_ms(unsigned tries) {
  int64_t ms = PEER_OFF_RETRY_MIN_MS;
  for (unsigned i = 1; i < tries && ms < PEER_OFF_RETRY_MAX_MS; i++)
    ms *= 2;
  return ms < PEER_OFF_RETRY_MAX_MS ? ms : PEER_OFF_RETRY_MAX_MS;
}

static void failed(struct peer_off *p, const char *why_not) {
  p->tries++;
  snprintf(p->why_not, sizeof p->why_not, "%s", why_not);
  int64_t ms = pause_ms(p->tries);
  p->next_at = instant_plus_ms(clock_now(), ms);
  loop_timer_at(p->timer, p->next_at);
  struct json *event = note_new(p->agent, "fence-device", "failed");
  json_put_uint(event, "tries", p->tries);
  note(p->agent, event, LOG_ERROR,
       "%s could not be turned off, so this node, though elected, does not lead: %s. Repair the device (next "
       "try in "
       "%d s); or turn %s off yourself, and say `tanist force-master --confirm-down %s`",
       other_name(p), why_not, (int)(ms / 1000), other_name(p), other_name(p));
}

static void on_off(void *arg, const char *why_not) {
  struct peer_off *p = arg;
  p->trying = false;
  if (why_not[0] != 0) {
    failed(p, why_not);
    return;
  }
  p->tries = 0;
  p->why_not[0] = 0;
  note(p->agent, note_new(p->agent, "fence-device", "off"), LOG_WARNING,
       "the fence device turned %s off, and its status says so", other_name(p));
  struct event event = {.type = EVENT_FENCED, .fenced = p->reign};
  runner_event(p->agent->runner, event);
}

/* Whoever is at it already, an operator with force-master --fence, ends first. */
static void on_timer(void *arg) {
  struct peer_off *p = arg;
  if (p->reign == 0 || p->trying)
    return;
  p->trying = fence_agent_off(p->agent->fence_agent, on_off, p) == 0;
  if (p->trying)
    note(p->agent, note_new(p->agent, "fence-device", "asked"), LOG_WARNING,
         "the fence device is to turn %s off: this node was elected in epoch %llu, and leads only then",
         other_name(p), (unsigned long long)p->reign);
  else
    loop_timer_in(p->timer, PEER_OFF_RETRY_MIN_MS * INT64_C(1000));
}

int peer_off_open(struct peer_off **out, struct agent *a) {
  struct peer_off *p = calloc(1, sizeof *p);
  *out = p;
  if (p == NULL)
    return -ENOMEM;
  p->agent = a;
  p->next_at = INSTANT_PAST;
  p->timer = loop_timer_new(a->loop, on_timer, p);
  if (p->timer != NULL)
    return 0;
  free(p);
  *out = NULL;
  return -ENOMEM;
}

void peer_off_close(struct peer_off *p) {
  if (p == NULL)
    return;
  loop_timer_free(p->timer);
  free(p);
}

void peer_off_begin(struct peer_off *p, uint64_t reign) {
  p->reign = reign;
  loop_timer_at(p->timer, instant_later(p->next_at, clock_now()));
}

/* Its own request alone: one of an operator's goes on. */
void peer_off_end(struct peer_off *p) {
  p->reign = 0;
  loop_timer_at(p->timer, INSTANT_NEVER);
  if (p->trying)
    fence_agent_break_off(p->agent->fence_agent);
  p->trying = false;
}

void peer_off_put(const struct peer_off *p, struct json *fence) {
  json_put_bool(fence, "awaited", p->reign != 0);
  if (p->reign == 0)
    return;
  json_put_uint(fence, "tries", p->tries);
  json_put_text(fence, "why_not", p->why_not[0] != 0 ? p->why_not : NULL);
}

const char *peer_off_note(const struct peer_off *p, char *text, size_t size) {
  const char *other = other_name(p);
  text[0] = 0;
  if (p->reign != 0)
    snprintf(text, size,
             "elected in epoch %llu, this node waits for the fence device to turn %s off, and does not lead "
             "yet%s%s: "
             "repair the device; or turn %s off yourself, and say `tanist force-master --confirm-down %s`",
             (unsigned long long)p->reign, other, p->why_not[0] != 0 ? "; the last try failed, " : "",
             p->why_not, other, other);
  return text;
}
