// SPDX-License-Identifier: Apache-2.0
// What the driver shows of its Redis.
#include <stdio.h>
#include <string.h>

#include "agent/redis_driver.h"
#include "common/base/clock.h"

#define ATTACH_PATIENCE_US 5000000 // a secondary that is not attached by then needs somebody to look

static uint64_t at_least_1(uint64_t offset) {
  return offset > 0 ? offset : 1;
}

// Only a Redis that holds nothing and has not been part of any reign is empty.
struct position redis_position(const struct redis *r) {
  if (r->epoch == 0 && r->info.offset == 0 && !r->has_keys)
    return (struct position){0, 0};
  return (struct position){r->epoch, at_least_1(r->info.offset)};
}

static bool same_history(const struct redis *r) {
  return r->other_known && !r->other.master && strcmp(r->other.id, r->info.id) == 0;
}

static void note_broken(struct redis *r) {
  if (!r->info.master || !r->other_known || (same_history(r) && r->other.link_up))
    r->broken = INSTANT_NEVER;
  else if (r->broken.us == INSTANT_NEVER.us)
    r->broken = clock_now();
}

// It confirms what it would not have after a restart: it is as good as gone (S2), though it is attached.
static bool forgetful_secondary(const struct redis *r) {
  return same_history(r) && r->other.link_up &&
         !(redis_kept_written(&r->other_kept) && redis_kept_filed(&r->other_kept));
}

// A Redis that dies breaks with its secondary first, which may be told before its death is known here, and
// must not be taken for the loss of the secondary (S2): the own one has to answer a question asked after
// that.
static bool link_up(const struct redis *r) {
  if (!r->info.master)
    return redis_points_at(r, r->peer_host, r->peer_port) && r->info.link_up;
  return r->info.online && r->info_asked.us < r->broken.us && !forgetful_secondary(r);
}

static const char *state_of(const struct redis *r) {
  if (!redis_link_is_up(r->own) || !r->known)
    return "down";
  if (!r->reachable)
    return r->loading ? "loading" : "hung";
  if (r->info.master)
    return r->pause == PAUSE_ON ? "paused" : "master";
  if (redis_is_held(r))
    return "held";
  return r->info.link_up ? "secondary" : r->info.syncing ? "copying" : "detached";
}

static const char *distrust_text(const struct redis *r) {
  if (!r->distrust)
    return "";
  if (r->had_data && !r->has_keys && r->info.offset == 0)
    return "Redis was restarted while it led and came back empty; held. Restore its data, "
           "or restart tanist-agent to go on with what there is";
  return "Redis was restarted while it led: held, so that the other node can take over";
}

static const char *wait_text(const struct redis *r) {
  if (!r->has_duty || r->reached || !r->known || clock_now().us - r->since.us < ATTACH_PATIENCE_US)
    return "";
  if (r->duty.mode == BROKER_FOLLOW && !r->info.link_up && !r->info.syncing)
    return "replication from the master does not come up: look at Redis' log (address, password, network)";
  if (r->duty.mode == BROKER_LEAD && r->info.master && r->duty.sync && !r->info.sync)
    return "no secondary is attached yet, so that Redis cannot be made to wait for one";
  return "";
}

static void set_trouble(struct redis *r) {
  const char *const causes[] = {
      redis_link_trouble(r->own),
      r->loading ? "Redis is still loading its data: wait until it has" : "",
      distrust_text(r),
      r->trouble,
      r->refused ? r->refusal : "",
      r->known ? redis_kept_trouble(&r->kept, !r->info.master && r->info.link_up) : "",
      r->known && r->info.master && forgetful_secondary(r)
          ? "the other node's Redis does not keep what it confirms: look at its status there" : "",
      redis_link_trouble(r->peer),
      r->tail ? redis_tail_trouble(r->tail) : "",
      wait_text(r),
      r->copies_in_clear ? "tls-replication is no: the two Redis copy without TLS, or not at all: set it to yes in both redis.conf" : "",
      r->refusal,
  };
  r->view.trouble[0] = '\0';
  for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]) && r->view.trouble[0] == '\0'; i++)
    snprintf(r->view.trouble, sizeof(r->view.trouble), "%s", causes[i]);
}

void redis_view_update(struct redis *r) {
  struct broker_view *view = &r->view;
  view->reachable = r->reachable;
  view->dead = r->dead;
  view->writable =
      r->reachable && r->info.master && r->pause != PAUSE_ON && (!r->info.sync || r->info.good > 0) && !r->refused;
  view->unfit = r->reachable && (r->refused_unfit || !redis_kept_written(&r->kept));
  note_broken(r);
  view->link = r->known && link_up(r);
  view->position = redis_position(r);
  view->peer = (struct position){0, 0};
  if (r->known && r->info.master && same_history(r))
    view->peer = (struct position){r->epoch, at_least_1(r->other.offset)};
  snprintf(view->state, sizeof(view->state), "%s", state_of(r));
  snprintf(r->view.incarnation, sizeof(r->view.incarnation), "%s", r->run_id);
  set_trouble(r);
}

static bool position_differs(struct position a, struct position b) {
  return a.epoch != b.epoch || a.offset != b.offset;
}

bool redis_view_differs(const struct broker_view *a, const struct broker_view *b) {
  return a->reachable != b->reachable || a->dead != b->dead || a->writable != b->writable ||
         a->unfit != b->unfit || a->link != b->link || position_differs(a->position, b->position) ||
         position_differs(a->peer, b->peer) || strcmp(a->state, b->state) != 0 ||
         strcmp(a->trouble, b->trouble) != 0;
}
