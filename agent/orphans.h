// SPDX-License-Identifier: Apache-2.0
// Where a node's orphan files are: STATE/CLUSTER.NAME.orphans, one for each rejoin that cut something off
// (protocol.md section 9). A broker on libtanist writes its own where it likes; a link to it stands here.
#ifndef TANIST_AGENT_ORPHANS_H
#define TANIST_AGENT_ORPHANS_H

#include <inttypes.h>
#include <limits.h>

#include "common/base/cluster.h"
#include "common/client/tanist.h"

#define ORPHANS_KEPT 16 // the oldest go, with a word in the log, when there are more

struct orphans_file {
  char name[NAME_MAX + 1];
  struct tanist_orphan_head head;
  uint64_t entries, bytes; // bytes: of the entries' data
  bool damaged;            // from some entry on
  bool foreign; // in the broker's own format, by a driver's program: `bytes` are the file's, of the head only
                // wall_ms and master_epoch are known, by its name (ORPHANS_NAME)
  bool other_version; // an orphan file that another version has written: `bytes` are the file's, of the head only
                      // wall_ms is known, which is when it was written
};

// What a driver's program is told to write: the epoch of the master, and when. Anything may follow.
#define ORPHANS_NAME "%" PRIu64 "-%" PRId64

// The path of the directory; returns `path`.
const char *orphans_path(const struct cluster_conf *, unsigned self, char *path, size_t size);

// Makes the directory if there is none. 0 or a negative errno.
int orphans_make(const char *directory);

// All of them, oldest first; *files is the caller's to free. 0, also where there is no directory, or a
// negative errno. What is neither an orphan file nor named like one is
// left out.
int orphans_list(const char *directory, struct orphans_file **files, size_t *count);

// The same of one, by file->name; the rest is written. -ENOENT; -EBADMSG: it would be left out.
int orphans_look(const char *directory, struct orphans_file *file);

// Puts a link to a file that a broker has written elsewhere; one in the directory is left as it is. -EINVAL:
// no path from the root.
int orphans_adopt(const char *directory, const char *path);

// Removes the oldest if there are more than ORPHANS_KEPT, and says which; false: there are not.
bool orphans_prune(const char *directory, char gone[NAME_MAX + 1]);

// Removes one, and the orphan file that it is a link to; a link to anything else goes alone. -ENOENT.
int orphans_discard(const char *directory, const char *name);

#endif
