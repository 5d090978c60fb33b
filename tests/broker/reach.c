// SPDX-License-Identifier: Apache-2.0
#include "tests/broker/reach.h"

#include <stdlib.h>
#include <string.h>

struct reach {
  struct event_base *loop;
  struct reach_watch watch;
  char **addresses;
  size_t next;
  char told[64]; // by who does not lead; tried first
  struct timeval silence;
  struct bufferevent *connection;
  bool connected;
  struct event *again;
};

static void lose(struct reach *r) {
  static const struct timeval soon = {0, 20000};
  if (r->connection != NULL)
    bufferevent_free(r->connection);
  r->connection = NULL;
  r->connected = false;
  event_add(r->again, r->told[0] != 0 ? &(struct timeval){0, 0} : &soon);
}

static void on_read(struct bufferevent *connection, void *arg) {
  struct reach *r = arg;
  struct evbuffer *in = bufferevent_get_input(connection);
  struct frame f;
  int rc;
  while ((rc = frame_take(in, &f)) == 1) {
    if (f.type == FRAME_MOVED && f.size < sizeof r->told) {
      memcpy(r->told, f.data, f.size);
      r->told[f.size] = 0;
    }
    if (f.type == FRAME_MOVED || !r->watch.frame(r->watch.arg, &f)) {
      lose(r);
      return;
    }
    frame_drop(in);
  }
  if (rc < 0)
    lose(r);
}

static void on_event(struct bufferevent *connection, short what, void *arg) {
  struct reach *r = arg;
  if (what & BEV_EVENT_CONNECTED) {
    r->connected = true;
    bufferevent_set_timeouts(connection, &r->silence, NULL);
    r->watch.reached(r->watch.arg);
  } else if ((what & BEV_EVENT_TIMEOUT) && r->connected && r->watch.silence(r->watch.arg)) {
    bufferevent_enable(connection, EV_READ);
  } else {
    lose(r);
  }
}

/* An address that is on its way from node to node takes no connection, and TCP would try again a second later
   only. */
static const struct timeval patience = {0, 100000};

static void on_again(evutil_socket_t fd, short what, void *arg) {
  struct reach *r = arg;
  struct sockaddr_storage address;
  int size = sizeof address;
  (void)fd;
  (void)what;
  const char *text = r->told;
  if (text[0] == 0 || evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &size) != 0) {
    text = r->addresses[r->next++];
    r->next = r->addresses[r->next] == NULL ? 0 : r->next;
    size = sizeof address;
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &size) != 0)
      return;
  }
  r->told[0] = 0;
  r->connection = bufferevent_socket_new(r->loop, -1, BEV_OPT_CLOSE_ON_FREE);
  bufferevent_setcb(r->connection, on_read, NULL, on_event, r);
  bufferevent_set_timeouts(r->connection, &r->silence, &patience);
  bufferevent_enable(r->connection, EV_READ | EV_WRITE);
  if (bufferevent_socket_connect(r->connection, (struct sockaddr *)&address, size) != 0)
    lose(r);
}

struct reach *reach_open(struct event_base *loop, char **addresses, int silence_s,
                         const struct reach_watch *watch) {
  struct reach *r = calloc(1, sizeof *r);
  if (r == NULL)
    abort();
  *r = (struct reach){.loop = loop, .watch = *watch, .addresses = addresses, .silence = {silence_s, 0}};
  r->again = evtimer_new(loop, on_again, r);
  event_add(r->again, &(struct timeval){0, 0});
  return r;
}

struct bufferevent *reach_connection(struct reach *r) {
  return r->connected ? r->connection : NULL;
}

void reach_close(struct reach *r) {
  if (r->connection != NULL)
    bufferevent_free(r->connection);
  event_free(r->again);
  free(r);
}
