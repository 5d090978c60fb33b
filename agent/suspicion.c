// SPDX-License-Identifier: Apache-2.0
// report: somebody says that a node does not serve as master. It is told, in events and status, and decides
// nothing: what decides are the health checks, which every node measures alike.
#include "agent/suspicion.h"

#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/clock.h"
#include "common/base/text.h"

#define SHOWN_MS 600000 // in the status; in the events it stays

void suspicion_report(struct agent *a, uint64_t connection, const struct json *request) {
  const char *name = json_get_text(request, "suspect", ""), *reason = json_get_text(request, "reason", "");
  int node = cluster_voter_find(&a->conf, name);
  char who[CONTROL_WHO_SIZE], text[256];
  if (node < 0 || node >= NODES || reason[0] == 0 || strlen(reason) > MARKS_REASON_MAX) {
    snprintf(text, sizeof text, "report needs --suspect %s or %s, and a --reason of at most %d bytes",
             a->conf.voter[0].name, a->conf.voter[1].name, MARKS_REASON_MAX);
    control_refuse(a->control, connection, CONTROL_USAGE, text);
    return;
  }
  struct suspicion *s = &a->suspicion[node];
  control_who(a->control, connection, who);
  snprintf(s->by, sizeof s->by, "%s", who);
  snprintf(s->reason, sizeof s->reason, "%s", reason);
  text_clean(s->reason, strlen(s->reason));
  s->wall_ms = clock_wall_ms();
  s->until = instant_in_ms(SHOWN_MS);
  struct json *event = note_new(a, "broker", "suspected");
  json_put_text(event, "voter", a->conf.voter[node].name);
  json_put_text(event, "by", who);
  json_put_text(event, "reason", s->reason);
  note(a, event, LOG_WARNING, "%s is reported not to serve, by %s: %s", a->conf.voter[node].name, who,
       s->reason);
  agent_answer(a, connection, "reported: it is in the events and the status, and decides nothing by itself");
}

void suspicion_warn(const struct agent *a, struct json *warnings) {
  char text[MARKS_REASON_MAX + 256], time[CLOCK_WALL_TEXT_SIZE];
  for (unsigned i = 0; i < NODES; i++) {
    const struct suspicion *s = &a->suspicion[i];
    if (s->wall_ms == 0 || s->until.us < clock_now().us)
      continue;
    snprintf(text, sizeof text, "%s was reported not to serve, by %s on %s: %s", a->conf.voter[i].name, s->by,
             clock_wall_text(s->wall_ms, time), s->reason);
    json_add_text(warnings, text);
  }
}
