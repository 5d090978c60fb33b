// SPDX-License-Identifier: Apache-2.0
// force-master: an operator's word in the place of a majority (F1).
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"

struct confirmation {
  bool fence;       // the fence device shall see to it that the other node is off
  const char *down; // the operator says that this node is; NULL
};

static const char *other_name(const struct agent *a) {
  return a->conf.voter[1 - a->self].name;
}

/* What is wrong with the words of the order; "" if nothing is. */
static const char *misuse(const struct agent *a, const char *reason, const struct confirmation *by,
                          char *text, size_t size) {
  text[0] = 0;
  if (reason[0] == 0 || strlen(reason) > MARKS_REASON_MAX)
    snprintf(text, size, "--reason is needed, for whoever reads the history: 1 to %d bytes",
             MARKS_REASON_MAX);
  else if (by->fence == (by->down != NULL))
    snprintf(text, size, "say how you know that %s is down: either --fence or --confirm-down %s",
             other_name(a), other_name(a));
  else if (by->down != NULL && strcmp(by->down, other_name(a)) != 0)
    snprintf(text, size, "--confirm-down names \"%s\"; allowed: \"%s\", the other node (this one is \"%s\")",
             by->down, other_name(a), a->conf.voter[a->self].name);
  return text;
}

/* Why it is not done although it is well said; "" if it is. */
static const char *obstacle(const struct agent *a, const struct confirmation *by, char *text, size_t size) {
  const struct core *core = runner_core(a->runner);
  text[0] = 0;
  if (core->role == ROLE_MASTER && !core_waits(core))
    snprintf(text, size, "%s", reason_text(REASON_LEADS_ALREADY));
  else if (core_hears(core, 1 - a->self, clock_now()))
    snprintf(text, size,
             "%s is heard at this moment, as %s in epoch %" PRIu64
             ": it is not down. Use `tanist switchover` there, or switch it off first",
             other_name(a), role_name(core->peer[1 - a->self].beat.role), core->peer[1 - a->self].beat.epoch);
  else if (by->fence && !fence_agent_there(a->fence_agent))
    snprintf(text, size,
             "no fence device is configured here (fence.agent.command), so none can confirm that %s is off: see "
             "to it yourself, and say --confirm-down %s",
             other_name(a), other_name(a));
  return text;
}

/* What the record, this node's newest knowledge, says of who holds what was acknowledged. */
static void what_may_be_lost(const struct agent *a, char *text, size_t size) {
  const struct core *core = runner_core(a->runner);
  const struct record *sync = core_record(core);
  const char *self = a->conf.voter[a->self].name, *other = other_name(a);
  char data[320];
  if (core_waits(core)) {
    snprintf(text, size,
             "%s was elected by a majority in epoch %" PRIu64
             ", and waits for its fence device: it will lead now. If %s is not down, it may still serve those "
             "whom its own fence lets through.",
             self, core->reign, other);
    return;
  }
  if (a->conf.broker.driver == DRIVER_NONE)
    snprintf(data, sizeof data, "No broker is configured: no data of Tanist's is at stake.");
  else if (sync->mode == RECORD_SOLE && sync->owner != a->self)
    snprintf(data, sizeof data,
             "LOST: all that %s acknowledged alone. The record (%" PRIu64 ", %" PRIu32
             ") says that only %s holds everything.",
             other, sync->epoch, sync->version, other);
  else
    snprintf(data, sizeof data,
             "By the record (%" PRIu64 ", %" PRIu32
             ") %s held everything; LOST is what %s acknowledged alone "
             "since, if it went on with a witness that %s did not hear.",
             sync->epoch, sync->version, self, other, self);
  snprintf(
      text, size,
      "%s will lead without a majority. %s This node's broker stands at %" PRIu64 ", %s was last heard of at "
      "%" PRIu64
      ". If %s is not down, both will answer on the virtual IP and take writes; when they meet, those of "
      "the lower epoch are set aside.",
      self, data, core->broker.position.offset, other, core->peer[1 - a->self].beat.position.offset, other);
}

static void preview(struct agent *a, uint64_t connection) {
  char text[1024];
  what_may_be_lost(a, text, sizeof text);
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put_text(reply, "text", text);
  json_put_text(reply, "node", other_name(a));
  control_reply(a->control, connection, reply);
  json_free(reply);
}

/* On the disk before the core is told: an order whose reason is lost was given by nobody. */
static void order(struct agent *a, uint64_t connection, const char *reason, bool by_device) {
  char text[256];
  const char *down = other_name(a);
  struct marks_force force = {.wall_ms = clock_wall_ms()};
  control_who(a->control, connection, force.who);
  snprintf(force.confirmed, sizeof force.confirmed, "%s", down);
  snprintf(force.reason, sizeof force.reason, "%s", reason);
  text_clean(force.reason, strlen(force.reason));
  bool elected = core_waits(runner_core(a->runner)); /* then no reign is forced, nor to be told of ever after */
  int rc = elected ? 0 : marks_keep_force(a->marks, &force);
  if (rc != 0) {
    snprintf(text, sizeof text, "nothing was done: who forced this node, and why, cannot be kept in %s: %s",
             a->conf.state_directory, strerror(-rc));
    control_refuse(a->control, connection, CONTROL_FAILED, text);
    return;
  }
  struct json *event = note_new(a, "order", "given");
  json_put_text(event, "order", order_name(ORDER_FORCE));
  json_put_text(event, "by", force.who);
  json_put_text(event, "reason", reason);
  json_put_text(event, "confirmed_down", down);
  json_put_bool(event, "by_device", by_device);
  note(a, event, LOG_WARNING, by_device ? "force-master by %s, %s is off by the fence device: %s"
                                        : "force-master by %s, who says that %s is down: %s",
       force.who, down, reason);
  agent_order_start(a, connection, (struct order){.type = ORDER_FORCE});
}

// ---- by a fence device ----

static void on_checked(void *arg, const char *trouble) {
  struct agent *a = arg;
  bool usable = trouble[0] == 0;
  struct json *event = note_new(a, "fence-device", usable ? "usable" : "unusable");
  if (usable)
    note(a, event, LOG_NOTICE, "the fence device can be used: %s", a->conf.fence.agent_command.at[0]);
  else
    note(a, event, LOG_WARNING, "the fence device cannot be used: %s", trouble);
}

int agent_open_device(struct agent *a) {
  struct fence_agent_settings settings = {.command = &a->conf.fence.agent_command,
                                          .options = &a->conf.fence.agent_options,
                                          .node = other_name(a)};
  struct fence_agent_watch watch = {.arg = a, .checked = on_checked};
  int rc = fence_agent_open(&a->fence_agent, a->loop, &settings, &watch);
  return rc != 0 ? rc : peer_off_open(&a->peer_off, a);
}

/* Meanwhile the cluster may have found a master. */
static void on_off(void *arg, const char *why_not) {
  struct agent *a = arg;
  char text[640];
  uint64_t connection = a->fencing.connection;
  struct confirmation by = {.fence = true};
  if (why_not[0] != 0) {
    note(a, note_new(a, "fence-device", "failed"), LOG_ERROR, "%s could not be turned off: %s", other_name(a),
         why_not);
    snprintf(text, sizeof text, "nothing was done, %s may still run: %s", other_name(a), why_not);
    control_refuse(a->control, connection, CONTROL_FAILED, text);
    return;
  }
  note(a, note_new(a, "fence-device", "off"), LOG_WARNING, "the fence device turned %s off, and its status says so",
       other_name(a));
  if (obstacle(a, &by, text, sizeof text)[0] != 0)
    control_refuse(a->control, connection, CONTROL_REFUSED, text);
  else
    order(a, connection, a->fencing.reason, true);
}

static void fence_and_order(struct agent *a, uint64_t connection, const char *reason) {
  if (fence_agent_off(a->fence_agent, on_off, a) != 0) {
    control_refuse(a->control, connection, CONTROL_REFUSED, "the fence device is at it already: wait for its end");
    return;
  }
  a->fencing.connection = connection;
  snprintf(a->fencing.reason, sizeof a->fencing.reason, "%s", reason);
  note(a, note_new(a, "fence-device", "asked"), LOG_WARNING, "the fence device is to turn %s off: %s", other_name(a),
       reason);
}

void agent_force(struct agent *a, uint64_t connection, const struct json *request) {
  char text[512];
  const char *reason = json_get_text(request, "reason", "");
  struct confirmation by = {.fence = json_get_bool(request, "fence", false),
                            .down = json_get_text(request, "confirm_down", NULL)};
  if (misuse(a, reason, &by, text, sizeof text)[0] != 0)
    control_refuse(a->control, connection, CONTROL_USAGE, text);
  else if (obstacle(a, &by, text, sizeof text)[0] != 0)
    control_refuse(a->control, connection, CONTROL_REFUSED, text);
  else if (json_get_bool(request, "dry_run", false))
    preview(a, connection);
  else if (by.fence)
    fence_and_order(a, connection, reason);
  else
    order(a, connection, reason, false);
}
