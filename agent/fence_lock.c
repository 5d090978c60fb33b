// SPDX-License-Identifier: Apache-2.0
#include "agent/fence_lock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool held_by_one_of_us(int fd, const struct sockaddr_un *name, socklen_t size) {
  struct ucred holder;
  socklen_t length = sizeof(holder);
  if (connect(fd, (const struct sockaddr *)name, size) < 0)
    return errno == EAGAIN; // it listens, and has no room: nobody else waits for us there
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &holder, &length) < 0 || holder.uid == 0 ||
         holder.uid == geteuid();
}

// Abstract names, which begin with a zero byte, belong to the network namespace.
int fence_lock(const char *cluster) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  int used = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "tanist-fence-%s", cluster);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  if (size > sizeof(name) || bind(fd, (const struct sockaddr *)&name, size) < 0) {
    if (size <= sizeof(name) && held_by_one_of_us(fd, &name, size)) {
      close(fd);
      return -EPERM;
    }
    return fd;
  }
  if (listen(fd, 8) == 0)
    return fd;
  int rc = -errno;
  close(fd);
  return rc;
}
