// SPDX-License-Identifier: Apache-2.0
#include "common/base/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/net.h"

#define ACCEPTS_MAX 4 // at one wakeup
#define PAUSE_MS 1000 // without accepting, when descriptors have run out
#define HEAD_MAX 512

struct visitor {
  struct http *http;
  int fd; // -1: this place is free
  struct loop_io *io;
  struct instant deadline;
  size_t in_size;
  char in[HTTP_REQUEST_MAX + 1];
  char *out; // head and body; NULL: the request is still coming in
  size_t out_size, out_sent;
};

struct http {
  struct loop *loop;
  struct http_handler handler;
  int fd;
  struct loop_io *listener;
  struct loop_timer *timer; // at the earliest deadline
  struct instant resume;    // accepting; NEVER: it was not stopped
  struct visitor at[HTTP_CONNECTIONS_MAX];
};

static void set_timer(struct http *http) {
  struct instant first = http->resume;
  for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
    if (http->at[i].fd >= 0 && http->at[i].deadline.us < first.us)
      first = http->at[i].deadline;
  loop_timer_at(http->timer, first);
}

static void drop(struct visitor *v) {
  loop_io_free(v->io);
  close(v->fd);
  free(v->out);
  v->out = NULL;
  v->fd = -1;
}

// ---- answers ----

static const char *name_of(int code) {
  switch (code) {
  case 200:
    return "OK";
  case 400:
    return "Bad Request";
  case 405:
    return "Method Not Allowed";
  case 431:
    return "Request Header Fields Too Large";
  case 503:
    return "Service Unavailable";
  default:
    return "Not Found";
  }
}

static void flush(struct visitor *v) {
  while (v->out_sent < v->out_size) {
    ssize_t sent = send(v->fd, v->out + v->out_sent, v->out_size - v->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      loop_io_want(v->io, false, true);
      return;
    }
    if (sent < 0)
      break;
    v->out_sent += (size_t)sent;
  }
  shutdown(v->fd, SHUT_WR); /* what it may still send meets no reset before it has read all */
  drop(v);
}

static void answer(struct visitor *v, struct http_answer *a, bool head_only) {
  char head[HEAD_MAX], plain[64];
  int length = snprintf(plain, sizeof plain, "%d %s\n", a->code, name_of(a->code));
  const char *body = a->body != NULL ? a->body : plain;
  size_t size = a->body != NULL ? a->size : (size_t)length;
  int head_size = snprintf(head, sizeof head,
                           "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                           "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                           a->code, name_of(a->code), a->body != NULL ? a->type : "text/plain", size);
  v->out_size = (size_t)head_size + (head_only ? 0 : size);
  v->out = malloc(v->out_size);
  if (v->out == NULL) {
    drop(v);
  } else {
    memcpy(v->out, head, (size_t)head_size);
    memcpy(v->out + head_size, body, head_only ? 0 : size);
    v->deadline = instant_in_ms(HTTP_IDLE_MS);
    flush(v);
  }
  free(a->body);
}

// ---- requests ----

/* Cuts "GET /path?query HTTP/1.1" up. False: it is none. */
static bool cut(char *line, char **method, char **path, char **query) {
  char *rest;
  *method = strtok_r(line, " ", &rest);
  *path = strtok_r(NULL, " ", &rest);
  const char *version = strtok_r(NULL, " ", &rest);
  if (*path == NULL || **path != '/' || version == NULL || strncmp(version, "HTTP/1.", 7) != 0)
    return false;
  *query = strchr(*path, '?');
  if (*query != NULL)
    *(*query)++ = 0;
  else
    *query = *path + strlen(*path);
  return true;
}

static void take(struct visitor *v) {
  struct http_answer a = {.code = 404, .type = "text/plain"};
  char *method, *path, *query;
  v->in[strcspn(v->in, "\r\n")] = 0;
  if (!cut(v->in, &method, &path, &query)) {
    a.code = 400;
    method = "GET";
  } else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
    a.code = 405;
  } else {
    v->http->handler.get(v->http->handler.arg, path, query, &a);
  }
  answer(v, &a, strcmp(method, "HEAD") == 0);
}

static void read_more(struct visitor *v) {
  ssize_t size = read(v->fd, v->in + v->in_size, HTTP_REQUEST_MAX - v->in_size);
  if (size < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (size <= 0) {
    drop(v);
    return;
  }
  v->in_size += (size_t)size;
  v->in[v->in_size] = 0;
  if (strlen(v->in) != v->in_size) {
    answer(v, &(struct http_answer){.code = 400}, false);
  } else if (strstr(v->in, "\r\n\r\n") != NULL || strstr(v->in, "\n\n") != NULL) {
    take(v);
  } else if (v->in_size == HTTP_REQUEST_MAX) {
    answer(v, &(struct http_answer){.code = 431}, false);
  }
}

static void on_visitor(void *arg, bool readable, bool writable) {
  struct visitor *v = arg;
  struct http *http = v->http;
  (void)readable, (void)writable;
  if (v->out == NULL)
    read_more(v);
  else
    flush(v);
  set_timer(http);
}

// ---- connections ----

static void admit(struct http *http, int fd) {
  for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
    struct visitor *v = &http->at[i];
    if (v->fd >= 0)
      continue;
    v->io = loop_io_new(http->loop, fd, on_visitor, v);
    if (v->io == NULL)
      break;
    v->fd = fd;
    v->in_size = v->out_size = v->out_sent = 0;
    v->deadline = instant_in_ms(HTTP_IDLE_MS);
    loop_io_want(v->io, true, false);
    return;
  }
  close(fd); /* whoever is being served stays served */
}

static void on_listener(void *arg, bool readable, bool writable) {
  struct http *http = arg;
  (void)readable, (void)writable;
  for (int i = 0; i < ACCEPTS_MAX; i++) {
    int fd = accept4(http->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      admit(http, fd);
      continue;
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
      loop_io_want(http->listener, false, false); /* or the loop would spin on it */
      http->resume = instant_in_ms(PAUSE_MS);
    }
    break;
  }
  set_timer(http);
}

static void on_timer(void *arg) {
  struct http *http = arg;
  struct instant now = clock_now();
  if (http->resume.us <= now.us) {
    http->resume = INSTANT_NEVER;
    loop_io_want(http->listener, true, false);
  }
  for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
    if (http->at[i].fd >= 0 && http->at[i].deadline.us <= now.us)
      drop(&http->at[i]);
  set_timer(http);
}

static int open_socket(const char *text) {
  struct net_address at;
  char error[256];
  if (net_listener_parse(text, &at, error, sizeof error) != 0)
    return -EINVAL;
  socklen_t length = at.any.sa_family == AF_INET6 ? sizeof at.v6 : sizeof at.v4;
  int on = 1, fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, &at.any, length) == 0 && listen(fd, HTTP_CONNECTIONS_MAX) == 0)
    return fd;
  int rc = -errno;
  close(fd);
  return rc;
}

int http_listen(struct http **out, struct loop *loop, const char *address,
                const struct http_handler *handler) {
  *out = NULL;
  struct http *http = calloc(1, sizeof *http);
  if (http == NULL)
    return -ENOMEM;
  for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
    http->at[i] = (struct visitor){.http = http, .fd = -1};
  http->loop = loop;
  http->handler = *handler;
  http->resume = INSTANT_NEVER;
  http->fd = open_socket(address);
  int rc = http->fd < 0 ? http->fd : 0;
  http->timer = rc == 0 ? loop_timer_new(loop, on_timer, http) : NULL;
  http->listener = rc == 0 ? loop_io_new(loop, http->fd, on_listener, http) : NULL;
  if (http->timer == NULL || http->listener == NULL) {
    http_close(http);
    return rc != 0 ? rc : -ENOMEM;
  }
  loop_io_want(http->listener, true, false);
  *out = http;
  return 0;
}

void http_close(struct http *http) {
  if (http == NULL)
    return;
  for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
    if (http->at[i].fd >= 0)
      drop(&http->at[i]);
  loop_io_free(http->listener);
  loop_timer_free(http->timer);
  if (http->fd >= 0)
    close(http->fd);
  free(http);
}
