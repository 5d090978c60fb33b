// SPDX-License-Identifier: Apache-2.0
// The system calls of a watchdog device (Linux' Documentation/watchdog/watchdog-api), and nothing else: a test links
// a stand-in in the place of this one file.
#ifndef TANIST_AGENT_WATCHDOG_DEVICE_H
#define TANIST_AGENT_WATCHDOG_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#define WATCHDOG_IDENTITY_MAX 33

// From here on the machine is reset unless it is kicked. A descriptor, or a negative errno: -EBUSY another program
// has it.
int watchdog_device_open(const char *path);
// Its name, "" if it tells none, and whether a magic close stops it.
void watchdog_device_identity(int fd, char name[WATCHDOG_IDENTITY_MAX], bool *stops);
// Asks for so many seconds, and returns those that it took, or has if it cannot be told; or a negative errno.
int watchdog_device_timeout(int fd, int seconds);
int watchdog_device_kick(int fd);               // 0 or a negative errno
void watchdog_device_close(int fd, bool stops); // stops: the magic close, after which it resets nothing

#endif
