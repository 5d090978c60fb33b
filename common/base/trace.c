// SPDX-License-Identifier: Apache-2.0
#include "common/base/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/trace_field.h"
#include "common/core/lease.h"

// ---- the tables ----

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define TABLE(table) ((struct fields){(table), COUNT(table)})

#define AT(member) offsetof(struct beat, member)
static const struct field beat_fields[] = {
    {"", FIELD_ROUTE, AT(from), AT(to)},
    {"", FIELD_SEQ, AT(seq), 0},
    {"", FIELD_ROLE, AT(role), 0},
    {"", FIELD_FLAGS, AT(flags), 0},
    {"echo", FIELD_U64, AT(echo), 0},
    {"grant", FIELD_U64, AT(grant), 0},
    {"epoch", FIELD_U64, AT(epoch), 0},
    {"sync", FIELD_RECORD, AT(sync), 0},
    {"reign", FIELD_U64, AT(reign), 0},
    {"leader", FIELD_LEADER, AT(leader), AT(leader_epoch)},
    {"free", FIELD_FREE, AT(free_ms), 0},
    {"lease", FIELD_U32, AT(lease_ms), 0},
    {"health", FIELD_U16, AT(health), 0},
    {"position", FIELD_POSITION, AT(position), 0},
    {"seen-you", FIELD_SEEN, AT(seen_you), 0},
    {"frozen", FIELD_FROZEN, AT(frozen), 0},
    {"wall", FIELD_I64, AT(wall_ms), 0},
    {"version", FIELD_U32, AT(version), 0},
    {"config", FIELD_HEX32, AT(config), 0},
    {"paths", FIELD_U8, AT(paths_heard), 0},
};
#undef AT

#define AT(member) offsetof(struct broker_report, member)
static const struct field report_fields[] = {
    {"health", FIELD_U16, AT(health), 0},          {"dead", FIELD_BOOL, AT(dead), 0},
    {"silent", FIELD_BOOL, AT(silent), 0},         {"link", FIELD_BOOL, AT(link), 0},
    {"position", FIELD_POSITION, AT(position), 0}, {"peer", FIELD_POSITION, AT(peer), 0},
};
#undef AT

#define AT(member) offsetof(struct event, member)
static const struct field done_fields[] = {
    {"serial", FIELD_U32, AT(done.serial), 0},
    {"position", FIELD_POSITION, AT(done.position), 0},
};
static const struct field config_fields[] = {
    {"preferred", FIELD_VOTER, AT(config.preferred), 0},
    {"witness_grace", FIELD_U32, AT(config.witness_grace_ms), 0},
    {"degrade", FIELD_U32, AT(config.degrade_ms), 0},
    {"join_hold", FIELD_U32, AT(config.join_hold_ms), 0},
    {"hold_down", FIELD_U32, AT(config.hold_down_ms), 0},
    {"config", FIELD_HEX32, AT(config.config), 0},
};
static const struct field hello_fields[] = {{"to", FIELD_VOTER, AT(hello), 0}};
static const struct field fenced_fields[] = {{"epoch", FIELD_U64, AT(fenced), 0}};
static const struct field session_fields[] = {{"session", FIELD_HEX64, AT(beat.session), 0}};
#undef AT

#define AT(member) offsetof(struct order, member)
static const struct field order_fields[] = {
    {"node", FIELD_VOTER, AT(node), 0},
    {"timeout", FIELD_U32, AT(timeout_ms), 0},
    {"above", FIELD_U64, AT(above), 0},
};
#undef AT

#define AT(member) offsetof(struct trace_start, member)
static const struct field start_fields[] = {
    {"self", FIELD_VOTER, AT(config.self), 0},
    {"preferred", FIELD_VOTER, AT(config.preferred), 0},
    {"replication", FIELD_REPLICATION, AT(config.replication), 0},
    {"strict", FIELD_BOOL, AT(config.strict), 0},
    {"lease", FIELD_U32, AT(config.lease_ms), 0},
    {"beat", FIELD_U32, AT(config.beat_ms), 0},
    {"drift_ppm", FIELD_U32, AT(config.drift_ppm), 0},
    {"witness_grace", FIELD_U32, AT(config.witness_grace_ms), 0},
    {"degrade", FIELD_U32, AT(config.degrade_ms), 0},
    {"join_hold", FIELD_U32, AT(config.join_hold_ms), 0},
    {"hold_down", FIELD_U32, AT(config.hold_down_ms), 0},
    {"max_lag", FIELD_U64, AT(config.max_lag), 0},
    {"withholds", FIELD_BOOL, AT(config.withholds), 0},
    {"fence_required", FIELD_BOOL, AT(config.fence_required), 0},
    {"version", FIELD_U32, AT(config.version), 0},
    {"config", FIELD_HEX32, AT(config.config), 0},
    {"random", FIELD_HEX64, AT(random), 0},
    {"base", FIELD_I64, AT(base.us), 0},
};
#undef AT

#define AT(member) offsetof(struct ballot, member)
static const struct field ballot_fields[] = {
    {"epoch", FIELD_U64, AT(epoch), 0},
    {"sync", FIELD_RECORD, AT(sync), 0},
    {"lease_max", FIELD_U32, AT(lease_max_ms), 0},
    {"blank", FIELD_BOOL, AT(blank), 0},
    {"frozen", FIELD_FROZEN, AT(frozen), 0},
    {"forced-a", FIELD_U64, AT(forced[VOTER_A]), 0},
    {"forced-b", FIELD_U64, AT(forced[VOTER_B]), 0},
    {"seen-a", FIELD_SEEN, AT(seen[VOTER_A]), 0},
    {"seen-b", FIELD_SEEN, AT(seen[VOTER_B]), 0},
    {"seen-w", FIELD_SEEN, AT(seen[VOTER_W]), 0},
};
#undef AT

// What a field has that a line does not name.
#define NO_RECORD                                                                                            \
  { .mode = RECORD_PAIR, .owner = NOBODY }
static const struct beat usual_beat = {.from = NOBODY,
                                       .to = NOBODY,
                                       .role = ROLE_COUNT,
                                       .sync = NO_RECORD,
                                       .leader = NOBODY,
                                       .seen_you.sync = NO_RECORD};
static const struct broker_report usual_report;
static const struct event usual_event;
static const struct ballot usual_ballot = {
    .sync = NO_RECORD, .seen = {{.sync = NO_RECORD}, {.sync = NO_RECORD}, {.sync = NO_RECORD}}};
static const struct trace_start usual_start = {.config.self = NOBODY, .config.preferred = NOBODY};

/* Only FORM is about a node: there it is named always, elsewhere if it is not the zero it usually is. */
static struct order usual_order(unsigned type) {
  return (struct order){.node = type == ORDER_FORM ? NOBODY : VOTER_A};
}

// ---- to text ----

static struct trace_text text_of(char *line, size_t size) {
  if (size > 0)
    *line = 0;
  return (struct trace_text){line, size, 0};
}

static void put_instant(struct trace_text *text, struct instant base, struct instant at) {
  if (at.us == INSTANT_NEVER.us)
    trace_put(text, "never");
  else if (at.us == INSTANT_PAST.us)
    trace_put(text, "past");
  else
    trace_put(text, "%" PRId64, instant_us_between(base, at));
}

static void put_order(struct trace_text *text, const struct order *order) {
  const struct order usual = usual_order(order->type);
  trace_put(text, " %s", order_name(order->type));
  fields_print(text, TABLE(order_fields), order, &usual);
}

size_t trace_start(char *line, size_t size, const struct trace_start *start) {
  struct trace_text text = text_of(line, size);
  trace_put(&text, "start");
  fields_print(&text, TABLE(start_fields), start, &usual_start);
  fields_print(&text, TABLE(ballot_fields), &start->ballot, &usual_ballot);
  return text.length;
}

size_t trace_event(char *line, size_t size, struct instant base, const struct event *event) {
  struct trace_text text = text_of(line, size);
  put_instant(&text, base, event->now);
  trace_put(&text, " %s", event_name(event->type));
  switch (event->type) {
  case EVENT_BEAT:
    fields_print(&text, TABLE(session_fields), event, &usual_event);
    fields_print(&text, TABLE(beat_fields), &event->beat.beat, &usual_beat);
    break;
  case EVENT_BROKER:
    fields_print(&text, TABLE(report_fields), &event->broker, &usual_report);
    break;
  case EVENT_DONE:
    fields_print(&text, TABLE(done_fields), event, &usual_event);
    break;
  case EVENT_ORDER:
    put_order(&text, &event->order);
    break;
  case EVENT_HELLO:
    fields_print(&text, TABLE(hello_fields), event, &usual_event);
    break;
  case EVENT_CONFIG:
    fields_print(&text, TABLE(config_fields), event, &usual_event);
    break;
  case EVENT_FENCED:
    fields_print(&text, TABLE(fenced_fields), event, &usual_event);
    break;
  case EVENT_TIMER:
  case EVENT_DISK_FAILED:
  case EVENT_FENCE_LOST:
  case EVENT_RESUME:
  case EVENT_COUNT:
    break;
  }
  return text.length;
}

static void put_duty(struct trace_text *text, const struct broker_duty *duty) {
  trace_put(text, " #%" PRIu32 " %s", duty->serial, broker_mode_name(duty->mode));
  if (duty->mode == BROKER_FOLLOW)
    trace_put(text, " %s", voter_name(duty->master));
  if (duty->mode != BROKER_HOLD)
    trace_put(text, " epoch %" PRIu64, duty->epoch);
  trace_put(text, "%s%s%s", duty->paused ? " paused" : "", duty->evict ? " evict" : "",
            duty->sync ? " sync" : "");
}

static void put_role(struct trace_text *text, const struct fact *fact) {
  const struct transition *row = transition_find(fact->from, fact->to, fact->cause);
  trace_put(text, " %s>%s epoch %" PRIu64, role_name(fact->from), role_name(fact->to), fact->epoch);
  if (row != NULL)
    trace_put(text, " %s: %s", row->rule, row->sentence);
}

static void put_record(struct trace_text *text, const struct fact *fact) {
  static const struct field record[] = {{"", FIELD_RECORD, offsetof(struct fact, sync), 0}};
  static const struct fact none = {.sync = NO_RECORD};
  fields_print(text, TABLE(record), fact, &none);
}

static void put_fact(struct trace_text *text, const struct fact *fact) {
  trace_put(text, " %s", fact_name(fact->type));
  switch ((enum fact_type)fact->type) {
  case FACT_ROLE:
    put_role(text, fact);
    return;
  case FACT_REIGN:
    trace_put(text, " epoch %" PRIu64, fact->epoch);
    return;
  case FACT_LEADER:
    trace_put(text, " %s epoch %" PRIu64, voter_name(fact->who), fact->epoch);
    return;
  case FACT_FORMED:
    trace_put(text, " epoch %" PRIu64, fact->epoch);
    put_record(text, fact);
    return;
  case FACT_RECORD:
  case FACT_COMMITTED:
    put_record(text, fact);
    return;
  case FACT_FORCED:
  case FACT_FORCE_OVER:
  case FACT_BOTH_FORCED:
    trace_put(text, " %s epoch %" PRIu64, voter_name(fact->who), fact->epoch);
    return;
  case FACT_FENCING:
    trace_put(text, " %s epoch %" PRIu64, voter_name(fact->who), fact->epoch);
    return;
  case FACT_CLEARED:
    trace_put(text, " %s epoch %" PRIu64 ": %s", voter_name(fact->who), fact->epoch, reason_text(fact->why));
    return;
  case FACT_AMNESIAC:
    trace_put(text, " %s", voter_name(fact->who));
    return;
  case FACT_FROZEN:
  case FACT_THAWED:
    trace_put(text, " serial %" PRIu64, fact->epoch);
    return;
  case FACT_REFUSED:
  case FACT_TAKEN_BACK:
    trace_put(text, " %s: %s", order_name(fact->order), reason_text(fact->why));
    return;
  case FACT_ACCEPTED:
  case FACT_COMPLETED:
    trace_put(text, " %s", order_name(fact->order));
    return;
  case FACT_BLANKED:
  case FACT_COUNT:
    return;
  }
}

static void put_action(struct trace_text *text, struct instant base, const struct action *action) {
  trace_put(text, "%s", action_name(action->type));
  switch (action->type) {
  case ACTION_FENCE_ARM:
    trace_put(text, " ");
    put_instant(text, base, action->until);
    return;
  case ACTION_PERSIST:
    fields_print(text, TABLE(ballot_fields), &action->ballot, &usual_ballot);
    return;
  case ACTION_SEND:
    fields_print(text, TABLE(beat_fields), &action->beat, &usual_beat);
    return;
  case ACTION_BROKER:
    put_duty(text, &action->broker);
    return;
  case ACTION_FENCE_PEER:
    trace_put(text, " epoch %" PRIu64, action->peer_off);
    return;
  case ACTION_TELL:
    put_fact(text, &action->fact);
    return;
  case ACTION_ADDRESS_DROP:
  case ACTION_FENCE_CLOSE:
  case ACTION_ADDRESS_ADD:
  case ACTION_SPARE_PEER:
  case ACTION_COUNT:
    return;
  }
}

size_t trace_action(char *line, size_t size, struct instant base, const struct action *action) {
  struct trace_text text = text_of(line, size);
  put_action(&text, base, action);
  return text.length;
}

size_t trace_actions(char *out, size_t size, struct instant base, const struct actions *actions) {
  struct trace_text text = text_of(out, size);
  for (size_t i = 0; i < actions->count; i++) {
    trace_put(&text, "  ");
    put_action(&text, base, &actions->at[i]);
    trace_put(&text, "\n");
  }
  return text.length;
}

// ---- and back ----

static char error_text[160];

__attribute__((format(printf, 2, 3))) static bool fail(const char **error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error_text, sizeof error_text, format, arguments);
  va_end(arguments);
  *error = error_text;
  return false;
}

struct target {
  struct fields fields;
  void *object;
};

static bool parse_fields(const char *line, const struct target *target, size_t count, const char **error) {
  char word[TRACE_WORD_MAX];
  while (trace_word(&line, word)) {
    int done = 0;
    for (size_t i = 0; i < count && done == 0; i++)
      done = field_parse(target[i].fields, target[i].object, word, &line);
    if (done == 0)
      return fail(error, "the word \"%s\" means nothing here", word);
    if (done < 0)
      return fail(error, "\"%s\" has no value, or one that cannot be", word);
  }
  return true;
}

bool trace_parse_start(const char *line, struct trace_start *start, const char **error) {
  char word[TRACE_WORD_MAX];
  *start = usual_start;
  start->ballot = usual_ballot;
  if (!trace_word(&line, word) || strcmp(word, "start") != 0)
    return fail(error, "a trace begins with a line \"start self a ...\"");
  const struct target targets[] = {{TABLE(start_fields), start}, {TABLE(ballot_fields), &start->ballot}};
  if (!parse_fields(line, targets, COUNT(targets), error))
    return false;
  if (start->config.self >= VOTERS || start->config.preferred >= NODES)
    return fail(error, "the line \"start\" must name self (a, b, w) and preferred (a, b)");
  return true;
}

static bool get_instant(const char *word, struct instant base, struct instant *at) {
  char *end;
  long long us = strtoll(word, &end, 10);
  *at = instant_plus_us(base, us);
  if (strcmp(word, "never") == 0)
    *at = INSTANT_NEVER;
  else if (strcmp(word, "past") == 0)
    *at = INSTANT_PAST;
  else
    return end != word && *end == 0;
  return true;
}

static bool get_event_type(const char *word, enum event_type *type) {
  for (unsigned i = 0; i < EVENT_COUNT; i++)
    if (strcmp(word, event_name(i)) == 0) {
      *type = (enum event_type)i;
      return true;
    }
  return false;
}

static bool parse_beat(const char *line, struct event *event, const char **error) {
  struct beat *beat = &event->beat.beat;
  *beat = usual_beat;
  const struct target targets[] = {{TABLE(session_fields), event}, {TABLE(beat_fields), beat}};
  if (!parse_fields(line, targets, COUNT(targets), error))
    return false;
  if (beat->from >= VOTERS || beat->to >= VOTERS || beat->role >= ROLE_COUNT)
    return fail(error, "a beat needs a route (a>b) and a role");
  return true;
}

static bool parse_order(const char *line, struct order *order, const char **error) {
  char word[TRACE_WORD_MAX];
  unsigned type = 0;
  trace_word(&line, word);
  while (type < ORDER_COUNT && strcmp(word, order_name(type)) != 0)
    type++;
  if (type == ORDER_COUNT)
    return fail(error, "\"%s\" is no order", word);
  *order = usual_order(type);
  order->type = (uint8_t)type;
  return parse_fields(line, &(struct target){TABLE(order_fields), order}, 1, error);
}

static bool parse_config(const char *line, struct event *event, const char **error) {
  if (!parse_fields(line, &(struct target){TABLE(config_fields), event}, 1, error))
    return false;
  return event->config.preferred < NODES || fail(error, "preferred is a node: a, b");
}

bool trace_parse_event(const char *line, struct instant base, struct event *event, const char **error) {
  char word[TRACE_WORD_MAX];
  *event = usual_event;
  if (!trace_word(&line, word) || !get_instant(word, base, &event->now))
    return fail(error, "\"%s\" is no time: a line begins with µs since the start", word);
  if (!trace_word(&line, word) || !get_event_type(word, &event->type))
    return fail(error, "\"%s\" is no event", word);
  switch (event->type) {
  case EVENT_BEAT:
    return parse_beat(line, event, error);
  case EVENT_BROKER:
    return parse_fields(line, &(struct target){TABLE(report_fields), &event->broker}, 1, error);
  case EVENT_DONE:
    return parse_fields(line, &(struct target){TABLE(done_fields), event}, 1, error);
  case EVENT_ORDER:
    return parse_order(line, &event->order, error);
  case EVENT_CONFIG:
    return parse_config(line, event, error);
  case EVENT_HELLO:
    return parse_fields(line, &(struct target){TABLE(hello_fields), event}, 1, error);
  case EVENT_FENCED:
    return parse_fields(line, &(struct target){TABLE(fenced_fields), event}, 1, error);
  case EVENT_TIMER:
  case EVENT_DISK_FAILED:
  case EVENT_FENCE_LOST:
  case EVENT_RESUME:
  case EVENT_COUNT:
    break;
  }
  return parse_fields(line, NULL, 0, error);
}
