// SPDX-License-Identifier: Apache-2.0
#include "common/base/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

#define LINE_MAX_BYTES 4096
#define REPLY_BYTES 49152 // of events in one reply: well under CONTROL_REPLY_MAX
#define REPLY_MAX 200     // and so many

struct waiting {
  struct control *control; // NULL: free
  uint64_t connection, after;
};

struct events {
  const struct cluster_conf *conf;
  unsigned self;
  struct ledger *ledger;
  struct waiting waiting[EVENTS_WAITING_MAX];
  events_sink_fn *sink;
  void *sink_arg;
};

struct events *events_open(const char *directory, const struct cluster_conf *conf, unsigned self) {
  char name[256];
  struct events *e = calloc(1, sizeof *e);
  if (e == NULL)
    return NULL;
  e->conf = conf;
  e->self = self;
  snprintf(name, sizeof name, "%s.%s.events", conf->name, conf->voter[self].name);
  e->ledger = ledger_open(directory, name, EVENTS_BYTES_MAX);
  if (e->ledger != NULL)
    return e;
  free(e);
  return NULL;
}

void events_close(struct events *e) {
  if (e == NULL)
    return;
  ledger_close(e->ledger);
  free(e);
}

void events_sink(struct events *e, events_sink_fn *sink, void *arg) {
  e->sink = sink;
  e->sink_arg = arg;
}

// ---- building ----

struct json *events_new(struct events *e, const char *event, const char *what) {
  char time[CLOCK_WALL_TEXT_SIZE];
  struct json *json = json_new_object();
  json_put_uint(json, "serial", ledger_next_serial(e->ledger));
  json_put_text(json, "time", clock_wall_text(clock_wall_ms(), time));
  json_put_int(json, "boottime_us", clock_now().us);
  json_put_text(json, "cluster", e->conf->name);
  json_put_text(json, "node", e->conf->voter[e->self].name);
  json_put_text(json, "event", event);
  json_put_text(json, "what", what);
  return json;
}

static const char *name_of(const struct events *e, unsigned voter) {
  return voter < VOTERS ? e->conf->voter[voter].name : NULL;
}

static void put_record(const struct events *e, struct json *event, const struct record *sync) {
  bool sole = sync->mode == RECORD_SOLE;
  struct json *record = json_new_object();
  json_put_uint(record, "epoch", sync->epoch);
  json_put_uint(record, "version", sync->version);
  json_put_text(record, "mode", sole ? "sole" : "pair");
  json_put_text(record, "owner", sole ? name_of(e, sync->owner) : NULL);
  json_put(event, "record", record);
}

static void put_role(struct json *event, const struct fact *fact) {
  const struct transition *t = transition_find(fact->from, fact->to, fact->cause);
  json_put_text(event, "from", role_name(fact->from));
  json_put_text(event, "to", role_name(fact->to));
  json_put_text(event, "cause", cause_name(fact->cause));
  json_put_text(event, "rule", t != NULL ? t->rule : NULL);
  json_put_uint(event, "epoch", fact->epoch);
}

/* Which event a fact is, and the name under which it tells `who`. */
static const struct kind {
  const char *event, *what, *who;
} kinds[FACT_COUNT] = {
    [FACT_ROLE] = {"role", "changed", NULL},
    [FACT_REIGN] = {"epoch", "raised", NULL},
    [FACT_LEADER] = {"epoch", "led", "master"},
    [FACT_RECORD] = {"record", "changed", NULL},
    [FACT_COMMITTED] = {"record", "committed", NULL},
    [FACT_FORMED] = {"voter", "formed", NULL},
    [FACT_BLANKED] = {"voter", "blanked", NULL},
    [FACT_AMNESIAC] = {"voter", "amnesiac", "voter"},
    [FACT_FROZEN] = {"order", "frozen", NULL},
    [FACT_THAWED] = {"order", "thawed", NULL},
    [FACT_FORCED] = {"order", "forced", "master"},
    [FACT_FORCE_OVER] = {"order", "force-over", "master"},
    [FACT_BOTH_FORCED] = {"order", "both-forced", "master"},
    [FACT_REFUSED] = {"order", "refused", NULL},
    [FACT_ACCEPTED] = {"order", "accepted", NULL},
    [FACT_COMPLETED] = {"order", "completed", NULL},
    [FACT_TAKEN_BACK] = {"order", "taken-back", NULL},
    [FACT_FENCING] = {"fence-device", "awaited", "node"},
    [FACT_CLEARED] = {"fence-device", "cleared", "node"},
};

static bool is_order(const struct fact *fact) {
  return fact->type == FACT_REFUSED || fact->type == FACT_ACCEPTED || fact->type == FACT_COMPLETED ||
         fact->type == FACT_TAKEN_BACK;
}

struct json *events_of_fact(struct events *e, const struct fact *fact) {
  const struct kind *kind = &kinds[fact->type < FACT_COUNT ? fact->type : FACT_REFUSED];
  struct json *event = events_new(e, kind->event, kind->what);
  if (kind->who != NULL)
    json_put_text(event, kind->who, name_of(e, fact->who));
  if (fact->type == FACT_ROLE)
    put_role(event, fact);
  else if (fact->type == FACT_RECORD || fact->type == FACT_COMMITTED || fact->type == FACT_FORMED)
    put_record(e, event, &fact->sync);
  if (is_order(fact)) {
    json_put_text(event, "order", order_name(fact->order));
    json_put_text(event, "reason", fact->why != REASON_NONE ? reason_text(fact->why) : NULL);
  }
  if (fact->type == FACT_CLEARED)
    json_put_text(event, "reason", reason_text(fact->why));
  if (fact->epoch != 0 && fact->type != FACT_ROLE)
    json_put_uint(event, "epoch", fact->epoch);
  return event;
}

enum log_level events_fact_level(const struct fact *fact) {
  switch ((enum fact_type)fact->type) {
  case FACT_BLANKED:
  case FACT_AMNESIAC:
  case FACT_TAKEN_BACK:
  case FACT_FORCED:
  case FACT_BOTH_FORCED:
  case FACT_FENCING:
    return LOG_WARNING;
  case FACT_COMMITTED:
  case FACT_RECORD:
  case FACT_LEADER:
    return LOG_INFO;
  case FACT_ROLE:
  case FACT_REIGN:
  case FACT_FORMED:
  case FACT_FROZEN:
  case FACT_THAWED:
  case FACT_FORCE_OVER:
  case FACT_CLEARED:
  case FACT_REFUSED:
  case FACT_ACCEPTED:
  case FACT_COMPLETED:
  case FACT_COUNT:
    break;
  }
  return LOG_NOTICE;
}

// ---- asking ----

/* The events above `after`, as far as they fit into one reply. */
static void fill(const struct events *e, uint64_t after, int64_t limit, struct json *reply) {
  struct json *list = json_new_array();
  size_t bytes = 0;
  int64_t count = 0;
  uint64_t last = after;
  struct ledger_line line = ledger_after(e->ledger, after);
  for (; line.length > 0 && count < limit && bytes + line.length <= REPLY_BYTES; count++) {
    json_add(list, json_parse(line.text, line.length, NULL, 0));
    bytes += line.length;
    last = line.serial;
    line = ledger_following(e->ledger, &line);
  }
  json_put_bool(reply, "ok", true);
  json_put(reply, "events", list);
  json_put_uint(reply, "last", last);
  json_put_bool(reply, "more", line.length > 0);
}

char *events_text(const struct events *e, uint64_t after, size_t *size) {
  char *text = malloc(EVENTS_BYTES_MAX);
  *size = 0;
  if (text == NULL)
    return NULL;
  struct ledger_line line = ledger_after(e->ledger, after);
  for (; line.length > 0; line = ledger_following(e->ledger, &line)) {
    memcpy(text + *size, line.text, line.length);
    *size += line.length;
    text[(*size)++] = '\n';
  }
  return text;
}

static void answer(const struct events *e, struct control *control, uint64_t connection, uint64_t after,
                   int64_t limit) {
  struct json *reply = json_new_object();
  fill(e, after, limit, reply);
  control_reply(control, connection, reply);
  json_free(reply);
}

static struct waiting *free_place(struct events *e) {
  for (size_t i = 0; i < EVENTS_WAITING_MAX; i++) {
    struct waiting *w = &e->waiting[i];
    if (w->control == NULL || control_uid(w->control, w->connection) == (uid_t)-1)
      return w;
  }
  return NULL;
}

void events_request(struct events *e, struct control *control, uint64_t connection,
                    const struct json *request) {
  int64_t after = json_get_int(request, "after", 0), limit = json_get_int(request, "limit", REPLY_MAX);
  uint64_t newest = ledger_next_serial(e->ledger) - 1;
  if (after < 0 || limit < 1) {
    control_refuse(control, connection, CONTROL_USAGE, "events: \"after\" is 0 or more, \"limit\" 1 or more");
    return;
  }
  limit = limit < REPLY_MAX ? limit : REPLY_MAX;
  if ((uint64_t)after > newest) /* of a file that was lost since: all there is is new */
    after = 0;
  if (!json_get_bool(request, "wait", false) || (uint64_t)after < newest) {
    answer(e, control, connection, (uint64_t)after, limit);
    return;
  }
  struct waiting *w = free_place(e);
  if (w == NULL)
    control_refuse(control, connection, CONTROL_REFUSED,
                   "as many follow the events already as this daemon serves: end one of them first");
  else
    *w = (struct waiting){.control = control, .connection = connection, .after = (uint64_t)after};
}

void events_add(struct events *e, struct json *event, enum log_level level, const char *sentence) {
  static const char *const names[] = {[LOG_ERROR] = "error",
                                      [LOG_WARNING] = "warning",
                                      [LOG_NOTICE] = "notice",
                                      [LOG_INFO] = "info",
                                      [LOG_DEBUG] = "debug"};
  char line[LINE_MAX_BYTES];
  json_put_text(event, "level", names[level]);
  json_put_text(event, "sentence", sentence);
  int length = json_write(event, line, sizeof line);
  if (length > 0) /* what fails at the disk is told by events_trouble */
    (void)ledger_add(e->ledger, line, (size_t)length);
  if (e->sink != NULL)
    e->sink(e->sink_arg, event);
  json_free(event);
  for (size_t i = 0; i < EVENTS_WAITING_MAX; i++) {
    struct waiting w = e->waiting[i];
    e->waiting[i].control = NULL;
    if (w.control != NULL)
      answer(e, w.control, w.connection, w.after, REPLY_MAX);
  }
}

const char *events_trouble(const struct events *e, char *buf, size_t size) {
  buf[0] = 0;
  if (ledger_error(e->ledger) != 0)
    snprintf(
        buf, size,
        "events cannot be kept in %s (%s): they are in memory alone until they can, and a restart forgets "
        "them; mend the disk",
        ledger_path(e->ledger), strerror(ledger_error(e->ledger)));
  return buf;
}

size_t events_damaged(const struct events *e) {
  return ledger_damaged(e->ledger);
}

uint64_t events_count(const struct events *e) {
  return ledger_next_serial(e->ledger) - 1;
}
