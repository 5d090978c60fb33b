// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/verbs_bed.h"

struct bed bed;

// ---- the transport ----

static void put_words(struct words *words, const char *text) {
  char copy[256], *rest = NULL;
  snprintf(copy, sizeof copy, "%s", text != NULL ? text : "");
  for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
    char *mark = strchr(word, '=');
    *mark = 0;
    words_put(words, word, mark + 1);
  }
}

static void on_reply(void *arg) {
  (void)arg;
  struct verb_reply reply = {.rc = bed.rc[bed.verb]};
  if ((bed.verb == VERB_MONITOR || bed.verb == VERB_PROBE) && reply.rc == 0 && bed.master)
    reply.rc = VERB_MASTER;
  if (reply.rc == 0 && bed.verb == VERB_PROMOTE)
    bed.master = true;
  if (reply.rc == 0 && (bed.verb == VERB_DEMOTE || bed.verb == VERB_FENCE || bed.verb == VERB_STOP))
    bed.master = false;
  put_words(&reply.words, bed.says[bed.verb]);
  bed.busy = false;
  verbs_answer(bed.verbs, &reply);
}

static int fake_open(void **state, struct verbs *verbs, struct loop *loop,
                     const struct broker_settings *settings, uint32_t *supports, const char **error) {
  (void)loop, (void)settings, (void)error;
  bed.verbs = verbs;
  *supports = bed.supports;
  *state = &bed;
  return 0;
}

static int fake_begin(void *state, enum verb verb, uint32_t deadline_ms, const struct words *words) {
  (void)state, (void)deadline_ms;
  size_t used = strlen(bed.asked);
  assert_false(bed.busy); // one at a time
  bed.busy = true;
  bed.verb = verb;
  bed.words = *words;
  snprintf(bed.asked + used, sizeof bed.asked - used, " %s", verb_name(verb));
  if (bed.rc[verb] != NEVER)
    loop_timer_in(bed.reply, 0);
  if (bed.until != NULL && strcmp(bed.until, verb_name(verb)) == 0)
    loop_stop(bed.loop);
  return 0;
}

static void fake_kill(void *state) {
  (void)state;
  assert_true(bed.busy);
  bed.busy = false;
  bed.kills++;
  loop_timer_at(bed.reply, INSTANT_NEVER);
}

static void fake_close(void *state) {
  (void)state;
}

static const struct verbs_transport fake = {
    .open = fake_open, .begin = fake_begin, .kill = fake_kill, .close = fake_close};

// ---- the watcher ----

static void on_changed(void *arg) {
  (void)arg;
  bed.changed++;
  bed.was_dead = bed.was_dead || verbs_view(bed.driver)->dead;
}

static void on_done(void *arg, uint32_t serial, struct position position) {
  (void)arg;
  bed.done++;
  bed.serial = serial;
  bed.position = position;
  if (serial == bed.wanted_serial)
    loop_stop(bed.loop);
}

static void on_cleared(void *arg) {
  (void)arg;
  bed.cleared++;
}

static void on_orphaned(void *arg, const char *path) {
  (void)arg;
  snprintf(bed.orphan, sizeof bed.orphan, "%s", path);
}

static void on_end(void *arg) {
  loop_stop(arg);
}

// ---- the bed ----

static const uint32_t *restarts[2]; // policy.restart_max, restart_window_ms; NULL: no limit

int try_open(int replication, uint32_t supports, const char *incarnation, const char **error) {
  const struct broker_watch watch = {
      .changed = on_changed, .done = on_done, .cleared = on_cleared, .orphaned = on_orphaned};
  const struct broker_settings settings = {.cluster = "orders",
                                           .self = VOTER_A,
                                           .driver = "fake",
                                           .address = "127.0.0.1:1",
                                           .peers = {"10.0.0.1:1", "10.0.0.2:1"},
                                           .names = {"a", "b"},
                                           .username = "",
                                           .password_file = "",
                                           .replication = (uint8_t)replication,
                                           .incarnation = incarnation,
                                           .beat_ms = 20,
                                           .lease_ms = 100,
                                           .probe_every_ms = 10,
                                           .probe_timeout_ms = 50,
                                           .restart_max = restarts[0],
                                           .restart_window_ms = restarts[1],
                                           .verb_timeout_ms = 200};
  memset(&bed, 0, sizeof bed);
  bed.supports = supports;
  bed.loop = loop_new();
  bed.reply = loop_timer_new(bed.loop, on_reply, NULL);
  bed.end = loop_timer_new(bed.loop, on_end, bed.loop);
  bed.says[VERB_POS] = "position=7";
  return verbs_open(&bed.driver, bed.loop, &settings, &watch, &fake, error);
}

void open_bed(int replication, uint32_t supports) {
  const char *error = "";
  assert_int_equal(try_open(replication, supports, "", &error), 0);
}

void open_bed_of(int replication, uint32_t supports, const uint32_t *restart_max, const uint32_t *window_ms) {
  restarts[0] = restart_max;
  restarts[1] = window_ms;
  open_bed(replication, supports);
  restarts[0] = restarts[1] = NULL;
}

void close_bed(void) {
  if (bed.driver != NULL)
    verbs_close(bed.driver);
  loop_timer_free(bed.reply);
  loop_timer_free(bed.end);
  loop_free(bed.loop);
}

void run_ms(int64_t ms) {
  loop_timer_in(bed.end, ms * 1000);
  assert_int_equal(loop_run(bed.loop), 0);
  loop_timer_at(bed.end, INSTANT_NEVER);
}

void run_until(const char *verb) {
  if (bed.busy && strcmp(verb_name(bed.verb), verb) == 0)
    return;
  bed.until = verb;
  run_ms(5000);
  bed.until = NULL;
  assert_string_equal(verb_name(bed.verb), verb);
}

uint32_t order(int mode, uint64_t epoch, bool paused, bool sync) {
  static uint32_t serial;
  unsigned done = bed.done;
  serial++;
  struct broker_duty duty = {.serial = serial,
                             .mode = (uint8_t)mode,
                             .master = mode == BROKER_LEAD ? VOTER_A : VOTER_B,
                             .epoch = epoch,
                             .paused = paused,
                             .sync = sync};
  verbs_apply(bed.driver, &duty);
  assert_int_equal(bed.done, done); // never from within
  return serial;
}

void reach(int mode, uint64_t epoch, bool paused, bool sync) {
  bed.wanted_serial = order(mode, epoch, paused, sync);
  run_ms(5000);
  assert_int_equal(bed.serial, bed.wanted_serial);
}

bool asked(const char *verb) {
  char word[32];
  snprintf(word, sizeof word, " %s", verb);
  return strstr(bed.asked, word) != NULL;
}

bool told(const char *key, const char *value) {
  const char *is = words_get(&bed.words, key);
  return is != NULL && strcmp(is, value) == 0;
}

const struct broker_view *view(void) {
  return verbs_view(bed.driver);
}
