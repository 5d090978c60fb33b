// SPDX-License-Identifier: Apache-2.0
// The daemon's side. Nothing here waits for a client: each has its own place, its limits and its deadline.
#include "common/base/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/control_socket.h"

#define ACCEPTS_MAX 4 // at one wakeup: a flood of clients shares the loop with the beats
#define PAUSE_MS 1000 // without accepting, when descriptors have run out

struct connection {
  struct control *control;
  uint64_t id; // 0: this place is free
  int fd;
  struct loop_io *io;
  uid_t uid;
  bool may_change;
  bool waiting;   // for the handler's reply
  bool advancing; // its requests are being looked at, further up the stack
  bool ended;     // it will say no more
  bool closing;   // once the reply is out
  bool due;       // answered later than asked: what it has sent meanwhile is looked at from the loop
  struct instant deadline;
  size_t in_size;
  char in[CONTROL_REQUEST_MAX];
  char *out; // a reply under way; NULL: none
  size_t out_size, out_sent;
};

struct control {
  struct control_socket socket;
  struct control_handler handler;
  struct loop *loop;
  struct loop_io *listener;
  struct loop_timer *timer; // at the earliest deadline
  struct instant resume;    // accepting; NEVER: it was not stopped
  uint64_t last_id;
  struct connection at[CONTROL_CONNECTIONS_MAX];
};

static void set_timer(struct control *control) {
  struct instant first = control->resume;
  for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
    const struct connection *c = &control->at[i];
    if (c->id != 0 && c->due)
      first = INSTANT_PAST;
    else if (c->id != 0 && c->deadline.us < first.us)
      first = c->deadline;
  }
  loop_timer_at(control->timer, first);
}

static void drop(struct connection *c) {
  loop_io_free(c->io);
  close(c->fd);
  free(c->out);
  c->out = NULL;
  c->id = 0;
}

// ---- replies ----

static void set_wanted(struct connection *c) {
  loop_io_want(c->io, !c->ended && !c->closing && c->in_size < sizeof c->in, c->out != NULL);
}

// Sends what the socket takes. False: the connection is gone.
static bool flush(struct connection *c) {
  while (c->out_sent < c->out_size) {
    ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN)
      return true;
    if (sent < 0) {
      drop(c);
      return false;
    }
    c->out_sent += (size_t)sent;
  }
  free(c->out);
  c->out = NULL;
  if (!c->closing)
    return true;
  drop(c);
  return false;
}

static struct json *refusal(enum control_code code, const char *error) {
  struct json *json = json_new_object();
  json_put_bool(json, "ok", false);
  json_put_int(json, "code", code);
  json_put_text(json, "error", error);
  return json;
}

// The reply as a line in memory of its own; NULL when there is no memory for even that.
static char *line_of(const struct json *reply, size_t *size) {
  char *line = json_text(reply);
  *size = line == NULL ? 0 : strlen(line);
  if (*size == 0 || *size >= CONTROL_REPLY_MAX) {
    free(line);
    return NULL;
  }
  line[(*size)++] = '\n'; // in place of the 0
  return line;
}

static void answer(struct connection *c, const struct json *reply) {
  c->waiting = false;
  c->out_sent = 0;
  c->out = line_of(reply, &c->out_size);
  if (c->out == NULL) {
    struct json *instead = refusal(CONTROL_FAILED, "the reply is too long, or memory has run out");
    c->out = line_of(instead, &c->out_size);
    json_free(instead);
  }
  if (c->out == NULL) {
    drop(c);
    return;
  }
  c->deadline = instant_in_ms(CONTROL_IDLE_MS);
  if (flush(c))
    set_wanted(c);
}

static void refuse(struct connection *c, enum control_code code, const char *error) {
  struct json *json = refusal(code, error);
  answer(c, json);
  json_free(json);
}

// ---- requests ----

// What is no request has no next one that could be trusted to begin where it seems to.
static void refuse_garbage(struct connection *c, const char *error) {
  c->closing = true;
  c->in_size = 0;
  refuse(c, CONTROL_USAGE, error);
}

// Hands over the line of `length` bytes, its end included, at the head of the input.
static void take_request(struct connection *c, size_t length) {
  char error[200];
  struct json *request = json_parse(c->in, length, error, sizeof error);
  if (json_kind(request) != JSON_KIND_OBJECT) {
    refuse_garbage(c, request == NULL ? error : "a request is a JSON object, as {\"command\":\"status\"}");
  } else {
    c->in_size -= length;
    memmove(c->in, c->in + length, c->in_size);
    c->waiting = true;
    c->deadline = INSTANT_NEVER;
    c->control->handler.request(c->control->handler.arg, c->id, request, c->may_change);
  }
  json_free(request);
}

// Looks at one request after the other for as long as none waits for its reply.
static void advance(struct connection *c) {
  uint64_t id = c->id;
  if (c->advancing)
    return; // the handler has replied at once: the loop below goes on when it returns
  c->advancing = true;
  while (c->id == id && !c->waiting && c->out == NULL) {
    const char *end = memchr(c->in, '\n', c->in_size);
    if (end != NULL)
      take_request(c, (size_t)(end - c->in) + 1);
    else if (c->in_size == sizeof c->in)
      refuse_garbage(c, "a request is one line of at most 4096 bytes");
    else if (c->ended && c->in_size > 0)
      refuse_garbage(c, "a request ends with its line");
    else if (c->ended)
      drop(c);
    else
      break;
  }
  c->advancing = false;
  if (c->id == id)
    set_wanted(c);
}

static bool is_hung_up(int fd) {
  struct pollfd p = {.fd = fd};
  return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

// False: the connection is gone.
static bool read_more(struct connection *c) {
  if (c->in_size == sizeof c->in)
    return true;
  ssize_t size = read(c->fd, c->in + c->in_size, sizeof c->in - c->in_size);
  if (size < 0 && errno != EAGAIN && errno != EINTR) {
    drop(c);
    return false;
  }
  if (size > 0)
    c->in_size += (size_t)size;
  c->ended = size == 0;
  // The end may come from a client that has only shut its sending side, and waits for its reply.
  if (c->ended && is_hung_up(c->fd)) {
    drop(c);
    return false;
  }
  return true;
}

static void on_connection(void *arg, bool readable, bool writable) {
  struct connection *c = arg;
  struct control *control = c->control;
  if ((!writable || c->out == NULL || flush(c)) && (!readable || read_more(c)))
    advance(c);
  set_timer(control);
}

// ---- connections ----

static void greet(struct control *control, struct connection *c, int fd) {
  memset(c, 0, offsetof(struct connection, in));
  c->io = loop_io_new(control->loop, fd, on_connection, c);
  if (c->io == NULL) {
    close(fd);
    return;
  }
  c->control = control;
  c->id = ++control->last_id;
  c->fd = fd;
  c->out = NULL;
  c->deadline = instant_in_ms(CONTROL_IDLE_MS);
  c->may_change = control_socket_may_change(&control->socket, fd, &c->uid);
  set_wanted(c);
}

// The newest goes, not the oldest: whoever is being served stays served.
static void turn_away(int fd) {
  static const char busy[] =
      "{\"ok\":false,\"code\":1,\"error\":\"too many connections at once, try again\"}\n";
  (void)!send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  close(fd);
}

static void admit(struct control *control, int fd) {
  for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
    if (control->at[i].id == 0) {
      greet(control, &control->at[i], fd);
      return;
    }
  turn_away(fd);
}

static void on_listener(void *arg, bool readable, bool writable) {
  struct control *control = arg;
  (void)readable, (void)writable;
  for (int i = 0; i < ACCEPTS_MAX; i++) {
    int fd = accept4(control->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      admit(control, fd);
      continue;
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
      loop_io_want(control->listener, false, false); // or the loop would spin on it
      control->resume = instant_in_ms(PAUSE_MS);
    }
    break;
  }
  set_timer(control);
}

static void on_timer(void *arg) {
  struct control *control = arg;
  struct instant now = clock_now();
  if (control->resume.us <= now.us) {
    control->resume = INSTANT_NEVER;
    loop_io_want(control->listener, true, false);
  }
  for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
    struct connection *c = &control->at[i];
    bool due = c->id != 0 && c->due;
    c->due = false;
    if (due)
      advance(c);
    else if (c->id != 0 && c->deadline.us <= now.us)
      drop(c);
  }
  set_timer(control);
}

static struct connection *find(const struct control *control, uint64_t id) {
  for (size_t i = 0; id != 0 && i < CONTROL_CONNECTIONS_MAX; i++)
    if (control->at[i].id == id)
      return (struct connection *)&control->at[i];
  return NULL;
}

// ---- the module's doors ----

int control_listen(struct control **out, struct loop *loop, const char *path,
                   const struct control_handler *handler) {
  *out = NULL;
  struct control *control = calloc(1, sizeof *control);
  if (control == NULL)
    return -ENOMEM;
  int rc = control_socket_open(&control->socket, path);
  if (rc != 0) {
    free(control);
    return rc;
  }
  control->handler = *handler;
  control->loop = loop;
  control->resume = INSTANT_NEVER;
  control->timer = loop_timer_new(loop, on_timer, control);
  control->listener = loop_io_new(loop, control->socket.fd, on_listener, control);
  if (control->timer == NULL || control->listener == NULL) {
    control_close(control);
    return -ENOMEM;
  }
  loop_io_want(control->listener, true, false);
  *out = control;
  return 0;
}

void control_reply(struct control *control, uint64_t connection, const struct json *reply) {
  struct connection *c = find(control, connection);
  if (c == NULL || !c->waiting)
    return;
  answer(c, reply);
  /* Not here: the caller may be in the middle of what the next request would begin again. */
  c->due = c->id == connection && !c->advancing;
  set_timer(control);
}

void control_refuse(struct control *control, uint64_t connection, enum control_code code, const char *error) {
  struct json *json = refusal(code, error);
  control_reply(control, connection, json);
  json_free(json);
}

uid_t control_uid(const struct control *control, uint64_t connection) {
  const struct connection *c = find(control, connection);
  return c == NULL ? (uid_t)-1 : c->uid;
}

const char *control_who(const struct control *control, uint64_t connection, char buf[CONTROL_WHO_SIZE]) {
  return control_socket_user(control_uid(control, connection), buf, CONTROL_WHO_SIZE);
}

void control_close(struct control *control) {
  if (control == NULL)
    return;
  for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
    if (control->at[i].id != 0)
      drop(&control->at[i]);
  loop_io_free(control->listener);
  loop_timer_free(control->timer);
  control_socket_close(&control->socket);
  free(control);
}
