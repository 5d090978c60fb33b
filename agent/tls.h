// SPDX-License-Identifier: Apache-2.0
// TLS over a connected, non-blocking socket, as a client: the one file that knows libssl. It watches nothing and
// waits for nothing: its owner calls again when the socket is ready, as with send and recv.
#ifndef TANIST_AGENT_TLS_H
#define TANIST_AGENT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TLS_TROUBLE_MAX 160

struct tls;

struct tls_settings {
  const char *ca_file; // whose certificates are believed; "" or NULL: no TLS at all
  const char *certificate_file, *key_file; // of the client; "" none
  const char *server_name; // what the server's certificate must be for; "": any that the authority has signed
};

bool tls_is_on(const struct tls_settings *);

// Reads the files, anew each time. NULL, with `trouble` saying which file is bad and how. The socket stays the
// caller's, who closes it after tls_close.
struct tls *tls_open(const struct tls_settings *, int fd, char trouble[static TLS_TROUBLE_MAX]);
void tls_close(struct tls *); // NULL is allowed

// 1: done; 0: to be called again when the socket is readable, or writable if *wants_write; -1: refused, and
// `trouble` says why.
int tls_handshake(struct tls *, bool *wants_write, char trouble[static TLS_TROUBLE_MAX]);

// As send and recv: how much, 0 for an end in good order, -1 with errno, EAGAIN among them.
ssize_t tls_send(struct tls *, const void *bytes, size_t size);
ssize_t tls_receive(struct tls *, void *bytes, size_t room);
bool tls_has_more(const struct tls *); // to be received without the socket being readable

#endif
