// SPDX-License-Identifier: Apache-2.0
#include "agent/watchdog_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int watchdog_device_open(const char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

void watchdog_device_identity(int fd, char name[WATCHDOG_IDENTITY_MAX], bool *stops) {
  struct watchdog_info info = {0};
  bool known = ioctl(fd, WDIOC_GETSUPPORT, &info) == 0;
  memset(name, 0, WATCHDOG_IDENTITY_MAX);
  memcpy(name, info.identity, sizeof info.identity);
  *stops = known && (info.options & WDIOF_MAGICCLOSE) != 0;
}

int watchdog_device_timeout(int fd, int seconds) {
  if (ioctl(fd, WDIOC_SETTIMEOUT, &seconds) == 0)
    return seconds;
  return ioctl(fd, WDIOC_GETTIMEOUT, &seconds) == 0 ? seconds : -errno;
}

int watchdog_device_kick(int fd) {
  return write(fd, "k", 1) == 1 ? 0 : -errno;
}

void watchdog_device_close(int fd, bool stops) {
  if (stops && write(fd, "V", 1) != 1)
    watchdog_device_kick(fd); /* it goes on; whoever reads the log finds the machine reset */
  close(fd);
}
