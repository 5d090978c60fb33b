// SPDX-License-Identifier: Apache-2.0
#include "common/base/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/ledger.h"

#define LINE_MAX_BYTES 4096
#define REPLY_BYTES 49152 // of reigns in one reply: well under CONTROL_REPLY_MAX
#define WHY_MAX 240

#define HOWS(X)                                                                                              \
  X(ELECTED, "elected")                                                                                      \
  X(HANDOVER, "handover") /* elected, the one before having handed over */                                   \
  X(LED_ON, "led-on")     /* the same mastership in a higher epoch (L7) */                                   \
  X(FORCED, "forced")
#define ENDS(X)                                                                                              \
  X(NONE, "")                                                                                                \
  X(HANDOVER, "handover")                                                                                    \
  X(LEASE, "lease")                                                                                          \
  X(DEPOSED, "deposed")                                                                                      \
  X(RETIRED, "retired")                                                                                      \
  X(FENCE, "fence")                                                                                          \
  X(UNFIT, "unfit")                                                                                          \
  X(LED_ON, "led-on")                                                                                        \
  X(RESTARTED, "restarted") /* its agent ended without a word */                                             \
  X(STEPPED_DOWN, "stepped-down")                                                                            \
  X(UNHEARD, "unheard")

#define ENUM_HOW(name, text) HOW_##name,
#define ENUM_END(name, text) END_##name,
enum how { HOWS(ENUM_HOW) HOW_COUNT };
enum end { ENDS(ENUM_END) END_COUNT };
#undef ENUM_HOW
#undef ENUM_END
#define NAME(name, text) text,
static const char *const how_names[] = {HOWS(NAME)};
static const char *const end_names[] = {ENDS(NAME)};
#undef NAME

struct reign {
  uint64_t serial; // in the order of their beginnings
  uint64_t epoch;
  uint8_t node, how, end; // enum voter_id, how, end
  struct position position;
  int64_t from_ms, to_ms;     // by the wall clock; to_ms 0: it has not ended
  int64_t from_us, length_us; // CLOCK_BOOTTIME of `boot`; how long it took, once it has ended
  char boot[CLOCK_BOOT_ID_SIZE];
  char why[WHY_MAX];
  struct marks_force forced; // wall_ms 0: nobody's word is known
};

struct history {
  const struct cluster_conf *conf;
  unsigned self;
  struct ledger *ledger;
  const struct transition *left; // how the own role MASTER ended last; NULL: not since the start
  bool forced, raised;           // the own next reign is an operator's, or L7's
  int64_t until_ms; // by the wall clock: the end of what was promised to the newest reign's master
  size_t count;
  struct reign at[HISTORY_REIGNS_MAX]; // oldest first
};

// ---- a reign <-> JSON ----

static int64_t length_us(const struct reign *r) {
  bool here = strcmp(r->boot, clock_boot_id()) == 0;
  int64_t us = here ? clock_now().us - r->from_us : (clock_wall_ms() - r->from_ms) * 1000;
  return r->to_ms != 0 ? r->length_us : us > 0 ? us : 0;
}

static struct json *force_json(const struct reign *r) {
  char time[CLOCK_WALL_TEXT_SIZE];
  if (r->forced.wall_ms == 0)
    return NULL;
  struct json *force = json_new_object();
  json_put_text(force, "time", clock_wall_text(r->forced.wall_ms, time));
  json_put_int(force, "time_ms", r->forced.wall_ms);
  json_put_text(force, "by", r->forced.who);
  json_put_text(force, "reason", r->forced.reason);
  json_put_text(force, "confirmed_down", r->forced.confirmed);
  return force;
}

static struct json *to_json(const struct history *h, const struct reign *r, uint64_t serial) {
  char time[CLOCK_WALL_TEXT_SIZE];
  struct json *json = json_new_object(), *force = force_json(r);
  json_put_uint(json, "serial", serial);
  json_put_text(json, "cluster", h->conf->name);
  json_put_text(json, "node", h->conf->voter[h->self].name);
  json_put_uint(json, "epoch", r->epoch);
  json_put_text(json, "master", h->conf->voter[r->node].name);
  json_put_text(json, "from", clock_wall_text(r->from_ms, time));
  json_put_text(json, "to", r->to_ms != 0 ? clock_wall_text(r->to_ms, time) : NULL);
  json_put_int(json, "duration_ms", length_us(r) / 1000);
  json_put_text(json, "how", how_names[r->how]);
  json_put_uint(json, "position", r->position.offset);
  json_put_uint(json, "position_epoch", r->position.epoch);
  json_put_text(json, "end", r->end != END_NONE ? end_names[r->end] : NULL);
  json_put_text(json, "why", r->end != END_NONE ? r->why : NULL);
  if (force != NULL)
    json_put(json, "forced", force);
  else
    json_put_null(json, "forced");
  json_put_int(json, "from_ms", r->from_ms);
  json_put_int(json, "to_ms", r->to_ms);
  json_put_int(json, "from_boottime_us", r->from_us);
  json_put_text(json, "boot", r->boot);
  json_put_uint(json, "reign", r->serial);
  return json;
}

static unsigned index_of(const char *const *names, size_t count, const char *name) {
  for (unsigned i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0)
      return i;
  return 0;
}

static void get_text(const struct json *json, const char *key, char *buf, size_t size) {
  snprintf(buf, size, "%s", json_get_text(json, key, ""));
}

/* False: not of this cluster's nodes, or no reign at all. */
static bool from_json(const struct history *h, const struct json *json, struct reign *r) {
  const struct json *force = json_get(json, "forced");
  int node = cluster_voter_find(h->conf, json_get_text(json, "master", ""));
  memset(r, 0, sizeof *r);
  r->serial = (uint64_t)json_get_int(json, "reign", 0);
  r->epoch = (uint64_t)json_get_int(json, "epoch", 0);
  r->node = (uint8_t)node;
  r->how = (uint8_t)index_of(how_names, HOW_COUNT, json_get_text(json, "how", ""));
  r->end = (uint8_t)index_of(end_names, END_COUNT, json_get_text(json, "end", ""));
  r->position.offset = (uint64_t)json_get_int(json, "position", 0);
  r->position.epoch = (uint64_t)json_get_int(json, "position_epoch", 0);
  r->from_ms = json_get_time(json, "from_ms");
  r->to_ms = json_get_time(json, "to_ms");
  r->from_us = json_get_time(json, "from_boottime_us");
  r->length_us = json_get_time(json, "duration_ms") * 1000;
  get_text(json, "boot", r->boot, sizeof r->boot);
  get_text(json, "why", r->why, sizeof r->why);
  r->forced.wall_ms = json_get_time(force, "time_ms");
  r->forced.epoch = r->epoch;
  get_text(force, "by", r->forced.who, sizeof r->forced.who);
  get_text(force, "reason", r->forced.reason, sizeof r->forced.reason);
  get_text(force, "confirmed_down", r->forced.confirmed, sizeof r->forced.confirmed);
  return node >= 0 && node < NODES && r->epoch != 0 && r->serial != 0;
}

// ---- in memory and in the file: a reign's last line counts ----

static struct reign *newest(struct history *h) {
  return h->count > 0 ? &h->at[h->count - 1] : NULL;
}

static struct reign *place(struct history *h, uint64_t serial) {
  if (h->count > 0 && newest(h)->serial == serial)
    return newest(h);
  if (h->count == HISTORY_REIGNS_MAX)
    memmove(h->at, h->at + 1, --h->count * sizeof h->at[0]);
  return &h->at[h->count++];
}

static void keep(struct history *h, const struct reign *r) {
  char line[LINE_MAX_BYTES];
  struct json *json = to_json(h, r, ledger_next_serial(h->ledger));
  int length = json_write(json, line, sizeof line);
  json_free(json);
  if (length > 0) /* what fails at the disk is told by history_trouble */
    (void)ledger_add(h->ledger, line, (size_t)length);
}

static void load(struct history *h) {
  struct reign one;
  struct ledger_line line = ledger_after(h->ledger, 0);
  for (; line.length > 0; line = ledger_following(h->ledger, &line)) {
    struct json *json = json_parse(line.text, line.length, NULL, 0);
    if (from_json(h, json, &one))
      *place(h, one.serial) = one;
    json_free(json);
  }
}

struct history *history_open(const char *directory, const struct cluster_conf *conf, unsigned self) {
  char name[256];
  struct history *h = calloc(1, sizeof *h);
  if (h == NULL)
    return NULL;
  h->conf = conf;
  h->self = self;
  snprintf(name, sizeof name, "%s.%s.history", conf->name, conf->voter[self].name);
  h->ledger = ledger_open(directory, name, HISTORY_BYTES_MAX);
  if (h->ledger == NULL) {
    free(h);
    return NULL;
  }
  load(h);
  return h;
}

void history_close(struct history *h) {
  if (h == NULL)
    return;
  ledger_close(h->ledger);
  free(h);
}

// ---- what happens ----

void history_fact(struct history *h, const struct fact *fact) {
  if (fact->type == FACT_ROLE && fact->from == ROLE_MASTER)
    h->left = transition_find(fact->from, fact->to, fact->cause);
  if (fact->type == FACT_ROLE && fact->to == ROLE_MASTER)
    h->forced = fact->cause == CAUSE_FORCED;
  h->raised = fact->type == FACT_REIGN || (h->raised && fact->type != FACT_ROLE);
}

static void end(struct history *h, struct reign *r, enum end how, int64_t to_ms, const char *why) {
  int64_t now_ms = clock_wall_ms(), early_ms = now_ms > to_ms ? now_ms - to_ms : 0;
  r->length_us = length_us(r) - early_ms * 1000;
  r->length_us = r->length_us > 0 ? r->length_us : 0;
  r->to_ms = now_ms - early_ms;
  r->end = (uint8_t)how;
  snprintf(r->why, sizeof r->why, "%s", why);
  keep(h, r);
}

static enum end end_of(unsigned cause) {
  switch (cause) {
  case CAUSE_LEASE:
    return END_LEASE;
  case CAUSE_DEPOSED:
    return END_DEPOSED;
  case CAUSE_HANDED:
    return END_HANDOVER;
  case CAUSE_RETIRED:
    return END_RETIRED;
  case CAUSE_FENCE:
    return END_FENCE;
  default:
    return END_UNFIT;
  }
}

static void end_own(struct history *h, struct reign *r) {
  char why[WHY_MAX];
  if (h->left == NULL) {
    end(h, r, END_RESTARTED, clock_wall_ms(),
        "its agent ended without a word (killed, or the machine was lost); this is when it had started "
        "again");
    return;
  }
  snprintf(why, sizeof why, "%s: %s", h->left->rule, h->left->sentence);
  end(h, r, end_of(h->left->cause), clock_wall_ms(), why);
}

static void end_other(struct history *h, struct reign *r, const struct beat *beat) {
  char why[WHY_MAX];
  const char *name = h->conf->voter[r->node].name;
  if (beat->flags & BEAT_HANDOVER)
    snprintf(why, sizeof why, "L8: %s handed over to the other node", name);
  else
    snprintf(why, sizeof why, "%s stepped down, or its agent was started again: it shows itself as %s", name,
             role_name(beat->role));
  end(h, r, beat->flags & BEAT_HANDOVER ? END_HANDOVER : END_STEPPED_DOWN, clock_wall_ms(), why);
}

/* Its own master says that it is over. */
static void look_for_end(struct history *h, const struct core *core) {
  struct reign *r = newest(h);
  if (r == NULL || r->to_ms != 0)
    return;
  const struct peer *peer = &core->peer[r->node];
  if (r->node == h->self) {
    if (core->role != ROLE_MASTER)
      end_own(h, r);
  } else if (peer->session != 0 && peer->beat.role != ROLE_MASTER) {
    end_other(h, r, &peer->beat);
  } else if (core->voter.promise.leader == r->node && core->voter.promise.leader_epoch == r->epoch) {
    h->until_ms = clock_wall_ms() + (core->voter.promise.until.us - core->now.us) / 1000;
  }
}

struct found {
  unsigned node;
  uint64_t epoch, record_epoch;
  struct position position;
  bool forced;
};

static struct found who_leads(const struct history *h, const struct core *core) {
  struct found best = {.node = NOBODY};
  if (core->role == ROLE_MASTER && !core_waits(core)) /* L11: it has not begun */
    best = (struct found){h->self, core->reign, core_record(core)->epoch, core->broker.position, h->forced};
  for (unsigned i = 0; i < NODES; i++) {
    const struct beat *beat = &core->peer[i].beat;
    if (i != h->self && core->peer[i].session != 0 && beat->role == ROLE_MASTER &&
        !(beat->flags & BEAT_WAITS) && beat->reign > best.epoch)
      best = (struct found){i, beat->reign, beat->sync.epoch, beat->position, beat->flags & BEAT_FORCED};
  }
  return best;
}

/* The same mastership goes on (L7): its record is of an earlier reign. */
static bool led_on(const struct history *h, const struct reign *before, const struct found *found) {
  if (before == NULL || before->to_ms != 0 || before->node != found->node)
    return false;
  return found->node == h->self ? h->raised : found->record_epoch < found->epoch;
}

static void end_before(struct history *h, struct reign *before, const struct found *found, bool on) {
  char why[WHY_MAX];
  if (before == NULL || before->to_ms != 0)
    return;
  int64_t now_ms = clock_wall_ms();
  if (on) {
    snprintf(why, sizeof why, "L7: the same mastership went on in epoch %" PRIu64, found->epoch);
    end(h, before, END_LED_ON, now_ms, why);
    return;
  }
  bool promised = h->until_ms > before->from_ms && h->until_ms < now_ms;
  snprintf(why, sizeof why, "%s was not heard any more; %s leads in epoch %" PRIu64,
           h->conf->voter[before->node].name, h->conf->voter[found->node].name, found->epoch);
  end(h, before, END_UNHEARD, promised ? h->until_ms : now_ms, why);
}

static void begin(struct history *h, const struct found *found) {
  struct reign *before = newest(h);
  bool on = led_on(h, before, found);
  end_before(h, before, found, on);
  bool forced = found->forced && (before == NULL || found->epoch >> 32 > before->epoch >> 32);
  bool handed = before != NULL && before->end == END_HANDOVER && before->node != found->node;
  struct reign r = {.serial = before != NULL ? before->serial + 1 : 1,
                    .epoch = found->epoch,
                    .node = (uint8_t)found->node,
                    .how = on       ? HOW_LED_ON
                           : forced ? HOW_FORCED
                           : handed ? HOW_HANDOVER
                                    : HOW_ELECTED,
                    .position = found->position,
                    .from_ms = clock_wall_ms(),
                    .from_us = clock_now().us};
  snprintf(r.boot, sizeof r.boot, "%s", clock_boot_id());
  h->until_ms = 0;
  h->raised = false;
  struct reign *to = place(h, r.serial);
  *to = r;
  keep(h, to);
}

void history_look(struct history *h, const struct core *core) {
  look_for_end(h, core);
  struct found found = who_leads(h, core);
  const struct reign *last = newest(h);
  /* An older reign is a straggler's, unless this voter has lost its ballot and begins anew. */
  bool anew = last != NULL && core->voter.ballot.epoch < last->epoch;
  if (found.node < NODES &&
      (last == NULL || found.epoch > last->epoch || (anew && found.epoch != last->epoch)))
    begin(h, &found);
}

void history_forced(struct history *h, unsigned node, const struct marks_force *force) {
  for (size_t i = h->count; force->epoch != 0 && i-- > 0;) {
    struct reign *r = &h->at[i];
    if (r->node != node || r->epoch != force->epoch)
      continue;
    if (r->forced.wall_ms != 0)
      return;
    r->forced = *force;
    keep(h, r);
    return;
  }
}

// ---- asking ----

void history_request(const struct history *h, struct control *control, uint64_t connection,
                     const struct json *request) {
  struct json *reply = json_new_object(), *list = json_new_array();
  int64_t after = json_get_int(request, "after", 0);
  char line[LINE_MAX_BYTES];
  size_t bytes = 0, i = 0;
  while (i < h->count && (int64_t)h->at[i].serial <= after)
    i++;
  uint64_t last = (uint64_t)after;
  for (; i < h->count && bytes < REPLY_BYTES - sizeof line; i++) {
    struct json *one = to_json(h, &h->at[i], h->at[i].serial);
    int length = json_write(one, line, sizeof line);
    bytes += length > 0 ? (size_t)length : sizeof line;
    last = h->at[i].serial;
    json_add(list, one);
  }
  json_put_bool(reply, "ok", true);
  json_put(reply, "history", list);
  json_put_uint(reply, "last", last);
  json_put_bool(reply, "more", i < h->count);
  control_reply(control, connection, reply);
  json_free(reply);
}

const char *history_since(const struct history *h, char buf[CLOCK_WALL_TEXT_SIZE]) {
  const struct reign *last = h->count > 0 ? &h->at[h->count - 1] : NULL;
  return last != NULL && last->to_ms == 0 ? clock_wall_text(last->from_ms, buf) : NULL;
}

uint64_t history_count(const struct history *h) {
  return h->count > 0 ? h->at[h->count - 1].serial : 0;
}

const char *history_trouble(const struct history *h, char *buf, size_t size) {
  buf[0] = 0;
  if (ledger_error(h->ledger) != 0)
    snprintf(buf, size,
             "the history cannot be kept in %s (%s): it is in memory alone until it can, and a restart "
             "forgets it; "
             "mend the disk",
             ledger_path(h->ledger), strerror(ledger_error(h->ledger)));
  return buf;
}
