// SPDX-License-Identifier: Apache-2.0
// The operator's side of the control socket; it may wait.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/control.h"
#include "common/base/control_socket.h"

static int64_t us_left(struct instant deadline) {
  return deadline.us == INSTANT_NEVER.us ? INT64_MAX : deadline.us - clock_now().us;
}

static int wait_for(int fd, short what, struct instant deadline) {
  for (;;) {
    int64_t left = us_left(deadline);
    if (left <= 0)
      return -ETIMEDOUT;
    int64_t ms = left / 1000 + 1; // not before the deadline
    struct pollfd p = {.fd = fd, .events = what};
    int rc = poll(&p, 1, left == INT64_MAX ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms);
    if (rc > 0)
      return 0;
    if (rc < 0 && errno != EINTR)
      return -errno;
  }
}

// A daemon whose queue is full makes connect wait; for so long, and no longer.
static int connect_to(const char *path, struct instant deadline) {
  struct sockaddr_un address;
  int rc = control_socket_address(&address, path);
  if (rc != 0)
    return rc;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  int64_t left = us_left(deadline);
  if (left != INT64_MAX) {
    struct timeval tv = {.tv_sec = left > 0 ? left / 1000000 : 0,
                         .tv_usec = left > 0 ? left % 1000000 + 1 : 1};
    tv.tv_usec = tv.tv_usec > 999999 ? 999999 : tv.tv_usec;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
  }
  do
    rc = connect(fd, (const struct sockaddr *)&address, sizeof address);
  while (rc != 0 && errno == EINTR && us_left(deadline) > 0);
  if (rc == 0)
    return fd;
  rc = errno == EAGAIN || errno == EINTR ? -ETIMEDOUT : -errno;
  close(fd);
  return rc;
}

static int send_all(int fd, const char *text, size_t size, struct instant deadline) {
  while (size > 0) {
    int rc = wait_for(fd, POLLOUT, deadline);
    if (rc != 0)
      return rc;
    ssize_t sent = send(fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EPIPE)
      return 0; // closed on us: what it said first is still there to be read
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
      return -errno;
    text += sent > 0 ? sent : 0;
    size -= sent > 0 ? (size_t)sent : 0;
  }
  return 0;
}

// The length of the line, its end included, or a negative errno.
static ssize_t read_line(int fd, char *line, size_t room, struct instant deadline) {
  for (size_t length = 0; length < room;) {
    int rc = wait_for(fd, POLLIN, deadline);
    if (rc != 0)
      return rc;
    ssize_t size = recv(fd, line + length, room - length, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
      continue;
    if (size <= 0)
      return length > 0 ? -EPROTO : -ECONNRESET;
    const char *end = memchr(line + length, '\n', (size_t)size);
    if (end != NULL)
      return end + 1 - line;
    length += (size_t)size;
  }
  return -EPROTO;
}

static int read_reply(int fd, struct instant deadline, struct json **reply) {
  char *line = malloc(CONTROL_REPLY_MAX);
  if (line == NULL)
    return -ENOMEM;
  ssize_t length = read_line(fd, line, CONTROL_REPLY_MAX, deadline);
  int rc = length < 0 ? (int)length : 0;
  if (rc == 0) {
    *reply = json_parse(line, (size_t)length, NULL, 0);
    if (json_kind(*reply) != JSON_KIND_OBJECT) {
      json_free(*reply);
      *reply = NULL;
      rc = -EPROTO;
    }
  }
  free(line);
  return rc;
}

int control_call(const char *path, const struct json *request, int timeout_ms, struct json **reply) {
  char line[CONTROL_REQUEST_MAX];
  *reply = NULL;
  int length = json_write(request, line, sizeof line);
  if (length < 0)
    return length;
  line[length++] = '\n';
  struct instant deadline = timeout_ms < 0 ? INSTANT_NEVER : instant_in_ms(timeout_ms);
  int fd = connect_to(path, deadline);
  if (fd < 0)
    return fd;
  int rc = send_all(fd, line, (size_t)length, deadline);
  if (rc == 0)
    rc = read_reply(fd, deadline, reply);
  close(fd);
  return rc;
}
