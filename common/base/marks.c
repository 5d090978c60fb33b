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
  unsigned self;
  struct freeze freeze;
  struct marks_force force[NODES];
};

// ---- to the disk and back: a JSON object, for it is people who read it ----

static struct json *freeze_json(const struct freeze *freeze) {
  struct json *json = json_new_object();
  json_put_uint(json, "serial", freeze->serial);
  json_put_bool(json, "on", freeze->on);
  json_put_int(json, "wall_ms", freeze->wall_ms);
  json_put_text(json, "by", freeze->who);
  json_put_text(json, "boot", freeze->boot);
  json_put_int(json, "boottime_us", freeze->boot_us);
  return json;
}

static struct json *force_json(const struct marks_force *force) {
  struct json *json = json_new_object();
  json_put_int(json, "wall_ms", force->wall_ms);
  json_put_uint(json, "epoch", force->epoch);
  json_put_text(json, "by", force->who);
  json_put_text(json, "confirmed_down", force->confirmed);
  json_put_text(json, "reason", force->reason);
  return json;
}

static struct json *to_json(const struct marks *m) {
  struct json *json = json_new_object(), *forced = json_new_array();
  json_put(json, "frozen", freeze_json(&m->freeze));
  for (unsigned i = 0; i < NODES; i++)
    json_add(forced, force_json(&m->force[i]));
  json_put(json, "forced", forced);
  return json;
}

static void get_text(const struct json *json, const char *key, char *buf, size_t size) {
  snprintf(buf, size, "%s", json_get_text(json, key, ""));
}

static void freeze_from(struct freeze *freeze, const struct json *json) {
  freeze->serial = (uint32_t)json_get_int(json, "serial", 0);
  freeze->on = json_get_bool(json, "on", false);
  freeze->wall_ms = json_get_time(json, "wall_ms");
  get_text(json, "by", freeze->who, sizeof freeze->who);
  get_text(json, "boot", freeze->boot, sizeof freeze->boot);
  freeze->boot_us = json_get_time(json, "boottime_us");
}

static void force_from(struct marks_force *force, const struct json *json) {
  force->wall_ms = json_get_time(json, "wall_ms");
  force->epoch = (uint64_t)json_get_int(json, "epoch", 0);
  get_text(json, "by", force->who, sizeof force->who);
  get_text(json, "confirmed_down", force->confirmed, sizeof force->confirmed);
  get_text(json, "reason", force->reason, sizeof force->reason);
}

static void from_json(struct marks *m, const struct json *json) {
  freeze_from(&m->freeze, json_get(json, "frozen"));
  for (unsigned i = 0; i < NODES; i++)
    force_from(&m->force[i], json_at(json_get(json, "forced"), i));
}

static int keep(struct marks *m) {
  char text[DURABLE_PAYLOAD_MAX];
  struct json *json = to_json(m);
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

struct marks *marks_open(const char *directory, const char *cluster, const char *voter, unsigned self,
                         int *error) {
  char name[256], identity[DURABLE_IDENTITY_MAX + 1];
  struct marks *m = calloc(1, sizeof *m);
  *error = -ENOMEM;
  if (m == NULL)
    return NULL;
  m->self = self;
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

/* The reign that an order led to is known once the core has taken it. */
static bool look_at_force(struct marks *m, const struct ballot *ballot) {
  if (m->self >= NODES || ballot->forced[m->self] == 0)
    return false;
  struct marks_force *own = &m->force[m->self];
  if (own->wall_ms == 0 || own->epoch != 0)
    return false;
  own->epoch = ballot->forced[m->self];
  return true;
}

static bool look_at_freeze(struct marks *m, const struct frozen *now, const char *who, const char *here) {
  if (now->serial == m->freeze.serial && now->on == m->freeze.on)
    return false;
  m->freeze = (struct freeze){
      .serial = now->serial, .on = now->on, .wall_ms = clock_wall_ms(), .boot_us = clock_now().us};
  if (who[0] != 0)
    snprintf(m->freeze.who, sizeof m->freeze.who, "%s on %s", who, here);
  snprintf(m->freeze.boot, sizeof m->freeze.boot, "%s", clock_boot_id());
  return true;
}

void marks_look(struct marks *m, const struct ballot *ballot, const char *who, const char *here) {
  bool frozen = look_at_freeze(m, &ballot->frozen, who, here), forced = look_at_force(m, ballot);
  if (frozen || forced)
    (void)keep(m); /* where the disk fails the ballot's own warning says so */
}

int marks_keep_force(struct marks *m, const struct marks_force *force) {
  struct marks_force before = m->force[m->self];
  m->force[m->self] = *force;
  int rc = keep(m);
  if (rc != 0)
    m->force[m->self] = before;
  return rc;
}

const struct marks_force *marks_force_of(const struct marks *m, unsigned node) {
  return &m->force[node];
}

// ---- to the other voters and from them ----

/* For as long as its reign and those that went on from it (L7) last: longer than the warning, so that who
   comes back late has it in the history too. */
static bool force_matters(const struct marks *m, const struct ballot *ballot, uint64_t reign) {
  if (m->self >= NODES || m->force[m->self].wall_ms == 0)
    return false;
  uint64_t epoch = m->force[m->self].epoch;
  return epoch != 0 && (ballot->forced[m->self] != 0 || reign >> 32 == epoch >> 32);
}

static int note(const struct marks *m, bool frozen, bool forced, char *buf, size_t size) {
  struct json *json = json_new_object();
  if (frozen) {
    struct json *freeze = json_new_object();
    json_put_uint(freeze, "serial", m->freeze.serial);
    json_put_int(freeze, "wall_ms", m->freeze.wall_ms);
    json_put_text(freeze, "by", m->freeze.who);
    json_put(json, "frozen", freeze);
  }
  if (forced)
    json_put(json, "forced", force_json(&m->force[m->self]));
  int length = json_write(json, buf, size);
  json_free(json);
  return length;
}

size_t marks_note(const struct marks *m, const struct ballot *ballot, uint64_t reign, char *buf,
                  size_t size) {
  bool forced = force_matters(m, ballot, reign), frozen = ballot->frozen.on && m->freeze.who[0] != 0;
  if (!forced && !frozen)
    return 0;
  int length = note(m, frozen, forced, buf, size);
  if (length < 0 && frozen && forced) /* a reason made of quotes: what was forced goes first */
    length = note(m, false, true, buf, size);
  return length > 0 ? (size_t)length : 0;
}

/* Whoever ordered it knows best since when; the clocks of two machines may differ. */
static bool take_freeze(struct marks *m, const struct json *json, int64_t ahead_ms) {
  int64_t now_ms = clock_wall_ms(), at_ms = json_get_time(json, "wall_ms") - ahead_ms;
  if (json == NULL || !m->freeze.on || m->freeze.who[0] != 0 ||
      json_get_int(json, "serial", 0) != (int64_t)m->freeze.serial)
    return false;
  get_text(json, "by", m->freeze.who, sizeof m->freeze.who);
  m->freeze.wall_ms = at_ms < now_ms ? at_ms : now_ms;
  m->freeze.boot_us = clock_now().us - (now_ms - m->freeze.wall_ms) * 1000;
  return true;
}

static bool take_force(struct marks *m, unsigned from, const struct json *json) {
  struct marks_force force;
  if (json == NULL || from >= NODES || from == m->self)
    return false;
  force_from(&force, json);
  if (force.wall_ms == 0 || force.epoch == 0 || force.epoch == m->force[from].epoch)
    return false;
  m->force[from] = force;
  return true;
}

void marks_noted(struct marks *m, unsigned from, int64_t wall_ms, const char *note, size_t size) {
  if (wall_ms < 0 || wall_ms > JSON_TIME_MAX)
    return;
  struct json *json = json_parse(note, size, NULL, 0);
  int64_t ahead_ms = wall_ms - clock_wall_ms();
  bool near =
      ahead_ms > -1000 && ahead_ms < 1000; /* no further than a beat takes: the same clock, for people */
  bool frozen = take_freeze(m, json_get(json, "frozen"), near ? 0 : ahead_ms);
  bool forced = take_force(m, from, json_get(json, "forced"));
  json_free(json);
  if (frozen || forced)
    (void)keep(m);
}

// ---- for people ----

/* What is known of the order behind this reign; NULL: nothing yet. */
static const struct marks_force *word_behind(const struct marks *m, unsigned node, uint64_t epoch) {
  const struct marks_force *force = &m->force[node];
  return force->wall_ms != 0 && force->epoch >> 32 == epoch >> 32 ? force : NULL;
}

static struct json *forced(const struct marks *m, const struct cluster_conf *conf, unsigned node,
                           uint64_t epoch) {
  char time[CLOCK_WALL_TEXT_SIZE];
  struct json *json = json_new_object();
  const struct marks_force *force = word_behind(m, node, epoch);
  json_put_text(json, "node", conf->voter[node].name);
  json_put_uint(json, "epoch", epoch);
  json_put_text(json, "time", force != NULL ? clock_wall_text(force->wall_ms, time) : NULL);
  json_put_text(json, "by", force != NULL ? force->who : NULL);
  json_put_text(json, "reason", force != NULL ? force->reason : NULL);
  json_put_text(json, "confirmed_down", force != NULL ? force->confirmed : NULL);
  return json;
}

void marks_put_status(const struct marks *m, const struct cluster_conf *conf, const struct ballot *ballot,
                      struct json *status) {
  char time[CLOCK_WALL_TEXT_SIZE];
  struct json *list = json_new_array();
  if (ballot->frozen.on) {
    json_put_text(status, "frozen_since", clock_wall_text(m->freeze.wall_ms, time));
    json_put_int(status, "frozen_ms", (clock_now().us - m->freeze.boot_us) / 1000);
    json_put_text(status, "frozen_by", m->freeze.who[0] != 0 ? m->freeze.who : NULL);
  }
  for (unsigned i = 0; i < NODES; i++)
    if (ballot->forced[i] != 0)
      json_add(list, forced(m, conf, i, ballot->forced[i]));
  json_put(status, "forced", list);
}

static void warn_of_force(const struct marks *m, const struct cluster_conf *conf, unsigned node,
                          uint64_t epoch, struct json *warnings) {
  char text[MARKS_REASON_MAX + 512], time[CLOCK_WALL_TEXT_SIZE];
  const char *name = conf->voter[node].name, *other = conf->voter[1 - node].name;
  const struct marks_force *force = word_behind(m, node, epoch);
  if (force != NULL)
    snprintf(text, sizeof text,
             "%s was forced to lead in epoch %" PRIu64
             ", by %s on %s, who said that %s is down: \"%s\"; until a "
             "majority exists again and %s has rejoined, nobody vouches for one master",
             name, epoch, force->who, clock_wall_text(force->wall_ms, time), other, force->reason, other);
  else
    snprintf(text, sizeof text,
             "%s was forced to lead in epoch %" PRIu64
             " (who ordered it, and why, was not heard of yet); until a "
             "majority exists again and %s has rejoined, nobody vouches for one master",
             name, epoch, other);
  json_add_text(warnings, text);
}

void marks_warn(const struct marks *m, const struct cluster_conf *conf, const struct ballot *ballot,
                struct json *warnings) {
  const uint64_t *epoch = ballot->forced;
  char text[512];
  for (unsigned i = 0; i < NODES; i++)
    if (epoch[i] != 0)
      warn_of_force(m, conf, i, epoch[i], warnings);
  if (epoch[VOTER_A] == 0 || epoch[VOTER_B] == 0)
    return;
  unsigned winner = epoch[VOTER_A] > epoch[VOTER_B] ? VOTER_A : VOTER_B;
  snprintf(text, sizeof text,
           "both nodes were forced: %s has the higher epoch and leads, %s rejoins, and what %s acknowledged "
           "alone is set aside",
           conf->voter[winner].name, conf->voter[1 - winner].name, conf->voter[1 - winner].name);
  json_add_text(warnings, text);
}
