// SPDX-License-Identifier: Apache-2.0
#include "agent/pg_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/durable.h"

#define IDENTITY "postgresql"
#define SUFFIX ".orphans"

static size_t write_text(const struct pg_memory *m, char *text, size_t size) {
  return (size_t)snprintf(text, size, "%" PRIu32 " %" PRIu64 " %d %s %s", m->timeline, m->epoch, m->created,
                          m->withholding[0] != 0 ? m->withholding : "-", m->rewinding[0] != 0 ? m->rewinding : "-");
}

static bool read_text(struct pg_memory *m, const struct durable_content *content) {
  char text[128];
  int created;
  if (content->size >= sizeof text)
    return false;
  memcpy(text, content->payload, content->size);
  text[content->size] = 0;
  if (sscanf(text, "%" SCNu32 " %" SCNu64 " %d %23s %47s", &m->timeline, &m->epoch, &created, m->withholding,
             m->rewinding) < 4) // the last one is not in files of before it was there
    return false;
  m->created = created != 0;
  if (strcmp(m->withholding, "-") == 0)
    m->withholding[0] = 0;
  if (strcmp(m->rewinding, "-") == 0)
    m->rewinding[0] = 0;
  return true;
}

// "STATE/CLUSTER.NAME.orphans" as "STATE" and "CLUSTER.NAME.postgresql".
static bool split(const char *orphans, char directory[static PATH_MAX], char name[static NAME_MAX]) {
  const char *slash = strrchr(orphans, '/');
  size_t length = slash != NULL ? strlen(slash + 1) : 0;
  if (length <= strlen(SUFFIX) || strcmp(slash + 1 + length - strlen(SUFFIX), SUFFIX) != 0)
    return false;
  snprintf(directory, PATH_MAX, "%.*s", (int)(slash - orphans), orphans);
  int made = snprintf(name, NAME_MAX, "%.*s.postgresql", (int)(length - strlen(SUFFIX)), slash + 1);
  return made < NAME_MAX;
}

int pg_memory_open(struct pg_memory *m, const char *orphans, const char **error) {
  char directory[PATH_MAX], name[NAME_MAX], text[128];
  *m = (struct pg_memory){.file = NULL};
  if (!split(orphans, directory, name))
    return 0;
  struct durable_content *content = calloc(1, sizeof *content);
  *error = "out of memory";
  if (content == NULL)
    return -ENOMEM;
  *error = "state_directory: CLUSTER.NAME.postgresql there cannot be used; if it is damaged, remove it: what it says of "
           "timelines is learnt anew";
  int rc = durable_open(&m->file, directory, name, IDENTITY, content);
  if (rc == 0 && !read_text(m, content))
    rc = -EBADMSG;
  if (rc == -ENOENT)
    rc = durable_create(&m->file, directory, name, IDENTITY, text, write_text(m, text, sizeof text));
  free(content);
  if (rc != 0)
    pg_memory_close(m);
  return rc;
}

int pg_memory_save(struct pg_memory *m) {
  char text[128];
  return m->file != NULL ? durable_write(m->file, text, write_text(m, text, sizeof text)) : 0;
}

void pg_memory_close(struct pg_memory *m) {
  durable_close(m->file);
  m->file = NULL;
}
