// SPDX-License-Identifier: Apache-2.0
// What the driver shows of its PostgreSQL.
#include <stdio.h>
#include <string.h>

#include "agent/pg_driver.h"
#include "common/base/clock.h"

#define PATIENCE_US 5000000 // a duty that is not reached by then needs somebody to look

static uint64_t at_least_1(uint64_t position) {
  return position > 0 ? position : 1;
}

static bool there(const struct pg *p) {
  return p->known && pg_link_is_up(p->own);
}

static const char *state_of(const struct pg *p) {
  if (p->task == TASK_TAIL || p->task == TASK_KEEP || p->task == TASK_REWIND)
    return "rewinding";
  if (p->stopping != STOPPING_NOT)
    return "stopping";
  if (p->task == TASK_START && !there(p))
    return "starting";
  if (!there(p))
    return "down";
  if (!p->reachable)
    return p->full ? "full" : "hung";
  if (!p->look.recovery)
    return strcmp(p->look.standby_names, PG_WITHHELD) == 0 ? "paused" : "master";
  return p->look.receiving ? "secondary" : p->look.conninfo[0] != 0 ? "detached" : "held";
}

static const char *wait_text(const struct pg *p) {
  if (!p->has_duty || p->reached || !p->known || clock_now().us - p->since.us < PATIENCE_US)
    return "";
  if (p->duty.mode == BROKER_FOLLOW && p->other.known && !p->other.recovery && !p->look.receiving)
    return "replication from the master does not come up: look at PostgreSQL's log (pg_hba.conf, max_wal_senders)";
  return "";
}

// What does not keep it from working now, but will.
static const char *warning(const struct pg *p) {
  if (!p->known)
    return "";
  if (!p->look.fsync)
    return "fsync is off in PostgreSQL: what it acknowledges does not survive a crash; turn it on";
  if (!p->look.rewindable)
    return "pg_rewind cannot be used: set wal_log_hints = on in PostgreSQL, or make it with data checksums";
  return "";
}

static void set_trouble(struct pg *p) {
  const char *const causes[] = {
      p->foreign ? "what answers at broker.address is not the server of broker.options.data_directory" : "",
      p->full ? "the disk of PostgreSQL's data is full: make room; not fit to lead" : "",
      p->trouble,
      p->known && !p->look.recovery && p->look.read_only
          ? "default_transaction_read_only is on in PostgreSQL: it refuses writes; turn it off"
          : "",
      p->distrust ? "PostgreSQL was restarted while it led: held, so that the other node can take over" : "",
      p->stopping == STOPPING_NOT && p->task == TASK_NONE ? pg_link_trouble(p->own) : "",
      wait_text(p),
      p->duty.mode == BROKER_FOLLOW ? pg_link_trouble(p->peer) : "",
      warning(p),
  };
  p->view.trouble[0] = 0;
  for (size_t i = 0; i < sizeof causes / sizeof causes[0] && p->view.trouble[0] == 0; i++)
    snprintf(p->view.trouble, sizeof p->view.trouble, "%s", causes[i]);
}

static bool takes_writes(const struct pg *p) {
  const char *names = p->look.standby_names;
  bool acknowledges = names[0] == 0 || (strcmp(names, PG_WITHHELD) != 0 && p->look.streaming);
  return p->reachable && !p->look.recovery && acknowledges && !p->look.read_only;
}

static bool linked(const struct pg *p) {
  if (!p->look.recovery)
    return p->look.streaming;
  return p->look.receiving && strcmp(p->look.conninfo, p->conninfo) == 0;
}

// Of before while it does not answer. No database is ever empty: who holds the data is for `tanist form --data`.
void pg_view_update(struct pg *p) {
  struct broker_view *v = &p->view;
  v->reachable = p->reachable && !p->full && !p->foreign;
  v->dead = p->dead;
  v->writable = p->known && takes_writes(p);
  v->link = p->known && linked(p);
  v->position = (struct position){p->epoch, at_least_1(p->look.position)};
  v->peer = (struct position){0, 0};
  if (p->known && !p->look.recovery && p->look.streaming && p->duty.mode == BROKER_LEAD)
    v->peer = (struct position){p->epoch, p->look.flushed};
  snprintf(v->incarnation, sizeof v->incarnation, "%s", p->incarnation);
  snprintf(v->state, sizeof v->state, "%s", state_of(p));
  set_trouble(p);
}

static bool position_differs(struct position a, struct position b) {
  return a.epoch != b.epoch || a.offset != b.offset;
}

bool pg_view_differs(const struct broker_view *a, const struct broker_view *b) {
  return a->reachable != b->reachable || a->dead != b->dead || a->writable != b->writable ||
         a->link != b->link || position_differs(a->position, b->position) || position_differs(a->peer, b->peer) ||
         strcmp(a->state, b->state) != 0 || strcmp(a->trouble, b->trouble) != 0 ||
         strcmp(a->incarnation, b->incarnation) != 0;
}
