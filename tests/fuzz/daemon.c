// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/daemon.h"

#include <assert.h>
#include <fcntl.h>
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
#include "common/base/net.h"

#define START_MS 10000
#define SILENT_MS 20

static socklen_t address_of(const char *where, struct sockaddr_storage *out) {
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  struct net_address at;
  char error[256];
  if (where[0] == '/') {
    snprintf(path.sun_path, sizeof path.sun_path, "%s", where);
    memcpy(out, &path, sizeof path);
    return sizeof path;
  }
  if (net_address_parse(where, &at, error, sizeof error) != 0)
    abort();
  memcpy(out, &at.v4, sizeof at.v4);
  return sizeof at.v4;
}

static int connect_to(const char *where) {
  struct sockaddr_storage address;
  socklen_t length = address_of(where, &address);
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, length) != 0 ||
                  fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
    close(fd);
    return -1;
  }
  return fd;
}

void daemon_start(void *(*run)(void *), const char *where) {
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
    int fd = connect_to(where);
    if (fd >= 0) {
      close(fd);
      return;
    }
    poll(NULL, 0, 10);
  }
  fprintf(stderr, "%s: nobody listens\n", where);
  abort();
}

// ---- the client ----

struct talk {
  int fd;
  const uint8_t *bytes;
  size_t left; // what is still to be sent
  void (*take)(const char *, size_t);
};

static size_t line;   // length of the reply under way
static char begun[8]; // its beginning

void daemon_replies(const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (line < sizeof begun)
      begun[line] = bytes[i];
    line++;
    if (bytes[i] != '\n')
      continue;
    assert(line > 8 && memcmp(begun, "{\"ok\":", 6) == 0);
    line = 0;
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
  if (got >= 0)
    t->take(in, (size_t)got);
  return got > 0;
}

void daemon_talk(const char *where, const uint8_t *bytes, size_t size, void (*take)(const char *, size_t)) {
  struct talk t = {.fd = connect_to(where), .bytes = bytes, .left = size, .take = take};
  line = 0;
  if (t.fd < 0)
    return; /* too many at once: those before are not gone yet */
  if (size == 0)
    shutdown(t.fd, SHUT_WR);
  while (turn(&t))
    ;
  close(t.fd);
}
