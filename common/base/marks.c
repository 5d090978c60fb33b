// SPDX-License-Identifier: Apache-2.0
#include "common/base/marks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/durable.h"

struct freeze {
  uint32_t serial;
  bool on;
  int64_t wall_ms; // when this voter learnt of it
  char who[MARKS_WHO_MAX];
  char boot[CLOCK_BOOT_ID_SIZE];
  int64_t boot_us; // the same moment by CLOCK_BOOTTIME of that boot; of this one after marks_open
};

struct marks {
  struct durable *file; // NULL: in memory alone
  struct freeze freeze;
  struct marks_force force; // wall_ms 0: never
};

// ---- to the disk and back: a JSON object, for it is people who read it ----

static struct json *to_json(const struct freeze *freeze, const struct marks_force *force) {
  struct json *json = json_new_object(), *f = json_new_object(), *o = json_new_object();
  json_put_uint(f, "serial", freeze->serial);
  json_put_bool(f, "on", freeze->on);
  json_put_int(f, "wall_ms", freeze->wall_ms);
  json_put_text(f, "by", freeze->who);
  json_put_text(f, "boot", freeze->boot);
  json_put_int(f, "boottime_us", freeze->boot_us);
  json_put_int(o, "wall_ms", force->wall_ms);
  json_put_text(o, "by", force->who);
  json_put_text(o, "confirmed_down", force->confirmed);
  json_put_text(o, "reason", force->reason);
  json_put(json, "frozen", f);
  json_put(json, "forced", o);
  return json;
}

static void get_text(const struct json *json, const char *key, char *buf, size_t size) {
  snprintf(buf, size, "%s", json_get_text(json, key, ""));
}

static void from_json(struct marks *m, const struct json *json) {
  const struct json *f = json_get(json, "frozen"), *o = json_get(json, "forced");
  m->freeze.serial = (uint32_t)json_get_int(f, "serial", 0);
  m->freeze.on = json_get_bool(f, "on", false);
  m->freeze.wall_ms = json_get_int(f, "wall_ms", 0);
  get_text(f, "by", m->freeze.who, sizeof m->freeze.who);
  get_text(f, "boot", m->freeze.boot, sizeof m->freeze.boot);
  m->freeze.boot_us = json_get_int(f, "boottime_us", 0);
  m->force.wall_ms = json_get_int(o, "wall_ms", 0);
  get_text(o, "by", m->force.who, sizeof m->force.who);
  get_text(o, "confirmed_down", m->force.confirmed, sizeof m->force.confirmed);
  get_text(o, "reason", m->force.reason, sizeof m->force.reason);
}

static int keep(struct marks *m) {
  char text[DURABLE_PAYLOAD_MAX];
  struct json *json = to_json(&m->freeze, &m->force);
  int length = json_write(json, text, sizeof text);
  json_free(json);
  if (m->file == NULL)
    return -EROFS;
  return length < 0 ? length : durable_write(m->file, text, (size_t)length);
}

/* The one way across a boot is the wall clock; from here on CLOCK_BOOTTIME counts, and no step can change it.
 */
static void count_from_this_boot(struct freeze *f) {
  if (!f->on || strcmp(f->boot, clock_boot_id()) == 0)
    return;
  int64_t ago_ms = clock_wall_ms() - f->wall_ms;
  f->boot_us = clock_now().us - (ago_ms > 0 ? ago_ms : 0) * 1000;
  snprintf(f->boot, sizeof f->boot, "%s", clock_boot_id());
}

static int open_file(struct marks *m, const char *directory, const char *name, const char *identity) {
  struct durable_content content;
  char kept[300];
  int rc = durable_open(&m->file, directory, name, identity, &content);
  if (rc == -EBADMSG || rc == -EXDEV) { /* people lose a reason; no vote rests on it */
    durable_set_aside(directory, name, kept, sizeof kept);
    rc = -ENOENT;
  }
  if (rc == -ENOENT)
    return durable_create(&m->file, directory, name, identity, "{}", 2);
  if (rc != 0)
    return rc;
  struct json *json = json_parse((const char *)content.payload, content.size, NULL, 0);
  from_json(m, json);
  json_free(json);
  return 0;
}

struct marks *marks_open(const char *directory, const char *cluster, const char *voter, int *error) {
  char name[256], identity[DURABLE_IDENTITY_MAX + 1];
  struct marks *m = calloc(1, sizeof *m);
  *error = -ENOMEM;
  if (m == NULL)
    return NULL;
  snprintf(name, sizeof name, "%s.%s.orders", cluster, voter);
  snprintf(identity, sizeof identity, "%s/%s/orders", cluster, voter);
  *error = open_file(m, directory, name, identity);
  count_from_this_boot(&m->freeze);
  return m;
}

void marks_close(struct marks *m) {
  if (m == NULL)
    return;
  durable_close(m->file);
  free(m);
}

void marks_look(struct marks *m, const struct ballot *ballot, const char *who) {
  const struct frozen *now = &ballot->frozen;
  if (now->serial == m->freeze.serial && now->on == m->freeze.on)
    return;
  m->freeze = (struct freeze){
      .serial = now->serial, .on = now->on, .wall_ms = clock_wall_ms(), .boot_us = clock_now().us};
  snprintf(m->freeze.who, sizeof m->freeze.who, "%s", who);
  snprintf(m->freeze.boot, sizeof m->freeze.boot, "%s", clock_boot_id());
  (void)keep(m); /* where the disk fails the ballot's own warning says so */
}

int marks_keep_force(struct marks *m, const struct marks_force *force) {
  struct marks_force before = m->force;
  m->force = *force;
  int rc = keep(m);
  if (rc != 0)
    m->force = before;
  return rc;
}

// ---- for people ----

static struct json *forced(const struct marks *m, const struct cluster_conf *conf, unsigned node,
                           unsigned self, uint64_t epoch) {
  char time[CLOCK_WALL_TEXT_SIZE];
  struct json *json = json_new_object();
  bool known = node == self && m->force.wall_ms != 0;
  json_put_text(json, "node", conf->voter[node].name);
  json_put_uint(json, "epoch", epoch);
  json_put_text(json, "time", known ? clock_wall_text(m->force.wall_ms, time) : NULL);
  json_put_text(json, "by", known ? m->force.who : NULL);
  json_put_text(json, "reason", known ? m->force.reason : NULL);
  json_put_text(json, "confirmed_down", known ? m->force.confirmed : NULL);
  return json;
}

void marks_put_status(const struct marks *m, const struct cluster_conf *conf, unsigned self,
                      const struct ballot *ballot, struct json *status) {
  char time[CLOCK_WALL_TEXT_SIZE];
  struct json *list = json_new_array();
  if (ballot->frozen.on) {
    json_put_text(status, "frozen_since", clock_wall_text(m->freeze.wall_ms, time));
    json_put_int(status, "frozen_ms", (clock_now().us - m->freeze.boot_us) / 1000);
    json_put_text(status, "frozen_by", m->freeze.who[0] != 0 ? m->freeze.who : NULL);
  }
  for (unsigned i = 0; i < NODES; i++)
    if (ballot->forced[i] != 0)
      json_add(list, forced(m, conf, i, self, ballot->forced[i]));
  json_put(status, "forced", list);
}

static void warn_of_force(const struct marks *m, const struct cluster_conf *conf, unsigned node,
                          unsigned self, uint64_t epoch, struct json *warnings) {
  char text[MARKS_REASON_MAX + 512], time[CLOCK_WALL_TEXT_SIZE];
  const char *name = conf->voter[node].name, *other = conf->voter[1 - node].name;
  if (node == self && m->force.wall_ms != 0)
    snprintf(
        text, sizeof text,
        "%s was forced to lead in epoch %" PRIu64 ", by %s on %s, who said that %s is down: \"%s\"; until a "
        "majority exists again and %s has rejoined, nobody vouches for one master",
        name, epoch, m->force.who, clock_wall_text(m->force.wall_ms, time), other, m->force.reason, other);
  else
    snprintf(text, sizeof text,
             "%s was forced to lead in epoch %" PRIu64
             ", see its status and history for who and why; until a "
             "majority exists again and %s has rejoined, nobody vouches for one master",
             name, epoch, other);
  json_add_text(warnings, text);
}

void marks_warn(const struct marks *m, const struct cluster_conf *conf, unsigned self,
                const struct ballot *ballot, struct json *warnings) {
  const uint64_t *epoch = ballot->forced;
  char text[512];
  for (unsigned i = 0; i < NODES; i++)
    if (epoch[i] != 0)
      warn_of_force(m, conf, i, self, epoch[i], warnings);
  if (epoch[VOTER_A] == 0 || epoch[VOTER_B] == 0)
    return;
  unsigned winner = epoch[VOTER_A] > epoch[VOTER_B] ? VOTER_A : VOTER_B;
  snprintf(text, sizeof text,
           "both nodes were forced: %s has the higher epoch and leads, %s rejoins, and what %s acknowledged "
           "alone is set aside",
           conf->voter[winner].name, conf->voter[1 - winner].name, conf->voter[1 - winner].name);
  json_add_text(warnings, text);
}
