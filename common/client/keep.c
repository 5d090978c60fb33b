// SPDX-License-Identifier: Apache-2.0
#include "common/client/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Returns the name in it, or NULL: too long. */
static const char *split(const char *path, char *directory, size_t size) {
  const char *slash = strrchr(path, '/');
  int length = slash == NULL   ? snprintf(directory, size, ".")
               : slash == path ? snprintf(directory, size, "/")
                               : snprintf(directory, size, "%.*s", (int)(slash - path), path);
  if (length >= (int)size)
    return NULL;
  return slash != NULL ? slash + 1 : path;
}

int keep_name(const char *path) {
  char directory[PATH_MAX];
  if (split(path, directory, sizeof directory) == NULL)
    return -ENAMETOOLONG;
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  int rc = fsync(fd) == 0 ? 0 : -errno;
  close(fd);
  return rc;
}

int keep_open(struct durable **out, const char *path, const char *identity, struct durable_content *content) {
  char directory[256];
  const char *name = split(path, directory, sizeof directory);
  if (name == NULL)
    return -ENAMETOOLONG;
  if (name[0] == 0)
    return -EISDIR;
  int rc = durable_open(out, directory, name, identity, content);
  if (rc != -ENOENT)
    return rc;
  memset(content, 0, sizeof *content);
  return durable_create(out, directory, name, identity, "", 0);
}
