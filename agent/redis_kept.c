// SPDX-License-Identifier: Apache-2.0
#include "agent/redis_kept.h"

void redis_kept_forget(struct redis_kept *kept) {
  *kept = (struct redis_kept){.known = false};
}

void redis_kept_link(struct redis_kept *kept, const char *text, size_t length) {
  kept->told = true;
  kept->link = redis_info_master_link(text, length);
}

// A rewrite later on the same link is an ordinary one: the old file is continued until it is done.
void redis_kept_disk(struct redis_kept *kept, const char *text, size_t length) {
  kept->known = redis_info_disk(text, length, &kept->disk);
  if (kept->known && !kept->disk.rewriting && kept->disk.written)
    kept->filed = kept->link;
}

bool redis_kept_written(const struct redis_kept *kept) {
  return !kept->known || !kept->disk.aof || kept->disk.written;
}

bool redis_kept_filed(const struct redis_kept *kept) {
  if (!kept->known || !kept->disk.aof)
    return true;
  return kept->told ? kept->link != 0 && kept->filed == kept->link : !kept->disk.rewriting;
}

bool redis_kept_stuck(const struct redis_kept *kept) {
  return kept->known && kept->disk.aof && kept->disk.rewriting && !kept->disk.rewritten;
}

const char *redis_kept_trouble(const struct redis_kept *kept, bool secondary) {
  if (!redis_kept_written(kept))
    return "Redis cannot write its append-only file, and so keeps nothing: free or mend the disk of its "
           "`dir`; it goes on by itself then";
  if (secondary && !redis_kept_filed(kept))
    return kept->disk.rewritten
               ? "the copy from the master is not in Redis' append-only file yet: until then it does not count"
               : "Redis cannot write the master's copy to its append-only file, and so does not count: free "
                 "or mend the disk of its `dir`";
  if (kept->known && kept->disk.aof && !kept->disk.rewritten)
    return "Redis cannot rewrite its append-only file: free or mend the disk of its `dir`, then BGREWRITEAOF";
  if (kept->known && !kept->disk.saved)
    return "Redis' last snapshot failed (rdb_last_bgsave_status): free or mend the disk of its `dir`, then "
           "BGSAVE";
  return "";
}
