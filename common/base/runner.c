// SPDX-License-Identifier: Apache-2.0
#include "common/base/runner.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/ballot.h"
#include "common/base/clock.h"
#include "common/base/key.h"
#include "common/base/trace_file.h"

#define LATER_MAX 4              // kinds of events that a perform can ask for
#define VERSION_NUMBER 0x000100u // 0.1.0, for people

struct runner {
  const struct cluster_conf *conf;
  struct runner_hands hands;
  struct ballot_store *store;
  struct endpoint *endpoint;
  struct loop_timer *timer;
  struct instant armed; /* when the timer will fire */
  struct core core;
  struct peer_clock clock[VOTERS]; /* [self] is unused */
  struct actions actions;
  bool started, stepping;
  bool resumes; /* L10: the core is a former process's */
  struct reign *reign;
  char broker[REIGN_BROKER_MAX];
  bool reloaded; /* before the start */
  int disk_error;
  struct trace_file *trace; /* NULL: none */
  struct instant base;      /* of the trace */
  enum event_type later[LATER_MAX];
  size_t later_count;
};

// ---- the step ----

/* We may have been away since the step was decided: nobody is to follow a master whose lease has ended meanwhile. A
   beat that is not sent is one that was lost. */
static bool outlived(const struct runner *r, const struct beat *beat) {
  return beat->role == ROLE_MASTER && !core_leads(&r->core, clock_now());
}

static void send_beat(struct runner *r, const struct beat *beat) {
  struct beat sent = *beat;
  if (outlived(r, beat)) {
    runner_later(r, EVENT_TIMER);
    return;
  }
  char note[SEAL_NOTE_MAX];
  size_t size = r->hands.note != NULL ? r->hands.note(r->hands.arg, beat->to, note, sizeof note) : 0;
  sent.wall_ms = clock_wall_ms();
  endpoint_send(r->endpoint, &sent, note, size); /* a beat may be lost anyway: the paths count their errors */
}

static bool persist(struct runner *r, const struct ballot *ballot) {
  r->disk_error = -ballot_write(r->store, ballot);
  if (r->disk_error != 0)
    runner_later(r, EVENT_DISK_FAILED);
  return r->disk_error == 0;
}

static void perform(struct runner *r) {
  bool barred = false; /* behind a failed PERSIST nothing is performed, but facts stay facts */
  for (size_t i = 0; i < r->actions.count; i++) {
    const struct action *action = &r->actions.at[i];
    if (barred && action->type != ACTION_TELL)
      continue;
    if (action->type == ACTION_PERSIST)
      barred = !persist(r, &action->ballot);
    else if (action->type == ACTION_SEND)
      send_beat(r, &action->beat);
    else
      r->hands.perform(r->hands.arg, action);
  }
}

/* L10: before anything of the step is performed. */
static void keep_reign(struct runner *r) {
  if (r->reign == NULL)
    return;
  if (r->core.role == ROLE_MASTER)
    reign_keep(r->reign, &r->core, r->base);
  else
    reign_forget(r->reign);
}

static void step(struct runner *r, struct event *event) {
  event->now = clock_now();
  core_step(&r->core, event, &r->actions);
  if (r->trace != NULL) /* before anything is performed, so that a crash leaves the step that led to it */
    trace_file_step(r->trace, event, &r->actions);
  unsigned broken = core_check(&r->core);
  if (broken != 0) { /* a crash is safe: the lease runs out; a wrong belief is not */
    fprintf(stderr, "tanist: invariant %u is broken: %s\n", broken, core_invariant(broken));
    abort();
  }
  keep_reign(r);
  perform(r);
}

/* A deadline that moved on is found when the timer fires: one call to the kernel a beat instead of one an
 * event. */
static void arm_timer(struct runner *r) {
  struct instant deadline = core_deadline(&r->core);
  if (deadline.us >= r->armed.us)
    return;
  r->armed = deadline;
  loop_timer_at(r->timer, deadline);
}

void runner_event(struct runner *r, struct event event) {
  assert(!r->stepping);
  if (!r->started)
    return;
  r->stepping = true;
  step(r, &event);
  for (size_t i = 0; i < r->later_count; i++) {
    struct event more = {.type = r->later[i]};
    step(r, &more);
  }
  r->later_count = 0;
  r->stepping = false;
  arm_timer(r);
  r->hands.stepped(r->hands.arg);
}

void runner_later(struct runner *r, enum event_type type) {
  for (size_t i = 0; i < r->later_count; i++)
    if (r->later[i] == type)
      return;
  assert(r->later_count < LATER_MAX);
  r->later[r->later_count++] = type;
}

static void on_timer(void *arg) {
  struct runner *r = arg;
  r->armed = INSTANT_NEVER;
  runner_event(arg, (struct event){.type = EVENT_TIMER});
}

static void on_beat(void *arg, uint64_t session, const struct beat *beat, const char *note, size_t size) {
  struct runner *r = arg;
  struct event event = {.type = EVENT_BEAT};
  event.beat.session = session;
  event.beat.beat = *beat;
  peer_clock_beat(&r->clock[beat->from], beat->wall_ms, clock_now());
  runner_event(arg, event);
  if (size > 0 && r->started && r->hands.noted != NULL)
    r->hands.noted(r->hands.arg, beat, note, size);
}

/* A peer that does not know our session yet learns it by the next beat; that one is due soon enough, and an
   answer of the core's own is the only thing that may bear a number. */
static void on_hello(void *arg, uint8_t peer) {
  struct runner *r = arg;
  if (!r->started || r->stepping)
    return;
  struct event event = {.type = EVENT_HELLO};
  event.hello = peer;
  runner_event(r, event);
}

// ---- opening ----

static struct core_config core_config(const struct cluster_conf *conf, unsigned self) {
  struct core_config config = {
      .self = (uint8_t)self,
      .preferred = conf->policy.preferred,
      .replication = (uint8_t)conf->broker.replication,
      .strict = conf->broker.strict,
      .lease_ms = conf->lease_ms,
      .beat_ms = conf->beat_ms,
      .drift_ppm = conf->drift_ppm,
      .witness_grace_ms = conf->witness_grace_ms,
      .degrade_ms = conf->broker.degrade_ms,
      .join_hold_ms = conf->broker.join_hold_ms,
      .hold_down_ms = conf->policy.hold_down_ms,
      .max_lag = conf->broker.max_lag_bytes,
      .withholds = conf->broker.driver == DRIVER_LIBRARY,
      .fence_required = conf->fence.agent_required,
      .version = VERSION_NUMBER,
  };
  return config;
}

/* The digest by which the three compare their files. */
static uint32_t digest(const struct cluster_conf *conf) {
  char *text = malloc(CLUSTER_CANONICAL_MAX);
  if (text == NULL)
    return 0;
  unsigned char hash[CRYPTO_HASH_SIZE];
  size_t length = cluster_canonical(conf, text, CLUSTER_CANONICAL_MAX);
  crypto_hash(text, length, hash);
  free(text);
  return (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
}

static int open_trace(struct runner *r, const struct runner_shared *shared, const struct trace_start *start,
                      char *error, size_t size) {
  if (shared->trace == NULL)
    return 0;
  int rc = r->resumes ? trace_file_resume(&r->trace, shared->trace, r->base, r->core.now)
                      : trace_file_open(&r->trace, shared->trace, start);
  if (rc != 0)
    snprintf(error, size, "--trace %s: %s", shared->trace, strerror(-rc));
  return rc;
}

static bool resume(struct runner *r, const struct runner_shared *shared, const struct core_config *config,
                   const struct ballot *disk) {
  r->reign = shared->reign;
  r->resumes = r->reign != NULL && reign_read(r->reign, &r->core, &r->base, r->broker) &&
               core_resumable(&r->core, config, disk, clock_now());
  if (r->reign != NULL && !r->resumes)
    reign_forget(r->reign);
  return r->resumes;
}

static int open_ballot(struct runner *r, const struct runner_shared *shared, unsigned self, char *error,
                       size_t size) {
  struct ballot ballot;
  const char *why = "";
  bool fresh;
  int rc = ballot_open(&r->store, shared->state_directory, r->conf->name, r->conf->voter[self].name, &ballot,
                       &fresh, &why);
  if (rc != 0) {
    snprintf(error, size, "%s", why);
    return rc;
  }
  struct core_config config = core_config(r->conf, self);
  config.config = digest(r->conf);
  if (resume(r, shared, &config, &ballot))
    return open_trace(r, shared, NULL, error, size); /* what was traced before leads on to this */
  struct trace_start start = {.config = config, .ballot = ballot, .base = clock_now()};
  crypto_random(&start.random, sizeof start.random);
  r->base = start.base;
  core_init(&r->core, &config, &ballot, start.base, start.random);
  return open_trace(r, shared, &start, error, size);
}

static int open_endpoint(struct runner *r, const struct runner_shared *shared, unsigned self, char *error,
                         size_t size) {
  struct key key;
  char path[512];
  int rc = key_load(cluster_key_path(r->conf, self, path, sizeof path), &key, error, size);
  if (rc != 0)
    return rc;
  struct endpoint_config *config = calloc(1, sizeof *config);
  if (config == NULL)
    return -ENOMEM;
  config->cluster = r->conf->name;
  config->self = (uint8_t)self;
  config->key = &key;
  config->timeout_ms = 3 * r->conf->beat_ms + r->conf->beat_ms / 2;
  for (unsigned i = 0; i < VOTERS; i++) {
    const struct cluster_voter *from = &r->conf->voter[i];
    struct endpoint_voter *to = &config->voter[i];
    to->name = from->name;
    memcpy(to->public_key, from->key, sizeof to->public_key);
    to->addresses = (unsigned)from->address_count;
    memcpy(to->address, from->address, from->address_count * sizeof from->address[0]);
  }
  rc = endpoint_open(&r->endpoint, shared->net, shared->crypto, config, on_beat, on_hello, r, error, size);
  free(config);
  key_wipe(&key);
  return rc;
}

int runner_open(struct runner **out, const struct runner_shared *shared, const struct cluster_conf *conf,
                unsigned self, const struct runner_hands *hands, char *error, size_t size) {
  struct runner *r = calloc(1, sizeof *r);
  snprintf(error, size, "out of memory");
  if (r == NULL)
    return -ENOMEM;
  r->conf = conf;
  r->armed = INSTANT_NEVER;
  r->hands = *hands;
  int rc = open_ballot(r, shared, self, error, size);
  if (rc == 0)
    rc = open_endpoint(r, shared, self, error, size);
  if (rc == 0 && (r->timer = loop_timer_new(shared->loop, on_timer, r)) == NULL)
    rc = -ENOMEM;
  if (rc != 0) {
    runner_close(r);
    return rc;
  }
  *out = r;
  return 0;
}

void runner_start(struct runner *r) {
  r->started = true;
  if (r->resumes)
    runner_event(r, (struct event){.type = EVENT_RESUME});
  else
    on_timer(r);
  if (r->reloaded)
    runner_reload(r);
}

void runner_reload(struct runner *r) {
  struct core_config config = core_config(r->conf, r->core.config.self);
  struct event event = {.type = EVENT_CONFIG};
  event.config = (struct core_settings){.preferred = config.preferred,
                                        .witness_grace_ms = config.witness_grace_ms,
                                        .degrade_ms = config.degrade_ms,
                                        .join_hold_ms = config.join_hold_ms,
                                        .hold_down_ms = config.hold_down_ms,
                                        .config = digest(r->conf)};
  r->reloaded = !r->started;
  runner_event(r, event);
}

bool runner_resumes(const struct runner *r) {
  return r->resumes;
}
const char *runner_broker(const struct runner *r) {
  return r->broker;
}

void runner_close(struct runner *r) {
  if (r == NULL)
    return;
  loop_timer_free(r->timer);
  endpoint_close(r->endpoint);
  ballot_close(r->store);
  trace_file_close(r->trace);
  free(r);
}

const struct core *runner_core(const struct runner *r) {
  return &r->core;
}
const struct cluster_conf *runner_conf(const struct runner *r) {
  return r->conf;
}
const struct peer_clock *runner_peer_clock(const struct runner *r, unsigned voter) {
  return &r->clock[voter];
}

const struct endpoint *runner_endpoint(const struct runner *r) {
  return r->endpoint;
}
int runner_disk_error(const struct runner *r) {
  return r->disk_error;
}
