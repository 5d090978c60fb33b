// SPDX-License-Identifier: Apache-2.0
#include "agent/pg_link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/broker.h"
#include "common/base/clock.h"
#include "common/base/text.h"

#define ASKED_MAX 16          // queries waiting, the one under way included
#define PARAMETERS_MAX 64     // of a connection
#define REFUSED_RETRY_MS 1000 // after a wrong password: somebody has to mend it first

struct question {
  uint32_t tag;
  struct instant asked;
  char sql[PG_SQL_MAX];
};

struct pg_link {
  struct pg_link_settings settings;
  struct pg_link_watch watch;
  struct loop *loop;
  struct loop_timer *timer; // to connect when there is none, else of the attempt or of the query under way
  struct loop_io *io;
  PGconn *conn; // NULL: none
  PQconninfoOption *more;
  bool up, late, sent; // sent: asked[first] is under way
  struct question asked[ASKED_MAX];
  size_t first, count;
  char host[64], port[8];
  char trouble[PG_TROUBLE_MAX];
};

int pg_secret_read(const char *file, char secret[static PG_SECRET_MAX + 1]) {
  int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return -errno;
  char bytes[PG_SECRET_MAX + 2] = "";
  ssize_t size = read(fd, bytes, sizeof bytes - 1);
  int rc = size < 0 ? -errno : 0;
  close(fd);
  bytes[strcspn(bytes, "\r\n")] = 0;
  if (rc == 0 && strlen(bytes) > PG_SECRET_MAX)
    rc = -EMSGSIZE;
  if (rc == 0)
    memcpy(secret, bytes, strlen(bytes) + 1);
  explicit_bzero(bytes, sizeof bytes);
  return rc;
}

int pg_link_target(const char *address, char host[static 64], char port[static 8]) {
  struct sockaddr_storage at;
  socklen_t length;
  int rc = broker_address(address, &at, &length);
  if (rc < 0)
    return rc;
  int failed = getnameinfo((const struct sockaddr *)&at, length, host, 64, port, 8, NI_NUMERICHOST | NI_NUMERICSERV);
  return failed == 0 ? 0 : -EINVAL;
}

bool pg_link_is_up(const struct pg_link *link) {
  return link->up;
}

int pg_link_backend(const struct pg_link *link) {
  return link->up ? PQbackendPID(link->conn) : 0;
}

const char *pg_link_trouble(const struct pg_link *link) {
  return link->trouble;
}

// ---- up and down ----

static void forget(struct pg_link *link) {
  loop_io_free(link->io);
  link->io = NULL;
  if (link->conn != NULL)
    PQfinish(link->conn);
  link->conn = NULL;
  link->up = link->late = link->sent = false;
  link->first = link->count = 0;
}

static void take_first_line(char *out, size_t size, const char *text) {
  snprintf(out, size, "%.*s", (int)strcspn(text, "\r\n"), text);
  text_clean(out, strlen(out));
}

static bool refused_for_good(const char *error) {
  return strstr(error, "password") != NULL || strstr(error, "authentication") != NULL ||
         strstr(error, "pg_hba") != NULL || strstr(error, "role") != NULL;
}

static bool was_heard(const char *error) {
  static const char *const silence[] = {"no answer in time", "timed out", "timeout", "No route", "unreachable"};
  for (size_t i = 0; i < sizeof silence / sizeof silence[0]; i++)
    if (strstr(error, silence[i]) != NULL)
      return false;
  return true;
}

static void lose(struct pg_link *link, const char *why) {
  bool was_up = link->up, heard = was_heard(why);
  const char *colon = strstr(why, "failed: "); // behind "connection to server at ... failed: "
  char text[PG_TROUBLE_MAX];
  take_first_line(text, sizeof text, colon != NULL ? colon + 8 : why);
  snprintf(link->trouble, sizeof link->trouble, "%s (%.40s): %.90s", link->settings.what, link->settings.address,
           text[0] != 0 ? text : "the connection was lost");
  uint32_t wait_ms = was_up ? 0 : refused_for_good(text) ? REFUSED_RETRY_MS : link->settings.retry_ms;
  forget(link);
  loop_timer_in(link->timer, (int64_t)wait_ms * 1000);
  link->watch.down(link->watch.arg, was_up, heard);
}

// ---- asking ----

static void want(struct pg_link *link, bool write) {
  loop_io_want(link->io, true, write);
}

// The query under way has late_ms, then give_up_ms.
static void watch_query(struct pg_link *link) {
  uint32_t ms = link->late ? link->settings.give_up_ms : link->settings.late_ms;
  if (!link->sent || ms == 0)
    loop_timer_at(link->timer, INSTANT_NEVER);
  else
    loop_timer_at(link->timer, (struct instant){link->asked[link->first].asked.us + (int64_t)ms * 1000});
}

// False: the connection is of no use any more. Calls nobody.
static bool send_next(struct pg_link *link) {
  if (link->sent || link->count == 0)
    return true;
  struct question *q = &link->asked[link->first];
  q->asked = clock_now();
  link->sent = PQsendQuery(link->conn, q->sql) == 1;
  explicit_bzero(q->sql, sizeof q->sql);
  watch_query(link);
  if (!link->sent)
    return false;
  want(link, PQflush(link->conn) > 0);
  return true;
}

// A failure to send is left to the reading side: no callback may run from in here.
bool pg_link_ask(struct pg_link *link, uint32_t tag, const char *sql) {
  if (!link->up || link->count == ASKED_MAX || strlen(sql) >= PG_SQL_MAX)
    return false;
  struct question *q = &link->asked[(link->first + link->count++) % ASKED_MAX];
  q->tag = tag;
  memcpy(q->sql, sql, strlen(sql) + 1);
  if (!send_next(link))
    want(link, true);
  return true;
}

// ---- answers ----

static void take_result(const PGresult *result, struct pg_answer *answer, char *line, size_t size) {
  ExecStatusType status = PQresultStatus(result);
  *answer = (struct pg_answer){.ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, .error = ""};
  if (!answer->ok) {
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    snprintf(answer->sqlstate, sizeof answer->sqlstate, "%s", state != NULL ? state : "");
    take_first_line(line, size, text != NULL ? text : PQresultErrorMessage(result));
    answer->error = line;
  } else if (status == PGRES_TUPLES_OK && PQntuples(result) > 0) {
    int columns = PQnfields(result);
    answer->count = columns < PG_VALUES_MAX ? columns : PG_VALUES_MAX;
    for (int i = 0; i < answer->count; i++)
      answer->value[i] = PQgetvalue(result, 0, i);
  }
}

static void tell_result(struct pg_link *link, const PGresult *result) {
  struct pg_answer answer;
  char line[PG_TROUBLE_MAX];
  struct question *q = &link->asked[link->first];
  take_result(result, &answer, line, sizeof line);
  if (answer.ok)
    link->trouble[0] = 0;
  link->late = false;
  link->watch.answer(link->watch.arg, q->tag, q->asked, &answer);
}

// One result a query is ever asked for; libpq says by NULL that it was the last.
static void take_answers(struct pg_link *link) {
  while (link->up && link->sent && !PQisBusy(link->conn)) {
    PGresult *result = PQgetResult(link->conn);
    if (result != NULL) {
      bool end = PQresultStatus(result) == PGRES_FATAL_ERROR && PQstatus(link->conn) == CONNECTION_BAD;
      if (!end)
        tell_result(link, result);
      PQclear(result);
      if (end)
        return;
      continue;
    }
    link->sent = false;
    link->first = (link->first + 1) % ASKED_MAX;
    link->count--;
    watch_query(link);
    if (!send_next(link))
      return;
  }
}

static void receive(struct pg_link *link) {
  bool there = PQconsumeInput(link->conn) == 1;
  take_answers(link);
  if (link->conn != NULL && (!there || PQstatus(link->conn) == CONNECTION_BAD))
    lose(link, PQerrorMessage(link->conn));
}

static void on_io(void *arg, bool readable, bool writable);

// libpq may have taken another socket for the next step of connecting.
static bool watch_socket(struct pg_link *link, bool read, bool write) {
  loop_io_free(link->io);
  link->io = loop_io_new(link->loop, PQsocket(link->conn), on_io, link);
  if (link->io != NULL)
    loop_io_want(link->io, read, write);
  return link->io != NULL;
}

static void connecting(struct pg_link *link) {
  PostgresPollingStatusType status = PQconnectPoll(link->conn);
  if (status == PGRES_POLLING_FAILED) {
    lose(link, PQerrorMessage(link->conn));
  } else if (status != PGRES_POLLING_OK) {
    if (!watch_socket(link, status == PGRES_POLLING_READING, status == PGRES_POLLING_WRITING))
      lose(link, "no more descriptors");
  } else if (PQsetnonblocking(link->conn, 1) != 0 || !watch_socket(link, true, false)) {
    lose(link, "no more descriptors");
  } else {
    link->up = true;
    link->trouble[0] = 0;
    loop_timer_at(link->timer, INSTANT_NEVER);
    link->watch.up(link->watch.arg);
  }
}

static void on_io(void *arg, bool readable, bool writable) {
  struct pg_link *link = arg;
  (void)readable;
  if (!link->up) {
    connecting(link);
    return;
  }
  if (writable)
    want(link, PQflush(link->conn) > 0);
  receive(link);
}

// ---- connecting ----

struct parameters {
  const char *key[PARAMETERS_MAX + 1], *value[PARAMETERS_MAX + 1];
  size_t count;
};

static void add(struct parameters *p, const char *key, const char *value) {
  assert(p->count < PARAMETERS_MAX);
  p->key[p->count] = key;
  p->value[p->count++] = value;
}

static bool asks_for(const struct pg_link *link, const char *key) {
  for (const PQconninfoOption *o = link->more; o != NULL && o->keyword != NULL; o++)
    if (strcmp(o->keyword, key) == 0 && o->val != NULL)
      return true;
  return false;
}

// Whatever could make libpq wait for somebody else than this server is turned off or given in numbers.
static void set_parameters(const struct pg_link *link, struct parameters *p, const char *secret) {
  const struct pg_link_settings *s = &link->settings;
  for (const PQconninfoOption *o = link->more; o != NULL && o->keyword != NULL; o++)
    if (o->val != NULL && p->count < PARAMETERS_MAX - 12)
      add(p, o->keyword, o->val);
  add(p, asks_for(link, "host") ? "hostaddr" : "host", link->host); // a name given is what the certificate says
  add(p, "port", link->port);
  if (!asks_for(link, "dbname"))
    add(p, "dbname", "postgres");
  add(p, "user", s->username[0] != 0 ? s->username : "postgres");
  if (secret[0] != 0)
    add(p, "password", secret);
  add(p, "application_name", s->name);
  add(p, "gssencmode", "disable");
  add(p, "client_encoding", "UTF8");
  add(p, "options", "-c synchronous_commit=local -c statement_timeout=0");
  add(p, "tcp_user_timeout", "5000");
}

// What a server says besides its answers is in its own log.
static void ignore_notice(void *arg, const char *text) {
  (void)arg, (void)text;
}

static void start_connecting(struct pg_link *link) {
  struct parameters p = {.count = 0};
  char secret[PG_SECRET_MAX + 1] = "", why[PG_TROUBLE_MAX];
  const char *file = link->settings.password_file;
  int rc = file[0] != 0 ? pg_secret_read(file, secret) : 0;
  if (rc == 0) {
    set_parameters(link, &p, secret);
    link->conn = PQconnectStartParams(p.key, p.value, 0);
    PQsetNoticeProcessor(link->conn, ignore_notice, NULL);
  }
  explicit_bzero(secret, sizeof secret);
  if (rc < 0) {
    snprintf(why, sizeof why, "broker.password_file: %s; the agent must be able to read it", strerror(-rc));
    lose(link, why);
  } else if (link->conn == NULL || PQstatus(link->conn) == CONNECTION_BAD) {
    lose(link, link->conn != NULL ? PQerrorMessage(link->conn) : "no memory");
  } else if (!watch_socket(link, false, true)) {
    lose(link, "no more descriptors");
  } else {
    loop_timer_in(link->timer, (int64_t)link->settings.late_ms * 1000);
  }
}

static void on_timer(void *arg) {
  struct pg_link *link = arg;
  if (link->conn == NULL) {
    start_connecting(link);
  } else if (!link->up || link->late) {
    lose(link, "no answer in time: it hangs, is stopped or overloaded, or the network is cut");
  } else {
    link->late = true;
    watch_query(link);
    link->watch.late(link->watch.arg);
  }
}

void pg_link_retry(struct pg_link *link) {
  if (link->conn == NULL)
    loop_timer_in(link->timer, 0);
}

void pg_link_drop(struct pg_link *link) {
  forget(link);
  loop_timer_in(link->timer, (int64_t)link->settings.retry_ms * 1000);
}

int pg_link_new(struct pg_link **out, struct loop *loop, const struct pg_link_settings *settings,
                const struct pg_link_watch *watch) {
  char *error = NULL;
  struct pg_link *link = calloc(1, sizeof *link);
  if (link == NULL)
    return -ENOMEM;
  link->settings = *settings;
  link->watch = *watch;
  link->loop = loop;
  int rc = pg_link_target(settings->address, link->host, link->port);
  link->more = settings->conninfo[0] != 0 ? PQconninfoParse(settings->conninfo, &error) : NULL;
  if (rc == 0 && settings->conninfo[0] != 0 && link->more == NULL)
    rc = -EBADMSG;
  PQfreemem(error);
  link->timer = rc == 0 ? loop_timer_new(loop, on_timer, link) : NULL;
  if (link->timer == NULL) {
    pg_link_free(link);
    return rc < 0 ? rc : -ENOMEM;
  }
  loop_timer_in(link->timer, 0);
  *out = link;
  return 0;
}

void pg_link_free(struct pg_link *link) {
  if (link == NULL)
    return;
  forget(link);
  loop_timer_free(link->timer);
  PQconninfoFree(link->more);
  free(link);
}
