// SPDX-License-Identifier: Apache-2.0
#include "agent/address_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/core/lease.h"

#define ASK_GAP_US (100 * 1000)
#define ASK_AGAIN_US (1000 * 1000)
#define ASK_SLOW_US (30 * 1000 * 1000)
#define ASK_STRANGER_US (2 * 1000 * 1000) // while one is there: until it is gone
#define STRANGER_MS 5000                  // so long after it was heard last it counts as there
#define CONTEST_GAP_US (1000 * 1000)      // between two answers to a claim: no war of announcements

struct watched {
  struct address_watch *watch;
  struct claims *link;
  struct address_seen seen;
  struct instant stranger_at, contested_at;
};

struct address_watch {
  struct address_watch_settings settings;
  struct address_watch_hands hands;
  struct watched at[ADDRESS_WATCH_MAX];
  struct loop_timer *timer;
  struct instant asked, held_at;
  bool held, again, peer_known;
  uint8_t peer_mac[ANNOUNCE_MAC_SIZE];
};

static bool same(int family, const uint8_t *a, const uint8_t *b) {
  return memcmp(a, b, family == AF_INET6 ? 16 : 4) == 0;
}

// ---- hearing ----

static void learn_peer(struct address_watch *w, const struct claim *claim) {
  for (size_t i = 0; i < w->settings.peer_count; i++) {
    const struct address_watch_address *own = &w->settings.peer[i];
    if (own->family == claim->family && same(own->family, own->bytes, claim->address)) {
      memcpy(w->peer_mac, claim->mac, sizeof w->peer_mac);
      w->peer_known = true;
    }
  }
}

static void contest(struct address_watch *w, struct watched *v, size_t index) {
  struct instant now = clock_now();
  bool draining = v->seen.who == ANSWER_OTHER_NODE &&
                  instant_before(now, instant_plus_ms(w->held_at, 2 * (int64_t)w->settings.lease_ms));
  if (draining || instant_us_between(v->contested_at, now) < CONTEST_GAP_US)
    return;
  v->contested_at = now;
  w->hands.contested(w->hands.arg, index);
}

static void take(struct address_watch *w, struct watched *v, size_t index, const struct claim *claim) {
  bool peer = w->peer_known && memcmp(claim->mac, w->peer_mac, sizeof w->peer_mac) == 0;
  bool had = address_watch_stranger(w, index);
  v->seen = (struct address_seen){peer            ? ANSWER_OTHER_NODE
                                  : w->peer_known ? ANSWER_STRANGER
                                                  : ANSWER_UNKNOWN,
                                  {0},
                                  clock_now()};
  memcpy(v->seen.mac, claim->mac, sizeof v->seen.mac);
  if (v->seen.who == ANSWER_STRANGER)
    v->stranger_at = v->seen.at;
  if (w->held)
    contest(w, v, index);
  else if (!had && v->seen.who == ANSWER_STRANGER)
    w->hands.stranger(w->hands.arg, index);
}

static void on_claim(void *arg, const struct claim *claim) {
  struct watched *v = arg;
  struct address_watch *w = v->watch;
  size_t index = (size_t)(v - w->at);
  const struct address_watch_address *address = &w->settings.virtual_ip[index];
  learn_peer(w, claim);
  if (address->family == claim->family && same(address->family, address->bytes, claim->address))
    take(w, v, index, claim);
}

// ---- asking ----

static bool any_stranger(const struct address_watch *w) {
  for (size_t i = 0; i < w->settings.count; i++)
    if (address_watch_stranger(w, i))
      return true;
  return false;
}

// First the other node's own addresses: their answer tells its MAC.
static void ask(struct address_watch *w) {
  w->asked = clock_now();
  for (size_t i = 0; i < w->settings.count; i++)
    for (size_t k = 0; k < w->settings.peer_count; k++)
      claims_ask(w->at[i].link, w->settings.peer[k].family, w->settings.peer[k].bytes);
  for (size_t i = 0; !w->held && i < w->settings.count; i++)
    claims_ask(w->at[i].link, w->settings.virtual_ip[i].family, w->settings.virtual_ip[i].bytes);
  loop_timer_in(w->timer, w->again ? ASK_AGAIN_US : any_stranger(w) ? ASK_STRANGER_US : ASK_SLOW_US);
  w->again = false;
}

static void on_timer(void *arg) {
  ask(arg);
}

void address_watch_ask(struct address_watch *w) {
  int64_t since = instant_us_between(w->asked, clock_now());
  w->again = true;
  if (since >= ASK_GAP_US)
    ask(w);
  else
    loop_timer_in(w->timer, ASK_GAP_US - since);
}

void address_watch_hold(struct address_watch *w, bool held) {
  if (held == w->held)
    return;
  w->held = held;
  w->held_at = clock_now();
  for (size_t i = 0; i < w->settings.count; i++)
    w->at[i].contested_at = INSTANT_PAST;
  if (!held)
    address_watch_ask(w);
}

// ---- telling ----

struct address_seen address_watch_seen(const struct address_watch *w, size_t index) {
  return w->at[index].seen;
}

bool address_watch_stranger(const struct address_watch *w, size_t index) {
  return !w->held && w->at[index].stranger_at.us != INSTANT_PAST.us &&
         instant_before(clock_now(), instant_plus_ms(w->at[index].stranger_at, STRANGER_MS));
}

const char *address_answer_name(enum address_answer who) {
  static const char *const names[] = {"nobody", "other", "stranger", "unknown"};
  return names[who];
}

void address_watch_mac(const struct address_seen *seen, char text[18]) {
  const uint8_t *m = seen->mac;
  snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

// ---- life ----

static char open_error[160]; // outlives the watch that could not be opened

int address_watch_open(struct address_watch **out, struct loop *loop,
                       const struct address_watch_settings *settings, const struct address_watch_hands *hands,
                       const char **error) {
  *error = "out of memory";
  struct address_watch *w = calloc(1, sizeof *w);
  if (w == NULL)
    return -ENOMEM;
  w->settings = *settings;
  w->hands = *hands;
  w->asked = w->held_at = INSTANT_PAST;
  w->timer = loop_timer_new(loop, on_timer, w);
  int rc = w->timer == NULL ? -ENOMEM : 0;
  for (size_t i = 0; rc == 0 && i < settings->count; i++) {
    const char *interface = settings->virtual_ip[i].interface;
    w->at[i] = (struct watched){.watch = w, .stranger_at = INSTANT_PAST, .contested_at = INSTANT_PAST};
    rc = claims_open(&w->at[i].link, loop, interface, on_claim, &w->at[i]);
    if (rc < 0) {
      snprintf(open_error, sizeof open_error, "who answers for the virtual IPs on %s cannot be seen: %s", interface,
               strerror(-rc));
      *error = open_error;
    }
  }
  if (rc < 0) {
    address_watch_close(w);
    return rc;
  }
  address_watch_ask(w);
  *out = w;
  return 0;
}

void address_watch_close(struct address_watch *w) {
  if (w == NULL)
    return;
  for (size_t i = 0; i < w->settings.count; i++)
    claims_close(w->at[i].link);
  loop_timer_free(w->timer);
  free(w);
}
