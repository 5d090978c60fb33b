// SPDX-License-Identifier: Apache-2.0
// The driver for PostgreSQL: its outside, and what feeds it: a connection to each server, the server's process,
// and a timer. Everything ends in pg_settle(), the only place that calls out.
//
// It is no verb engine's transport: it answers several questions at a time, steps down without waiting for any
// of them, and its verbs would have no beginning and end (a standby catches up for as long as it takes).
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pg_driver.h"
#include "common/base/clock.h"
#include "common/base/conf.h"

#define HURRY_US 4000 // between looks while something is waited for
#define RETRY_MS 20
#define FULL_EVERY_US 1000000
#define BIN_DIRECTORY "/usr/lib/postgresql/15/bin"

void pg_say(struct pg *p, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(p->trouble, sizeof p->trouble, format, arguments);
  va_end(arguments);
}

// ---- telling ----

static void tell(struct pg *p) {
  pg_view_update(p);
  if (pg_view_differs(&p->view, &p->told)) {
    p->told = p->view;
    p->watch.changed(p->watch.arg);
  }
  if (!p->untold) // also when `changed` brought a newer duty
    return;
  p->untold = false;
  p->watch.done(p->watch.arg, p->duty.serial, p->view.position);
}

static void tell_cleared(struct pg *p) {
  if (!p->clears_pending)
    return;
  p->clears_pending = false;
  loop_timer_at(p->clearing, INSTANT_NEVER);
  p->watch.cleared(p->watch.arg);
}

static void on_clearing(void *arg) {
  tell_cleared(arg);
}

static void on_stop_timer(void *arg) {
  pg_duty_stop_timer(arg);
  pg_settle(arg);
}

static int64_t poll_us(const struct pg *p) {
  const struct broker_settings *s = &p->settings;
  uint32_t ms = s->beat_ms < s->probe_every_ms ? s->beat_ms : s->probe_every_ms;
  return p->hurry ? HURRY_US : (int64_t)ms * 1000;
}

void pg_settle(struct pg *p) {
  bool hurried = p->hurry;
  pg_duty_step(p);
  if (p->hurry && !hurried)
    loop_timer_in(p->poll, HURRY_US);
  tell(p);
}

static void look_at_disk(struct pg *p) {
  if (clock_now().us - p->full_asked.us < FULL_EVERY_US)
    return;
  p->full_asked = clock_now();
  p->full = pg_server_full(p->server);
}

// A server that is gone since the agent before this one had it lead has died.
static void look_for_server(struct pg *p) {
  bool running = pg_server_running(p->server);
  if (running && !pg_link_is_up(p->own))
    pg_link_retry(p->own);
  if (running || !p->inherited)
    return;
  p->inherited = false;
  pg_duty_died(p);
}

static void on_poll(void *arg) {
  struct pg *p = arg;
  look_for_server(p);
  look_at_disk(p);
  if (p->asking == 0)
    pg_ask_look(p);
  if (p->has_duty && p->duty.mode != BROKER_HOLD && !(p->known && !p->look.recovery))
    pg_ask_other(p);
  pg_settle(p);
  loop_timer_in(p->poll, poll_us(p));
}

// ---- the own server ----

static void own_up(void *arg) {
  struct pg *p = arg;
  p->known = p->fresh = false;
  p->asking = 0;
  p->step = 0;
  pg_ask_look(p);
}

static void own_down(void *arg, bool was_up, bool heard) {
  struct pg *p = arg;
  (void)heard;
  p->asking = 0;
  if (was_up)
    p->known = p->fresh = p->reachable = false;
  if (p->clears_pending)
    loop_timer_in(p->clearing, 0);
  pg_settle(p);
}

static void own_late(void *arg) {
  struct pg *p = arg;
  p->reachable = false;
  tell(p);
}

static void died(void *arg) {
  struct pg *p = arg;
  pg_link_drop(p->own);
  p->asking = 0;
  if (p->clears_pending)
    loop_timer_in(p->clearing, 0);
  p->inherited = false;
  pg_duty_died(p);
  pg_settle(p);
}

// Positions that did not move between two looks stood still.
static void note_move(struct pg *p, const struct pg_look *look, struct instant asked) {
  if (!p->known || look->position != p->look.position)
    p->moved = asked;
}

static void take_incarnation(struct pg *p) {
  const struct pg_look *l = &p->look;
  if (strcmp(p->incarnation, l->start) != 0 && p->inherited)
    pg_duty_died(p);
  p->inherited = false;
  snprintf(p->incarnation, sizeof p->incarnation, "%s", l->start);
  if (p->ours && l->recovery && l->standby_names[0] != 0 && strcmp(p->memory.withholding, l->start) != 0) {
    snprintf(p->memory.withholding, sizeof p->memory.withholding, "%s", l->start);
    if (pg_memory_save(&p->memory) != 0)
      p->memory.withholding[0] = 0;
  }
  uint32_t timeline;
  if (p->epoch == 0 && pg_server_timeline(p->server, &timeline) && timeline == p->memory.timeline)
    p->epoch = p->memory.epoch;
}

static void take_look(struct pg *p, uint32_t batch, struct instant asked, const struct pg_answer *answer) {
  struct pg_look look;
  if (!answer->ok || !pg_take_look(&look, answer))
    return;
  char real[PATH_MAX];
  p->foreign = realpath(look.data_directory, real) == NULL || strcmp(real, p->real_directory) != 0;
  if (p->foreign)
    return;
  note_move(p, &look, asked);
  bool was_recovery = p->known ? p->look.recovery : look.recovery;
  p->look = look;
  p->look_asked = asked;
  p->known = p->reachable = true;
  p->fresh = batch == p->batch;
  if (p->starts > 0)
    p->trouble[0] = 0; // that it does not start
  p->starts = 0;
  if (was_recovery && !look.recovery && strcmp(p->memory.withholding, look.start) == 0)
    p->armed = look.standby_names[0] != 0; // promoted: it withheld since it was started
  take_incarnation(p);
  if (p->dead && !p->distrust && (look.recovery || !p->has_duty))
    p->dead = false;
}

static void take_refusal(struct pg *p, enum pg_ask kind, const struct pg_answer *answer) {
  static const char *const names[] = {[ASK_LOOK] = "a query", [ASK_COMMAND] = "a setting", [ASK_PROMOTE] = "to be promoted",
                                      [ASK_KILL] = "to close clients' connections", [ASK_CLEARED] = "", [ASK_CHECKPOINT] = ""};
  if (kind == ASK_CLEARED || strncmp(answer->sqlstate, "57P", 3) == 0 || strcmp(answer->sqlstate, "55000") == 0)
    return; // shutting down; or no standby any more
  if (strcmp(answer->sqlstate, "42501") == 0)
    pg_say(p, "broker.username: PostgreSQL refused %s: the user must be a superuser", names[kind]);
  else
    pg_say(p, "PostgreSQL refused %s: %.100s", names[kind], answer->error);
}

static void own_answer(void *arg, uint32_t tag, struct instant asked, const struct pg_answer *answer) {
  struct pg *p = arg;
  enum pg_ask kind = (enum pg_ask)(tag & 0xff);
  if (kind == ASK_LOOK && p->asking > 0)
    p->asking--;
  if (!answer->ok)
    take_refusal(p, kind, answer);
  if (kind == ASK_LOOK)
    take_look(p, tag >> 8, asked, answer);
  else if (kind == ASK_CLEARED)
    tell_cleared(p);
  if (kind != ASK_LOOK && p->asking == 0)
    pg_ask_look(p); // what came of it
  pg_settle(p);
}

// ---- the other node's server ----

static void peer_up(void *arg) {
  struct pg *p = arg;
  p->other_asking = false;
  p->other_heard = clock_now();
  pg_ask_other(p);
}

static void peer_answer(void *arg, uint32_t tag, struct instant asked, const struct pg_answer *answer) {
  struct pg *p = arg;
  (void)asked;
  p->other_heard = clock_now();
  if (tag == ASK_LOOK) {
    p->other_asking = false;
    pg_take_other(p, answer);
  }
  pg_settle(p);
}

static void peer_late(void *arg) {
  struct pg *p = arg;
  p->other.known = false;
  tell(p);
}

static void peer_down(void *arg, bool was_up, bool heard) {
  struct pg *p = arg;
  (void)was_up;
  p->other_asking = p->other.known = false;
  if (heard)
    p->other_heard = clock_now();
  tell(p);
}

// ---- opening ----

static void free_settings(struct pg *p) {
  const struct broker_settings *s = &p->settings;
  const struct pg_server_settings *f = &p->files;
  const char *const owned[] = {s->address,       s->peers[0],     s->peers[1],    s->username, s->password_file,
                               s->orphans,       p->more,         f->data_directory, f->bin_directory,
                               f->config_file,   f->unit,         f->log_file};
  for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
    free((void *)(uintptr_t)owned[i]);
}

static void postgresql_close(void *state) {
  struct pg *p = state;
  child_cancel(p->child);
  pg_link_free(p->own);
  pg_link_free(p->peer);
  pg_link_free(p->probe);
  pg_server_free(p->server);
  pg_memory_close(&p->memory);
  loop_timer_free(p->poll);
  loop_timer_free(p->clearing);
  loop_timer_free(p->stop_timer);
  free(p->own_history);
  free(p->other_history);
  free_settings(p);
  free(p);
}

struct option {
  const char *name, *fallback;
  const char **into;
};

static const char *option_value(const struct conf_map *options, const struct option *option) {
  for (size_t i = 0; options != NULL && i < options->count; i++)
    if (strcmp(options->at[i].key, option->name) == 0)
      return options->at[i].value;
  return option->fallback;
}

// What else there may be, and of which form, was looked at with the configuration (cluster_postgresql.c).
static int take_options(struct pg *p, const struct conf_map *given, const char **error) {
  struct pg_server_settings *f = &p->files;
  const struct option options[] = {
      {"data_directory", "", &f->data_directory}, {"bin_directory", BIN_DIRECTORY, &f->bin_directory},
      {"config_file", "", &f->config_file},       {"unit", "", &f->unit},
      {"log_file", "", &f->log_file},             {"conninfo", "", &p->more}};
  size_t count = sizeof options / sizeof options[0];
  bool good = true;
  for (size_t i = 0; i < count; i++)
    good = (*options[i].into = strdup(option_value(given, &options[i]))) != NULL && good;
  if (!good)
    return -ENOMEM;
  *error = "broker.options.data_directory is missing: driver \"postgresql\" needs it, as in \"/var/lib/postgresql/15/main\"";
  return f->data_directory[0] == '/' ? 0 : -EINVAL;
}

static bool copy_settings(struct pg *p, const struct broker_settings *settings) {
  struct broker_settings *s = &p->settings;
  *s = *settings;
  s->address = strdup(settings->address);
  s->username = strdup(settings->username);
  s->password_file = strdup(settings->password_file);
  s->orphans = strdup(settings->orphans != NULL ? settings->orphans : "");
  for (int i = 0; i < NODES; i++)
    s->peers[i] = strdup(settings->peers[i]);
  snprintf(p->name, sizeof p->name, "tanist_%c", 'a' + s->self);
  snprintf(p->peer_name, sizeof p->peer_name, "tanist_%c", 'b' - s->self);
  snprintf(p->link_name, sizeof p->link_name, "tanist-agent-%c", 'a' + s->self);
  snprintf(p->what[0], sizeof p->what[0], "broker.address");
  snprintf(p->what[1], sizeof p->what[1], "broker.peers.%c", 'b' - s->self);
  s->cluster = p->name;
  s->driver = broker_postgresql.name;
  return s->address && s->username && s->password_file && s->peers[0] && s->peers[1] && s->orphans;
}

static int open_link(struct pg *p, bool own) {
  const struct broker_settings *s = &p->settings;
  const struct pg_link_settings link = {.what = p->what[own ? 0 : 1],
                                        .address = own ? s->address : s->peers[1 - s->self],
                                        .conninfo = p->more,
                                        .username = s->username,
                                        .password_file = s->password_file,
                                        .name = p->link_name,
                                        .late_ms = own ? s->probe_timeout_ms : s->beat_ms * 2,
                                        .give_up_ms = own ? 0 : s->lease_ms,
                                        .retry_ms = own ? RETRY_MS : s->beat_ms};
  const struct pg_link_watch ours = {p, own_up, own_answer, own_late, own_down};
  const struct pg_link_watch theirs = {p, peer_up, peer_answer, peer_late, peer_down};
  return pg_link_new(own ? &p->own : &p->peer, p->loop, &link, own ? &ours : &theirs);
}

// For the server and pg_rewind, which take a password from a file only in this form.
static int write_passfile(const struct pg *p) {
  char secret[PG_SECRET_MAX + 1], line[2 * PG_SECRET_MAX + 300];
  if (p->settings.password_file[0] == 0 || pg_server_unusable(p->server) != NULL)
    return 0;
  int rc = pg_secret_read(p->settings.password_file, secret);
  if (rc != 0)
    return rc;
  size_t at = (size_t)snprintf(line, sizeof line, "*:*:*:%s:", p->settings.username[0] ? p->settings.username : "postgres");
  for (const char *c = secret; *c != 0 && at + 3 < sizeof line; c++) {
    if (*c == ':' || *c == '\\')
      line[at++] = '\\';
    line[at++] = *c;
  }
  line[at++] = '\n';
  line[at] = 0;
  rc = pg_server_write(p->server, PG_PASSFILE, line);
  explicit_bzero(line, sizeof line);
  explicit_bzero(secret, sizeof secret);
  return rc;
}

static int open_links(struct pg *p, const char **error) {
  char host[64], port[8];
  *error = "broker.peers: no usable address of the other node's PostgreSQL; \"host:port\" is wanted, as in \"10.0.0.2:5432\"";
  int rc = pg_link_target(p->settings.peers[1 - p->settings.self], host, port);
  if (rc != 0)
    return rc;
  pg_make_conninfo(p, host, port);
  *error = "broker.options.conninfo: not what libpq reads; allowed: as in \"sslmode=verify-full sslrootcert=/etc/tanist/ca.pem\"";
  rc = open_link(p, false);
  if (rc == -EBADMSG)
    return -EINVAL;
  *error = "broker.address: no usable address of this node's PostgreSQL; \"host:port\" is wanted, as in \"127.0.0.1:5432\"";
  rc = rc == 0 ? open_link(p, true) : rc;
  return rc == 0 ? pg_switch_open(p) : rc;
}

static int open_parts(struct pg *p, const struct broker_settings *settings, const char **error) {
  *error = "out of memory";
  p->poll = loop_timer_new(p->loop, on_poll, p);
  p->clearing = loop_timer_new(p->loop, on_clearing, p);
  p->stop_timer = loop_timer_new(p->loop, on_stop_timer, p);
  p->own_history = calloc(1, sizeof *p->own_history);
  p->other_history = calloc(1, sizeof *p->other_history);
  if (!p->poll || !p->clearing || !p->stop_timer || !p->own_history || !p->other_history || !copy_settings(p, settings))
    return -ENOMEM;
  int rc = take_options(p, settings->options, error);
  if (rc == 0)
    rc = pg_server_new(&p->server, p->loop, &p->files, died, p);
  if (rc != 0)
    return rc;
  if (realpath(p->files.data_directory, p->real_directory) == NULL)
    snprintf(p->real_directory, sizeof p->real_directory, "%s", p->files.data_directory);
  rc = pg_memory_open(&p->memory, p->settings.orphans, error);
  rc = rc == 0 ? open_links(p, error) : rc;
  if (rc != 0)
    return rc;
  *error = "broker.password_file: it cannot be read, or what PostgreSQL needs of it not be written to its data directory";
  return write_passfile(p);
}

static int postgresql_open(void **state, struct loop *loop, const struct broker_settings *settings,
                           const struct broker_watch *watch, const char **error) {
  *error = "out of memory";
  struct pg *p = calloc(1, sizeof *p);
  if (p == NULL)
    return -ENOMEM;
  p->loop = loop;
  p->watch = *watch;
  int rc = open_parts(p, settings, error);
  if (rc < 0) {
    postgresql_close(p);
    return rc;
  }
  snprintf(p->incarnation, sizeof p->incarnation, "%.23s", settings->incarnation != NULL ? settings->incarnation : "");
  p->inherited = p->incarnation[0] != 0;
  pg_view_update(p);
  p->told = p->view;
  loop_timer_in(p->poll, 0);
  *state = p;
  return 0;
}

static void postgresql_apply(void *state, const struct broker_duty *duty) {
  struct pg *p = state;
  struct broker_duty former = p->duty;
  bool had_duty = p->has_duty;
  p->duty = *duty;
  p->duty.sync = duty->sync && p->settings.replication != REPLICATION_ASYNC;
  p->has_duty = true;
  pg_duty_new(p, had_duty ? &former : NULL);
  loop_timer_in(p->poll, 0);
}

static void postgresql_kill_clients(void *state) {
  struct pg *p = state;
  p->clears_pending = true;
  bool asked = pg_link_ask(p->own, ASK_CLEARED,
                           "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = "
                           "'client backend' AND application_name NOT LIKE 'tanist%'");
  loop_timer_in(p->clearing, asked ? BROKER_CLEAR_MS * 1000 : 0);
}

static const struct broker_view *postgresql_view(const void *state) {
  return &((const struct pg *)state)->view;
}

const struct broker_driver broker_postgresql = {
    .name = "postgresql",
    .replicates = true,
    .open = postgresql_open,
    .apply = postgresql_apply,
    .kill_clients = postgresql_kill_clients,
    .view = postgresql_view,
    .close = postgresql_close,
};
