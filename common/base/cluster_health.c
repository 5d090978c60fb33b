// SPDX-License-Identifier: Apache-2.0
// Health checks, their groups, and how many must be down: what the keys mean to each other.
#include "common/base/cluster.h"

#include <stdio.h>
#include <string.h>

#define PATH_SIZE 64 // "groups[7].checks[15]" and the like

// ---- checks ----

static void check_kind(const struct cluster_check *check, struct conf *conf, size_t i) {
  char path[PATH_SIZE];
  bool tcp = check->kind == CHECK_TCP, exec = check->kind == CHECK_EXEC;
  snprintf(path, sizeof path, "health[%zu].address", i);
  if (tcp && !*check->address)
    conf_error(conf, path, "\"%s\" is missing, a check \"tcp\" needs it; allowed: an address and port", path);
  if (!tcp && *check->address)
    conf_error(conf, path, "\"%s\" is given, but only a check \"tcp\" has one; allowed: nothing here", path);
  snprintf(path, sizeof path, "health[%zu].command", i);
  if (!exec && check->command.count > 0)
    conf_error(conf, path, "\"%s\" is given, but only a check \"exec\" has one; allowed: nothing here", path);
  if (exec && check->command.count == 0)
    conf_error(conf, path,
               "\"%s\" is missing, a check \"exec\" needs it; allowed: [ \"/PROGRAM\", \"ARGUMENT\", … ]",
               path);
  else if (exec && check->command.at[0][0] != '/')
    conf_error(conf, path, "\"%s\" begins with \"%.80s\"; allowed: the program's path from the root", path,
               check->command.at[0]);
}

static void check_unique(const struct cluster_conf *c, struct conf *conf, size_t i) {
  char path[PATH_SIZE];
  for (size_t j = 0; j < i; j++) {
    if (strcmp(c->check[i].name, c->check[j].name) == 0) {
      snprintf(path, sizeof path, "health[%zu].name", i);
      conf_error(conf, path, "\"%s\" is \"%s\" like another check's; allowed: different names", path,
                 c->check[i].name);
    }
    if (c->check[i].kind == CHECK_BROKER && c->check[j].kind == CHECK_BROKER) {
      snprintf(path, sizeof path, "health[%zu].check", i);
      conf_error(conf, path,
                 "\"%s\" is \"broker\" again; allowed: one such check, it is the driver's only probe", path);
    }
  }
}

// ---- groups ----

// -1: there is none.
static int check_find(const struct cluster_conf *c, const char *name) {
  for (size_t i = 0; i < c->check_count; i++)
    if (strcmp(c->check[i].name, name) == 0)
      return (int)i;
  return -1;
}

static void check_group_name(const struct cluster_conf *c, struct conf *conf, size_t g) {
  char path[PATH_SIZE];
  const char *name = c->group[g].name;
  bool taken = check_find(c, name) >= 0;
  for (size_t i = 0; i < g; i++)
    taken = taken || strcmp(c->group[i].name, name) == 0;
  snprintf(path, sizeof path, "groups[%zu].name", g);
  if (taken)
    conf_error(conf, path, "\"%s\" is \"%s\" like another group's or a check's; allowed: different names",
               path, name);
}

// Takes the checks of a group, as bits; `before` has those of the groups before it.
static void take_members(struct cluster_conf *c, struct conf *conf, size_t g, uint32_t before) {
  struct cluster_group *group = &c->group[g];
  for (size_t i = 0; i < group->checks.count; i++) {
    char path[PATH_SIZE];
    int check = check_find(c, group->checks.at[i]);
    uint32_t bit = check < 0 ? 0 : UINT32_C(1) << check;
    snprintf(path, sizeof path, "groups[%zu].checks[%zu]", g, i);
    if (check < 0)
      conf_error(conf, path,
                 "\"%s\" is \"%s\", and no check has that name; allowed: the name of a check in health", path,
                 group->checks.at[i]);
    else if (((before | group->members) & bit) != 0)
      conf_error(conf, path,
                 "\"%s\" is \"%s\", which is in a group already; allowed: each check in one group at most",
                 path, group->checks.at[i]);
    group->members |= bit;
  }
}

static void complete_need(struct cluster_group *group, struct conf *conf, size_t g) {
  char path[PATH_SIZE];
  if (group->need < 0)
    group->need = group->need == -1 ? 1 : (int64_t)group->checks.count;
  snprintf(path, sizeof path, "groups[%zu].need", g);
  if (group->need > (int64_t)group->checks.count)
    conf_error(conf, path,
               "\"%s\" is %lld, but the group has %zu checks; allowed: \"any\", \"all\", 1 to %zu", path,
               (long long)group->need, group->checks.count, group->checks.count);
}

// Returns how many there are that count: the groups, and the checks in none.
static size_t complete_groups(struct cluster_conf *c, struct conf *conf) {
  uint32_t members = 0;
  for (size_t g = 0; g < c->group_count; g++) {
    check_group_name(c, conf, g);
    take_members(c, conf, g, members);
    complete_need(&c->group[g], conf, g);
    members |= c->group[g].members;
  }
  return c->group_count + c->check_count - (size_t)__builtin_popcount(members);
}

// ---- all of them ----

static void complete_dead_when(struct cluster_conf *c, struct conf *conf, size_t count) {
  const char *what = c->group_count > 0 ? "groups and checks in none" : "checks";
  if (c->dead_when < 0)
    c->dead_when = c->dead_when == -1 ? 1 : (int64_t)count;
  if (c->dead_when > (int64_t)count)
    conf_error(conf, "dead_when",
               "\"dead_when\" is %lld, but there are %zu %s; allowed: \"any\", \"all\", 1 to %zu",
               (long long)c->dead_when, count, what, count);
}

void cluster_complete_health(struct cluster_conf *c, struct conf *conf) {
  if (c->check_count == 0) {
    c->check[0] = (struct cluster_check){.name = "broker",
                                         .kind = CHECK_BROKER,
                                         .address = "",
                                         .every_ms = 200,
                                         .timeout_ms = 500,
                                         .fall = 2,
                                         .rise = 2};
    c->check_count = 1;
  }
  for (size_t i = 0; i < c->check_count; i++) {
    check_kind(&c->check[i], conf, i);
    check_unique(c, conf, i);
  }
  complete_dead_when(c, conf, complete_groups(c, conf));
}
