// SPDX-License-Identifier: Apache-2.0
// A master's acknowledgements: withheld, after the secondary has them, or at once. All three by one setting,
// synchronous_standby_names, which never ends by itself.
//
// While some name stands there commits wait, whoever's it is; going from one name to another never lets one
// through. But going from none to one takes effect only when PostgreSQL's checkpointer has read the
// configuration, which no view shows and which may take as long as a checkpoint. So that step leads through
// PG_WITHHELD, and a commit of our own must have been seen to wait before anything is made of it.
#include <stdio.h>
#include <string.h>

#include "agent/pg_driver.h"
#include "common/base/clock.h"

#define PROBE "SELECT pg_logical_emit_message(true, 'tanist', 'probe')"
#define WAKE "SELECT pg_logical_emit_message(true, 'tanist', 'wake')" // waits for no secondary: synchronous_commit

bool pg_withholds(const struct pg *p) {
  return p->look.recovery && p->look.standby_names[0] != 0 && p->memory.withholding[0] != 0 &&
         strcmp(p->memory.withholding, p->look.start) == 0;
}

static void set_names(struct pg *p, const char *names) {
  if (names[0] == 0)
    p->armed = false;
  pg_set(p, "synchronous_standby_names", names);
}

// ---- the probe ----

static void end_probe(struct pg *p) {
  char sql[64];
  if (!p->probing)
    return;
  if (pg_link_is_up(p->probe)) { // it waits, and will not hear that nobody listens any more
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)", pg_link_backend(p->probe));
    pg_link_ask(p->own, ASK_COMMAND, sql);
  }
  p->probing = false;
}

static void probe(struct pg *p) {
  if (p->look.probe_waits) {
    p->armed = true;
    end_probe(p);
  } else if (!p->probing && pg_link_is_up(p->probe)) {
    p->probing = pg_link_ask(p->probe, ASK_COMMAND, "SET synchronous_commit = on") &&
                 pg_link_ask(p->probe, ASK_COMMAND, PROBE);
  } else {
    pg_link_retry(p->probe);
  }
}

static void probe_up(void *arg) {
  pg_settle(arg);
}

// It did not wait: not in force yet, so once more. (The answer to SET counts as one, too: that costs nothing.)
static void probe_answer(void *arg, uint32_t tag, struct instant asked, const struct pg_answer *answer) {
  struct pg *p = arg;
  (void)tag, (void)asked;
  if (answer->count > 0)
    p->probing = false;
  pg_settle(p);
}

static void probe_late(void *arg) {
  (void)arg; // as it should be
}

static void probe_down(void *arg, bool was_up, bool heard) {
  struct pg *p = arg;
  (void)was_up, (void)heard;
  p->probing = false;
}

int pg_switch_open(struct pg *p) {
  const struct pg_link_settings link = {.what = "broker.address",
                                        .address = p->settings.address,
                                        .conninfo = p->more,
                                        .username = p->settings.username,
                                        .password_file = p->settings.password_file,
                                        .name = "tanist-probe",
                                        .late_ms = p->settings.probe_timeout_ms,
                                        .give_up_ms = 0,
                                        .retry_ms = p->settings.beat_ms};
  const struct pg_link_watch watch = {p, probe_up, probe_answer, probe_late, probe_down};
  return pg_link_new(&p->probe, p->loop, &link, &watch);
}

// ---- the switch ----

static bool named(const struct pg *p, const char *names) {
  return strcmp(p->look.standby_names, names) == 0;
}

static void reach_if(struct pg *p, bool there) {
  p->hurry = p->duty.paused || !there;
  if (there)
    pg_reach(p);
}

void pg_switch_step(struct pg *p) {
  char peer[PG_NAME_MAX + 2];
  snprintf(peer, sizeof peer, "\"%s\"", p->peer_name);
  bool wait = p->duty.paused || p->duty.sync;
  const char *wanted = p->duty.paused ? PG_WITHHELD : p->duty.sync ? peer : "";
  if (wait && !p->armed)
    wanted = PG_WITHHELD;
  bool serving = p->look.standby_names[0] == 0, alone = !p->look.streaming;
  if (p->duty.sync && !p->duty.paused && serving && alone)
    return; // under way nobody is made to wait for a secondary that is not there
  if (!named(p, wanted)) {
    if (pg_may_act(p, wanted == peer ? 's' : wanted[0] != 0 ? 'w' : 'o'))
      set_names(p, wanted);
    p->hurry = true;
  } else if (wait && !p->armed) {
    probe(p);
    p->hurry = true;
    if (p->armed)
      pg_switch_step(p);
  } else { // an attached secondary must be counted: else its walsender has not read the setting yet
    bool counts = p->duty.sync && !p->duty.paused && p->look.streaming;
    end_probe(p);
    if (counts && p->look.synchronous && !p->reached) // who waits is released by its next answer: so ask for one
      pg_link_ask(p->own, ASK_COMMAND, WAKE);
    reach_if(p, !counts || p->look.synchronous);
  }
}
