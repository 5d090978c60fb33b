// SPDX-License-Identifier: Apache-2.0
// How the agent is put together, comes up, and goes.
#include "agent/agent.h"
#include "agent/web.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/orphans.h"
#include "common/base/clock.h"
#include "common/base/http.h"
#include "common/base/log.h"
#include "common/base/seal.h"

#define CLIENTS_EVERY_MS 200 // how often the master looks for them
#define RETIRE_MS 10000 // what a clean stop gives a hand-over
#define STOP_MS 12000   // and all of itself
#define ERROR_SIZE 512

// ---- what happens, as events ----

/* The broker's word and the health checks' as one report. */
void agent_report(struct agent *a) {
  const struct broker_view *view = broker_view(a->broker);
  const struct health_result *health = health_result(a->health);
  struct event event = {.type = EVENT_BROKER};
  event.broker = (struct broker_report){.health = health->healthy && !view->unfit ? 1 : 0,
                                        .dead = health->dead,
                                        .silent = !view->reachable,
                                        .link = view->link,
                                        .position = view->position,
                                        .peer = view->peer};
  take_over_judge(a->take_over, &event.broker);
  if (!resume_report(a, &event.broker))
    return;
  runner_event(a->runner, event);
  resume_note_broker(a);
}

static void on_broker(void *arg) {
  struct agent *a = arg;
  health_broker(a->health, broker_view(a->broker));
  agent_report(a);
}

void agent_health_changed(void *arg) {
  struct agent *a = arg;
  const struct health_result *health = health_result(a->health);
  const char *what = health->dead ? "dead" : health->healthy ? "healthy" : "unhealthy";
  note(a, note_new(a, "broker", what), LOG_NOTICE, "broker: %s",
       health->dead || health->healthy ? what : "not known to be healthy");
  agent_report(a);
}

static void start(struct agent *a) {
  if (a->started)
    return;
  a->started = true;
  if (!a->unseen)
    loop_timer_at(a->start_timer, INSTANT_NEVER);
  runner_start(a->runner);
  agent_watch(a);
  health_broker(a->health, broker_view(a->broker));
  agent_report(a);
  agent_order_give(a);
}

/* L9: no beat leaves before the broker is out of the way; one that does not answer is, behind the closed
 * fence. */
static void on_start_timer(void *arg) {
  struct agent *a = arg;
  note(a, note_new(a, "broker", "silent"), LOG_WARNING,
       "the broker does not answer yet: taking part without it");
  resume_seen(a);
  if (a->started)
    agent_report(a);
  else
    start(a);
}

static void on_done(void *arg, uint32_t serial, struct position position) {
  struct agent *a = arg;
  if (!a->started) {
    start(a);
    return;
  }
  if (a->unseen)
    loop_timer_at(a->start_timer, INSTANT_NEVER);
  resume_seen(a);
  struct event event = {.type = EVENT_DONE};
  event.done.serial = serial;
  event.done.position = position;
  agent_report(a); /* the position that the core compares with is not to be older than this one */
  runner_event(a->runner, event);
}

static void on_cleared(void *arg) {
  agent_cleared(arg);
}

static void on_stalled(void *arg, int64_t us, const char *cause, const int64_t counts[STALL_COUNTS]) {
  struct agent *a = arg;
  struct json *event = note_new(a, "daemon", "stalled");
  json_put_int(event, "stall_us", us);
  json_put_text(event, "cause", cause[0] != 0 ? cause : NULL);
  for (unsigned i = 0; i < STALL_COUNTS; i++)
    json_put_int(event, stall_count_name(i), counts[i]);
  note(a, event, LOG_WARNING, "the agent did not run for %" PRId64 " ms, longer than a beat: %s", us / 1000,
       cause[0] != 0 ? cause : "nothing that the machine counts explains it");
}

// ---- going ----

static void stop_if_released(struct agent *a) {
  const struct core *core = runner_core(a->runner);
  if (a->stopping && core->role != ROLE_MASTER && core->quiet && !hooks_busy(a->hooks))
    loop_stop(a->loop);
}

static void on_stepped(void *arg) {
  struct agent *a = arg;
  state_page_update(a->state_page, runner_core(a->runner), clock_now());
  marks_look(a->marks, &runner_core(a->runner)->voter.ballot, a->order.held ? "" : a->order.who,
             a->conf.voter[a->self].name);
  if (!a->order.held)
    a->order.who[0] = 0;
  note_look(a);
  take_over_stepped(a->take_over);
  hooks_stepped(a->hooks);
  stop_if_released(a);
}

static void on_stop_timer(void *arg) {
  struct agent *a = arg;
  note(a, note_new(a, "daemon", "stopping"), LOG_WARNING,
       "the broker did not let go in time: leaving with the fence closed");
  loop_stop(a->loop);
}

static void on_signal(void *arg, int signo) {
  struct agent *a = arg;
  if (a->stopping)
    return;
  note(a, note_new(a, "daemon", "stopping"), LOG_NOTICE, "%s: stopping",
       signo == SIGTERM ? "SIGTERM" : "SIGINT");
  a->stopping = true;
  start(a);
  loop_timer_in(a->stop_timer, STOP_MS * 1000);
  struct event event = {.type = EVENT_ORDER};
  event.order = (struct order){.type = ORDER_RETIRE, .timeout_ms = RETIRE_MS};
  runner_event(a->runner, event);
}

// ---- coming up ----

static int fail(const char *what, const char *error, int rc) {
  log_error("%s: %s", what, error != NULL && error[0] != 0 ? error : strerror(-rc));
  return rc;
}

static struct fence_settings fence_settings(const struct agent *a) {
  const struct cluster_conf *c = &a->conf;
  const struct cluster_voter *peer = &c->voter[1 - a->self];
  struct fence_settings s = {.cluster = c->name,
                             .kernel = cluster_kernel_name(c),
                             .mechanism = cluster_mechanism_name(c),
                             .lease_ms = c->lease_ms,
                             .until = resume_fence(a)};
  for (size_t i = 0; i < c->vip_count && i < FENCE_ADDRESSES_MAX; i++) {
    s.address[s.address_count].family = c->vip[i].family;
    memcpy(s.address[s.address_count++].bytes, c->vip[i].bytes, 16);
  }
  _Static_assert(CLUSTER_PATHS_MAX <= FENCE_ADDRESSES_MAX, "every address of the other node has its place");
  for (size_t i = 0; i < peer->address_count; i++) {
    const struct net_address *at = &peer->address[i];
    bool v4 = at->any.sa_family == AF_INET;
    s.peer[s.peer_count].family = at->any.sa_family;
    memcpy(s.peer[s.peer_count++].bytes,
           v4 ? (const void *)&at->v4.sin_addr : (const void *)&at->v6.sin6_addr, v4 ? 4 : 16);
  }
  struct sockaddr_storage broker;
  socklen_t length;
  const char *address = c->broker.peers[1 - a->self];
  bool known = address != NULL && address[0] != 0 && broker_address(address, &broker, &length) == 0;
  if (known && s.peer_count < FENCE_ADDRESSES_MAX) { /* replication may run over an address of its own */
    const struct sockaddr_in *v4 = (const void *)&broker;
    const struct sockaddr_in6 *v6 = (const void *)&broker;
    bool is_v4 = broker.ss_family == AF_INET;
    s.peer[s.peer_count].family = broker.ss_family;
    memcpy(s.peer[s.peer_count++].bytes, is_v4 ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr,
           is_v4 ? 4 : 16);
  }
  for (size_t i = 0; i < c->fence.ports.count && i < FENCE_PORTS_MAX; i++)
    s.port[s.port_count++] = (uint16_t)c->fence.ports.at[i];
  return s;
}

/* Without it the pair works, but whoever only listens does not hear of a take-over. */
static void open_clients(struct agent *a) {
  const char *error = NULL;
  struct clients_settings s = {.count = a->conf.vip_count,
                               .every_ms = a->conf.beat_ms > CLIENTS_EVERY_MS ? a->conf.beat_ms : CLIENTS_EVERY_MS};
  for (size_t i = 0; i < s.count; i++) {
    s.at[i].family = a->conf.vip[i].family;
    s.at[i].bytes = a->conf.vip[i].bytes;
  }
  int rc = clients_open(&a->clients, a->loop, &s, &error);
  if (rc != 0)
    log_warning("%s (%s)", error, strerror(-rc));
}

/* The fence closed, and a virtual IP that a former agent left removed; but for a reign that goes on (L10). */
static int open_kernel(struct agent *a) {
  const char *error = NULL;
  struct fence_settings fence = fence_settings(a);
  int rc = fence_open(&a->fence, &fence, &error);
  if (rc != 0)
    return fail("kernel fence", error, rc);
  struct vip_settings vip = {.count = a->conf.vip_count};
  for (size_t i = 0; i < a->conf.vip_count; i++) {
    vip.at[i].address = a->conf.vip[i].text;
    vip.at[i].interface = a->conf.vip[i].interface;
  }
  rc = vip_open(&a->vip, a->loop, &vip, &error);
  if (rc == 0 && a->conf.vip_count > 0)
    open_clients(a);
  if (rc == 0 && resume_wanted(a))
    vip_until(a->vip, fence.until);
  else if (rc == 0)
    rc = vip_drop(a->vip);
  if (rc == 0)
    a->take_over = take_over_open(a);
  return rc != 0 ? fail("virtual IP", error, rc) : 0;
}

static void on_orphaned(void *arg, const char *path) {
  struct agent *a = arg;
  int rc = orphans_adopt(a->orphans, path);
  struct json *event = note_new(a, "broker", "orphaned");
  json_put_text(event, "path", path);
  note(a, event, LOG_WARNING,
       "what the broker had past the new master's log was cut off, and is kept in %s: see 'tanist orphans "
       "list'%s%s",
       path, rc != 0 ? ", where it is not shown: " : "", rc != 0 ? strerror(-rc) : "");
  for (char gone[NAME_MAX + 1]; orphans_prune(a->orphans, gone);) {
    event = note_new(a, "broker", "orphan-removed");
    json_put_text(event, "path", gone);
    note(a, event, LOG_WARNING, "the orphan file %s, the oldest of more than %d, was removed", gone,
         ORPHANS_KEPT);
  }
}

static void describe(void *arg, uint64_t epoch, struct words *words) {
  hooks_words(arg, epoch, NULL, words);
}

static int open_broker(struct agent *a) {
  struct broker_settings s;
  broker_settings_of(&s, &a->conf, a->self);
  s.page = a->state_page;
  s.incarnation = resume_incarnation(a);
  s.orphans = orphans_path(&a->conf, a->self, a->orphans, sizeof a->orphans);
  s.describe = describe;
  s.describe_arg = a;
  struct broker_watch watch = {
      .arg = a, .changed = on_broker, .done = on_done, .orphaned = on_orphaned, .cleared = on_cleared};
  const char *error = NULL;
  int rc = broker_open(&a->broker, a->loop, &s, &watch, &error);
  return rc != 0 ? fail("broker", error, rc) : 0;
}

static int open_health(struct agent *a) {
  const char *error = NULL;
  int rc = agent_open_health(a, &a->conf, &a->health, &error);
  return rc != 0 ? fail("health checks", error, rc) : 0;
}

static int open_marks(struct agent *a) {
  const char *name = a->conf.voter[a->self].name;
  int error;
  a->marks = marks_open(a->conf.state_directory, a->conf.name, name, a->self, &error);
  if (a->marks != NULL && error != 0)
    log_warning("%s/%s.%s.orders cannot be kept (%s): force-master is refused, and a restart forgets since "
                "when the cluster is frozen",
                a->conf.state_directory, a->conf.name, name, strerror(-error));
  return a->marks == NULL ? fail("start", NULL, -ENOMEM) : 0;
}

static int open_runner(struct agent *a, const struct agent_options *options) {
  char error[ERROR_SIZE] = "";
  a->net = net_new(a->loop);
  a->crypto = crypto_new();
  if (a->net == NULL || a->crypto == NULL)
    return fail("start", "no memory, or OpenSSL lacks X25519, HKDF or AES-256-GCM", -ENOMEM);
  struct runner_shared shared = {.loop = a->loop,
                                 .net = a->net,
                                 .crypto = a->crypto,
                                 .state_directory = a->conf.state_directory,
                                 .trace = options->trace,
                                 .reign = a->reign};
  struct runner_hands hands = {
      .arg = a, .perform = agent_perform, .stepped = on_stepped, .note = note_for_others, .noted = note_of_others};
  int rc = runner_open(&a->runner, &shared, &a->conf, a->self, &hands, error, sizeof error);
  return rc != 0 ? fail("start", error, rc) : 0;
}

/* Before the runner starts: whoever reads a former agent's page is to learn that it leads no more. */
static int open_state_page(struct agent *a) {
  char state[256], report[256];
  struct state_page_settings s = {
      .state_path = cluster_run_path(&a->conf, a->self, "state", state, sizeof state),
      .report_path = cluster_run_path(&a->conf, a->self, "report", report, sizeof report),
      .self = a->self,
      .cluster = seal_cluster_id(a->conf.name),
      .max_lag = a->conf.broker.max_lag_bytes,
      .admits = a->conf.broker.driver == DRIVER_LIBRARY,
      .resumes = resume_wanted(a),
      .alive_ms = 2 * a->conf.lease_ms};
  for (unsigned i = 0; i < NODES; i++)
    s.brokers[i] = a->conf.broker.peers[i];
  int rc = state_page_open(&a->state_page, &s);
  return rc != 0 ? fail(s.state_path, NULL, rc) : 0;
}

static int open_control(struct agent *a) {
  char path[256], error[ERROR_SIZE];
  struct control_handler handler = {.arg = a, .request = agent_request};
  cluster_socket_path(&a->conf, a->self, path, sizeof path);
  int rc = control_listen(&a->control, a->loop, path, &handler);
  snprintf(error, sizeof error, "%s: %s", path,
           rc == -EADDRINUSE ? "another agent answers there: is it running twice?" : strerror(-rc));
  return rc != 0 ? fail("control socket", error, rc) : 0;
}

static int open_loop(struct agent *a) {
  a->failback_at = INSTANT_NEVER;
  a->loop = loop_new();
  if (a->loop == NULL)
    return fail("start", "no event loop", -ENOMEM);
  a->start_timer = loop_timer_new(a->loop, on_start_timer, a);
  a->stop_timer = loop_timer_new(a->loop, on_stop_timer, a);
  a->order_timer = loop_timer_new(a->loop, agent_order_late, a);
  a->watch_timer = loop_timer_new(a->loop, agent_watch, a);
  a->term = loop_signal_new(a->loop, SIGTERM, on_signal, a);
  a->interrupt = loop_signal_new(a->loop, SIGINT, on_signal, a);
  a->leave = loop_signal_new(a->loop, SIGUSR1, resume_leave, a);
  a->hangup = loop_signal_new(a->loop, SIGHUP, agent_reload, a);
  bool whole = a->hangup && a->start_timer && a->stop_timer && a->order_timer && a->watch_timer && a->term &&
               a->interrupt && a->leave;
  return whole ? 0 : fail("start", "no timers", -ENOMEM);
}

static int open_stall(struct agent *a) {
  struct stall_watch watch = {.arg = a, .stalled = on_stalled};
  a->stall = stall_new(a->loop, a->conf.beat_ms, &watch);
  realtime_enter(&a->realtime);
  if (!a->realtime.scheduled)
    log_notice("%s", a->realtime.why_not_scheduled);
  if (!a->realtime.locked)
    log_notice("%s", a->realtime.why_not_locked);
  return a->stall == NULL ? fail("start", NULL, -ENOMEM) : 0;
}

/* Last of all: once it is open, the machine is reset unless we come to kick it. */
static int open_watchdog(struct agent *a) {
  char error[ERROR_SIZE] = "";
  int rc = watchdog_open(&a->watchdog, a->conf.fence.watchdog, a->conf.lease_ms, a->conf.beat_ms, error, sizeof error);
  if (rc == 0 && a->watchdog != NULL)
    log_notice("watchdog %s (%s), %s, resets the machine after %d s", a->conf.fence.watchdog,
               watchdog_identity(a->watchdog), watchdog_class(a->watchdog), watchdog_timeout_s(a->watchdog));
  return rc != 0 ? fail("watchdog", error, rc) : 0;
}

static int open_all(struct agent *a, const struct agent_options *options) {
  int rc = open_loop(a);
  rc = rc != 0 ? rc : resume_open(a);
  rc = rc != 0 ? rc : note_open(a);
  rc = rc != 0 ? rc : open_runner(a, options);
  rc = rc != 0 ? rc : open_kernel(a);
  rc = rc != 0 ? rc : open_state_page(a);
  rc = rc != 0 ? rc : open_marks(a);
  rc = rc != 0 ? rc : hooks_open(&a->hooks, a);
  rc = rc != 0 ? rc : open_health(a);
  rc = rc != 0 ? rc : open_broker(a);
  rc = rc != 0 ? rc : open_control(a);
  rc = rc != 0 ? rc : agent_open_device(a);
  rc = rc != 0 ? rc : open_stall(a);
  rc = rc != 0 ? rc : web_open(a);
  return rc != 0 ? rc : open_watchdog(a);
}

static void close_all(struct agent *a) {
  /* The fence goes last, and only where nothing is left behind it that could serve. */
  bool quiet = a->runner != NULL && runner_core(a->runner)->quiet && !a->leaving;
  watchdog_close(a->watchdog, !a->leaving);
  peer_off_close(a->peer_off);
  fence_agent_close(a->fence_agent);
  stall_free(a->stall);
  hooks_close(a->hooks);
  http_close(a->http);
  control_close(a->control);
  broker_close(a->broker);
  state_page_close(a->state_page, a->leaving);
  if (a->vip != NULL && !a->leaving)
    vip_drop(a->vip);
  if (a->fence != NULL && !a->leaving)
    fence_close(a->fence);
  health_close(a->health);
  runner_close(a->runner);
  reign_close(a->reign);
  marks_close(a->marks);
  events_close(a->events);
  history_close(a->history);
  take_over_close(a->take_over);
  clients_close(a->clients);
  vip_free(a->vip);
  fence_free(a->fence, quiet);
  crypto_free(a->crypto);
  net_free(a->net);
  loop_free(a->loop);
}

/* Out of the broker's way first (L9); the core's own first duty is the same once more. */
static void hold_broker(struct agent *a) {
  struct broker_duty hold = {.serial = UINT32_MAX, .mode = BROKER_HOLD, .master = NOBODY};
  broker_apply(a->broker, &hold);
  a->given = true;
}

static void begin(struct agent *a) {
  const struct cluster_check *probe = cluster_broker_check(&a->conf);
  loop_timer_in(a->start_timer, 2000 * (int64_t)(probe != NULL ? probe->timeout_ms : 500));
  if (!resume_wanted(a)) {
    hold_broker(a);
    return;
  }
  resume_begin(a);
  start(a);
}

static int load(struct agent *a, const struct agent_options *options) {
  struct conf_errors *errors = calloc(1, sizeof *errors);
  char error[ERROR_SIZE];
  if (errors == NULL || cluster_load(&a->conf, options->file, errors) != 0) {
    if (errors != NULL)
      cluster_print_errors(stderr, errors);
    free(errors);
    return -EINVAL;
  }
  free(errors);
  int self = cluster_self(&a->conf, options->name, error, sizeof error);
  if (self < 0) {
    fprintf(stderr, "%s: %s\n", options->file, error);
    cluster_free(&a->conf);
    return self;
  }
  a->self = (unsigned)self;
  a->file = options->file;
  return 0;
}

int agent_run(const struct agent_options *options) {
  struct agent *a = calloc(1, sizeof *a);
  if (a == NULL)
    return 1;
  if (load(a, options) != 0) {
    free(a);
    return 2;
  }
  int rc = open_all(a, options);
  if (rc == 0) {
    struct json *event = note_new(a, "daemon", "started");
    json_put_text(event, "version", TANIST_VERSION);
    note(a, event, LOG_NOTICE, "%s of cluster %s, lease %u ms, fence %s", a->conf.voter[a->self].name,
         a->conf.name, a->conf.lease_ms, fence_mechanism(a->fence));
    begin(a);
    rc = loop_run(a->loop);
  }
  close_all(a);
  cluster_free(&a->conf);
  free(a->first_texts);
  free(a);
  /* a key or an address that cannot be used is a mistake of the configuration's */
  return rc == 0 ? 0 : rc == -EPERM || rc == -ENOENT || rc == -EBADMSG || rc == -EKEYREJECTED ? 2 : 1;
}
