// SPDX-License-Identifier: Apache-2.0
#include "common/base/control_socket.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 16
#define GROUPS_MAX 1024 // of a process; one with more is not known as an administrator

int control_socket_address(struct sockaddr_un *address, const char *path) {
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address->sun_path)
    return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  return 0;
}

// Makes room for our file: 0 when there is nothing, or nothing but the leftover of a daemon that is gone.
static int remove_leftover(const struct sockaddr_un *address) {
  struct stat st;
  if (lstat(address->sun_path, &st) != 0)
    return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(st.st_mode))
    return -EEXIST;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  int rc = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : -errno;
  close(fd);
  if (rc == 0 || rc == -EAGAIN) // somebody listens, if only with a full queue
    return -EADDRINUSE;
  if (rc != -ECONNREFUSED)
    return rc;
  return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

// The rights are widened step by step, and nobody can connect before listen.
static int set_rights(const char *path) {
  const struct group *group = getgrnam("tanist");
  // One who is neither root nor in that group cannot give it away: then the file keeps the group it has.
  if (group != NULL && lchown(path, (uid_t)-1, group->gr_gid) != 0 && errno != EPERM)
    return -errno;
  return chmod(path, 0660) == 0 ? 0 : -errno;
}

static int listen_at(struct control_socket *s) {
  struct stat st = {0};
  if (fchmod(s->fd, 0600) != 0) // what bind gives the file
    return -errno;
  if (bind(s->fd, (const struct sockaddr *)&s->address, sizeof s->address) != 0)
    return -errno;
  int rc = lstat(s->address.sun_path, &st) == 0 ? set_rights(s->address.sun_path) : -errno;
  if (rc == 0 && listen(s->fd, BACKLOG) != 0)
    rc = -errno;
  if (rc != 0)
    unlink(s->address.sun_path);
  s->device = st.st_dev;
  s->inode = st.st_ino;
  return rc;
}

int control_socket_open(struct control_socket *s, const char *path) {
  memset(s, 0, sizeof *s);
  int rc = control_socket_address(&s->address, path);
  if (rc == 0)
    rc = remove_leftover(&s->address);
  if (rc != 0)
    return rc;
  s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s->fd < 0)
    return -errno;
  rc = listen_at(s);
  if (rc != 0) {
    close(s->fd);
    return rc;
  }
  const struct group *admins = getgrnam("tanist-admin");
  s->has_admins = admins != NULL;
  s->admins = admins == NULL ? 0 : admins->gr_gid;
  return 0;
}

void control_socket_close(struct control_socket *s) {
  struct stat st;
  close(s->fd);
  if (lstat(s->address.sun_path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
    unlink(s->address.sun_path);
}

static bool is_among(gid_t wanted, const gid_t *groups, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (groups[i] == wanted)
      return true;
  return false;
}

bool control_socket_may_change(const struct control_socket *s, int fd, uid_t *uid) {
  struct ucred peer;
  gid_t groups[GROUPS_MAX];
  socklen_t size = sizeof peer, groups_size = sizeof groups;
  *uid = (uid_t)-1;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return false;
  *uid = peer.uid;
  if (peer.uid == 0 || peer.uid == geteuid())
    return true;
  if (!s->has_admins)
    return false;
  if (peer.gid == s->admins)
    return true;
  return getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_size) == 0 &&
         is_among(s->admins, groups, groups_size / sizeof *groups);
}

const char *control_socket_user(uid_t uid, char *buf, size_t size) {
  FILE *users = fopen("/etc/passwd", "re");
  const struct passwd *user = NULL;
  while (users != NULL && (user = fgetpwent(users)) != NULL && user->pw_uid != uid)
    continue;
  if (user != NULL)
    snprintf(buf, size, "%.60s (uid %u)", user->pw_name, (unsigned)uid);
  else
    snprintf(buf, size, "uid %u", (unsigned)uid);
  if (users != NULL)
    fclose(users);
  return buf;
}
