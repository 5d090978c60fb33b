// SPDX-License-Identifier: Apache-2.0
#include "agent/health.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/health_check.h"
#include "common/base/clock.h"

struct health {
  struct health_settings settings;
  struct health_watch watch;
  struct health_result result;
  struct health_run run[HEALTH_CHECKS_MAX];
  bool fit, proof; // of the driver's newest view: it answers and is not unfit; it is dead
  char trouble[96];
};

const char *health_state_name(enum health_state state) {
  static const char *const names[] = {"unknown", "up", "down"};
  return names[state];
}

const struct health_result *health_result(const struct health *health) {
  return &health->result;
}

// ---- counting ----

static uint32_t grouped(const struct health_settings *settings) {
  uint32_t checks = 0;
  for (size_t g = 0; g < settings->group_count; g++)
    checks |= settings->group[g].checks;
  return checks;
}

// How many there are that count: the groups, and the checks in none.
static size_t counted(const struct health_settings *settings) {
  return settings->group_count + settings->count - (size_t)__builtin_popcount(grouped(settings));
}

static uint16_t needed(const struct health_settings *settings) {
  return settings->dead_when == HEALTH_ALL ? (uint16_t)counted(settings) : settings->dead_when;
}

static uint16_t group_needs(const struct health_group *group) {
  return group->need == HEALTH_ALL ? (uint16_t)__builtin_popcount(group->checks) : group->need;
}

// How many of these checks are in a state.
static uint16_t in_state(const struct health *health, uint32_t checks, enum health_state state) {
  uint16_t n = 0;
  for (size_t i = 0; i < health->settings.count; i++)
    n = (uint16_t)(n + ((checks >> i & 1) != 0 && health->result.check[i].state == state));
  return n;
}

static enum health_state group_state(const struct health *health, const struct health_group *group) {
  if (in_state(health, group->checks, HEALTH_DOWN) >= group_needs(group))
    return HEALTH_DOWN;
  return in_state(health, group->checks, HEALTH_UNKNOWN) > 0 ? HEALTH_UNKNOWN : HEALTH_UP;
}

// Sums the checks up; true when that differs from before.
static bool sum_up(struct health *health) {
  struct health_result *result = &health->result;
  bool was_healthy = result->healthy, was_dead = result->dead;
  uint16_t down = in_state(health, ~grouped(&health->settings), HEALTH_DOWN);
  for (size_t g = 0; g < health->settings.group_count; g++) {
    result->group[g] = group_state(health, &health->settings.group[g]);
    down = (uint16_t)(down + (result->group[g] == HEALTH_DOWN));
  }
  result->dead = health->proof || down >= needed(&health->settings);
  result->healthy = in_state(health, UINT32_MAX, HEALTH_UNKNOWN) == 0 && !result->dead;
  return result->healthy != was_healthy || result->dead != was_dead;
}

static void turn(struct health_run *run, enum health_state state) {
  run->status->state = state;
  run->status->since = clock_now();
  run->streak = 0;
}

// Counts a result; true when the check turned.
static bool count(struct health_run *run, const char *why) {
  enum health_state says = why ? HEALTH_DOWN : HEALTH_UP;
  snprintf(run->status->why, sizeof(run->status->why), "%s", why ? why : "");
  if (says == run->status->state) {
    run->streak = 0;
    return false;
  }
  uint16_t enough = why ? run->settings->fall : run->settings->rise;
  if (run->status->state != HEALTH_UNKNOWN && ++run->streak < enough)
    return false;
  turn(run, says);
  return true;
}

// ---- running ----

static void stop(struct health_run *run) {
  if (run->settings->kind == HEALTH_TCP)
    health_tcp_stop(run);
  else if (run->settings->kind == HEALTH_EXEC)
    health_exec_stop(run);
  run->busy = false;
}

void health_run_result(struct health_run *run, const char *why) {
  struct health *health = run->health;
  char copy[96] = ""; // `why` may live in what stop() ends
  if (why)
    snprintf(copy, sizeof(copy), "%s", why);
  stop(run);
  loop_timer_at(run->timer, (struct instant){run->started.us + (int64_t)run->settings->every_ms * 1000});
  bool turned = count(run, why ? copy : NULL);
  if (sum_up(health) || turned)
    health->watch.changed(health->watch.arg);
}

static const char *broker_verdict(const struct health *health) {
  if (health->fit && !health->proof)
    return NULL;
  return health->trouble[0] != '\0' ? health->trouble : "the broker does not answer";
}

static void start(struct health_run *run) {
  const char *why = NULL;
  run->started = clock_now();
  run->busy = true;
  loop_timer_in(run->timer, (int64_t)run->settings->timeout_ms * 1000);
  if (run->settings->kind == HEALTH_BROKER) {
    health_run_result(run, broker_verdict(run->health));
    return;
  }
  if (run->settings->kind == HEALTH_TCP)
    why = health_tcp_start(run);
  else
    why = health_exec_start(run, run->health->settings.environment);
  if (why)
    health_run_result(run, why);
}

static void on_timer(void *arg) {
  struct health_run *run = arg;
  char why[48];
  snprintf(why, sizeof(why), "no result within %u ms", (unsigned)run->settings->timeout_ms);
  if (run->busy)
    health_run_result(run, why);
  else
    start(run);
}

// What the driver's news mean for a broker check between its samples; true when it turned.
static bool take_news(struct health_run *run) {
  const char *why = broker_verdict(run->health);
  if (run->health->proof &&
      run->status->state != HEALTH_DOWN) { // needs no counting; a later success does (`rise`)
    snprintf(run->status->why, sizeof(run->status->why), "%s", why);
    turn(run, HEALTH_DOWN);
    return true;
  }
  return !why && run->status->state == HEALTH_UNKNOWN && count(run, NULL);
}

bool health_broker(struct health *health, const struct broker_view *view) {
  health->fit = view->reachable && !view->unfit;
  health->proof = view->dead;
  snprintf(health->trouble, sizeof(health->trouble), "%.95s", view->trouble);
  bool turned = false;
  for (size_t i = 0; i < health->settings.count; i++)
    if (health->run[i].settings->kind == HEALTH_BROKER && take_news(&health->run[i]))
      turned = true;
  return sum_up(health) || turned;
}

// ---- a reload ----

static bool same_command(const char *const *one, const char *const *other) {
  size_t i = 0;
  while (one[i] != NULL && other[i] != NULL && strcmp(one[i], other[i]) == 0)
    i++;
  return one[i] == NULL && other[i] == NULL;
}

static bool same_check(const struct health_check *one, const struct health_check *other) {
  if (strcmp(one->name, other->name) != 0 || one->kind != other->kind)
    return false;
  return one->kind == HEALTH_TCP    ? strcmp(one->address, other->address) == 0
         : one->kind == HEALTH_EXEC ? same_command(one->command, other->command)
                                    : true;
}

void health_take_over(struct health *health, const struct health *former) {
  health->fit = former->fit;
  health->proof = former->proof;
  memcpy(health->trouble, former->trouble, sizeof health->trouble);
  for (size_t i = 0; i < health->settings.count; i++)
    for (size_t k = 0; k < former->settings.count; k++)
      if (same_check(&health->settings.check[i], &former->settings.check[k])) {
        health->result.check[i] = former->result.check[k];
        health->run[i].streak = former->run[k].streak;
      }
  sum_up(health);
}

// ---- opening ----

static int check_settings(const struct health_settings *settings, const char **error) {
  *error = "health: 1 to 16 checks are allowed";
  if (settings->count < 1 || settings->count > HEALTH_CHECKS_MAX)
    return -EINVAL;
  *error =
      "groups: at most 8, each of checks that there are, and need of \"any\", \"all\" or a number of them";
  for (size_t g = 0; g < settings->group_count; g++) {
    const struct health_group *group = &settings->group[g];
    if (g >= HEALTH_GROUPS_MAX || group->checks == 0 || group->checks >> settings->count != 0 ||
        group_needs(group) < 1 || group_needs(group) > __builtin_popcount(group->checks))
      return -EINVAL;
  }
  *error = "dead_when: \"any\", \"all\" or a number from 1 to the count of groups and checks in none";
  if (needed(settings) < 1 || needed(settings) > counted(settings))
    return -EINVAL;
  for (size_t i = 0; i < settings->count; i++) {
    const struct health_check *check = &settings->check[i];
    assert(check->every_ms > 0 && check->timeout_ms > 0 && check->fall > 0 &&
           check->rise > 0); // the table's ranges
    *error = "health: the check \"exec\" needs a command, an absolute path first";
    if (check->kind == HEALTH_EXEC && (!check->command || !check->command[0] || check->command[0][0] != '/'))
      return -EINVAL;
  }
  return 0;
}

static int open_run(struct health *health, struct loop *loop, size_t i, const char **error) {
  struct health_run *run = &health->run[i];
  *run = (struct health_run){.health = health,
                             .settings = &health->settings.check[i],
                             .status = &health->result.check[i],
                             .loop = loop,
                             .fd = -1};
  *error = "health: the check \"tcp\" needs an address as in \"127.0.0.1:6379\"";
  int rc = 0;
  if (run->settings->kind == HEALTH_TCP)
    rc = broker_address(run->settings->address, &run->address, &run->address_length);
  if (rc < 0)
    return rc;
  *error = "out of memory";
  run->timer = loop_timer_new(loop, on_timer, run);
  if (!run->timer)
    return -ENOMEM;
  run->status->since = clock_now();
  // The driver has nothing to say yet: health_broker brings its first word, and it has its time for it; a reign that
  // is taken up again (L10) must not end by a program that is still being started.
  const struct health_check *s = run->settings;
  uint32_t ms = s->every_ms > s->timeout_ms ? s->every_ms : s->timeout_ms;
  loop_timer_in(run->timer, s->kind == HEALTH_BROKER ? (int64_t)ms * 1000 : 0);
  return 0;
}

int health_open(struct health **out, struct loop *loop, const struct health_settings *settings,
                const struct health_watch *watch, const char **error) {
  int rc = check_settings(settings, error);
  if (rc < 0)
    return rc;
  struct health *health = calloc(1, sizeof(*health));
  *error = "out of memory";
  if (!health)
    return -ENOMEM;
  health->settings = *settings;
  health->watch = *watch;
  health->settings.count = 0; // those that are open, for health_close
  for (size_t i = 0; i < settings->count && rc == 0; i++) {
    rc = open_run(health, loop, i, error);
    health->settings.count += rc == 0;
  }
  if (rc < 0) {
    health_close(health);
    return rc;
  }
  *out = health;
  return 0;
}

void health_close(struct health *health) {
  if (!health)
    return;
  for (size_t i = 0; i < health->settings.count; i++) {
    stop(&health->run[i]);
    health_exec_forget(&health->run[i]);
    loop_timer_free(health->run[i].timer);
  }
  free(health);
}
