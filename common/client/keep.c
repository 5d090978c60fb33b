// SPDX-License-Identifier: Apache-2.0
#include "common/client/keep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int keep_open(struct durable **out, const char *path, const char *identity, struct durable_content *content) {
  char directory[256];
  const char *slash = strrchr(path, '/');
  const char *name = slash != NULL ? slash + 1 : path;
  int length = slash == NULL   ? snprintf(directory, sizeof directory, ".")
               : slash == path ? snprintf(directory, sizeof directory, "/")
                               : snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
  if (length >= (int)sizeof directory)
    return -ENAMETOOLONG;
  if (name[0] == 0)
    return -EISDIR;
  int rc = durable_open(out, directory, name, identity, content);
  if (rc != -ENOENT)
    return rc;
  memset(content, 0, sizeof *content);
  return durable_create(out, directory, name, identity, "", 0);
}
