// SPDX-License-Identifier: Apache-2.0
#include "agent/fence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fence_mechanism.h"

struct fence {
  const struct fence_mechanism *mechanism;
  void *state; // the mechanism's own
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
    .free = none_free,
};

// ---- the choice ----

// The best first: "auto" takes the first that this kernel has.
static const struct fence_mechanism *const fence_table[] = {&fence_nft};
#define FENCES (sizeof(fence_table) / sizeof(fence_table[0]))

static bool is_wanted(const struct fence_mechanism *mechanism, const char *name) {
  return strcmp(name, "auto") == 0 || strcmp(name, mechanism->name) == 0;
}

static int open_best(struct fence *fence, const struct fence_settings *settings, const char **error) {
  int rc = -EINVAL;
  *error = "no such mechanism of the kernel fence; allowed: \"auto\", \"nft\"";
  for (size_t i = 0; i < FENCES; i++) {
    if (!is_wanted(fence_table[i], settings->mechanism))
      continue;
    rc = fence_table[i]->open(&fence->state, settings, error);
    fence->mechanism = fence_table[i];
    if (rc == 0)
      return 0;
  }
  return rc;
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

int fence_open(struct fence **out, const struct fence_settings *settings, const char **error) {
  struct fence *fence = calloc(1, sizeof(*fence));
  *error = "out of memory";
  if (!fence)
    return -ENOMEM;
  int rc = choose(fence, settings, error);
  if (rc < 0) {
    free(fence);
    return rc;
  }
  *out = fence;
  return settings->until.us > 0 ? fence_arm(fence, settings->until) : 0;
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

void fence_free(struct fence *fence, bool remove) {
  if (!fence)
    return;
  fence->mechanism->free(fence->state, remove);
  free(fence);
}
