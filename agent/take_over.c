// SPDX-License-Identifier: Apache-2.0
#include "agent/take_over.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/address_watch.h"
#include "agent/agent.h"
#include "agent/link_watch.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/core/lease.h"

#define TELL_GAP_MS 60000 // between two events about the same stranger

struct take_over {
  struct agent *agent;
  struct address_watch *watch;
  struct link_watch *links;
  uint8_t role, follow; // as last seen
  bool down[CLUSTER_VIPS_MAX], down_told[CLUSTER_VIPS_MAX];
  struct instant told_at[CLUSTER_VIPS_MAX];
  bool unfit; // as last reported
};

static const struct cluster_vip *vip_of(const struct take_over *t, size_t i) {
  return &t->agent->conf.vip[i];
}

static bool refuses(const struct take_over *t, size_t i) {
  return vip_of(t, i)->conflict == CONFLICT_REFUSE && address_watch_stranger(t->watch, i);
}

static bool unfit(const struct take_over *t) {
  for (size_t i = 0; i < t->agent->conf.vip_count; i++)
    if (t->down_told[i] || refuses(t, i))
      return true;
  return false;
}

static void report_if_turned(struct take_over *t) {
  bool now = unfit(t);
  if (now == t->unfit)
    return;
  t->unfit = now;
  agent_report(t->agent);
}

void take_over_judge(const struct take_over *t, struct broker_report *report) {
  if (t == NULL || !unfit(t))
    return;
  report->health = 0;
  for (size_t i = 0; i < t->agent->conf.vip_count; i++)
    if (t->down_told[i] && t->role == ROLE_MASTER)
      report->dead = true; /* clients do not reach it there: the other takes over (L8) */
}

// ---- strangers ----

static bool told_lately(struct take_over *t, size_t i) {
  struct instant now = clock_now();
  if (t->told_at[i].us != INSTANT_PAST.us && instant_before(now, instant_plus_ms(t->told_at[i], TELL_GAP_MS)))
    return true;
  t->told_at[i] = now;
  return false;
}

static struct json *event_of(struct take_over *t, const char *what, size_t i, char mac[18]) {
  struct address_seen seen = address_watch_seen(t->watch, i);
  struct json *event = note_new(t->agent, "address", what);
  address_watch_mac(&seen, mac);
  json_put_text(event, "address", vip_of(t, i)->text);
  json_put_text(event, "mac", mac);
  return event;
}

static void on_stranger(void *arg, size_t i) {
  struct take_over *t = arg;
  char mac[18];
  bool refused = vip_of(t, i)->conflict == CONFLICT_REFUSE;
  if (!told_lately(t, i)) {
    struct json *event = event_of(t, "stranger", i, mac);
    note(t->agent, event, LOG_WARNING,
         "virtual IP %s is answered by %s, which is neither node: find that machine and take the address from it%s",
         vip_of(t, i)->text, mac, refused ? "; until then this node does not lead (conflict = \"refuse\")" : "");
  }
  report_if_turned(t);
}

static void on_contested(void *arg, size_t i) {
  struct take_over *t = arg;
  char mac[18];
  vip_announce(t->agent->vip);
  if (told_lately(t, i))
    return;
  struct json *event = event_of(t, "contested", i, mac);
  note(t->agent, event, LOG_WARNING,
       "virtual IP %s is held here, and %s claims it too: announced again; find that machine and take the address "
       "from it",
       vip_of(t, i)->text, mac);
}

// ---- links ----

static void tell_link(struct take_over *t, size_t i, bool down) {
  struct json *event = note_new(t->agent, "address", down ? "link-down" : "link-up");
  t->down_told[i] = down;
  json_put_text(event, "interface", vip_of(t, i)->interface);
  if (down)
    note(t->agent, event, LOG_WARNING,
         "the link %s of virtual IP %s is down: this node cannot serve there; see its cable, switch and 'ip link'",
         vip_of(t, i)->interface, vip_of(t, i)->text);
  else
    note(t->agent, event, LOG_NOTICE, "the link %s of virtual IP %s is up again", vip_of(t, i)->interface,
         vip_of(t, i)->text);
}

static void on_links(void *arg) {
  struct take_over *t = arg;
  for (size_t i = 0; i < t->agent->conf.vip_count; i++)
    t->down[i] = !link_is_up(vip_of(t, i)->interface);
  agent_address_changed(t->agent);
}

// ---- when ----

void take_over_stepped(struct take_over *t) {
  if (t == NULL)
    return;
  const struct core *core = runner_core(t->agent->runner);
  address_watch_hold(t->watch, core->shown.address);
  if (core->role == t->role && core->follow == t->follow)
    return;
  t->role = core->role;
  t->follow = core->follow;
  address_watch_ask(t->watch); /* a suspect: while the old lease drains; a secondary: who serves now */
}

// What has been so for a beat is no flicker.
void take_over_watch(struct take_over *t) {
  if (t == NULL)
    return;
  for (size_t i = 0; i < t->agent->conf.vip_count; i++)
    if (t->down[i] != t->down_told[i])
      tell_link(t, i, t->down[i]);
  if (t->role == ROLE_SUSPECT || t->role == ROLE_CANDIDATE)
    address_watch_ask(t->watch);
  report_if_turned(t);
}

// ---- for people ----

void take_over_warn(const struct take_over *t, void (*warn)(void *arg, const char *text), void *arg) {
  char text[200], mac[18];
  for (size_t i = 0; t != NULL && i < t->agent->conf.vip_count; i++) {
    struct address_seen seen = address_watch_seen(t->watch, i);
    address_watch_mac(&seen, mac);
    if (address_watch_stranger(t->watch, i)) {
      snprintf(text, sizeof text, "virtual IP %s is answered by %s, which is neither node: take the address from it%s",
               vip_of(t, i)->text, mac, refuses(t, i) ? "; this node does not lead until then" : "");
      warn(arg, text);
    }
    if (t->down_told[i]) {
      snprintf(text, sizeof text, "the link %s of virtual IP %s is down: see its cable, switch and 'ip link'",
               vip_of(t, i)->interface, vip_of(t, i)->text);
      warn(arg, text);
    }
  }
}

void take_over_put(const struct take_over *t, size_t i, struct json *address) {
  char mac[18];
  if (t == NULL)
    return;
  struct address_seen seen = address_watch_seen(t->watch, i);
  json_put_text(address, "link", t->down_told[i] ? "down" : "up");
  if (seen.who == ANSWER_NONE)
    return;
  struct json *answer = json_new_object();
  address_watch_mac(&seen, mac);
  json_put_text(answer, "mac", mac);
  json_put_text(answer, "node",
                seen.who == ANSWER_OTHER_NODE ? t->agent->conf.voter[1 - t->agent->self].name
                                              : address_answer_name(seen.who));
  json_put_int(answer, "ms_ago", instant_us_between(seen.at, clock_now()) / 1000);
  json_put(address, "answered_by", answer);
}

// ---- life ----

static struct address_watch_settings settings(const struct agent *a) {
  struct address_watch_settings s = {.count = a->conf.vip_count, .lease_ms = a->conf.lease_ms};
  const struct cluster_voter *peer = &a->conf.voter[1 - a->self];
  for (size_t i = 0; i < s.count; i++)
    s.virtual_ip[i] =
        (struct address_watch_address){a->conf.vip[i].family, a->conf.vip[i].bytes, a->conf.vip[i].interface};
  for (size_t i = 0; i < peer->address_count; i++) {
    const struct net_address *own = &peer->address[i];
    bool six = own->any.sa_family == AF_INET6;
    const void *bytes = six ? (const void *)&own->v6.sin6_addr : (const void *)&own->v4.sin_addr;
    s.peer[s.peer_count++] = (struct address_watch_address){own->any.sa_family, bytes, NULL};
  }
  return s;
}

struct take_over *take_over_open(struct agent *a) {
  const char *error = NULL;
  if (a->conf.vip_count == 0)
    return NULL;
  struct take_over *t = calloc(1, sizeof *t);
  if (t == NULL)
    return NULL;
  t->agent = a;
  t->role = ROLE_SECONDARY;
  t->follow = NOBODY;
  for (size_t i = 0; i < CLUSTER_VIPS_MAX; i++)
    t->told_at[i] = INSTANT_PAST;
  struct address_watch_settings s = settings(a);
  struct address_watch_hands hands = {t, on_stranger, on_contested};
  int rc = address_watch_open(&t->watch, a->loop, &s, &hands, &error);
  if (rc == 0 && (rc = link_watch_open(&t->links, a->loop, on_links, t)) != 0)
    error = "news of links and addresses cannot be had";
  if (rc != 0) {
    log_warning("%s (%s): take-overs go without", error, strerror(-rc));
    take_over_close(t);
    return NULL;
  }
  for (size_t i = 0; i < s.count; i++)
    t->down[i] = !link_is_up(a->conf.vip[i].interface);
  return t;
}

void take_over_close(struct take_over *t) {
  if (t == NULL)
    return;
  address_watch_close(t->watch);
  link_watch_close(t->links);
  free(t);
}
