// SPDX-License-Identifier: Apache-2.0
// The master's side: producers publish, consumers and the secondary are sent the log. An acknowledgement
// leaves when every node in `need` has the message (tanist_commit_position), and so does a delivery, unless
// the broker delivers at once.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "tests/broker/broker.h"

#define OUTPUT_MAX (1U << 20) // not sent yet: wait with more
#define ROWS_SIZE (TANIST_HISTORY_ROWS * sizeof(struct tanist_history_row))

enum kind { KIND_NEW, KIND_PRODUCER, KIND_CONSUMER, KIND_SECONDARY, KIND_LEAVING };

struct session {
  struct broker *broker;
  struct session *next;
  struct bufferevent *connection;
  enum kind kind;
  uint64_t sent; // the position up to which it was sent the log
};

// A message that was appended and not acknowledged yet.
struct waiting {
  struct session *session; // NULL: it has left
  uint64_t producer, number, position;
};

static struct evbuffer *output(const struct session *s) {
  return bufferevent_get_output(s->connection);
}

// ---- sessions ----

static void forget_waiting(struct broker *b, const struct session *s) {
  for (size_t i = 0; i < b->waiting_count; i++) {
    struct waiting *w = &b->waiting[(b->waiting_first + i) % b->waiting_room];
    if (w->session == s)
      w->session = NULL;
  }
}

static void end_session(struct session *s) {
  struct broker *b = s->broker;
  struct session **at = &b->sessions;
  while (*at != s)
    at = &(*at)->next;
  *at = s->next;
  if (s->kind == KIND_PRODUCER)
    forget_waiting(b, s);
  if (b->secondary == s) {
    b->secondary = NULL;
    tanist_attached(b->tanist, false);
  }
  bufferevent_free(s->connection);
  free(s);
}

// Tells who leads, if that is known, and ends once it is told.
static void send_away(struct session *s) {
  const struct tanist_view *view = &s->broker->view;
  const char *address = view->master == view->self ? "" : view->master_address;
  if (s->kind == KIND_PRODUCER)
    forget_waiting(s->broker, s);
  s->kind = KIND_LEAVING;
  frame_put(output(s), &(struct frame){.type = FRAME_MOVED, .data = address, .size = strlen(address)});
  bufferevent_disable(s->connection, EV_READ);
}

void serve_end(struct broker *b, bool clients_only) {
  for (struct session *s = b->sessions, *next; s != NULL; s = next) {
    next = s->next;
    if (s == b->secondary && !clients_only)
      end_session(s);
    else if (s != b->secondary && s->kind != KIND_LEAVING)
      send_away(s);
  }
}

void serve_pause(struct broker *b, bool paused) {
  for (struct session *s = b->sessions; s != NULL; s = s->next)
    if (s->kind == KIND_PRODUCER && paused)
      bufferevent_disable(s->connection, EV_READ);
    else if (s->kind == KIND_PRODUCER)
      bufferevent_enable(s->connection, EV_READ);
}

// ---- what goes out ----

static bool send_stamped(struct session *s, struct frame *frame) {
  if (tanist_stamp(s->broker->tanist, &frame->stamp) != 0)
    return false; /* the lease is over: nothing more is sent */
  frame_put(output(s), frame);
  return true;
}

static void send_log(struct session *s, uint64_t until) {
  struct log_entry e;
  while (s->sent < until && evbuffer_get_length(output(s)) < OUTPUT_MAX &&
         log_read(s->broker->log, s->sent + 1, &e) == 0) {
    struct frame f = {.type = FRAME_ENTRY,
                      .epoch = e.epoch,
                      .position = s->sent + 1,
                      .producer = e.producer,
                      .number = e.number,
                      .data = e.data,
                      .size = e.size};
    if (!send_stamped(s, &f))
      return;
    s->sent++;
    s->broker->delivered += s->kind == KIND_CONSUMER;
  }
}

static void acknowledge(struct broker *b, uint64_t commit) {
  while (b->waiting_count > 0 && b->waiting[b->waiting_first].position <= commit) {
    const struct waiting *w = &b->waiting[b->waiting_first];
    if (w->session != NULL)
      frame_put(output(w->session), 
                &(struct frame){.type = FRAME_ACK, .producer = w->producer, .number = w->number});
    b->waiting_first = (b->waiting_first + 1) % b->waiting_room;
    b->waiting_count--;
    b->acknowledged++;
  }
}

void serve_advance(struct broker *b) {
  if (!b->leads)
    return;
  uint64_t end = log_end(b->log), commit = tanist_commit_position(b->tanist);
  acknowledge(b, commit);
  for (struct session *s = b->sessions; s != NULL; s = s->next)
    if (s->kind == KIND_SECONDARY)
      send_log(s, end);
    else if (s->kind == KIND_CONSUMER)
      send_log(s, b->options.at_once ? end : commit);
}

static void on_idle(evutil_socket_t fd, short what, void *arg) {
  struct broker *b = arg;
  (void)fd;
  (void)what;
  for (struct session *s = b->sessions; s != NULL; s = s->next)
    if (b->leads && (s->kind == KIND_SECONDARY || s->kind == KIND_CONSUMER))
      send_stamped(s, &(struct frame){.type = FRAME_IDLE});
}

// ---- what comes in: each takes one frame; false ends the session ----

static bool wait_for_commit(struct session *s, const struct frame *f) {
  struct broker *b = s->broker;
  if (b->waiting_count == b->waiting_room) {
    size_t room = b->waiting_room == 0 ? 1024 : b->waiting_room * 2;
    struct waiting *more = malloc(room * sizeof *more);
    if (more == NULL)
      return false;
    for (size_t i = 0; i < b->waiting_count; i++)
      more[i] = b->waiting[(b->waiting_first + i) % b->waiting_room];
    free(b->waiting);
    b->waiting = more;
    b->waiting_room = room;
    b->waiting_first = 0;
  }
  b->waiting[(b->waiting_first + b->waiting_count++) % b->waiting_room] =
      (struct waiting){s, f->producer, f->number, log_end(b->log)};
  return true;
}

// One that is here already is acknowledged with what is in the log by now.
static bool take_publish(struct session *s, const struct frame *f) {
  struct broker *b = s->broker;
  struct log_entry entry = {b->view.duty_epoch, f->producer, f->number, f->data, f->size};
  int rc = tanist_dedup_check(b->dedup, f->producer, f->number);
  s->kind = KIND_PRODUCER;
  b->received++;
  if (rc == TANIST_GAP && b->options.async)
    rc = TANIST_OK; /* what is missing was acknowledged, and lost with its master: max_lag bounds it */
  if (rc == TANIST_OK && broker_append(b, &entry) != 0)
    return false;
  if (rc != TANIST_OK && rc != TANIST_DOUBLED)
    return false; /* a gap: it is to begin anew with what it has not seen acknowledged; or there is no room for it */
  return wait_for_commit(s, f) && (rc == TANIST_OK || (serve_advance(b), true));
}

// What a consumer has past the end of its newest epoch that is in the history, a failover discarded.
static bool take_subscribe(struct session *s, const struct frame *f) {
  struct broker *b = s->broker;
  uint64_t epoch, end;
  s->kind = KIND_CONSUMER;
  s->sent = f->position;
  if (f->position == 0)
    return serve_advance(b), true;
  if (tanist_history_end(b->history, f->epoch, log_end(b->log), &epoch, &end) != 0)
    return false;
  if (f->position > end) {
    if (!send_stamped(s, &(struct frame){.type = FRAME_VOID, .position = end}))
      return false;
    s->sent = end;
  }
  return serve_advance(b), true;
}

static bool take_join(struct session *s) {
  struct broker *b = s->broker;
  const struct tanist_history_row *rows;
  uint8_t bytes[ROWS_SIZE];
  size_t count = tanist_history_rows(b->history, &rows);
  for (size_t i = 0; i < count; i++)
    frame_put_row(bytes + i * sizeof *rows, &rows[i]);
  if (b->secondary != NULL && b->secondary != s)
    end_session(b->secondary);
  struct frame f = {
      .type = FRAME_HISTORY, .position = log_end(b->log), .data = bytes, .size = count * sizeof *rows};
  return send_stamped(s, &f);
}

static bool take_from(struct session *s, const struct frame *f) {
  struct broker *b = s->broker;
  if (f->position > log_end(b->log))
    return false;
  s->kind = KIND_SECONDARY;
  s->sent = f->position;
  b->secondary = s;
  tanist_attached(b->tanist, true);
  tanist_peer_acked(b->tanist, b->view.duty_epoch, f->position);
  serve_advance(b);
  return true;
}

static bool take_durable(struct session *s, const struct frame *f) {
  if (s != s->broker->secondary || tanist_peer_acked(s->broker->tanist, f->epoch, f->position) != 0)
    return false;
  serve_advance(s->broker);
  return true;
}

// Rule 5: proof of a higher epoch ends a reign at once, whatever the page says yet. Of a peer that is not as
// trusted as the nodes a broker would not take it.
static bool take_stale(struct session *s, const struct frame *f) {
  struct broker *b = s->broker;
  tanist_overtaken(b->tanist, f->epoch);
  if (f->epoch <= b->view.duty_epoch)
    return false;
  b->overtaken = f->epoch;
  b->leads = false;
  serve_end(b, true);
  return s->kind == KIND_LEAVING; /* the secondary's session ends here */
}

static bool take(struct session *s, const struct frame *f) {
  if (!s->broker->leads)
    return send_away(s), true;
  switch (f->type) {
  case FRAME_PUBLISH:
    return take_publish(s, f);
  case FRAME_SUBSCRIBE:
    return take_subscribe(s, f);
  case FRAME_JOIN:
    return take_join(s);
  case FRAME_FROM:
    return take_from(s, f);
  case FRAME_DURABLE:
    return take_durable(s, f);
  case FRAME_STALE:
    return take_stale(s, f);
  case FRAME_ACK:
  case FRAME_MOVED:
  case FRAME_VOID:
  case FRAME_ENTRY:
  case FRAME_IDLE:
  case FRAME_HISTORY:
    break;
  }
  return false;
}

static void on_read(struct bufferevent *connection, void *arg) {
  struct session *s = arg;
  struct evbuffer *in = bufferevent_get_input(connection);
  struct frame f;
  int rc = 0;
  while (s->kind != KIND_LEAVING && (rc = frame_take(in, &f)) == 1) {
    if (!take(s, &f)) {
      end_session(s);
      return;
    }
    frame_drop(in);
  }
  if (rc < 0)
    end_session(s);
}

static void on_written(struct bufferevent *connection, void *arg) {
  struct session *s = arg;
  (void)connection;
  if (s->kind == KIND_LEAVING)
    end_session(s);
  else if (s->kind == KIND_CONSUMER || s->kind == KIND_SECONDARY)
    serve_advance(s->broker); /* there is room for more */
}

static void on_event(struct bufferevent *connection, short what, void *arg) {
  (void)connection;
  if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
    end_session(arg);
}

// ---- opening ----

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int size,
                          void *arg) {
  struct broker *b = arg;
  int on = 1;
  (void)listener;
  (void)from;
  (void)size;
  struct session *s = calloc(1, sizeof *s);
  struct bufferevent *connection = bufferevent_socket_new(b->loop, fd, BEV_OPT_CLOSE_ON_FREE);
  if (s == NULL || connection == NULL) {
    free(s);
    evutil_closesocket(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  *s = (struct session){.broker = b, .next = b->sessions, .connection = connection};
  b->sessions = s;
  bufferevent_setcb(connection, on_read, on_written, on_event, s);
  bufferevent_enable(connection, b->view.paused ? EV_WRITE : EV_READ | EV_WRITE);
}

int serve_open(struct broker *b) {
  static const struct timeval every = {0, 100000};
  struct sockaddr_storage address;
  int size = sizeof address;
  if (evutil_parse_sockaddr_port(b->options.listen, (struct sockaddr *)&address, &size) != 0)
    return -EINVAL;
  b->listener =
      evconnlistener_new_bind(b->loop, on_connection, b, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC,
                              -1, (struct sockaddr *)&address, size);
  if (b->listener == NULL)
    return -errno;
  b->idle = event_new(b->loop, -1, EV_PERSIST, on_idle, b);
  return b->idle != NULL && event_add(b->idle, &every) == 0 ? 0 : -ENOMEM;
}

void serve_close(struct broker *b) {
  while (b->sessions != NULL)
    end_session(b->sessions);
  if (b->listener != NULL)
    evconnlistener_free(b->listener);
  if (b->idle != NULL)
    event_free(b->idle);
  free(b->waiting);
}
