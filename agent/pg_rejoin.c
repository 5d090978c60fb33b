// SPDX-License-Identifier: Apache-2.0
// Rejoin (protocol.md section 9). Before a server follows a master, its timelines are compared with that one's.
// If the master left our timeline at some position, and there is a record behind that in our own WAL, our data
// have parted: the server is stopped, what it wrote past the fork is kept as an orphan file, and pg_rewind takes
// it back to the fork and fetches the rest from the master.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/orphans.h"
#include "agent/pg_driver.h"
#include "agent/pg_keep.h"
#include "common/base/clock.h"

#define LOOK_MS 10000             // pg_waldump
#define KEEP_MS (30 * 60 * 1000)  // reads and syncs all that is cut off
#define REWIND_MS (60 * 60 * 1000)
#define AGAIN_MS 2000
#define NOT_YET_MS 100
#define CHECKPOINT_EVERY_MS 5000

struct place { // as PostgreSQL's programs take it
  char timeline[12], at[24];
};

static struct place place_of(const struct pg_fork *fork) {
  struct place place;
  snprintf(place.timeline, sizeof place.timeline, "%" PRIu32, fork->timeline);
  snprintf(place.at, sizeof place.at, "%" PRIX32 "/%" PRIX32, (uint32_t)(fork->at >> 32), (uint32_t)fork->at);
  return place;
}

static void run(struct pg *p, enum pg_task task, struct pg_command *c, int64_t ms, child_fn *fn) {
  const struct child_settings settings = {.argv = c->word, .timeout_ms = ms};
  int rc = child_run(&p->child, p->loop, &settings, fn, p);
  p->task = rc == 0 ? task : TASK_NONE;
  if (rc == 0)
    return;
  p->start_after = instant_in_ms(AGAIN_MS);
  pg_say(p, "%s cannot be run: %s; see broker.options.bin_directory", c->word[0], strerror(-rc));
}

static void ended(struct pg *p) {
  p->child = NULL;
  p->task = TASK_NONE;
}

// The first record of the kind from the fork on, on our own timeline: if there is any, it prints one.
static void run_waldump(struct pg *p, enum pg_task task, const char *kind, child_fn *fn) {
  struct place place = place_of(&p->fork);
  struct pg_command c;
  char wal[PATH_MAX + 8];
  snprintf(wal, sizeof wal, "%s/pg_wal", p->real_directory);
  pg_server_command(p->server, &c, "pg_waldump");
  const char *const words[] = {"-p", wal, "-t", place.timeline, "-s", place.at, "-n", "1"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    pg_command_add(&c, words[i]);
  if (kind != NULL) {
    pg_command_add(&c, "-r");
    pg_command_add(&c, kind);
  }
  run(p, task, &c, LOOK_MS, fn);
}

// It ends with 1 where it finds no more records, which is what is asked; by a signal, or with what setpriv or a shell
// ends with where there is no such program, it has not looked.
static bool looked(const struct child_result *result) {
  return !result->timed_out && (result->status == 0 || result->status == 1);
}

// ---- have they parted? ----

static void take_parting(struct pg *p, bool parted) {
  p->parted = parted;
  p->agreed = parted ? 0 : p->other.timeline;
  p->orphan[0] = 0; // of a parting before this one
  if (!parted)
    return;
  struct place place = place_of(&p->fork);
  pg_say(p, "the data parted from the new master's at %s on timeline %s: rewinding", place.at, place.timeline);
  pg_stop(p, STOPPING_IMMEDIATE); // pg_rewind brings to its end what is not shut down
}

static void on_parting(void *arg, const struct child_result *result) {
  struct pg *p = arg;
  ended(p);
  if (!looked(result))
    pg_say(p, "pg_waldump failed (%.90s): see broker.options.bin_directory",
           result->timed_out ? "it took too long" : result->err.text);
  else if (p->duty.mode == BROKER_FOLLOW && p->other.timeline == p->compared)
    take_parting(p, result->out.size > 0);
  pg_settle(p);
}

bool pg_rejoin_strayed(struct pg *p) {
  bool strayed = pg_server_has(p->server, PG_STRAY);
  if (strayed)
    pg_say(p, "this server was run as a master by somebody else, apart from the pair: make it anew with pg_basebackup");
  return strayed;
}

static bool comparable(struct pg *p, uint32_t *own) {
  if (pg_rejoin_strayed(p))
    return false;
  if (strcmp(p->look.system, p->other.system) != 0) {
    pg_say(p, "the other node's PostgreSQL is another database (system identifier %s, here %s): make this one anew "
           "with pg_basebackup from it", p->other.system, p->look.system);
    return false;
  }
  if (!pg_server_timeline(p->server, own) || !pg_server_history(p->server, *own, p->own_history)) {
    pg_say(p, "%s/pg_wal: the history file of timeline %" PRIu32 " cannot be read: make this server anew with "
           "pg_basebackup", p->real_directory, *own);
    return false;
  }
  if (*own == p->other.timeline && p->memory.created && p->memory.timeline == *own) {
    pg_say(p, "both servers were promoted to timeline %" PRIu32 " apart: make this one anew with pg_basebackup from "
           "the other", *own);
    return false;
  }
  return true;
}

bool pg_rejoin_agrees(struct pg *p) {
  uint32_t own = 0;
  if (p->agreed != 0 && p->agreed == p->other.timeline)
    return true;
  if (p->parted || p->task != TASK_NONE || !pg_may_act(p, 'a') || !comparable(p, &own))
    return false;
  enum pg_parting parting = pg_history_part(p->own_history, p->other_history, &p->fork);
  p->compared = p->other.timeline;
  p->sure = parting == PG_DIVERGED;
  if (parting == PG_PERHAPS)
    run_waldump(p, TASK_PARTING, NULL, on_parting);
  else
    take_parting(p, parting == PG_DIVERGED);
  return parting == PG_SAME;
}

// ---- going back ----

// In the state directory: pg_rewind removes first of all what the other server's data directory does not have.
static int note_begin(struct pg *p) {
  pg_server_identity(p->server, p->memory.rewinding);
  int rc = p->memory.rewinding[0] != 0 ? pg_memory_save(&p->memory) : -ENOENT;
  if (rc != 0)
    p->memory.rewinding[0] = 0;
  return rc;
}

static bool note_end(struct pg *p) {
  struct pg_memory former = p->memory;
  p->memory.created = false;
  p->memory.rewinding[0] = 0;
  if (pg_memory_save(&p->memory) == 0)
    return true;
  p->memory = former;
  return false;
}

bool pg_rejoin_begun(const struct pg *p) {
  char identity[PG_IDENTITY_MAX];
  if (p->memory.rewinding[0] == 0)
    return false;
  pg_server_identity(p->server, identity);
  return strcmp(p->memory.rewinding, identity) == 0;
}

static void on_rewound(void *arg, const struct child_result *result) {
  struct pg *p = arg;
  const char *text = result->err.size > 0 ? result->err.text : result->out.text, *line = text;
  ended(p);
  if (result->status == 0 && pg_server_write(p->server, PG_REWOUND, "") == 0 && note_end(p)) {
    p->parted = false;
    p->start_after = clock_now();
  } else {
    p->start_after = instant_in_ms(AGAIN_MS);
    for (const char *at = text; (at = strstr(at, "error: ")) != NULL; at++) // what else it says is how far it came
      line = at + 7;
    pg_say(p, "pg_rewind failed (%.60s): mend that, or make this server anew with pg_basebackup",
           result->timed_out ? "it took too long" : line);
  }
  pg_settle(p);
}

// The other server's control file must tell of its new timeline, which it does with the first checkpoint there.
static bool source_is_ready(struct pg *p) {
  if (p->other.checkpointed == p->other.timeline)
    return true;
  if (clock_now().us - p->checkpoint_asked.us > CHECKPOINT_EVERY_MS * 1000) {
    p->checkpoint_asked = clock_now();
    pg_link_ask(p->peer, ASK_CHECKPOINT, "CHECKPOINT");
  }
  return false;
}

static void rewind_now(struct pg *p) {
  struct pg_command c;
  char source[PG_CONNINFO_MAX + 32], config[PATH_MAX + 16];
  if (!source_is_ready(p)) {
    p->start_after = instant_in_ms(NOT_YET_MS);
    return;
  }
  int rc = note_begin(p);
  rc = rc == 0 ? pg_server_make_plain(p->server) : rc;
  if (rc != 0) {
    p->start_after = instant_in_ms(AGAIN_MS);
    pg_say(p, "state_directory or %.60s: it cannot be noted that pg_rewind begins: %s", p->real_directory, strerror(-rc));
    return;
  }
  snprintf(source, sizeof source, "--source-server=%s dbname=postgres", p->conninfo);
  snprintf(config, sizeof config, "--config-file=%s", p->files.config_file);
  pg_server_command(p->server, &c, "pg_rewind");
  pg_command_add(&c, "-D");
  pg_command_add(&c, p->real_directory);
  pg_command_add(&c, source);
  if (p->files.config_file[0] != 0)
    pg_command_add(&c, config);
  run(p, TASK_REWIND, &c, REWIND_MS, on_rewound);
}

// The duty may have become another one meanwhile: what was to be rewound may be what counts now.
static bool still_wanted(const struct pg *p) {
  return p->duty.mode == BROKER_FOLLOW && p->parted && p->other.known && !p->other.recovery;
}

static void on_kept(void *arg, const struct child_result *result) {
  struct pg *p = arg;
  ended(p);
  if (result->status == 0) {
    p->watch.orphaned(p->watch.arg, p->orphan);
    if (still_wanted(p))
      rewind_now(p);
  } else {
    p->orphan[0] = 0;
    p->start_after = instant_in_ms(AGAIN_MS);
    pg_say(p, "what this server wrote past the fork cannot be kept, so it is not rewound: %.*s",
           (int)strcspn(result->err.text, "\n"), result->err.text);
  }
  pg_settle(p);
}

static void keep(struct pg *p) {
  struct place place = place_of(&p->fork);
  char wal[PATH_MAX + 8], left[24], master[24];
  struct pg_command c = {.count = 0};
  int rc = orphans_make(p->settings.orphans);
  if (rc != 0) {
    p->start_after = instant_in_ms(AGAIN_MS);
    pg_say(p, "%s: %s: nothing can be kept, so the server is not rewound", p->settings.orphans, strerror(-rc));
    return;
  }
  snprintf(wal, sizeof wal, "%s/pg_wal", p->real_directory);
  snprintf(left, sizeof left, "%" PRIu64, p->memory.epoch);
  snprintf(master, sizeof master, "%" PRIu64, p->duty.epoch);
  snprintf(p->orphan, sizeof p->orphan, "%.3900s/wal-%s-%08" PRIX32 "%08" PRIX32 "-%lld.orphan", p->settings.orphans,
           place.timeline, (uint32_t)(p->fork.at >> 32), (uint32_t)p->fork.at, (long long)time(NULL));
  const char *const words[] = {"/proc/self/exe", PG_KEEP_OPTION, wal, place.timeline, place.at, p->orphan, left, master};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    pg_command_add(&c, words[i]);
  run(p, TASK_KEEP, &c, KEEP_MS, on_kept);
}

// No transaction ended in what is cut off: nobody was told anything of it, and nothing of it can be asked for.
static void on_tail(void *arg, const struct child_result *result) {
  struct pg *p = arg;
  ended(p);
  if (still_wanted(p) && p->orphan[0] == 0 && (result->out.size > 0 || !looked(result)))
    keep(p);
  else if (still_wanted(p))
    rewind_now(p);
  pg_settle(p);
}

void pg_rejoin_step(struct pg *p) {
  bool ready = p->other.known && !p->other.recovery && p->duty.mode == BROKER_FOLLOW;
  if (p->task != TASK_NONE || clock_now().us < p->start_after.us)
    return;
  if (!ready)
    pg_say(p, "this server was being rewound to another master: waiting for that one to lead");
  else if (!p->parted)
    rewind_now(p); // begun before: what was to be kept is
  else if (p->sure && p->orphan[0] == 0)
    keep(p);
  else
    run_waldump(p, TASK_TAIL, "Transaction", on_tail);
}
