// SPDX-License-Identifier: Apache-2.0
// Which command, and the words they share.
#include "agent/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"

static const struct ctl_command commands[] = {
    {"status", ctl_status, "", "who is master, and how all is"},
    {"watch", ctl_watch, "[--every S] [--count N]", "the same, live"},
    {"init", ctl_init,
     "[--cluster C] [--node-a N=ADDRESS] [--node-b N=ADDRESS] [--witness N=ADDRESS] [--virtual-ip IP/BITS] "
     "[--interface I] [--driver D] [--broker-a ADDRESS] [--broker-b ADDRESS] [--output FILE] "
     "[--keys-directory D]",
     "write the one configuration and the three keys; asks for what is not given"},
    {"switchover", ctl_switchover, "[--to NODE] [--timeout S] [--dry-run]",
     "hand over to the other node without losing a message, or be told why not"},
    {"explain", ctl_explain, "", "why it is so: for each node, may it lead now, and what says no"},
    {"events", ctl_events, "[--follow] [--since TIME] [--last N] [--cluster C]",
     "what happened, newest last"},
    {"history", ctl_history, "[--last N] [--cluster C]",
     "epochs: who led, from when to when, where it began, why it ended"},
    {"report", ctl_report, "--suspect NODE --reason TEXT", "say that a master does not serve you"},
    {"check", ctl_check, "FILE [--round-trip MS] [--disk-sync MS]",
     "check a configuration and print its timing budget"},
    {"doctor", ctl_doctor, "[--name VOTER] [--only EXAMINATION]",
     "examine this machine for the cluster; each finding with what mends it"},
    {"keygen", ctl_keygen, "[--cluster C] [--name N] [--directory D]",
     "make a key pair, print the public key"},
    {"pubkey", ctl_pubkey, "[--cluster C] [--name N] [--directory D]", "print the public key again"},
    {"form", ctl_form, "--data NODE [--above EPOCH]",
     "form a cluster whose brokers hold data: that of NODE counts"},
    {"force-master", ctl_force_master,
     "--reason TEXT (--fence | --confirm-down NODE) [--yes-i-understand NODE]",
     "lead here without a majority, on your word that the other node is down"},
    {"freeze", ctl_freeze, "[--cluster C]", "no automatic failover until thawed; survives restarts"},
    {"thaw", ctl_thaw, "[--cluster C]", "automatic failover again"},
    {"orphans", ctl_orphans,
     "list | show FILE | replay FILE [--from POSITION] [--new-ids] -- PROGRAM … | discard FILE [--yes-i-understand FILE]",
     "what a rejoin cut off and kept; on the node itself"},
    {"reset-voter", ctl_reset_voter, "[--name VOTER] [--directory D] [--yes-i-understand VOTER]",
     "set a damaged ballot aside: the voter here starts blank"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

static void print_usage(FILE *f) {
  fputs("usage: tanist [-c FILE | -s SOCKET] [--json] COMMAND …\n\n"
        "  -c FILE    the cluster of this configuration\n"
        "  -s SOCKET  the agent (or witness) at this control socket; without either, the one that runs here\n"
        "  --json     for programs\n"
        "  --help, --version\n\n",
        f);
  for (size_t i = 0; i < COMMANDS; i++) {
    fprintf(f, "  %s%s%s\n", commands[i].name, *commands[i].arguments ? " " : "", commands[i].arguments);
    fprintf(f, "      %s\n", commands[i].help);
  }
  fputs("\nExit: 0 done, 1 failed, 2 usage or configuration, 3 no agent answers, 4 refused. See tanist(8).\n",
        f);
}

static const struct ctl_command *find(const char *name) {
  for (size_t i = 0; i < COMMANDS; i++)
    if (strcmp(commands[i].name, name) == 0)
      return &commands[i];
  return NULL;
}

// ---- errors ----

static int say(const struct ctl *ctl, enum ctl_exit code, const char *text) {
  if (ctl->json)
    ctl_print_error(ctl, code, text);
  fprintf(ctl->err, "tanist: %s\n", text);
  return (int)code;
}

int ctl_fail(const struct ctl *ctl, enum ctl_exit code, const char *format, ...) {
  char text[CONF_ERROR_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return say(ctl, code, text);
}

int ctl_usage(const struct ctl *ctl, const char *name, const char *format, ...) {
  char text[CONF_ERROR_MAX];
  const struct ctl_command *command = find(name);
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  say(ctl, CTL_USAGE, text);
  if (command)
    fprintf(ctl->err, "usage: tanist [-c FILE | -s SOCKET] [--json] %s %s\n", command->name,
            command->arguments);
  return CTL_USAGE;
}

// ---- words ----

// Takes argv[*i], and its value, as one of the flags: CTL_DONE, or -1 if it is none.
static int take_option(const struct ctl *ctl, char **argv, int argc, int *i,
                       const struct ctl_option *options) {
  for (const struct ctl_option *o = options; o->name; o++) {
    size_t n = strlen(o->name);
    if (strncmp(argv[*i], o->name, n) != 0 || (argv[*i][n] && argv[*i][n] != '='))
      continue;
    if (o->on && argv[*i][n])
      return ctl_usage(ctl, argv[0], "%s takes no value", o->name);
    if (o->on)
      *o->on = true;
    else if (argv[*i][n])
      *o->value = argv[*i] + n + 1;
    else if (*i + 1 == argc)
      return ctl_usage(ctl, argv[0], "%s needs a value", o->name);
    else
      *o->value = argv[++*i];
    return CTL_DONE;
  }
  return -1;
}

int ctl_options(const struct ctl *ctl, int argc, char **argv, const struct ctl_option *options,
                const char **word) {
  bool taken = !word;
  for (int i = 1; i < argc; i++) {
    int code = take_option(ctl, argv, argc, &i, options);
    if (code > CTL_DONE)
      return code;
    if (code == -1 && (taken || argv[i][0] == '-'))
      return ctl_usage(ctl, argv[0], "%s does not know \"%s\"", argv[0], argv[i]);
    if (code == -1) {
      *word = argv[i];
      taken = true;
    }
  }
  return CTL_DONE;
}

int ctl_cluster_options(const struct ctl *ctl, int argc, char **argv, const struct ctl_option *own,
                        struct json *request) {
  struct ctl_option options[6] = {{NULL, NULL, NULL}};
  const char *cluster = NULL;
  struct cluster_conf conf;
  size_t count = 0;
  for (; own && own[count].name; count++)
    options[count] = own[count];
  options[count] = (struct ctl_option){"--cluster", &cluster, NULL};
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code != CTL_DONE || (!cluster && !ctl->conf_file))
    return code;
  if (cluster && !cluster_is_name(cluster))
    return ctl_usage(ctl, argv[0], "--cluster is \"%s\"; allowed: the name of a cluster", cluster);
  if (cluster) {
    json_put_text(request, "cluster", cluster);
    return CTL_DONE;
  }
  code = ctl_load(ctl, &conf);
  if (code != CTL_DONE)
    return code;
  json_put_text(request, "cluster", conf.name);
  cluster_free(&conf);
  return CTL_DONE;
}

bool ctl_number(const char *text, double min, double max, double *value) {
  char *end;
  if (*text < '0' || *text > '9')
    return false;
  *value = strtod(text, &end);
  return *end == '\0' && *value >= min && *value <= max;
}

bool ctl_epoch(const char *text, uint64_t *epoch) {
  char *end;
  if (*text < '0' || *text > '9')
    return false;
  errno = 0;
  *epoch = strtoull(text, &end, 10);
  return *end == '\0' && errno == 0;
}

// ---- files ----

static bool has_suffix(const char *name, const char *suffix) {
  size_t n = strlen(name), m = strlen(suffix);
  return n > m && name[0] != '.' && strcmp(name + n - m, suffix) == 0;
}

int ctl_only_file(const char *directory, const char *suffix, char *path, size_t size, char *error,
                  size_t error_size) {
  char names[512] = ""; // enough to tell them apart
  size_t found = 0;
  DIR *d = opendir(directory);
  path[0] = '\0';
  for (const struct dirent *e; d && (e = readdir(d));)
    if (has_suffix(e->d_name, suffix)) {
      size_t used = strlen(names);
      snprintf(names + used, sizeof names - used, "%s%.120s", found++ ? ", " : "", e->d_name);
      snprintf(path, size, "%s/%s", directory, e->d_name);
    }
  int why = d ? 0 : errno;
  if (d)
    closedir(d);
  if (found == 1)
    return CTL_DONE;
  if (why)
    snprintf(error, error_size, "%s: %s", directory, strerror(why));
  else if (found)
    snprintf(error, error_size, "%s has several: %s", directory, names);
  else
    snprintf(error, error_size, "%s has no file *%s", directory, suffix);
  return CTL_FAILED;
}

int ctl_load(const struct ctl *ctl, struct cluster_conf *cluster) {
  static struct conf_errors errors;
  char path[CTL_PATH_MAX], error[CONF_ERROR_MAX];
  const char *file = ctl->conf_file;
  if (!file) {
    if (ctl_only_file(CTL_CONF_DIRECTORY, ".conf", path, sizeof path, error, sizeof error) != CTL_DONE)
      return ctl_fail(ctl, CTL_USAGE, "which cluster? Say -c FILE: %s", error);
    file = path;
  }
  int result = cluster_load(cluster, file, &errors);
  if (result == 0)
    return CTL_DONE;
  if (errors.count == 0)
    return ctl_fail(ctl, CTL_FAILED, "%s: %s", file, strerror(-result));
  if (ctl->json)
    ctl_print_error(ctl, CTL_USAGE, errors.at[0].text);
  cluster_print_errors(ctl->err, &errors);
  return CTL_USAGE;
}

// ---- the command line ----

// Reads what stands before the command. Its index in argv; 0 with *code set when there is nothing more to do.
static int read_globals(struct ctl *ctl, int argc, char **argv, int *code) {
  for (int i = 1; i < argc; i++) {
    const char *a = argv[i];
    if (strcmp(a, "--json") == 0) {
      ctl->json = true;
    } else if ((strcmp(a, "-c") == 0 || strcmp(a, "-s") == 0) && i + 1 < argc) {
      *(a[1] == 'c' ? &ctl->conf_file : &ctl->socket) = argv[++i];
    } else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
      print_usage(ctl->out);
      *code = CTL_DONE;
      return 0;
    } else if (strcmp(a, "--version") == 0) {
      fprintf(ctl->out, "tanist %s\n", TANIST_VERSION);
      *code = CTL_DONE;
      return 0;
    } else if (a[0] == '-') {
      *code = ctl_fail(ctl, CTL_USAGE,
                       strlen(a) == 2 && strchr("cs", a[1]) ? "%s needs a value"
                                                            : "unknown option %s; see tanist --help",
                       a);
      return 0;
    } else {
      return i;
    }
  }
  print_usage(ctl->err);
  *code = CTL_USAGE;
  return 0;
}

// --json may stand behind the command as well: people put it there.
static int take_json(struct ctl *ctl, int argc, char **argv) {
  int kept = 0;
  for (int i = 0; i < argc; i++)
    if (strcmp(argv[i], "--json") == 0)
      ctl->json = true;
    else
      argv[kept++] = argv[i];
  return kept;
}

int ctl_main(struct ctl *ctl, int argc, char **argv) {
  int code, at = read_globals(ctl, argc, argv, &code);
  if (at == 0)
    return code;
  const struct ctl_command *command = find(argv[at]);
  if (!command)
    return ctl_fail(ctl, CTL_USAGE, "unknown command \"%s\"; see tanist --help", argv[at]);
  return command->run(ctl, take_json(ctl, argc - at, argv + at), argv + at);
}
