// SPDX-License-Identifier: Apache-2.0
// orphans: what a rejoin cut off and kept. Nothing is replayed by itself: orders grow stale, and only a person
// knows.
#include "agent/ctl.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/ctl_orphans_xadd.h"
#include "agent/orphans.h"
#include "common/base/json.h"

extern char **environ;

#define SHOWN_MAX 60 // of an entry's data, to people

struct orphans {
  const struct ctl *ctl;
  char directory[PATH_MAX];
  const char *command, *name, *from, *confirmed;
  bool new_ids; // XADD with an id of the stream's own
  char **replay; // the program that takes an entry, NULL-terminated; NULL: none
};

// ---- which one ----

static int find_directory(struct orphans *o, const struct cluster_conf *c, const char *voter) {
  char error[CONF_ERROR_MAX];
  int found = NOBODY;
  if (voter != NULL)
    found = cluster_voter_find(c, voter);
  for (unsigned v = 0; v < NODES && voter == NULL; v++)
    if (access(orphans_path(c, v, o->directory, sizeof o->directory), F_OK) == 0)
      found = found == NOBODY ? (int)v : VOTERS;
  if (found == NOBODY && voter == NULL)
    found = cluster_self(c, NULL, error, sizeof error);
  if (found < 0 || found >= NODES)
    return ctl_usage(o->ctl, o->command, "which node's? Say --node, one of %s, %s", c->voter[VOTER_A].name,
                     c->voter[VOTER_B].name);
  orphans_path(c, (unsigned)found, o->directory, sizeof o->directory);
  return CTL_DONE;
}

static int unnamed(const struct orphans *o) {
  return ctl_usage(o->ctl, o->command, "which one? 'tanist orphans list' has their names");
}

static int no_such(const struct orphans *o, int rc) {
  return ctl_fail(o->ctl, CTL_FAILED, "%s/%s: %s; 'tanist orphans list' has the names", o->directory, o->name,
                  rc == -EBADMSG           ? "no orphan file"
                  : rc == -EPROTONOSUPPORT ? "an orphan file of another version: read it with the tanist of that version"
                                           : strerror(-rc));
}

static int open_file(const struct orphans *o, struct tanist_orphan **orphan,
                     struct tanist_orphan_head *head) {
  char path[PATH_MAX + NAME_MAX + 2];
  if (o->name == NULL)
    return unnamed(o);
  snprintf(path, sizeof path, "%s/%s", o->directory, o->name);
  int rc = strchr(o->name, '/') != NULL ? -ENOENT : tanist_orphan_open(orphan, path, head);
  return rc == 0 ? CTL_DONE : no_such(o, rc);
}

// ---- list ----

static void print_when(FILE *f, int64_t wall_ms) {
  char text[40];
  time_t seconds = (time_t)(wall_ms / 1000);
  struct tm tm;
  gmtime_r(&seconds, &tm);
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
  fprintf(f, "%s", text);
}

static void print_file(const struct orphans *o, const struct orphans_file *file) {
  const struct ctl *ctl = o->ctl;
  if (ctl->json) {
    struct json *row = json_new_object();
    json_put_text(row, "name", file->name);
    json_put_int(row, "wall_ms", file->head.wall_ms);
    json_put_uint(row, "epoch", file->head.epoch);
    json_put_uint(row, "position", file->head.position);
    json_put_uint(row, "master_epoch", file->head.master_epoch);
    json_put_uint(row, "entries", file->entries);
    json_put_uint(row, "bytes", file->bytes);
    json_put_bool(row, "damaged", file->damaged);
    json_put_bool(row, "foreign", file->foreign);
    json_put_bool(row, "other_version", file->other_version);
    ctl_print_json(ctl, row);
    json_free(row);
    return;
  }
  fprintf(ctl->out, "%s  ", file->name);
  print_when(ctl->out, file->head.wall_ms);
  if (file->foreign) {
    fprintf(ctl->out, "  %" PRIu64 " bytes in the broker's own format, kept before it rejoined epoch %" PRIu64
            ": look with the broker's tools at %s/%s\n",
            file->bytes, file->head.master_epoch, o->directory, file->name);
    return;
  }
  if (file->other_version) {
    fprintf(ctl->out, "  %" PRIu64 " bytes, an orphan file of another version: read it with the tanist of that version\n",
            file->bytes);
    return;
  }
  fprintf(ctl->out, "  %" PRIu64 " entries, %" PRIu64 " bytes, cut off past (%" PRIu64 ", %" PRIu64 ") by epoch %" PRIu64 "%s\n",
          file->entries, file->bytes, file->head.epoch, file->head.position, file->head.master_epoch,
          file->damaged ? "; DAMAGED behind these" : "");
}

static int list(struct orphans *o) {
  struct orphans_file *files;
  size_t count;
  int rc = orphans_list(o->directory, &files, &count);
  if (rc != 0)
    return ctl_fail(o->ctl, CTL_FAILED, "%s: %s", o->directory, strerror(-rc));
  for (size_t i = 0; i < count; i++)
    print_file(o, &files[i]);
  if (count == 0 && !o->ctl->json)
    fprintf(o->ctl->out, "nothing was cut off, or nothing of it is left: %s\n", o->directory);
  free(files);
  return CTL_DONE;
}

// ---- show ----

static char *hex(const struct tanist_orphan_entry *e) {
  const uint8_t *data = e->data;
  char *text = malloc(2 * e->size + 1);
  for (size_t i = 0; text != NULL && i < e->size; i++)
    snprintf(text + 2 * i, 3, "%02x", data[i]);
  if (text != NULL && e->size == 0)
    text[0] = 0;
  return text;
}

static void print_entry_json(const struct ctl *ctl, const struct tanist_orphan_entry *e) {
  struct json *row = json_new_object();
  char producer[20], *data = hex(e);
  snprintf(producer, sizeof producer, "%016" PRIx64, e->producer);
  json_put_uint(row, "epoch", e->epoch);
  json_put_uint(row, "position", e->position);
  json_put_text(row, "producer", producer);
  json_put_uint(row, "number", e->number);
  json_put_text(row, "hex", data);
  ctl_print_json(ctl, row);
  json_free(row);
  free(data);
}

static void print_entry(const struct ctl *ctl, const struct tanist_orphan_entry *e) {
  const char *data = e->data;
  if (ctl->json) {
    print_entry_json(ctl, e);
    return;
  }
  fprintf(ctl->out, "(%" PRIu64 ", %" PRIu64 ")", e->epoch, e->position);
  if (e->number != 0)
    fprintf(ctl->out, "  %016" PRIx64 " %" PRIu64, e->producer, e->number);
  fprintf(ctl->out, "  %zu bytes  ", e->size);
  for (size_t i = 0; i < e->size && i < SHOWN_MAX; i++)
    fputc(isprint((unsigned char)data[i]) ? data[i] : '.', ctl->out);
  fprintf(ctl->out, "%s\n", e->size > SHOWN_MAX ? " ..." : "");
}

static int end_of(const struct orphans *o, int rc) {
  return rc == 0 ? CTL_DONE
                 : ctl_fail(o->ctl, CTL_FAILED, "%s/%s is damaged behind what was read: %s", o->directory, o->name,
                            strerror(-rc));
}

static int show(struct orphans *o) {
  struct tanist_orphan *orphan;
  struct tanist_orphan_head head;
  struct tanist_orphan_entry entry;
  int rc = open_file(o, &orphan, &head);
  if (rc != CTL_DONE)
    return rc;
  while ((rc = tanist_orphan_next(orphan, &entry)) == 1)
    print_entry(o->ctl, &entry);
  tanist_orphan_close(orphan);
  return end_of(o, rc);
}

// ---- replay: one program an entry, its data on stdin ----

static void put_number(const char *name, uint64_t value, bool hexadecimal) {
  char text[24];
  if (hexadecimal)
    snprintf(text, sizeof text, "%016" PRIx64, value);
  else
    snprintf(text, sizeof text, "%" PRIu64, value);
  setenv(name, text, 1);
}

static int feed(int fd, const char *data, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t n = write(fd, data + done, size - done);
    if (n < 0 && errno != EINTR)
      return errno == EPIPE ? 0 : -errno; /* it wants no more: its exit status tells */
    done += n > 0 ? (size_t)n : 0;
  }
  return 0;
}

// The program's exit status, or a negative errno.
static int run(char **argv, const struct tanist_orphan_entry *e) {
  int to[2], status;
  pid_t pid;
  posix_spawn_file_actions_t files;
  put_number("TANIST_ORPHAN_EPOCH", e->epoch, false);
  put_number("TANIST_ORPHAN_POSITION", e->position, false);
  put_number("TANIST_ORPHAN_PRODUCER", e->producer, true);
  put_number("TANIST_ORPHAN_NUMBER", e->number, false);
  if (pipe2(to, O_CLOEXEC) != 0)
    return -errno;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, to[0], STDIN_FILENO);
  int rc = -posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&files);
  close(to[0]);
  if (rc == 0)
    rc = feed(to[1], e->data, e->size);
  close(to[1]);
  if (rc != 0)
    return rc;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR)
      return -errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The same for a command that was given another id, where that is asked for.
static int run_one(const struct orphans *o, const struct tanist_orphan_entry *e) {
  struct tanist_orphan_entry fresh = *e;
  char *data = o->new_ids ? ctl_xadd_with_new_id(e->data, e->size, &fresh.size) : NULL;
  if (data != NULL)
    fresh.data = data;
  else
    fresh = *e;
  int rc = run(o->replay, &fresh);
  free(data);
  return rc;
}

static bool adds_to_a_stream(const struct tanist_orphan_entry *e) {
  size_t size;
  char *data = ctl_xadd_with_new_id(e->data, e->size, &size);
  free(data);
  return data != NULL;
}

static int stopped(const struct orphans *o, const struct tanist_orphan_entry *e, int rc, uint64_t done) {
  const char *what = rc < 0 ? strerror(-rc) : "it ended with a failure";
  const char *advice = !o->new_ids && adds_to_a_stream(e)
                           ? "; a stream that has gone on since takes the entries with --new-ids alone"
                           : "";
  return ctl_fail(o->ctl, CTL_FAILED,
                  "%s: %s (%d) at position %" PRIu64 "; %" PRIu64 " before it are replayed%s. When it is mended, go on with --from %" PRIu64,
                  o->replay[0], what, rc, e->position, done, advice, e->position);
}

static int replay(struct orphans *o) {
  struct tanist_orphan *orphan;
  struct tanist_orphan_head head;
  struct tanist_orphan_entry entry;
  uint64_t from = 0, done = 0;
  if (o->replay == NULL)
    return ctl_usage(o->ctl, o->command,
                     "how? Behind --, name the program that takes one entry on stdin, as in -- redis-cli -h 10.0.0.100 --pipe");
  if (o->from != NULL && !ctl_epoch(o->from, &from))
    return ctl_usage(o->ctl, o->command, "--from is \"%s\"; allowed: a position", o->from);
  int rc = open_file(o, &orphan, &head), code = CTL_DONE;
  if (rc != CTL_DONE)
    return rc;
  signal(SIGPIPE, SIG_IGN);
  while (code == CTL_DONE && (rc = tanist_orphan_next(orphan, &entry)) == 1) {
    int ended = entry.position < from ? 0 : run_one(o, &entry);
    if (ended != 0)
      code = stopped(o, &entry, ended, done);
    else
      done += entry.position >= from;
  }
  tanist_orphan_close(orphan);
  if (code != CTL_DONE || rc < 0)
    return code != CTL_DONE ? code : end_of(o, rc);
  fprintf(o->ctl->out, "%" PRIu64 " entries were replayed; 'tanist orphans discard %s' removes the file\n", done, o->name);
  return CTL_DONE;
}

// ---- discard ----

static bool confirm(const struct orphans *o, const struct orphans_file *file) {
  char line[NAME_MAX + 2];
  bool counted = !file->foreign && !file->other_version;
  fprintf(o->ctl->err, "%" PRIu64 " %s that no master holds will be gone for good. Type the file's name to go on: ",
          counted ? file->entries : file->bytes, counted ? "entries" : "bytes");
  fflush(o->ctl->err);
  if (!fgets(line, sizeof line, o->ctl->in))
    return false;
  line[strcspn(line, "\r\n")] = 0;
  return strcmp(line, o->name) == 0;
}

static int discard(struct orphans *o) {
  struct orphans_file file = {0};
  if (o->name == NULL)
    return unnamed(o);
  snprintf(file.name, sizeof file.name, "%s", o->name);
  int rc = orphans_look(o->directory, &file);
  if (rc != 0)
    return no_such(o, rc);
  bool yes = o->confirmed != NULL ? strcmp(o->confirmed, o->name) == 0 : confirm(o, &file);
  if (!yes)
    return ctl_fail(o->ctl, CTL_FAILED, "nothing done: \"%s\" was not %s", o->name,
                    o->confirmed != NULL ? "named" : "typed");
  rc = orphans_discard(o->directory, o->name);
  if (rc != 0)
    return ctl_fail(o->ctl, CTL_FAILED, "%s/%s: %s", o->directory, o->name, strerror(-rc));
  fprintf(o->ctl->out, "%s is gone\n", o->name);
  return CTL_DONE;
}

// ---- the command ----

static const struct {
  const char *word;
  int (*run)(struct orphans *);
} actions[] = {{"list", list}, {"show", show}, {"replay", replay}, {"discard", discard}};

// What stands behind "--" is the program's; returns how many words are before it.
static int split(struct orphans *o, int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], "--") == 0) {
      o->replay = i + 1 < argc ? argv + i + 1 : NULL;
      return i;
    }
  return argc;
}

static int act(struct orphans *o, const char *word, const char *node) {
  struct cluster_conf cluster;
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
    if (strcmp(actions[i].word, word) == 0) {
      int code = ctl_load(o->ctl, &cluster);
      if (code != CTL_DONE)
        return code;
      code = find_directory(o, &cluster, node);
      code = code != CTL_DONE ? code : actions[i].run(o);
      cluster_free(&cluster);
      return code;
    }
  return ctl_usage(o->ctl, o->command, "\"%s\" is unknown; allowed: list, show, replay, discard", word);
}

int ctl_orphans(struct ctl *ctl, int argc, char **argv) {
  const char *node = NULL;
  struct orphans o = {.ctl = ctl, .command = argv[0]};
  const struct ctl_option options[] = {{"--node", &node, NULL},
                                       {"--from", &o.from, NULL},
                                       {"--new-ids", NULL, &o.new_ids},
                                       {"--yes-i-understand", &o.confirmed, NULL},
                                       {NULL, NULL, NULL}};
  argc = split(&o, argc, argv);
  if (argc < 2)
    return ctl_usage(ctl, argv[0], "what? One of list, show, replay, discard");
  char *word = argv[1];
  argv[1] = argv[0]; /* the options begin behind the second word */
  int code = ctl_options(ctl, argc - 1, argv + 1, options, &o.name);
  return code != CTL_DONE ? code : act(&o, word, node);
}
