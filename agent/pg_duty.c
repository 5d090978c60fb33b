// SPDX-License-Identifier: Apache-2.0
// Working towards the newest duty: each look that shows the effect of all commands sent so far is compared with
// it. A master becomes a standby only by a restart, so HOLD is reached once it has stopped; it is then started
// as a standby that follows nobody, so that its data can be asked and it can be elected.
#include <stdio.h>
#include <string.h>

#include "agent/pg_driver.h"
#include "common/base/clock.h"

#define FAST_MS 5000      // what a fast shutdown is given: it writes what is dirty, and sends the secondary the rest
#define IMMEDIATE_MS 3000 // an immediate one; then SIGKILL
#define START_AGAIN_MS_MIN 100
#define START_AGAIN_MS_MAX 10000
#define RETRY "wal_retrieve_retry_interval"
#define RETRY_HELD "5s"       // PostgreSQL's own
#define RETRY_FOLLOWING "200ms"

static int64_t since_us(struct instant then) {
  return clock_now().us - then.us;
}

static int64_t beats_us(const struct pg *p, int count) {
  return (int64_t)p->settings.beat_ms * 1000 * count;
}

bool pg_may_act(struct pg *p, int step) {
  if (p->step == step && since_us(p->acted) < beats_us(p, 1))
    return false;
  p->step = step;
  p->acted = clock_now();
  return true;
}

// ---- commands ----

bool pg_command(struct pg *p, const char *sql) {
  p->batch = (p->batch + 1) & 0xffffff;
  p->fresh = false;
  return pg_link_ask(p->own, ASK_COMMAND, sql);
}

void pg_set(struct pg *p, const char *setting, const char *value) {
  char literal[2 * PG_CONNINFO_MAX], sql[2 * PG_CONNINFO_MAX + 128];
  pg_quote(literal, sizeof literal, value);
  snprintf(sql, sizeof sql, "ALTER SYSTEM SET %s = %s", setting, literal);
  pg_command(p, sql);
  pg_command(p, "SELECT pg_reload_conf()");
}

void pg_reach(struct pg *p) {
  if (p->reached)
    return;
  p->reached = p->untold = true;
  p->trouble[0] = 0;
}

bool pg_remember(struct pg *p, uint32_t timeline, bool created) {
  struct pg_memory *m = &p->memory;
  p->epoch = p->duty.epoch;
  if (m->timeline == timeline && m->epoch == p->duty.epoch && m->created == created)
    return true;
  m->timeline = timeline;
  m->epoch = p->duty.epoch;
  m->created = created;
  int rc = pg_memory_save(m);
  if (rc != 0)
    pg_say(p, "state_directory: the timeline cannot be noted there: %s", strerror(-rc));
  return rc == 0;
}

// ---- stopping ----

// A shutdown does not wait for an unreachable secondary or a full disk for ever.
void pg_stop(struct pg *p, enum pg_stopping how) {
  static const enum pg_stop signals[] = {
      [STOPPING_FAST] = PG_FAST, [STOPPING_IMMEDIATE] = PG_IMMEDIATE, [STOPPING_KILLED] = PG_KILL};
  if (p->stopping >= how || !pg_server_running(p->server))
    return;
  p->stopping = how;
  pg_server_stop(p->server, signals[how]);
  if (how == STOPPING_KILLED)
    return;
  loop_timer_in(p->stop_timer, 1000 * (how == STOPPING_FAST ? FAST_MS : IMMEDIATE_MS));
}

void pg_duty_stop_timer(struct pg *p) {
  if (p->stopping != STOPPING_NOT && p->stopping != STOPPING_KILLED)
    pg_stop(p, p->stopping + 1);
}

void pg_duty_died(struct pg *p) {
  bool wanted = p->stopping != STOPPING_NOT;
  p->stopping = STOPPING_NOT;
  p->ours = false;
  loop_timer_at(p->stop_timer, INSTANT_NEVER);
  p->known = p->fresh = p->reachable = p->armed = false;
  if (wanted)
    return;
  p->dead = true;
  if (!p->has_duty || p->duty.mode != BROKER_LEAD)
    return;
  p->distrust = true;
  p->distrust_until = INSTANT_NEVER;
}

// ---- starting ----

static void start_failed(struct pg *p, const struct child_result *result) {
  char text[PG_TROUBLE_MAX];
  pg_server_complaint(p->server, text, sizeof text);
  if (text[0] == 0)
    snprintf(text, sizeof text, "%.*s", (int)strcspn(result->err.text, "\n"), result->err.text);
  uint32_t wait_ms = START_AGAIN_MS_MIN << (p->starts < 7 ? p->starts : 7);
  p->starts++;
  p->start_after = instant_in_ms(wait_ms < START_AGAIN_MS_MAX ? wait_ms : START_AGAIN_MS_MAX);
  pg_say(p, "PostgreSQL does not start: %.90s; see its log", text);
}

static void on_started(void *arg, const struct child_result *result) {
  struct pg *p = arg;
  p->child = NULL;
  p->task = TASK_NONE;
  if (result->status != 0 && !pg_server_running(p->server))
    start_failed(p, result);
  pg_link_retry(p->own);
  pg_settle(p);
}

// What it must do from its first moment on stands in its configuration before it starts.
static int write_configuration(const struct pg *p, bool follow) {
  char lines[2 * PG_CONNINFO_MAX + 256], conninfo[2 * PG_CONNINFO_MAX];
  pg_quote(conninfo, sizeof conninfo, follow ? p->conninfo : "");
  snprintf(lines, sizeof lines,
           "synchronous_standby_names = '" PG_WITHHELD "'\nprimary_conninfo = %s\n"
           RETRY " = '%s'\n",
           conninfo, follow ? RETRY_FOLLOWING : RETRY_HELD);
  return pg_server_make_standby(p->server, lines);
}

static void start(struct pg *p, bool follow) {
  const char *unusable = pg_server_unusable(p->server);
  if (p->task != TASK_NONE || clock_now().us < p->start_after.us)
    return;
  p->start_after = instant_in_ms(START_AGAIN_MS_MIN);
  if (unusable != NULL) {
    pg_say(p, "%s", unusable);
    return;
  }
  int rc = write_configuration(p, follow);
  rc = rc == 0 ? pg_server_start(p->server, &p->child, on_started, p) : rc;
  if (rc != 0) {
    pg_say(p, "PostgreSQL cannot be started: %s; see broker.options.bin_directory and data_directory", strerror(-rc));
    return;
  }
  p->task = TASK_START;
  p->ours = true;
}

// ---- the duties ----

static void follow_nobody(struct pg *p) {
  if (p->look.conninfo[0] != 0 && pg_may_act(p, 'h'))
    pg_set(p, "primary_conninfo", "");
}

static void step_hold(struct pg *p) {
  p->hurry = true;
  if (!p->look.recovery)
    pg_stop(p, STOPPING_FAST);
  else if (p->look.conninfo[0] != 0)
    follow_nobody(p);
  else if (!p->look.receiving)
    pg_reach(p);
  p->hurry = !p->reached;
}

static void step_follow(struct pg *p) {
  if (!p->look.recovery) {
    pg_stop(p, STOPPING_FAST);
    return;
  }
  if (!p->other.known || p->other.recovery || !pg_rejoin_agrees(p))
    return;
  p->hurry = !p->reached;
  if (strcmp(p->look.conninfo, p->conninfo) != 0) {
    if (pg_may_act(p, 'f')) {
      pg_command(p, "ALTER SYSTEM SET " RETRY " = '" RETRY_FOLLOWING "'");
      pg_set(p, "primary_conninfo", p->conninfo);
    }
  } else if (p->look.receiving && p->look.received_timeline == p->other.timeline &&
             pg_remember(p, p->other.timeline, false)) {
    if (!p->reached)
      pg_server_remove(p->server, PG_REWOUND);
    pg_reach(p);
  }
}

// Whether all that the old master sent is here. A server that is gone, or that has shut down, ends the stream
// behind its last byte; one that is shutting down sends some more, so that it need not be rewound afterwards. A
// machine that is lost answers nobody.
static bool drained(const struct pg *p) {
  if (!p->look.receiving)
    return true;
  bool silent = since_us(p->other_heard) >= beats_us(p, 3);
  bool still = since_us(p->moved) >= beats_us(p, 2);
  return (silent && still) || since_us(p->since) > (int64_t)p->settings.lease_ms * 1000;
}

static void promote(struct pg *p) {
  p->hurry = true;
  if (!drained(p) || !pg_may_act(p, 'p'))
    return;
  if (pg_server_write(p->server, PG_PROMOTING, "") != 0)
    pg_say(p, "%s cannot be written", p->real_directory);
  p->batch = (p->batch + 1) & 0xffffff;
  p->fresh = false;
  pg_link_ask(p->own, ASK_PROMOTE, "SELECT pg_promote(false)");
}

// Its server ended while it led: held first, so that the core can have the other node lead; it leads again
// after a lease, or by a new duty.
static bool trusted_again(struct pg *p) {
  if (!p->distrust)
    return true;
  p->dead = !p->look.recovery;
  if (!p->look.recovery)
    pg_stop(p, STOPPING_FAST);
  else if (p->distrust_until.us == INSTANT_NEVER.us)
    p->distrust_until = instant_in_ms(p->settings.lease_ms);
  else if (clock_now().us >= p->distrust_until.us)
    p->distrust = false;
  return !p->distrust;
}

static void step_lead(struct pg *p) {
  if (!trusted_again(p))
    return;
  if (p->look.recovery)
    promote(p);
  else if (p->look.timeline != 0 && pg_remember(p, p->look.timeline, true) &&
           pg_server_remove(p->server, PG_PROMOTING) == 0 && pg_server_remove(p->server, PG_STRAY) == 0)
    pg_switch_step(p);
}

// A master that we did not promote has written WAL on a timeline that is another one's, which no history shows.
static bool is_stray(const struct pg *p) {
  uint32_t timeline;
  if (!pg_server_timeline(p->server, &timeline) || pg_server_has(p->server, PG_PROMOTING))
    return false;
  return !p->memory.created || p->memory.timeline != timeline;
}

// Running, and a master or about to be one, whether it answers or not, where it is not to lead.
static void end_master(struct pg *p) {
  if (is_stray(p))
    pg_server_write(p->server, PG_STRAY, "somebody else than tanist-agent has run this server as a master\n");
  pg_stop(p, STOPPING_FAST);
}

static void step_running(struct pg *p) {
  if (p->duty.mode != BROKER_LEAD && !pg_server_is_standby(p->server))
    end_master(p);
  if (!p->known && p->duty.mode == BROKER_FOLLOW)
    pg_rejoin_strayed(p); // its log may be such that it never answers
  if (!p->known || !p->fresh || p->stopping != STOPPING_NOT)
    return;
  if (p->look.recovery && !pg_withholds(p)) { // started by somebody else: as master it would not wait at first
    pg_stop(p, STOPPING_FAST);
    return;
  }
  switch ((enum broker_mode)p->duty.mode) {
  case BROKER_HOLD:
    step_hold(p);
    break;
  case BROKER_FOLLOW:
    step_follow(p);
    break;
  case BROKER_LEAD:
    step_lead(p);
    break;
  case BROKER_MODE_COUNT:
    break;
  }
}

// Who is not there serves nobody.
static void step_down(struct pg *p) {
  bool follow = p->duty.mode == BROKER_FOLLOW;
  if (p->duty.mode == BROKER_HOLD)
    pg_reach(p);
  p->hurry = p->task != TASK_NONE;
  if (pg_rejoin_begun(p) || (follow && p->parted))
    pg_rejoin_step(p);
  else
    start(p, pg_server_has(p->server, PG_REWOUND)); // it lacks WAL of the master's without which it cannot be read
}

void pg_duty_step(struct pg *p) {
  p->hurry = false;
  if (!p->has_duty)
    return;
  if (p->task != TASK_NONE && p->task != TASK_START && p->task != TASK_PARTING) {
    if (p->duty.mode == BROKER_HOLD)
      pg_reach(p);
    return;
  }
  if (!pg_server_running(p->server))
    step_down(p);
  else if (p->stopping != STOPPING_NOT)
    p->hurry = true;
  else
    step_running(p);
}

// To step down needs no look first.
void pg_duty_new(struct pg *p, const struct broker_duty *former) {
  bool led = former != NULL && former->mode == BROKER_LEAD;
  if (p->duty.mode != BROKER_LEAD || !led || former->epoch != p->duty.epoch)
    p->distrust = false;
  p->since = clock_now();
  p->reached = p->untold = false;
  p->step = 0;
  if (p->duty.mode != BROKER_FOLLOW || former == NULL || former->epoch != p->duty.epoch)
    p->parted = false, p->agreed = 0;
  if (led && p->duty.mode != BROKER_LEAD && !(p->known && p->look.recovery))
    pg_stop(p, STOPPING_FAST);
  p->batch = (p->batch + 1) & 0xffffff; // never reached without an answer to a question asked from now on
  p->fresh = false;
}
