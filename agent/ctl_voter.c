// SPDX-License-Identifier: Apache-2.0
// reset-voter: the way out of a damaged ballot.
#include "agent/ctl.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/ballot.h"

static bool has_ballot(const struct cluster_conf *cluster, unsigned voter, const char *directory) {
  char path[CTL_PATH_MAX];
  snprintf(path, sizeof path, "%s/%s.%s.ballot", directory, cluster->name, cluster->voter[voter].name);
  return access(path, F_OK) == 0;
}

// The voter here: the one named, else the only one with a ballot in the directory, else the node that this
// machine is.
static int find_voter(const struct cluster_conf *cluster, const char *name, const char *directory) {
  char error[CONF_ERROR_MAX];
  int found = NOBODY;
  if (name)
    return cluster_voter_find(cluster, name);
  for (int v = 0; v < VOTERS; v++)
    if (has_ballot(cluster, (unsigned)v, directory))
      found = found == NOBODY ? v : VOTERS + 1;
  if (found < VOTERS)
    return found;
  int self = cluster_self(cluster, NULL, error, sizeof error);
  return self < 0 ? NOBODY : self;
}

static bool confirm(const struct ctl *ctl, const char *voter) {
  char line[128];
  fprintf(ctl->err,
          "The ballot of voter \"%s\" will be set aside: it forgets all that it promised.\n"
          "It starts blank: it votes for nobody until it has followed a master for a while, or all three "
          "voters are\n"
          "blank and form the cluster anew. Do this on one voter at a time, with the other two working.\n"
          "Type the voter's name to go on: ",
          voter);
  fflush(ctl->err);
  if (!fgets(line, sizeof line, ctl->in))
    return false;
  line[strcspn(line, "\r\n")] = '\0';
  return strcmp(line, voter) == 0;
}

static int set_aside(const struct ctl *ctl, const char *directory, const char *cluster, const char *voter) {
  char kept[CTL_PATH_MAX];
  int result = ballot_set_aside(directory, cluster, voter, kept, sizeof kept);
  if (result == -EBUSY)
    return ctl_fail(ctl, CTL_REFUSED, "the ballot of voter \"%s\" is in use: stop its daemon first", voter);
  if (result == -ENOENT)
    return ctl_fail(ctl, CTL_FAILED,
                    "voter \"%s\" has no ballot in %s: it is blank already, or is kept elsewhere", voter,
                    directory);
  if (result < 0)
    return ctl_fail(ctl, CTL_FAILED, "the ballot of voter \"%s\" in %s cannot be set aside: %s", voter,
                    directory, strerror(-result));
  if (ctl->json)
    ctl_print_text(ctl, "kept_as", kept);
  else
    fprintf(ctl->out, "voter \"%s\" starts blank; the old ballot is kept as %s/%s\n", voter, directory, kept);
  return CTL_DONE;
}

static int reset(const struct ctl *ctl, const char *command, const struct cluster_conf *cluster,
                 const char *name, const char *directory, const char *confirmed) {
  int v = find_voter(cluster, name, directory);
  if (v == NOBODY)
    return ctl_usage(ctl, command, "which voter? Say --name, one of %s, %s, %s", cluster->voter[VOTER_A].name,
                     cluster->voter[VOTER_B].name, cluster->voter[VOTER_W].name);
  const char *voter = cluster->voter[v].name;
  if (confirmed && strcmp(confirmed, voter) != 0)
    return ctl_fail(ctl, CTL_FAILED, "nothing done: --yes-i-understand names \"%s\", the voter is \"%s\"",
                    confirmed, voter);
  if (!confirmed && !confirm(ctl, voter))
    return ctl_fail(ctl, CTL_FAILED, "nothing done: \"%s\" was not typed", voter);
  return set_aside(ctl, directory, cluster->name, voter);
}

int ctl_reset_voter(struct ctl *ctl, int argc, char **argv) {
  const char *name = NULL, *directory = NULL, *confirmed = NULL;
  const struct ctl_option options[] = {{"--name", &name, NULL},
                                       {"--directory", &directory, NULL},
                                       {"--yes-i-understand", &confirmed, NULL},
                                       {NULL, NULL, NULL}};
  struct cluster_conf cluster;
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code == CTL_DONE)
    code = ctl_load(ctl, &cluster);
  if (code != CTL_DONE)
    return code;
  code = reset(ctl, argv[0], &cluster, name, directory ? directory : cluster.state_directory, confirmed);
  cluster_free(&cluster);
  return code;
}
