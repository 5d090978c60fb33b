// SPDX-License-Identifier: Apache-2.0
// What the verb engine shows of its broker.
#include <stdio.h>
#include <string.h>

#include "agent/verbs_engine.h"

static bool leads(const struct verbs *e) {
  return e->place == PLACE_MASTER && e->promoted != 0;
}

// Only a broker that holds nothing and has not been part of any reign is empty.
struct position verbs_position(const struct verbs *e) {
  uint64_t epoch = e->own_epoch > e->epoch ? e->own_epoch : e->epoch;
  if (verbs_replicates(e) && epoch == 0 && e->offset == 0 &&
      (e->told_position || verbs_can(e, VERB_POS)))
    return (struct position){0, 0};
  return (struct position){epoch, e->offset > 0 ? e->offset : 1};
}

static struct position peer(const struct verbs *e) {
  uint64_t held = e->told_peer && e->peer > e->waited ? e->peer : e->waited;
  if (!leads(e) || !verbs_replicates(e) || held == 0)
    return (struct position){0, 0};
  return (struct position){e->promoted, held};
}

// Where it does not tell, a failure to follow shows in rejoin's answer, and one to be followed in the secondary's
// position, which then stands still (S2).
static bool link_up(const struct verbs *e) {
  bool up = e->link == SWITCH_UNKNOWN ? !e->stale : e->link == SWITCH_ON;
  if (e->place == PLACE_MASTER)
    return up;
  if (!verbs_replicates(e))
    return e->has_duty && e->duty.mode != BROKER_HOLD;
  return e->place == PLACE_SECONDARY && e->joined && up;
}

static const char *running_state(const struct verbs *e) {
  if (e->place == PLACE_MASTER)
    return e->pause == SWITCH_ON ? "paused" : "master";
  if (e->joined)
    return link_up(e) ? "secondary" : "detached";
  return e->held ? "held" : "secondary";
}

static const char *state_of(const struct verbs *e) {
  if (e->lost[0] != 0)
    return "lost";
  if (!e->looked)
    return "unknown";
  if (e->failure.rc == VERB_DEADLINE || e->look_rc == VERB_DEADLINE)
    return "hung";
  if (e->place == PLACE_DOWN)
    return !verbs_rests(e) ? "down" : e->has_duty && e->duty.mode == BROKER_LEAD ? "stopped" : "standby";
  return e->well ? running_state(e) : "failed";
}

// A promote that fails must count against this node: the other one may be able to.
static bool unfit(const struct verbs *e) {
  int rc = e->failure.rc;
  enum verb verb = e->failure.verb;
  bool wait = rc == 0 || rc == VERB_BEHIND || rc == VERB_BUSY;
  bool leading = verb == VERB_PROMOTE || verb == VERB_RESUME || verb == VERB_START;
  return !wait && leading && e->has_duty && e->duty.mode == BROKER_LEAD;
}

static bool proven_dead(const struct verbs *e) {
  bool down = e->place == PLACE_DOWN && e->seen && !verbs_rests(e);
  return down || (e->looked && e->look_rc == VERB_FAILED_MASTER) || (e->distrust && e->dead);
}

static const char *distrust_text(const struct verbs *e) {
  if (!e->distrust || e->place == PLACE_DOWN)
    return "";
  if (verbs_emptied(e))
    return "the broker was restarted while it led and came back empty; held. Restore its data, or restart "
           "tanist-agent to go on with what there is";
  return "the broker was restarted while it led: held, so that the other node can take over";
}

static const char *down_text(const struct verbs *e) {
  if (e->place != PLACE_DOWN || (verbs_rests(e) && !e->distrust))
    return "";
  if (verbs_can(e, VERB_START) && !e->stopped)
    return "the broker does not run: it is being started; if that does not help, see its log";
  return e->stopped ? "the broker had to be stopped, since it could not be demoted: see its log"
                    : "the broker does not run: start it";
}

static void set_trouble(struct verbs *e) {
  char worn[VERBS_TROUBLE_MAX];
  bool blind = e->settings.replication == REPLICATION_ASYNC && e->transport->blind;
  const char *const causes[] = {
      e->lost,
      e->missing,
      verbs_worn_out(e, worn) ? worn : "",
      e->failure.rc != 0 && e->failure.verb == VERB_START ? e->failure.said : "",
      e->looked ? down_text(e) : "",
      e->failure.rc != 0 ? e->failure.said : "",
      distrust_text(e),
      e->note,
      blind ? "this driver tells no positions: how much a failover would lose is not known" : "",
  };
  e->view.trouble[0] = 0;
  for (size_t i = 0; i < sizeof causes / sizeof causes[0] && e->view.trouble[0] == 0; i++)
    snprintf(e->view.trouble, sizeof e->view.trouble, "%s", causes[i]);
}

void verbs_update_view(struct verbs *e) {
  struct broker_view *view = &e->view;
  bool there = e->lost[0] == 0 && e->missing[0] == 0;
  view->dead = proven_dead(e);
  view->reachable = there && e->well && e->failure.rc != VERB_DEADLINE;
  view->unfit = unfit(e);
  view->writable = view->reachable && !view->unfit && leads(e) && e->pause != SWITCH_ON && e->writable != SWITCH_OFF;
  view->link = e->lost[0] == 0 && link_up(e);
  view->position = verbs_position(e);
  view->peer = peer(e);
  snprintf(view->incarnation, sizeof view->incarnation, "%s", e->incarnation);
  snprintf(view->state, sizeof view->state, "%s", state_of(e));
  set_trouble(e);
  broker_bound(view);
}

static bool position_differs(struct position a, struct position b) {
  return a.epoch != b.epoch || a.offset != b.offset;
}

bool verbs_view_differs(const struct broker_view *a, const struct broker_view *b) {
  return a->reachable != b->reachable || a->dead != b->dead || a->writable != b->writable ||
         a->unfit != b->unfit || a->link != b->link || position_differs(a->position, b->position) ||
         position_differs(a->peer, b->peer) || strcmp(a->state, b->state) != 0 ||
         strcmp(a->trouble, b->trouble) != 0;
}
