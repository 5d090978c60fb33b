// SPDX-License-Identifier: Apache-2.0
// What driver "postgresql" wants of the configuration.
#include <string.h>

#include "common/base/cluster.h"

#define DIRECTORY_MAX 200
#define KNOWN "data_directory, bin_directory, config_file, unit, log_file, conninfo"
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"

static const struct {
  const char *name;
  bool path;
} known[] = {{"data_directory", true}, {"bin_directory", true}, {"config_file", true},
             {"unit", false},          {"log_file", true},      {"conninfo", false}};

// pg_ctl hands paths of the configuration file to a shell; the others are held to the same.
static void check_value(const char *name, const char *value, struct conf *conf) {
  bool plain = value[0] == '/' && strlen(value) <= DIRECTORY_MAX && strspn(value, PLAIN) == strlen(value);
  if (!plain)
    conf_error(conf, "broker.options",
               "\"broker.options.%s\" is \"%.80s\"; allowed: a path from the root of up to %d letters, digits, \"/\", "
               "\".\", \"_\" and \"-\"",
               name, value, DIRECTORY_MAX);
}

// What stands here goes to pg_rewind among its arguments, which everybody on the machine can read. The value is not
// told either.
static void check_conninfo(const char *value, struct conf *conf) {
  if (strstr(value, "password") != NULL)
    conf_error(conf, "broker.options",
               "\"broker.options.conninfo\" holds a password, which other programs would see; allowed: everything "
               "else, with the password in the file that \"broker.password_file\" names, and a key file without one");
}

static void check_option(const char *name, const char *value, struct conf *conf) {
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strcmp(known[i].name, name) == 0) {
      if (known[i].path)
        check_value(name, value, conf);
      else if (strcmp(name, "conninfo") == 0)
        check_conninfo(value, conf);
      return;
    }
  conf_error(conf, "broker.options", "\"broker.options.%s\" is nothing that driver \"postgresql\" knows; allowed: " KNOWN, name);
}

void cluster_complete_postgresql(const struct cluster_conf *c, struct conf *conf) {
  bool given = false;
  for (size_t i = 0; i < c->broker.options.count; i++) {
    given |= strcmp(c->broker.options.at[i].key, "data_directory") == 0;
    check_option(c->broker.options.at[i].key, c->broker.options.at[i].value, conf);
  }
  if (!given)
    conf_error(conf, "broker.options",
               "\"broker.options.data_directory\" is missing, driver \"postgresql\" needs it; allowed: the path of "
               "PostgreSQL's data, as in options = { data_directory = \"/var/lib/postgresql/15/main\"; }");
  if (c->broker.replication == REPLICATION_SHARED || c->broker.replication == REPLICATION_NONE)
    conf_error(conf, "broker.replication",
               "\"broker.replication\" is \"%s\", which driver \"postgresql\" cannot; allowed with it: \"sync\", \"async\"",
               cluster_replication_name(c));
}
