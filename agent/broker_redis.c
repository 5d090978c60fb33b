// SPDX-License-Identifier: Apache-2.0
// The driver for Redis: its outside, and the two connections that feed it. Everything happens on an answer,
// on the loss of a connection or on the polling timer; each ends in redis_tell(), the only place that calls out.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/redis_driver.h"
#include "common/base/clock.h"

#define HURRY_US 300 // between questions while somebody waits for the answer: a planned switchover's gap
#define HURRY_SLOW_US 5000 // when it takes long, it is not this last question that it hangs on
#define HURRY_FOR_US 200000
#define RETRY_MS_MIN 5 // a restarted Redis is writable until it is found
#define RETRY_MS_MAX 50

#define BATCH_MASK 0xffffffU // the tag's lower 24 bits; the upper 8 are the kind

// ---- telling ----

void redis_tell(struct redis *r) {
  redis_view_update(r);
  if (redis_view_differs(&r->view, &r->told)) {
    r->told = r->view;
    r->watch.changed(r->watch.arg);
  }
  if (!r->untold) // also when `changed` brought a newer duty
    return;
  r->untold = false;
  r->watch.done(r->watch.arg, r->duty.serial, r->view.position);
}

static void tell_cleared(struct redis *r) {
  if (!r->clears_pending)
    return;
  r->clears_pending = false;
  loop_timer_at(r->clearing, INSTANT_NEVER);
  r->watch.cleared(r->watch.arg);
}

static void on_clearing(void *arg) {
  tell_cleared(arg);
}

// ---- asking ----

bool redis_ask(struct redis *r, enum redis_ask kind, size_t count, const char *const *words) {
  return redis_link_ask(r->own, (uint32_t)kind << 24 | (r->batch & BATCH_MASK), count, words);
}

static int64_t poll_calm_us(const struct redis *r) {
  const struct broker_settings *s = &r->settings;
  return (int64_t)(s->beat_ms < s->probe_every_ms ? s->beat_ms : s->probe_every_ms) * 1000;
}

// In this order (redis_kept.h), and before INFO replication: what that shows, these are not older than.
static void ask_kept(struct redis *r) {
  struct instant now = clock_now();
  if (r->known && r->info.master && !r->loading && now.us - r->kept_asked.us < poll_calm_us(r) / 2)
    return;
  r->kept_asked = now;
  REDIS_ASK(r, ASK_LINK, "CLIENT", "LIST", "TYPE", "master");
  REDIS_ASK(r, ASK_PERSISTENCE, "INFO", "persistence");
}

void redis_ask_info(struct redis *r) {
  ask_kept(r);
  if (!r->has_keys)
    REDIS_ASK(r, ASK_KEYSPACE, "INFO", "keyspace");
  if (REDIS_ASK(r, ASK_REPLICATION, "INFO", "replication"))
    r->asking++;
}

static int64_t poll_us(const struct redis *r) {
  if (!r->hurry)
    return poll_calm_us(r);
  return clock_now().us - r->since.us < HURRY_FOR_US ? HURRY_US : HURRY_SLOW_US;
}

static void poll_in(struct redis *r, int64_t us) {
  r->poll_due = (struct instant){clock_now().us + us};
  loop_timer_at(r->poll, r->poll_due);
}

static void on_poll(void *arg) {
  struct redis *r = arg;
  redis_duty_renew_pause(r);
  if (r->asking == 0)
    redis_ask_info(r);
  redis_link_flush(r->own);
  redis_peer_ask(r);
  redis_writes_poll(r);
  poll_in(r, poll_us(r));
  if (r->dead && !r->known)
    redis_settle(r);
}

void redis_settle(struct redis *r) {
  redis_duty_step(r);
  if (r->hurry && r->poll_due.us - clock_now().us > HURRY_SLOW_US)
    poll_in(r, HURRY_US);
  redis_link_flush(r->own);
  redis_tell(r);
}

// ---- the own Redis ----

static void own_up(void *arg) {
  struct redis *r = arg;
  r->known = r->fresh = false;
  r->loading = false;
  r->kept_asked = INSTANT_PAST;
  redis_kept_forget(&r->kept);
  r->asking = 0;
  r->pause = PAUSE_UNKNOWN;
  r->step = STEP_NONE;
  REDIS_ASK(r, ASK_SERVER, "INFO", "server");
  if (tls_is_on(&r->settings.tls))
    REDIS_ASK(r, ASK_TLS, "CONFIG", "GET", "tls-replication");
  redis_ask_info(r);
}

static void own_down(void *arg, bool was_up, int error) {
  struct redis *r = arg;
  r->lost = r->lost || (was_up && r->known);
  r->known = r->fresh = r->reachable = r->hurry = false;
  r->asking = 0;
  if (r->lost && error == ECONNREFUSED) // reset, and a new connection refused: nobody is there any more
    r->dead = true;
  if (r->clears_pending)
    loop_timer_in(r->clearing, 0);
  redis_settle(r);
}

static void own_late(void *arg) {
  struct redis *r = arg;
  r->reachable = false;
  redis_tell(r);
}

static void take_server(struct redis *r, const struct resp_value *value) {
  char run_id[REDIS_ID_MAX] = "";
  redis_info_value(value->text, value->length, "run_id", run_id, sizeof(run_id));
  bool reborn = r->run_id[0] != '\0' && strcmp(r->run_id, run_id) != 0;
  memcpy(r->run_id, run_id, sizeof(run_id));
  if (reborn)
    redis_duty_reborn(r);
}

static void take_persistence(struct redis *r, const struct resp_value *value) {
  redis_kept_disk(&r->kept, value->text, value->length);
  r->loading = r->kept.known && r->kept.disk.loading;
}

// An offset that did not move between two prompt answers stood still; a late one says nothing of the time
// between.
static void note_move(struct redis *r, const struct redis_info *info, struct instant asked) {
  bool late = clock_now().us - asked.us > (int64_t)r->settings.beat_ms * 1000;
  bool same = r->known && info->offset == r->info.offset && strcmp(info->id, r->info.id) == 0;
  if (late || !same)
    r->moved = asked;
}

static void take_replication(struct redis *r, uint32_t batch, struct instant asked,
                             const struct resp_value *value) {
  struct redis_info info;
  if (!redis_info_replication(value->text, value->length, &info))
    return;
  note_move(r, &info, asked);
  r->info = info;
  r->info_asked = asked;
  r->known = true;
  r->lost = false;
  r->reachable = !r->loading;
  r->fresh = batch == (r->batch & BATCH_MASK);
  if (r->dead && !r->distrust && (!info.master || !r->has_duty))
    r->dead = false;
}

static const char *const command_of[] = {
    [ASK_REPLICATION] = "INFO",    [ASK_SERVER] = "INFO",
    [ASK_KEYSPACE] = "INFO",       [ASK_PERSISTENCE] = "INFO",
    [ASK_REPLICAOF] = "REPLICAOF", [ASK_CONFIG] = "CONFIG SET",
    [ASK_PAUSE] = "CLIENT PAUSE",  [ASK_UNPAUSE] = "CLIENT UNPAUSE",
    [ASK_KILL] = "CLIENT KILL",    [ASK_CLEARED] = "CLIENT KILL",
    [ASK_LINK] = "CLIENT LIST",    [ASK_REWRITE] = "BGREWRITEAOF",
    [ASK_TLS] = "CONFIG GET",
};

static void take_refusal(struct redis *r, enum redis_ask kind, const struct resp_value *value) {
  if (kind == ASK_TLS)
    return; // it was only asked for to warn
  redis_trouble_answer(r->trouble, r->own_what, command_of[kind], r->settings.username, value->text,
                       value->length);
  if (kind == ASK_REPLICATION)
    r->reachable = false;
}

static void take_answer(struct redis *r, enum redis_ask kind, uint32_t batch, struct instant asked,
                        const struct resp_value *value) {
  switch (kind) {
  case ASK_REPLICATION:
    take_replication(r, batch, asked, value);
    break;
  case ASK_SERVER:
    take_server(r, value);
    break;
  case ASK_KEYSPACE:
    r->has_keys = redis_info_has_keys(value->text, value->length);
    break;
  case ASK_PERSISTENCE:
    take_persistence(r, value);
    break;
  case ASK_TLS:
    r->copies_in_clear = value->length >= 4 && memcmp(value->text + value->length - 4, "no\r\n", 4) == 0;
    break;
  case ASK_LINK:
    redis_kept_link(&r->kept, value->text, value->length);
    break;
  case ASK_PAUSE:
    r->pause = PAUSE_ON;
    break;
  case ASK_UNPAUSE:
    r->pause = PAUSE_OFF;
    break;
  case ASK_REPLICAOF:
  case ASK_CONFIG:
  case ASK_KILL:
  case ASK_REWRITE:
  case ASK_CLEARED:
    break;
  }
}

static void own_answer(void *arg, uint32_t tag, struct instant asked, const struct resp_value *value) {
  struct redis *r = arg;
  enum redis_ask kind = (enum redis_ask)(tag >> 24);
  if (kind == ASK_REPLICATION && r->asking > 0)
    r->asking--;
  if (value->type == RESP_ERROR)
    take_refusal(r, kind, value);
  else
    take_answer(r, kind, tag & BATCH_MASK, asked, value);
  if (kind == ASK_CLEARED)
    tell_cleared(r);
  redis_settle(r);
}

// ---- opening ----

static void redis_close(void *state) {
  struct redis *r = state;
  redis_link_free(r->own);
  redis_link_free(r->peer);
  redis_link_free(r->writer);
  redis_tail_close(r->tail);
  loop_timer_free(r->poll);
  loop_timer_free(r->clearing);
  struct broker_settings *s = &r->settings;
  const char *const owned[] = {s->address, s->peers[0], s->peers[1], s->username, s->password_file, s->orphans};
  for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
    free((void *)(uintptr_t)owned[i]);
  free(r);
}

static bool copy_settings(struct redis *r, const struct broker_settings *settings) {
  struct broker_settings *s = &r->settings;
  *s = *settings;
  s->address = strdup(settings->address);
  s->username = strdup(settings->username);
  s->password_file = strdup(settings->password_file);
  s->orphans = strdup(settings->orphans ? settings->orphans : "");
  for (int i = 0; i < NODES; i++)
    s->peers[i] = strdup(settings->peers[i]);
  snprintf(r->name, sizeof(r->name), "tanist-%.40s-%c", settings->cluster, 'a' + settings->self);
  s->cluster = r->name; // nothing else of the cluster's name is of use here
  s->driver = broker_redis.name;
  return s->address && s->username && s->password_file && s->orphans && s->peers[0] && s->peers[1];
}

// REPLICAOF takes host and port apart.
static void split_peer(struct redis *r) {
  const char *text = r->settings.peers[1 - r->settings.self];
  const char *colon = strrchr(text, ':');
  size_t brackets = text[0] == '[' ? 1 : 0;
  snprintf(r->peer_host, sizeof(r->peer_host), "%.*s", (int)((size_t)(colon - text) - 2 * brackets),
           text + brackets);
  snprintf(r->peer_port, sizeof(r->peer_port), "%.5s", colon + 1);
}

static int open_own(struct redis *r) {
  const struct broker_settings *s = &r->settings;
  uint32_t retry_ms = s->beat_ms / 10;
  snprintf(r->own_what, sizeof(r->own_what), "broker.address");
  const struct redis_link_settings link = {
      .what = r->own_what,
      .address = s->address,
      .username = s->username,
      .password_file = s->password_file,
      .tls = s->tls,
      .name = r->name,
      .late_ms = s->probe_timeout_ms,
      .give_up_ms =
          0, // it may only hang: what was sent must not be carried out behind a new connection's back
      .retry_ms = retry_ms < RETRY_MS_MIN   ? RETRY_MS_MIN
                  : retry_ms > RETRY_MS_MAX ? RETRY_MS_MAX
                                            : retry_ms,
  };
  const struct redis_link_watch watch = {r, own_up, own_answer, own_late, own_down};
  return redis_link_new(&r->own, r->loop, &link, &watch);
}

static void tail_ended(void *arg) {
  redis_settle(arg);
}

static void tail_orphaned(void *arg, const char *path) {
  struct redis *r = arg;
  r->watch.orphaned(r->watch.arg, path);
}

static int open_parts(struct redis *r, const struct broker_settings *settings, const char **error) {
  *error = "out of memory";
  r->poll = loop_timer_new(r->loop, on_poll, r);
  r->clearing = loop_timer_new(r->loop, on_clearing, r);
  if (!r->poll || !r->clearing || !copy_settings(r, settings))
    return -ENOMEM;
  *error = "broker.peers: no usable address of the other node's Redis; \"host:port\" is wanted, as in "
           "\"10.0.0.2:6379\"";
  int rc = redis_peer_open(r);
  if (rc < 0)
    return rc;
  split_peer(r);
  *error = "broker.address: no usable address of this node's Redis; \"host:port\" is wanted, as in "
           "\"127.0.0.1:6379\"";
  rc = open_own(r);
  if (rc == 0)
    rc = redis_writes_open(r);
  const struct redis_tail_watch watch = {r, tail_ended, tail_orphaned};
  if (rc == 0 && r->settings.streams.count > 0)
    rc = redis_tail_open(&r->tail, r->loop, &r->settings, &watch);
  return rc;
}

static int redis_open(void **state, struct loop *loop, const struct broker_settings *settings,
                      const struct broker_watch *watch, const char **error) {
  *error = "out of memory";
  struct redis *r = calloc(1, sizeof(*r));
  if (!r)
    return -ENOMEM;
  r->loop = loop;
  r->watch = *watch;
  int rc = open_parts(r, settings, error);
  if (rc < 0) {
    redis_close(r);
    return rc;
  }
  snprintf(r->run_id, sizeof(r->run_id), "%s", settings->incarnation);
  r->lost = r->has_keys = r->run_id[0] != '\0'; // it was there, with data: one that is not, or is another, has died
  redis_view_update(r);
  r->told = r->view;
  poll_in(r, poll_us(r));
  *state = r;
  return 0;
}

static void redis_apply(void *state, const struct broker_duty *duty) {
  struct redis *r = state;
  struct broker_duty former = r->duty;
  bool had_duty = r->has_duty;
  r->duty = *duty;
  r->duty.sync = duty->sync && r->settings.replication != REPLICATION_ASYNC; // it cannot wait for bytes
  r->has_duty = true;
  redis_duty_new(r, had_duty ? &former : NULL);
  redis_link_flush(r->own);
  if (duty->mode == BROKER_LEAD || duty->mode == BROKER_FOLLOW)
    redis_peer_ask(r); // how far it is, or whether it leads, is wanted next
  if (r->dead && !r->known)
    poll_in(r, 0);
}

static void redis_kill_clients(void *state) {
  struct redis *r = state;
  r->clears_pending = true;
  REDIS_ASK(r, ASK_KILL, "CLIENT", "KILL", "TYPE", "pubsub");
  bool asked = REDIS_ASK(r, ASK_CLEARED, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  redis_link_flush(r->own);
  loop_timer_in(r->clearing, asked ? BROKER_CLEAR_MS * 1000 : 0);
}

static void redis_reload(void *state) {
  struct redis *r = state;
  redis_link_login_again(r->own);
  redis_link_login_again(r->peer);
  redis_link_login_again(r->writer);
  if (r->has_duty && r->duty.mode == BROKER_FOLLOW)
    redis_duty_credentials(r); // for when it next connects to its master
  redis_link_flush(r->own);
}

static const struct broker_view *redis_view(const void *state) {
  return &((const struct redis *)state)->view;
}

const struct broker_driver broker_redis = {
    .name = "redis",
    .replicates = true,
    .open = redis_open,
    .apply = redis_apply,
    .kill_clients = redis_kill_clients,
    .view = redis_view,
    .reload = redis_reload,
    .close = redis_close,
};
