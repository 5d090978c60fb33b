// SPDX-License-Identifier: Apache-2.0
// The little of HTTP/1.1 that a load balancer's probe, a metrics collector and a browser need: GET and HEAD,
// one request a connection, no body. Bounded in connections, bytes and time, which evhttp of libevent 2.1 is
// not in the first: whoever opens connections must not take the descriptors that the agent needs.
#ifndef TANIST_BASE_HTTP_H
#define TANIST_BASE_HTTP_H

#include <stddef.h>

#include "common/base/loop.h"

#define HTTP_CONNECTIONS_MAX 16 // the newest beyond that is closed
#define HTTP_REQUEST_MAX 4096   // bytes, headers included
#define HTTP_IDLE_MS 5000       // for the request to come in, and for the answer to be taken

struct http;

struct http_answer {
  int code;         // 200, 503, …; 404 as it comes
  const char *type; // of the body
  char *body;       // to be malloc'ed by the handler; freed here. NULL: the code's name
  size_t size;
};

struct http_handler {
  void *arg;
  // `path` without the query, `query` "" if there is none. Fills in the answer.
  void (*get)(void *arg, const char *path, const char *query, struct http_answer *);
};

// At an address as net_listener_parse has it. 0 or a negative errno (-EADDRINUSE, -EADDRNOTAVAIL, …). The
// handler is copied.
int http_listen(struct http **, struct loop *, const char *address, const struct http_handler *);
void http_close(struct http *); // NULL is allowed

#endif
