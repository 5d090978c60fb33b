// SPDX-License-Identifier: Apache-2.0
// Working towards the newest duty: each answer of INFO that shows the effect of all commands sent so far is
// compared with the duty, and the next sequence of commands is sent. Redis carries out one sequence without
// serving anybody between its commands, since they arrive in one piece over one connection.
#include "agent/redis_driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

// A pause outlives the agent's own deadline by far: one that ran out before the demotion would make an old
// master writable again. It is renewed when half of it is over; an agent that died in between lost its lease
// long before.
#define PAUSE_LEASES 10
#define PAUSE_MS_MIN 10000

#define REWRITE_EVERY_US 5000000
#define TAIL_AGAIN_US 1000000

static int64_t since_us(struct instant then, struct instant now) {
  return now.us - then.us;
}

bool redis_points_at(const struct redis *r, const char *host, const char *port) {
  return !r->info.master && strcmp(r->info.host, host) == 0 && r->info.port == atoi(port);
}

bool redis_is_held(const struct redis *r) {
  return !r->info.master && strcmp(r->info.host, REDIS_HOLD_HOST) == 0 && r->info.port == REDIS_HOLD_PORT;
}

// The same step for the same duty is not taken twice within a beat: a Redis that refuses it is not flooded.
static bool may_act(struct redis *r, enum redis_step step) {
  struct instant now = clock_now();
  if (r->step == step && since_us(r->acted, now) < (int64_t)r->settings.beat_ms * 1000)
    return false;
  r->step = step;
  r->acted = now;
  r->batch++;
  r->fresh = false;
  return true;
}

// ---- the commands ----

static int64_t pause_ms(const struct redis *r) {
  int64_t ms = (int64_t)r->settings.lease_ms * PAUSE_LEASES;
  return ms < PAUSE_MS_MIN ? PAUSE_MS_MIN : ms;
}

static void ask_pause(struct redis *r) {
  char text[24];
  snprintf(text, sizeof(text), "%" PRId64, pause_ms(r));
  REDIS_ASK(r, ASK_PAUSE, "CLIENT", "PAUSE", text, "WRITE");
  r->paused_until = instant_in_ms(pause_ms(r));
}

static void ask_sync(struct redis *r, bool on) {
  REDIS_ASK(r, ASK_CONFIG, "CONFIG", "SET", "min-replicas-max-lag", "1");
  REDIS_ASK(r, ASK_CONFIG, "CONFIG", "SET", "min-replicas-to-write", on ? "1" : "0");
}

static void ask_kill(struct redis *r) {
  REDIS_ASK(r, ASK_KILL, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  REDIS_ASK(r, ASK_KILL, "CLIENT", "KILL", "TYPE", "pubsub");
}

// Its clients meet a reset, not silence; a pause stays until the demotion is confirmed.
static void send_demote(struct redis *r, bool kill) {
  char port[6];
  snprintf(port, sizeof(port), "%d", REDIS_HOLD_PORT);
  if (kill)
    ask_kill(r);
  REDIS_ASK(r, ASK_CONFIG, "CONFIG", "SET", "replica-read-only", "yes");
  REDIS_ASK(r, ASK_REPLICAOF, "REPLICAOF", REDIS_HOLD_HOST, port);
  redis_ask_info(r);
}

// The two brokers know each other by the same name and password. The file is read anew, as for a connection.
void redis_duty_credentials(struct redis *r) {
  char secret[REDIS_SECRET_MAX + 1];
  if (r->settings.password_file[0] == '\0' || redis_secret_read(r->settings.password_file, secret) < 0)
    return; // an unreadable file is told by the connection
  REDIS_ASK(r, ASK_CONFIG, "CONFIG", "SET", "masteruser", r->settings.username);
  REDIS_ASK(r, ASK_CONFIG, "CONFIG", "SET", "masterauth", secret);
  explicit_bzero(secret, sizeof(secret));
}

static void send_follow(struct redis *r) {
  redis_duty_credentials(r);
  REDIS_ASK(r, ASK_CONFIG, "CONFIG", "SET", "replica-read-only", "yes");
  REDIS_ASK(r, ASK_REPLICAOF, "REPLICAOF", r->peer_host, r->peer_port);
  redis_ask_info(r);
}

// Everything that limits it comes before it is master. A backlog that is never given up keeps the replication
// id, so that a secondary that was away for hours can resume, and positions stay comparable.
static void send_promote(struct redis *r) {
  ask_sync(r, r->duty.sync);
  REDIS_ASK(r, ASK_CONFIG, "CONFIG", "SET", "repl-backlog-ttl", "0");
  if (r->duty.paused)
    ask_pause(r);
  REDIS_ASK(r, ASK_REPLICAOF, "REPLICAOF", "NO", "ONE");
  if (!r->duty.paused)
    REDIS_ASK(r, ASK_UNPAUSE, "CLIENT", "UNPAUSE");
  redis_ask_info(r);
}

void redis_duty_renew_pause(struct redis *r) {
  bool paused = r->has_duty && r->duty.mode == BROKER_LEAD && r->duty.paused && r->pause == PAUSE_ON;
  if (paused && since_us(clock_now(), r->paused_until) < pause_ms(r) * 500)
    ask_pause(r);
}

// ---- the duties ----

static void reach(struct redis *r) {
  if (r->reached)
    return;
  r->reached = r->untold = true;
  r->trouble[0] = '\0';
}

static bool unpause(struct redis *r) {
  if (r->pause == PAUSE_OFF)
    return true;
  if (may_act(r, STEP_UNPAUSE)) {
    REDIS_ASK(r, ASK_UNPAUSE, "CLIENT", "UNPAUSE");
    redis_ask_info(r);
  }
  return false;
}

// True when it is held. L9
static bool step_hold(struct redis *r) {
  if (redis_is_held(r))
    return unpause(r);
  if (may_act(r, STEP_DEMOTE))
    send_demote(r, r->info.master);
  return false;
}

// A master that is not promoted yet would refuse, and Redis asks again a second later only: the peer is asked
// first, for as long as it could take to find out that it cannot be asked.
static bool peer_leads(const struct redis *r) {
  if (r->other_known)
    return r->other.master;
  return since_us(r->since, clock_now()) > (int64_t)r->settings.lease_ms * 1000;
}

// Where the master cannot go on from where this one stands, Redis discards all that it has and copies. What of
// the configured streams only this one holds is kept first. Section 9
static bool tail_is_kept(struct redis *r) {
  bool empty = !r->has_keys && r->info.offset == 0;
  if (!r->tail || empty || (r->other_known && redis_info_continues(&r->info, &r->other)))
    return true;
  enum redis_tail_state state = redis_tail_state(r->tail);
  bool again = state == TAIL_FAILED && since_us(r->tail_asked, clock_now()) > TAIL_AGAIN_US;
  if (r->other_known && (state == TAIL_IDLE || again)) {
    r->tail_asked = clock_now();
    redis_tail_keep(r->tail, &(struct redis_tail_from){.epoch = r->epoch,
                                                       .position = r->info.offset,
                                                       .master_epoch = r->duty.epoch,
                                                       .incarnation = r->run_id});
  }
  return state == TAIL_KEPT;
}

static void step_follow(struct redis *r) {
  bool there = redis_points_at(r, r->peer_host, r->peer_port);
  r->hurry = !there || !r->info.link_up;
  if (r->info.master) {
    step_hold(r);
  } else if (!there) {
    if (peer_leads(r) && tail_is_kept(r) && may_act(r, STEP_FOLLOW))
      send_follow(r);
  } else if (unpause(r) && r->info.link_up && redis_kept_filed(&r->kept)) {
    r->epoch = r->duty.epoch;
    reach(r);
  }
}

// Whether everything that the old master acknowledged has been carried out here. A broken link has been read
// to its end. A lost node breaks no link, but sends nothing either: two beats without a move, judged from
// what was seen before the duty came, too. A master that only stepped down says itself how far it came.
// Beyond a lease nothing that still arrives can have been acknowledged to anybody while it led.
static bool drained(struct redis *r) {
  if (!r->info.link_up)
    return true;
  if (since_us(r->moved, r->info_asked) >= (int64_t)r->settings.beat_ms * 2000)
    return true;
  if (!r->drain_known && r->other_known && r->other_asked.us >= r->since.us &&
      strcmp(r->other.id, r->info.id) == 0) {
    r->drain_known = true;
    r->drain = r->other.offset;
  }
  if (r->drain_known && r->info.offset >= r->drain)
    return true;
  return since_us(r->since, clock_now()) > (int64_t)r->settings.lease_ms * 1000;
}

static void step_promote(struct redis *r) {
  r->hurry = !drained(r);
  if (!r->hurry && may_act(r, STEP_PROMOTE))
    send_promote(r);
}

// Turned on under way it must not refuse a single write: only when a secondary was heard within this second.
static bool sync_can_change(const struct redis *r) {
  return !r->duty.sync || r->duty.paused || r->pause == PAUSE_ON || (r->info.online && r->info.lag == 0);
}

static void step_lead(struct redis *r) {
  if (!r->info.master) {
    step_promote(r);
    return;
  }
  r->epoch = r->duty.epoch;
  bool pause = r->duty.paused && r->pause != PAUSE_ON;
  bool differs = r->info.sync != r->duty.sync, turn = differs && sync_can_change(r);
  bool resume = !r->duty.paused && r->pause != PAUSE_OFF && differs == turn;
  r->hurry = r->duty.paused;
  if (!pause && !differs && !resume) {
    reach(r);
    return;
  }
  if ((!pause && !turn && !resume) || !may_act(r, STEP_ADJUST))
    return;
  if (pause)
    ask_pause(r);
  if (turn)
    ask_sync(r, r->duty.sync);
  if (resume) // last: what was asked for besides holds before the next write is acknowledged
    REDIS_ASK(r, ASK_UNPAUSE, "CLIENT", "UNPAUSE");
  redis_ask_info(r);
}

// Restarted while it led: held first, so that the core can have the other node lead. If it cannot, or will
// not, this one leads on after a lease, unless it came back without its data: then only a new duty makes it
// lead.
static bool trusted_again(struct redis *r) {
  if (!r->distrust)
    return true;
  bool emptied = r->had_data && !r->has_keys && r->info.offset == 0;
  r->dead = emptied || !redis_is_held(r);
  if (!step_hold(r) || emptied || clock_now().us < r->distrust_until.us)
    return false;
  r->distrust = false;
  return true;
}

// Redis itself would wait for up to an hour after the disk was mended.
static void retry_rewrite(struct redis *r) {
  if (!redis_kept_stuck(&r->kept) || since_us(r->rewrite_asked, clock_now()) < REWRITE_EVERY_US)
    return;
  r->rewrite_asked = clock_now();
  REDIS_ASK(r, ASK_REWRITE, "BGREWRITEAOF");
}

void redis_duty_step(struct redis *r) {
  r->hurry = false;
  if (r->has_duty && r->dead && !r->known && r->duty.mode == BROKER_HOLD)
    reach(r); // who is gone serves nobody; what comes up in its place is held before anything else
  if (!r->has_duty || !r->known || !r->fresh || r->loading)
    return;
  retry_rewrite(r);
  switch ((enum broker_mode)r->duty.mode) {
  case BROKER_HOLD:
    if (step_hold(r))
      reach(r);
    break;
  case BROKER_FOLLOW:
    step_follow(r);
    break;
  case BROKER_LEAD:
    if (trusted_again(r))
      step_lead(r);
    break;
  case BROKER_MODE_COUNT:
    break;
  }
}

// To step down needs no look first, and must not wait for the answers to commands that may be making it
// master.
void redis_duty_new(struct redis *r, const struct broker_duty *former) {
  bool led = former && former->mode == BROKER_LEAD;
  bool another = former && (!led || former->epoch != r->duty.epoch); // the first one may be one gone on with (L10)
  if (r->duty.mode != BROKER_LEAD || another)
    r->distrust = false;
  if (r->tail)
    redis_tail_forget(r->tail);
  r->since = clock_now();
  r->reached = r->untold = r->drain_known = false;
  r->step = STEP_NONE;
  r->trouble[0] = '\0';
  if (r->duty.mode != BROKER_LEAD && led) {
    may_act(r, STEP_DEMOTE);
    send_demote(r, true);
    return;
  }
  if (r->known && r->fresh && r->duty.mode == BROKER_LEAD && r->info.master)
    redis_duty_step(r);           // a pause, say: seen to be master a beat ago at most
  r->reached = r->untold = false; // never without an answer to a question asked from now on
  r->batch++;
  r->fresh = false;
  redis_ask_info(r);
}

void redis_duty_reborn(struct redis *r) {
  r->had_data = r->has_keys || r->info.offset > 0;
  r->has_keys = false;
  redis_kept_forget(&r->kept);
  r->epoch = 0;
  if (!r->has_duty || r->duty.mode == BROKER_LEAD) { // without one yet: it led under the agent before (L10)
    r->distrust = r->dead = true;
    r->distrust_until = instant_in_ms(r->settings.lease_ms);
  }
  if (!r->has_duty)
    return;
  may_act(r, STEP_DEMOTE);
  send_demote(r, true);
}
