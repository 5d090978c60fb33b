// SPDX-License-Identifier: Apache-2.0
// The check "tcp": is a connection accepted?
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/health_check.h"

static void on_connected(void *arg, bool readable, bool writable) {
  (void)readable;
  (void)writable;
  struct health_run *run = arg;
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(run->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  health_run_result(run, error ? strerror(error) : NULL);
}

const char *health_tcp_start(struct health_run *run) {
  run->fd = socket(run->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (run->fd < 0)
    return strerror(errno);
  if (connect(run->fd, (const struct sockaddr *)&run->address, run->address_length) < 0 &&
      errno != EINPROGRESS)
    return strerror(errno);
  run->io = loop_io_new(run->loop, run->fd, on_connected, run);
  if (!run->io)
    return strerror(ENOMEM);
  loop_io_want(run->io, false, true);
  return NULL;
}

void health_tcp_stop(struct health_run *run) {
  loop_io_free(run->io);
  if (run->fd >= 0)
    close(run->fd);
  run->io = NULL;
  run->fd = -1;
}
