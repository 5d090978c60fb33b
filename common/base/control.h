// SPDX-License-Identifier: Apache-2.0
// The control socket: a Unix stream socket on which a daemon answers its operator, and the operator's side of
// it.
//
// A request is one JSON object on one line, {"command": "status", ...}; so is a reply: {"ok": true, ...} or
// {"ok": false, "code": N, "error": "..."} with N from enum control_code, the exit codes of the command line.
// A connection may carry several requests, one after the other.
//
// Whoever may open the socket (mode 0660, group "tanist" where there is one) may ask; who may change anything
// the kernel tells: uid 0, the daemon's own uid, and processes that are in the group "tanist-admin".
#ifndef TANIST_BASE_CONTROL_H
#define TANIST_BASE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/json.h"
#include "common/base/loop.h"

#define CONTROL_CONNECTIONS_MAX 16 // the newest beyond that is told so and closed
#define CONTROL_REQUEST_MAX 4096   // bytes, with the line's end
#define CONTROL_REPLY_MAX 65536    // bytes, with the line's end; a longer one is replaced by an error
#define CONTROL_IDLE_MS 5000       // for a whole request to come in, and for a reply to be taken

enum control_code { CONTROL_FAILED = 1, CONTROL_USAGE = 2, CONTROL_REFUSED = 4 };

struct control;

struct control_handler {
  void *arg;
  // A request, the handler's for the time of the call only. It is answered by one control_reply, now or
  // later: until then nothing more is read as a request on this connection, and it does not time out.
  void (*request)(void *arg, uint64_t connection, const struct json *request, bool may_change);
};

// Listens at `path`; the file of a daemon that is gone is replaced. The handler is copied.
//   -EADDRINUSE a daemon answers there, -EEXIST something that is no socket is there, -ENAMETOOLONG (107
//   bytes at most), or what the system says (-ENOENT: no such directory, -EACCES, ...).
int control_listen(struct control **, struct loop *, const char *path, const struct control_handler *);

// Sends the reply; the caller keeps owning it. Ignored where the connection is gone, or waits for none.
void control_reply(struct control *, uint64_t connection, const struct json *reply);

// The same with {"ok": false, ...}. The text says what is wrong and what would be right.
void control_refuse(struct control *, uint64_t connection, enum control_code, const char *error);

// Who asks, for the log; (uid_t)-1 where the connection is gone.
uid_t control_uid(const struct control *, uint64_t connection);
// The same for people: "root (uid 0)", by this machine's own list of users alone: a directory service that
// hangs must not stop the loop. Returns buf.
#define CONTROL_WHO_SIZE 96
const char *control_who(const struct control *, uint64_t connection, char buf[CONTROL_WHO_SIZE]);

// Closes all connections and removes the socket file. Not from within a handler. NULL is allowed.
void control_close(struct control *);

// The operator's side: one request, one reply, blocking for at most timeout_ms (negative: for ever). The
// reply is the caller's to free, and may well say "ok": false. -ENOENT or -ECONNREFUSED: no daemon there;
// -EACCES: not allowed to ask; -ETIMEDOUT; -ECONNRESET: closed without a reply; -EPROTO: what came was none;
// -EMSGSIZE: the request is too long.
int control_call(const char *path, const struct json *request, int timeout_ms, struct json **reply);

#endif
