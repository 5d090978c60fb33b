// SPDX-License-Identifier: Apache-2.0
// The operator's command: one row a command (ctl.c), one file a group of them (ctl_*.c).
#ifndef TANIST_AGENT_CTL_H
#define TANIST_AGENT_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/cluster.h"

// Scripts rely on these numbers (interface.md).
enum ctl_exit {
  CTL_DONE = 0,
  CTL_FAILED = 1, // also: `check` has findings
  CTL_USAGE = 2,  // or a configuration that is wrong
  CTL_NO_AGENT = 3,
  CTL_REFUSED = 4,
};

#define CTL_RUN_DIRECTORY "/run/tanist"
#define CTL_CONF_DIRECTORY "/etc/tanist"
#define CTL_PATH_MAX 256

// What stands before the command's name, and where to speak.
struct ctl {
  const char *conf_file; // -c, or NULL
  const char *socket;    // -s, or NULL
  bool json;
  FILE *in, *out, *err;
};

typedef int ctl_fn(struct ctl *, int argc,
                   char **argv); // argv[0] is the command's name; returns enum ctl_exit

struct ctl_command {
  const char *name;
  ctl_fn *run;
  const char *arguments; // as the usage line has them
  const char *help;      // what it does, in a line
};

ctl_fn ctl_status, ctl_switchover, ctl_form, ctl_check, ctl_keygen, ctl_pubkey, ctl_reset_voter, ctl_explain,
    ctl_force_master, ctl_freeze, ctl_thaw, ctl_events, ctl_history, ctl_orphans, ctl_watch, ctl_init,
    ctl_report, ctl_doctor;

// The whole program but for exit().
int ctl_main(struct ctl *, int argc, char **argv);

// ---- what the commands share ----

// Says "tanist: …" to people, or {"ok":false,"code":…,"error":…} with --json; returns the code.
int ctl_fail(const struct ctl *, enum ctl_exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The same for words that the command does not know: with how to call it.
int ctl_usage(const struct ctl *, const char *command, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// One row a flag of a command; the table ends with a NULL name.
struct ctl_option {
  const char *name;   // "--timeout"
  const char **value; // takes a value; or
  bool *on;           // is a switch
};

// Reads flags into their places. CTL_DONE, or the failure, said. What is no flag goes to *word, once, if word
// is not NULL.
int ctl_options(const struct ctl *, int argc, char **argv, const struct ctl_option *, const char **word);

// A decimal number from min to max. False if it is none.
bool ctl_number(const char *text, double min, double max, double *value);
bool ctl_epoch(const char *text, uint64_t *epoch);

// The one file *suffix in a directory. CTL_DONE with its path; CTL_FAILED with an error if there is none
// (path empty), or with their names if there are several.
int ctl_only_file(const char *directory, const char *suffix, char *path, size_t size, char *error,
                  size_t error_size);

// Loads -c FILE, else the one *.conf in /etc/tanist. CTL_DONE or the failure, said. cluster_free after
// success.
int ctl_load(const struct ctl *, struct cluster_conf *);

// ---- the agent ----

// Asks the agent, or the witness, that -s, -c or the one socket in /run/tanist names. Takes the request over.
// CTL_DONE with a reply whose "ok" is true, to be given to json_free; else the failure, said.
struct json;
int ctl_ask(const struct ctl *, struct json *request, int timeout_ms, struct json **reply);

struct json *ctl_request(const char *command); // {"command": …}
// Sends an order, whose answer is a text for people, and prints that.
int ctl_order(const struct ctl *, struct json *request, int timeout_ms);

// ctl_options for a command of one cluster of a witness too: puts "cluster" into the request, where --cluster
// or -c names one. At most 4 options of the command's own (NULL: none).
int ctl_cluster_options(const struct ctl *, int argc, char **argv, const struct ctl_option *,
                        struct json *request);

// ---- output ----

void ctl_print_json(const struct ctl *, const struct json *);               // a line
void ctl_print_error(const struct ctl *, enum ctl_exit, const char *text);  // {"ok":false,…}
void ctl_print_text(const struct ctl *, const char *key, const char *text); // {"ok":true,key:text}
void ctl_print_findings(const struct ctl *, const struct conf_errors *);    // {"ok":false,"findings":[…]}
void ctl_print_budget(const struct ctl *, const struct cluster_conf *, int64_t round_trip_us,
                      int64_t disk_sync_us);

// A request of one word, {"command": …}; the caller's.
struct json *ctl_request(const char *command);

// The screen of `status`: at most 80 columns. Texts of the agent are shown without control characters.
void ctl_render_status(FILE *, const struct json *status);

#endif
