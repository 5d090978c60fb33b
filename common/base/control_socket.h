// SPDX-License-Identifier: Apache-2.0
// The socket file of control.c, its rights, and what the kernel says of who connects to it.
#ifndef TANIST_BASE_CONTROL_SOCKET_H
#define TANIST_BASE_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

struct control_socket {
  int fd; // listening, non-blocking
  struct sockaddr_un address;
  dev_t device; // of the file that was made, so that no other is removed
  ino_t inode;
  bool has_admins;
  gid_t admins; // the group "tanist-admin", looked up once: a directory service that hangs must not stop the
                // loop
};

// Errors as control_listen.
int control_socket_open(struct control_socket *, const char *path);
void control_socket_close(struct control_socket *);

// Whether the process at the other end of a connection may change anything, and its uid ((uid_t)-1 if not
// known).
bool control_socket_may_change(const struct control_socket *, int fd, uid_t *uid);

// "root (uid 0)", from /etc/passwd. Returns buf.
const char *control_socket_user(uid_t, char *buf, size_t size);

// The address of a path; -ENAMETOOLONG.
int control_socket_address(struct sockaddr_un *, const char *path);

#endif
