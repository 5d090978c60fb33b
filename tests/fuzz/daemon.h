// SPDX-License-Identifier: Apache-2.0
// A daemon in a thread of this process, and a client that says whatever it is given: to its control socket, whose path begins
// with '/', or to an address as net_address_parse has it.
#ifndef TANIST_FUZZ_DAEMON_H
#define TANIST_FUZZ_DAEMON_H

#include <stddef.h>
#include <stdint.h>

// Starts it at the first call, and waits until it listens at `where`.
void daemon_start(void *(*run)(void *), const char *where);
// Sends the bytes on one connection and hands over what comes back: until the daemon closes it, or falls silent, as
// it does where a request waits for something. Last with size 0 where it was closed in order.
void daemon_talk(const char *where, const uint8_t *bytes, size_t size, void (*take)(const char *, size_t));
// A `take` for the control socket: each reply must be one line of JSON with "ok".
void daemon_replies(const char *bytes, size_t size);

#endif
