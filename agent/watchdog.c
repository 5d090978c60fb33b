// SPDX-License-Identifier: Apache-2.0
#include "agent/watchdog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/watchdog_device.h"

struct watchdog {
  int fd, timeout_s, failed; // failed: the last kick's negative errno
  uint32_t lease_ms;
  bool stops;
  char identity[WATCHDOG_IDENTITY_MAX];
};

static const char *advice(int rc) {
  switch (-rc) {
  case EBUSY:
    return "; another program has it: see RuntimeWatchdogSec of systemd";
  case EACCES:
  case EPERM:
    return "; the agent's user must be allowed to write to it";
  case ENOENT:
  case ENODEV:
  case ENXIO:
    return "; there is no such watchdog: load its driver, or leave fence.watchdog empty";
  default:
    return "";
  }
}

static int give_up(struct watchdog *w, int rc) {
  watchdog_close(w, true);
  return rc;
}

static int set_up(struct watchdog *w, const char *path, uint32_t beat_ms, char *error, size_t size) {
  int wanted = w->lease_ms / 1000 > 0 ? (int)(w->lease_ms / 1000) : 1;
  watchdog_device_identity(w->fd, w->identity, &w->stops);
  w->timeout_s = watchdog_device_timeout(w->fd, wanted);
  if (w->timeout_s < 0) {
    snprintf(error, size, "%s does not tell its time-out: %s", path, strerror(-w->timeout_s));
    return w->timeout_s;
  }
  if ((int64_t)w->timeout_s * 1000 < 3 * (int64_t)beat_ms) {
    snprintf(error, size,
             "%s resets the machine after %d s, which is shorter than three beats of %u ms; allowed: a longer "
             "time-out, or shorter beats",
             path, w->timeout_s, beat_ms);
    return -ERANGE;
  }
  int rc = watchdog_device_kick(w->fd);
  if (rc != 0)
    snprintf(error, size, "%s cannot be kicked: %s", path, strerror(-rc));
  return rc;
}

int watchdog_open(struct watchdog **out, const char *path, uint32_t lease_ms, uint32_t beat_ms, char *error,
                  size_t size) {
  *out = NULL;
  if (path[0] == 0)
    return 0;
  struct watchdog *w = calloc(1, sizeof *w);
  snprintf(error, size, "out of memory");
  if (w == NULL)
    return -ENOMEM;
  w->lease_ms = lease_ms;
  w->fd = watchdog_device_open(path);
  if (w->fd < 0) {
    int rc = w->fd;
    snprintf(error, size, "%s cannot be opened: %s%s", path, strerror(-rc), advice(rc));
    free(w);
    return rc;
  }
  int rc = set_up(w, path, beat_ms, error, size);
  if (rc != 0)
    return give_up(w, rc);
  *out = w;
  return 0;
}

int watchdog_look(struct watchdog *w, bool may) {
  if (w != NULL && may)
    w->failed = watchdog_device_kick(w->fd);
  return w != NULL ? w->failed : 0;
}

const char *watchdog_class(const struct watchdog *w) {
  static const char *const virtual[] = {"i6300ESB", "IB700", "diag288", "Xen", "Hyper", "KVM", "PowerVM"};
  if (w == NULL)
    return "none";
  if (strcasestr(w->identity, "software") != NULL || strcasestr(w->identity, "softdog") != NULL)
    return "software";
  for (size_t i = 0; i < sizeof virtual / sizeof virtual[0]; i++)
    if (strcasestr(w->identity, virtual[i]) != NULL)
      return "virtual";
  return w->identity[0] != 0 ? "hardware" : "unknown";
}

const char *watchdog_identity(const struct watchdog *w) {
  return w != NULL ? w->identity : "";
}

int watchdog_timeout_s(const struct watchdog *w) {
  return w != NULL ? w->timeout_s : 0;
}

const char *watchdog_note(const struct watchdog *w, char *buf, size_t size) {
  buf[0] = 0;
  if (w == NULL)
    return buf;
  size_t used = 0;
  if (w->failed != 0)
    used = (size_t)snprintf(buf, size, "the watchdog cannot be kicked (%s): the machine is about to be reset. ",
                            strerror(-w->failed));
  if (used < size && strcmp(watchdog_class(w), "software") == 0)
    used += (size_t)snprintf(buf + used, size - used,
                             "the watchdog is software, of the kernel that it watches: it ends with it. ");
  if (used < size && (int64_t)w->timeout_s * 1000 > w->lease_ms)
    snprintf(buf + used, size - used,
             "the watchdog resets the machine after %d s, later than the lease of %u ms ends: until then the kernel "
             "fence alone stands",
             w->timeout_s, w->lease_ms);
  return buf;
}

void watchdog_close(struct watchdog *w, bool clean) {
  if (w == NULL)
    return;
  watchdog_device_close(w->fd, clean && w->stops);
  free(w);
}
