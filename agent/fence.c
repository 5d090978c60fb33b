// SPDX-License-Identifier: Apache-2.0
#include "agent/fence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/fence_lock.h"
#include "agent/fence_mechanism.h"

#define WHY_MAX 512

struct fence {
  const struct fence_mechanism *mechanism;
  void *state; // the mechanism's own
  int lock;
  char better[WHY_MAX]; // why the mechanisms before this one are not in use
};

// ---- the mechanism that fences nothing ----

static int none_open(void **state, const struct fence_settings *settings, const char **error) {
  (void)settings;
  (void)error;
  *state = NULL;
  return 0;
}

static int none_arm(void *state, struct instant until) {
  (void)state;
  (void)until;
  return 0;
}

static int none_change(void *state) {
  (void)state;
  return 0;
}

static const char *none_text(const void *state) {
  (void)state;
  return "none";
}

static void none_gaps(const void *state, fence_gap_fn *tell, void *arg) {
  (void)state;
  tell(arg, "kernel",
       "not covered: a lease's end without the agent; the addresses' lifetime alone sees to that, late");
}

static void none_free(void *state, bool remove) {
  (void)state;
  (void)remove;
}

static const struct fence_mechanism fence_none = {
    .name = "none",
    .enforced = false,
    .open = none_open,
    .arm = none_arm,
    .close = none_change,
    .check = none_change,
    .text = none_text,
    .gaps = none_gaps,
    .free = none_free,
};

// ---- the choice ----

// The best first: "auto" takes the first that this kernel has.
static const struct fence_mechanism *const fence_table[] = {&fence_bpf, &fence_nft, &fence_netlink};
#define FENCES (sizeof(fence_table) / sizeof(fence_table[0]))

static bool is_wanted(const struct fence_mechanism *mechanism, const char *name) {
  return strcmp(name, "auto") == 0 || strcmp(name, mechanism->name) == 0;
}

static int open_best(struct fence *fence, const struct fence_settings *settings, const char **error) {
  int rc = -EINVAL;
  *error = "no such mechanism of the kernel fence; allowed: \"auto\", \"bpf\", \"nft\", \"netlink\"";
  for (size_t i = 0; i < FENCES; i++) {
    if (!is_wanted(fence_table[i], settings->mechanism))
      continue;
    rc = fence_table[i]->open(&fence->state, settings, error);
    fence->mechanism = fence_table[i];
    if (rc == 0)
      return 0;
    size_t used = strlen(fence->better);
    snprintf(fence->better + used, sizeof(fence->better) - used, "%s%s", used ? "; " : "", *error);
  }
  return rc;
}

// What a former agent left that used another mechanism would stay closed for ever.
static void sweep_others(const struct fence *fence, const struct fence_settings *settings) {
  for (size_t i = 0; i < FENCES; i++)
    if (fence_table[i]->sweep != fence->mechanism->sweep)
      fence_table[i]->sweep(settings);
}

static bool settings_fit(const struct fence_settings *s) {
  return s->cluster[0] != '\0' && s->address_count <= FENCE_ADDRESSES_MAX &&
         s->peer_count <= FENCE_ADDRESSES_MAX && s->port_count <= FENCE_PORTS_MAX &&
         s->lease_ms >= LEASE_MS_MIN && s->lease_ms <= LEASE_MS_MAX;
}

static int choose(struct fence *fence, const struct fence_settings *settings, const char **error) {
  if (!settings_fit(settings)) {
    *error =
        "the fence's settings are out of range: no cluster name, too many addresses or ports, or a lease "
        "that is not allowed";
    return -EINVAL;
  }
  int rc = 0;
  if (strcmp(settings->kernel, "off") != 0) {
    rc = open_best(fence, settings, error);
    if (rc == 0 || strcmp(settings->kernel, "prefer") != 0)
      return rc;
  }
  fence->mechanism = &fence_none;
  return fence_none.open(&fence->state, settings, error);
}

/* Where nothing is fenced and no address moves, both nodes may run on one machine, to be tried out. */
static int lock(struct fence *fence, const struct fence_settings *settings, const char **error) {
  fence->lock = -1;
  if (strcmp(settings->kernel, "off") == 0 && settings->address_count == 0)
    return 0;
  fence->lock = fence_lock(settings->cluster);
  *error = fence->lock == -EPERM
               ? "another agent of this cluster runs in this network namespace: stop it first"
               : "the name of this cluster's fence cannot be taken";
  return fence->lock < 0 ? fence->lock : 0;
}

int fence_open(struct fence **out, const struct fence_settings *settings, const char **error) {
  struct fence *fence = calloc(1, sizeof(*fence));
  *error = "out of memory";
  if (!fence)
    return -ENOMEM;
  int rc = lock(fence, settings, error);
  if (rc == 0)
    rc = choose(fence, settings, error);
  if (rc == 0) {
    sweep_others(fence, settings);
    *out = fence;
    return settings->until.us > 0 ? fence_arm(fence, settings->until) : 0;
  }
  if (fence->lock >= 0)
    close(fence->lock);
  free(fence);
  return rc;
}

int fence_arm(struct fence *fence, struct instant until) {
  return fence->mechanism->arm(fence->state, until);
}

int fence_close(struct fence *fence) {
  return fence->mechanism->close(fence->state);
}

int fence_check(struct fence *fence) {
  return fence->mechanism->check(fence->state);
}

const char *fence_mechanism(const struct fence *fence) {
  return fence->mechanism->name;
}

bool fence_enforced(const struct fence *fence) {
  return fence->mechanism->enforced;
}

const char *fence_state(const struct fence *fence) {
  return fence->mechanism->text(fence->state);
}

void fence_gaps(const struct fence *fence, fence_gap_fn *tell, void *arg) {
  fence->mechanism->gaps(fence->state, tell, arg);
  if (fence->better[0])
    tell(arg, "", fence->better);
}

void fence_survey(fence_survey_fn *tell, void *arg) {
  char name[32];
  snprintf(name, sizeof(name), "_%ld", (long)getpid()); // a cluster's begins with a letter
  const struct fence_settings settings = {.cluster = name, .lease_ms = LEASE_MS_MAX};
  for (size_t i = 0; i < FENCES; i++) {
    void *state;
    const char *error = "";
    int rc = fence_table[i]->open(&state, &settings, &error);
    tell(arg, fence_table[i]->name, rc < 0 ? error : "");
    if (rc == 0)
      fence_table[i]->free(state, true);
  }
}

void fence_free(struct fence *fence, bool remove) {
  if (!fence)
    return;
  fence->mechanism->free(fence->state, remove);
  if (fence->lock >= 0)
    close(fence->lock);
  free(fence);
}
