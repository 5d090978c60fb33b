// SPDX-License-Identifier: Apache-2.0
// What a driver that is driven by verbs needs in the configuration.
#include <stdio.h>
#include <string.h>

#include "common/base/cluster.h"

#define PATH_SIZE 64

static void check_command(const struct conf_texts *command, const char *path, bool wanted, const char *driver,
                          struct conf *conf) {
  if (command->count == 0)
    return;
  if (!wanted)
    conf_error(conf, path, "\"%s\" is given, but only driver \"%s\" has it; allowed: nothing here", path, driver);
  else if (command->at[0][0] != '/')
    conf_error(conf, path, "\"%s\" begins with \"%.80s\"; allowed: the program's path from the root", path,
               command->at[0]);
}

static void check_commands(const struct cluster_conf *c, struct conf *conf) {
  char path[PATH_SIZE], names[128];
  bool exec = c->broker.driver == DRIVER_EXEC;
  uint32_t lacks = exec ? verb_needed(c->broker.replication) : 0;
  for (enum verb verb = 0; verb < VERB_COUNT; verb++) {
    snprintf(path, sizeof path, "broker.commands.%s", verb_name(verb));
    check_command(&c->broker.commands[verb], path, exec, "exec", conf);
    if (c->broker.commands[verb].count > 0)
      lacks &= ~VERB_BIT(verb);
  }
  if (lacks != 0)
    conf_error(conf, "broker.commands",
               "\"broker.commands\" lacks %s, which driver \"exec\" needs with replication \"%s\"; allowed: a "
               "command for each, as in [ \"/PROGRAM\", \"ARGUMENT\" ], or another replication",
               verb_names(lacks, names, sizeof names), cluster_replication_name(c));
}

bool cluster_is_service(const char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";
  static const char suffix[] = ".service";
  size_t length = strlen(name), end = sizeof suffix - 1;
  return length > end && length <= 255 && name[strspn(name, allowed)] == 0 && strcmp(name + length - end, suffix) == 0;
}

// What one driver cannot do without, and no other one has.
static void check_own(const char *path, bool given, bool mine, const char *driver, const char *allowed,
                      struct conf *conf) {
  if (mine && !given)
    conf_error(conf, "broker", "\"%s\" is missing, which driver \"%s\" needs; allowed: %s", path, driver, allowed);
  if (given && !mine)
    conf_error(conf, path, "\"%s\" is given, but only driver \"%s\" has it; allowed: nothing here", path, driver);
}

static void check_services(const struct cluster_conf *c, struct conf *conf) {
  bool ocf = c->broker.driver == DRIVER_OCF, systemd = c->broker.driver == DRIVER_SYSTEMD;
  check_own("broker.agent", c->broker.agent[0] != 0, ocf, "ocf",
            "a resource agent, as in \"ocf:heartbeat:pgsql\"", conf);
  check_own("broker.unit", c->broker.unit[0] != 0, systemd, "systemd", "a service, as in \"activemq.service\"", conf);
}

void cluster_complete_driver(struct cluster_conf *c, struct conf *conf) {
  bool coprocess = c->broker.driver == DRIVER_COPROCESS;
  check_command(&c->broker.command, "broker.command", coprocess, "coprocess", conf);
  if (coprocess && c->broker.command.count == 0)
    conf_error(conf, "broker.command",
               "\"broker.command\" is missing, driver \"coprocess\" needs it; allowed: [ \"/PROGRAM\", \"ARGUMENT\", … ]");
  check_commands(c, conf);
  check_services(c, conf);
  if (c->broker.driver == DRIVER_POSTGRESQL)
    cluster_complete_postgresql(c, conf);
  else if (c->broker.driver != DRIVER_OCF && c->broker.options.count > 0)
    conf_error(conf, "broker.options", "\"broker.options\" is given, but driver \"%s\" has none; allowed: nothing here",
               cluster_driver_name(c));
}
