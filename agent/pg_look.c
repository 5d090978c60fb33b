// SPDX-License-Identifier: Apache-2.0
// What the driver asks of a PostgreSQL, and what the answers mean.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pg_driver.h"
#include "common/base/clock.h"

// One query, so that all of it is of one moment. The subquery keeps pg_is_in_recovery() from being asked twice.
#define LOOK                                                                                                 \
  "SELECT r, (CASE WHEN r THEN greatest(coalesce(pg_last_wal_receive_lsn(), '0/0'),"                         \
  " coalesce(pg_last_wal_replay_lsn(), '0/0')) ELSE pg_current_wal_flush_lsn() END - '0/0')::numeric(20,0),"                \
  " (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint,"                                     \
  " current_setting('synchronous_standby_names'), current_setting('primary_conninfo'),"                      \
  " w.status = 'streaming', w.received_tli,"                                                                 \
  " CASE WHEN NOT r THEN pg_walfile_name(pg_current_wal_insert_lsn()) END,"                                  \
  " s.state = 'streaming', s.sync_state IN ('sync', 'quorum'), (s.flush_lsn - '0/0')::numeric(20,0),"                       \
  " (SELECT system_identifier FROM pg_control_system()), current_setting('data_directory'),"                 \
  " current_setting('default_transaction_read_only'), current_setting('fsync'),"                             \
  " current_setting('wal_log_hints') = 'on' OR current_setting('data_checksums') = 'on',"                    \
  " EXISTS (SELECT FROM pg_stat_activity WHERE pid = %d AND wait_event = 'SyncRep')"                         \
  " FROM (SELECT pg_is_in_recovery() AS r) x LEFT JOIN pg_stat_wal_receiver w ON true"                       \
  " LEFT JOIN pg_stat_replication s ON s.application_name = '%s'"                                            \
  " ORDER BY s.state = 'streaming' DESC NULLS LAST, s.flush_lsn DESC NULLS LAST LIMIT 1"
#define LOOK_VALUES 17

#define OTHER                                                                                                \
  "SELECT r, (SELECT system_identifier FROM pg_control_system()),"                                           \
  " CASE WHEN NOT r THEN pg_walfile_name(pg_current_wal_insert_lsn()) END,"                                  \
  " CASE WHEN NOT r THEN pg_read_file('pg_wal/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"  \
  " || '.history', 0, 1000000, true) END,"                                                                   \
  " (SELECT timeline_id FROM pg_control_checkpoint()) FROM (SELECT pg_is_in_recovery() AS r) x"
#define OTHER_VALUES 5

bool pg_ask_look(struct pg *p) {
  char sql[PG_SQL_MAX];
  snprintf(sql, sizeof sql, LOOK, p->probing ? pg_link_backend(p->probe) : 0, p->peer_name);
  bool asked = pg_link_ask(p->own, p->batch << 8 | ASK_LOOK, sql);
  p->asking += asked;
  return asked;
}

void pg_ask_other(struct pg *p) {
  if (!p->other_asking)
    p->other_asking = pg_link_ask(p->peer, ASK_LOOK, OTHER);
}

static bool is_true(const char *value) {
  return value[0] == 't' || strcmp(value, "on") == 0;
}

// The first eight characters of a segment's name.
static uint32_t timeline_of(const char *segment) {
  uint32_t timeline = 0;
  return sscanf(segment, "%8" SCNx32, &timeline) == 1 ? timeline : 0;
}

bool pg_take_look(struct pg_look *l, const struct pg_answer *a) {
  if (a->count != LOOK_VALUES)
    return false;
  memset(l, 0, sizeof *l);
  l->recovery = is_true(a->value[0]);
  l->position = strtoull(a->value[1], NULL, 10);
  snprintf(l->start, sizeof l->start, "%s", a->value[2]);
  snprintf(l->standby_names, sizeof l->standby_names, "%s", a->value[3]);
  snprintf(l->conninfo, sizeof l->conninfo, "%s", a->value[4]);
  l->receiving = is_true(a->value[5]);
  l->received_timeline = (uint32_t)strtoul(a->value[6], NULL, 10);
  l->timeline = timeline_of(a->value[7]);
  l->streaming = is_true(a->value[8]);
  l->synchronous = is_true(a->value[9]);
  l->flushed = strtoull(a->value[10], NULL, 10);
  snprintf(l->system, sizeof l->system, "%s", a->value[11]);
  snprintf(l->data_directory, sizeof l->data_directory, "%s", a->value[12]);
  l->read_only = is_true(a->value[13]);
  l->fsync = is_true(a->value[14]);
  l->rewindable = is_true(a->value[15]);
  l->probe_waits = is_true(a->value[16]);
  return true;
}

bool pg_take_other(struct pg *p, const struct pg_answer *a) {
  struct pg_other *o = &p->other;
  o->known = false;
  if (!a->ok || a->count != OTHER_VALUES)
    return false;
  o->recovery = is_true(a->value[0]);
  snprintf(o->system, sizeof o->system, "%s", a->value[1]);
  o->timeline = timeline_of(a->value[2]);
  o->checkpointed = (uint32_t)strtoul(a->value[4], NULL, 10);
  o->known = o->recovery || pg_history_read(p->other_history, o->timeline, a->value[3]);
  return o->known;
}

// ---- texts ----

void pg_quote(char *out, size_t size, const char *text) {
  size_t at = 0;
  out[at++] = '\'';
  for (; *text != 0 && at + 3 < size; text++) {
    if (*text == '\'')
      out[at++] = '\'';
    out[at++] = *text;
  }
  out[at++] = '\'';
  out[at] = 0;
}

static void add_parameter(struct pg *p, const char *key, const char *value) {
  size_t at = strlen(p->conninfo);
  at += (size_t)snprintf(p->conninfo + at, sizeof p->conninfo - at, "%s%s='", at > 0 ? " " : "", key);
  for (; *value != 0 && at + 4 < sizeof p->conninfo; value++) {
    if (*value == '\'' || *value == '\\')
      p->conninfo[at++] = '\\';
    p->conninfo[at++] = *value;
  }
  if (at + 2 < sizeof p->conninfo)
    memcpy(p->conninfo + at, "'", 2);
}

void pg_make_conninfo(struct pg *p, const char *host, const char *port) {
  char passfile[PATH_MAX + sizeof PG_PASSFILE];
  snprintf(p->conninfo, sizeof p->conninfo, "%s", p->more);
  add_parameter(p, strstr(p->more, "host=") != NULL ? "hostaddr" : "host", host);
  add_parameter(p, "port", port);
  add_parameter(p, "user", p->settings.username[0] != 0 ? p->settings.username : "postgres");
  add_parameter(p, "application_name", p->name);
  if (strstr(p->more, "connect_timeout=") == NULL)
    add_parameter(p, "connect_timeout", "5");
  add_parameter(p, "gssencmode", "disable");
  if (p->settings.password_file[0] == 0)
    return;
  snprintf(passfile, sizeof passfile, "%s/%s", p->real_directory, PG_PASSFILE);
  add_parameter(p, "passfile", passfile);
}
