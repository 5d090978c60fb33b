// SPDX-License-Identifier: Apache-2.0
#include "agent/redis_info.h"

#include <stdlib.h>
#include <string.h>

// Returns where the value of `key` begins and how long it is; NULL if no line of the text has that key.
static const char *find(const char *text, size_t length, const char *key, size_t *size) {
  size_t wanted = strlen(key);
  const char *end = text + length;
  for (const char *line = text; line < end;) {
    const char *next = memchr(line, '\n', (size_t)(end - line));
    const char *stop = next ? next : end;
    if ((size_t)(stop - line) > wanted && memcmp(line, key, wanted) == 0 && line[wanted] == ':') {
      const char *value = line + wanted + 1;
      *size = (size_t)(stop - value);
      if (*size > 0 && value[*size - 1] == '\r')
        --*size;
      return value;
    }
    line = next ? next + 1 : end;
  }
  return NULL;
}

bool redis_info_value(const char *text, size_t length, const char *key, char *value, size_t size) {
  size_t found_size;
  const char *found = find(text, length, key, &found_size);
  if (!found)
    return false;
  if (found_size >= size)
    found_size = size - 1;
  memcpy(value, found, found_size);
  value[found_size] = '\0';
  return true;
}

// The key's number; 0 when it is absent, negative (Redis' way of saying none) or none at all.
static uint64_t number(const char *text, size_t length, const char *key) {
  char value[24];
  if (!redis_info_value(text, length, key, value, sizeof(value)) || value[0] < '0' || value[0] > '9')
    return 0;
  return strtoull(value, NULL, 10);
}

static bool is(const char *text, size_t length, const char *key, const char *expected) {
  char value[32];
  return redis_info_value(text, length, key, value, sizeof(value)) && strcmp(value, expected) == 0;
}

// slaveN:ip=…,port=…,state=online,offset=…,lag=0
static void read_secondary(const char *line, struct redis_info *info) {
  if (!strstr(line, "state=online"))
    return;
  info->online = true;
  const char *lag = strstr(line, "lag=");
  unsigned long seconds = lag && lag[4] != '-' ? strtoul(lag + 4, NULL, 10) : UINT32_MAX;
  if (seconds < info->lag)
    info->lag = (uint32_t)seconds;
}

static void read_secondaries(const char *text, size_t length, struct redis_info *info) {
  static const char *const keys[] = {"slave0", "slave1", "slave2", "slave3",
                                     "slave4", "slave5", "slave6", "slave7"};
  info->lag = UINT32_MAX;
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
    char line[512];
    if (redis_info_value(text, length, keys[i], line, sizeof(line)))
      read_secondary(line, info);
  }
}

bool redis_info_replication(const char *text, size_t length, struct redis_info *info) {
  *info = (struct redis_info){.master = is(text, length, "role", "master")};
  if (!info->master && !is(text, length, "role", "slave"))
    return false;
  redis_info_value(text, length, "master_replid", info->id, sizeof(info->id));
  redis_info_value(text, length, "master_replid2", info->former_id, sizeof(info->former_id));
  info->former_end = number(text, length, "second_repl_offset");
  info->backlog = number(text, length, "repl_backlog_first_byte_offset");
  info->backlog_size = number(text, length, "repl_backlog_histlen");
  info->offset = number(text, length, info->master ? "master_repl_offset" : "slave_repl_offset");
  redis_info_value(text, length, "master_host", info->host, sizeof(info->host));
  info->port = (uint16_t)number(text, length, "master_port");
  info->link_up = is(text, length, "master_link_status", "up");
  info->syncing = is(text, length, "master_sync_in_progress", "1");
  size_t ignored;
  info->sync = find(text, length, "min_slaves_good_slaves", &ignored) != NULL;
  info->good = (uint32_t)number(text, length, "min_slaves_good_slaves");
  read_secondaries(text, length, info);
  return true;
}

bool redis_info_continues(const struct redis_info *secondary, const struct redis_info *master) {
  uint64_t next = secondary->offset + 1;
  bool known = strcmp(secondary->id, master->id) == 0 ||
               (strcmp(secondary->id, master->former_id) == 0 && next <= master->former_end);
  return known && next >= master->backlog && next <= master->backlog + master->backlog_size;
}

bool redis_info_disk(const char *text, size_t length, struct redis_disk *disk) {
  size_t ignored;
  if (!find(text, length, "loading", &ignored))
    return false;
  *disk = (struct redis_disk){
      .loading = is(text, length, "loading", "1"),
      .aof = is(text, length, "aof_enabled", "1"),
      .written = !is(text, length, "aof_last_write_status", "err"),
      .rewriting = is(text, length, "aof_rewrite_in_progress", "1") ||
                   is(text, length, "aof_rewrite_scheduled", "1"),
      .rewritten = !is(text, length, "aof_last_bgrewrite_status", "err"),
      .saved = !is(text, length, "rdb_last_bgsave_status", "err"),
  };
  return true;
}

uint64_t redis_info_master_link(const char *text, size_t length) {
  if (length < 4 || memcmp(text, "id=", 3) != 0)
    return 0;
  uint64_t id = 0;
  for (size_t i = 3; i < length && text[i] >= '0' && text[i] <= '9'; i++)
    id = id * 10 + (uint64_t)(text[i] - '0');
  return id;
}

bool redis_info_has_keys(const char *text, size_t length) {
  const char *end = text + length;
  for (const char *line = text; line && line < end;) {
    if (end - line > 3 && memcmp(line, "db", 2) == 0 && line[2] >= '0' && line[2] <= '9')
      return true;
    line = memchr(line, '\n', (size_t)(end - line));
    line = line ? line + 1 : NULL;
  }
  return false;
}
