// SPDX-License-Identifier: Apache-2.0
// The PostgreSQL server of this machine as processes and files: is it running, start it as a standby, stop it,
// its data directory. Needs the server's own user, or root: then its programs are run as the owner of the data
// directory. Nothing here waits; nothing asks a shell.
#ifndef TANIST_AGENT_PG_SERVER_H
#define TANIST_AGENT_PG_SERVER_H

#include <limits.h>

#include "agent/pg_history.h"
#include "common/base/child.h"
#include "common/base/loop.h"

#define PG_WORDS_MAX 24 // of a command
#define PG_IDENTITY_MAX 48

struct pg_server;

struct pg_server_settings {
  const char *data_directory;
  const char *bin_directory;
  const char *config_file; // "": the one in the data directory
  const char *unit;        // started by `systemctl start UNIT`; "": by pg_ctl
  const char *log_file;    // pg_ctl: where what it says at first goes; "": DATA/startup.log
};

// died: the postmaster has ended; from the loop.
int pg_server_new(struct pg_server **, struct loop *, const struct pg_server_settings *, void (*died)(void *arg),
                  void *arg);
void pg_server_free(struct pg_server *); // leaves it running; NULL is allowed

// Looks for a postmaster on this data directory, and watches the one it finds.
bool pg_server_running(struct pg_server *);

enum pg_stop { PG_FAST, PG_IMMEDIATE, PG_KILL };
void pg_server_stop(const struct pg_server *, enum pg_stop); // by signal, at once; does nothing if there is none

// Before a start: standby.signal, and settings for postgresql.auto.conf, whole lines. 0 or a negative errno.
int pg_server_make_standby(const struct pg_server *, const char *lines);
bool pg_server_is_standby(const struct pg_server *); // it has standby.signal, which a promotion takes away
int pg_server_make_plain(const struct pg_server *); // takes standby.signal away: for pg_rewind's own recovery

// Writes a small file into the data directory, the server's own, mode 0600.
int pg_server_write(const struct pg_server *, const char *name, const char *text);
int pg_server_remove(const struct pg_server *, const char *name); // one that is not there is no error
bool pg_server_has(const struct pg_server *, const char *name);

// What WAL there is: the newest timeline, and how far its files reach. False: there is none, no data directory.
bool pg_server_timeline(const struct pg_server *, uint32_t *timeline);
// The history of that timeline, from its file.
bool pg_server_history(const struct pg_server *, uint32_t timeline, struct pg_history *);

// Which data these are, as long as nobody makes the directory anew: pg_rewind changes all that is in there but this.
// "" where there are none.
void pg_server_identity(const struct pg_server *, char text[static PG_IDENTITY_MAX]);

bool pg_server_full(const struct pg_server *); // less room left than two WAL segments take
const char *pg_server_unusable(const struct pg_server *); // what is wrong with the data directory; NULL: nothing

// A command line being put together; words must live until it is run.
struct pg_command {
  const char *word[PG_WORDS_MAX + 1];
  size_t count;
  char program[PATH_MAX], user[48], group[48];
};
// `program` of bin_directory, as the user it takes; then pg_command_add for each argument.
void pg_server_command(const struct pg_server *, struct pg_command *, const char *program);
void pg_command_add(struct pg_command *, const char *word);

// Begins to start the server; the child ends with 0 once it is up, which can take its recovery's time.
int pg_server_start(struct pg_server *, struct child **, child_fn *, void *arg);

// The last thing that kept the server from starting, as log_file has it; "" where its log is elsewhere.
void pg_server_complaint(const struct pg_server *, char *text, size_t size);

#endif
