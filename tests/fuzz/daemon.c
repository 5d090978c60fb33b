// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/daemon.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"

#define START_MS 10000
#define SILENT_MS 20

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

void daemon_start(void *(*run)(void *), const char *socket) {
  static bool started;
  pthread_t thread;
  if (started)
    return;
  started = true;
  setenv("TANIST_LOG", "error", 1);
  log_open("fuzz");
  if (pthread_create(&thread, NULL, run, NULL) != 0)
    abort();
  for (int i = 0; i < START_MS / 10; i++) {
    int fd = connect_to(socket);
    if (fd >= 0) {
      close(fd);
      return;
    }
    poll(NULL, 0, 10);
  }
  fprintf(stderr, "%s: nobody listens\n", socket);
  abort();
}

// ---- the client ----

struct talk {
  int fd;
  const uint8_t *bytes;
  size_t left, line; // what is still to be sent; length of the reply line under way
  char begun[8];     // its beginning
};

static void take_replies(struct talk *t, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (t->line < sizeof t->begun)
      t->begun[t->line] = bytes[i];
    t->line++;
    if (bytes[i] != '\n')
      continue;
    assert(t->line > 8 && memcmp(t->begun, "{\"ok\":", 6) == 0);
    t->line = 0;
  }
}

/* False: there is nothing more to come. */
static bool turn(struct talk *t) {
  static char in[65536];
  short events = (short)(POLLIN | (t->left > 0 ? POLLOUT : 0));
  struct pollfd p = {.fd = t->fd, .events = events};
  if (poll(&p, 1, SILENT_MS) <= 0)
    return false;
  if ((p.revents & POLLOUT) != 0) {
    ssize_t sent = send(t->fd, t->bytes, t->left, MSG_NOSIGNAL);
    t->bytes += sent > 0 ? sent : 0;
    t->left -= sent > 0 ? (size_t)sent : 0;
    if (sent < 0)
      t->left = 0;
    if (t->left == 0)
      shutdown(t->fd, SHUT_WR);
  }
  if ((p.revents & (POLLIN | POLLHUP | POLLERR)) == 0)
    return true;
  ssize_t got = recv(t->fd, in, sizeof in, 0);
  if (got > 0)
    take_replies(t, in, (size_t)got);
  return got > 0;
}

void daemon_talk(const char *socket, const uint8_t *bytes, size_t size) {
  struct talk t = {.fd = connect_to(socket), .bytes = bytes, .left = size};
  if (t.fd < 0)
    return; /* too many at once: those before are not gone yet */
  if (size == 0)
    shutdown(t.fd, SHUT_WR);
  while (turn(&t))
    ;
  close(t.fd);
}
