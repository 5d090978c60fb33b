// SPDX-License-Identifier: Apache-2.0
// A daemon in a thread of this process, and a client of its control socket that says whatever it is given.
#ifndef TANIST_FUZZ_DAEMON_H
#define TANIST_FUZZ_DAEMON_H

#include <stddef.h>
#include <stdint.h>

// Starts it at the first call, and waits until it listens at `socket`.
void daemon_start(void *(*run)(void *), const char *socket);
// Sends the bytes on one connection and reads the replies: all that come before the daemon closes it, or
// falls silent, as it does where a request waits for something. Each must be one line of JSON with "ok".
void daemon_talk(const char *socket, const uint8_t *bytes, size_t size);

#endif
