// SPDX-License-Identifier: Apache-2.0
// keygen and pubkey.
#include "agent/ctl.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/key.h"

#define KEYS_DIRECTORY "/etc/tanist/keys"

// Where the key file of a voter is: said by flags, else by the configuration.
struct place {
  const char *cluster, *name, *directory;
  struct cluster_conf conf; // what the names above may point into
};

static int from_conf(const struct ctl *ctl, const char *command, struct place *p) {
  char error[CONF_ERROR_MAX];
  int code = ctl_load(ctl, &p->conf);
  if (code != CTL_DONE)
    return code;
  int self =
      p->name ? cluster_voter_find(&p->conf, p->name) : cluster_self(&p->conf, NULL, error, sizeof error);
  p->cluster = p->conf.name;
  if (!p->directory)
    p->directory = p->conf.keys_directory;
  if (p->name && self == NOBODY)
    return ctl_usage(ctl, command, "cluster \"%s\" has no voter \"%s\": %s, %s, %s", p->cluster, p->name,
                     p->conf.voter[VOTER_A].name, p->conf.voter[VOTER_B].name, p->conf.voter[VOTER_W].name);
  if (!p->name && self < 0)
    return ctl_usage(ctl, command, "which voter is this machine? Say --name, one of %s, %s, %s",
                     p->conf.voter[VOTER_A].name, p->conf.voter[VOTER_B].name, p->conf.voter[VOTER_W].name);
  p->name = p->conf.voter[self].name;
  return CTL_DONE;
}

static int find_place(const struct ctl *ctl, int argc, char **argv, struct place *p) {
  const struct ctl_option options[] = {{"--cluster", &p->cluster, NULL},
                                       {"--name", &p->name, NULL},
                                       {"--directory", &p->directory, NULL},
                                       {NULL, NULL, NULL}};
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code != CTL_DONE)
    return code;
  if (p->cluster && !p->name)
    return ctl_usage(ctl, argv[0], "--cluster needs --name, whose key it is");
  if (!p->cluster)
    return from_conf(ctl, argv[0], p);
  if (!cluster_is_name(p->cluster) || !cluster_is_name(p->name))
    return ctl_usage(ctl, argv[0],
                     "\"%s\" is no name; allowed: 1 to %d letters, digits, \"-\" and \"_\", a letter first",
                     cluster_is_name(p->cluster) ? p->name : p->cluster, CLUSTER_NAME_MAX);
  if (!p->directory)
    p->directory = KEYS_DIRECTORY;
  return CTL_DONE;
}

static int print_public(const struct ctl *ctl, struct key *key) {
  char text[KEY_TEXT_SIZE];
  key_format(key->public_key, text);
  key_wipe(key);
  if (ctl->json)
    ctl_print_text(ctl, "public_key", text);
  else
    fprintf(ctl->out, "%s\n", text);
  return CTL_DONE;
}

static int with_key_file(struct ctl *ctl, int argc, char **argv,
                         int (*act)(const char *path, struct key *, char *error, size_t size),
                         bool make_directory) {
  struct place place = {0};
  char path[CTL_PATH_MAX], error[CONF_ERROR_MAX] = "";
  struct key key;
  int code = find_place(ctl, argc, argv, &place);
  if (code == CTL_DONE) {
    if (make_directory)
      (void)mkdir(place.directory, 0755); // if it fails, so does the file, which says why
    snprintf(path, sizeof path, "%s/%s.%s.key", place.directory, place.cluster, place.name);
    int result = act(path, &key, error, sizeof error);
    code = result == 0         ? print_public(ctl, &key)
           : result == -EEXIST ? ctl_fail(ctl, CTL_REFUSED, "%s", error)
                               : ctl_fail(ctl, CTL_FAILED, "%s", error);
  }
  cluster_free(&place.conf);
  return code;
}

int ctl_keygen(struct ctl *ctl, int argc, char **argv) {
  return with_key_file(ctl, argc, argv, key_generate, true);
}

int ctl_pubkey(struct ctl *ctl, int argc, char **argv) {
  return with_key_file(ctl, argc, argv, key_load, false);
}
