// SPDX-License-Identifier: Apache-2.0
// From the configuration to the health checks, at the start and at a reload.
#include <string.h>

#include "agent/agent.h"

int agent_open_health(struct agent *a, const struct cluster_conf *conf, struct health **out,
                      const char **error) {
  static const enum health_kind kinds[] = {
      [CHECK_BROKER] = HEALTH_BROKER, [CHECK_TCP] = HEALTH_TCP, [CHECK_EXEC] = HEALTH_EXEC};
  struct health_settings s = {.count = conf->check_count, .dead_when = (uint16_t)conf->dead_when};
  unsigned turn = 1 - a->exec_turn;
  memset(a->exec_command[turn], 0, sizeof a->exec_command[turn]);
  for (size_t i = 0; i < conf->check_count; i++) {
    const struct cluster_check *from = &conf->check[i];
    for (size_t k = 0; k < from->command.count; k++)
      a->exec_command[turn][i][k] = from->command.at[k];
    s.check[i] = (struct health_check){.name = from->name,
                                       .kind = kinds[from->kind],
                                       .address = from->address,
                                       .command = a->exec_command[turn][i],
                                       .every_ms = from->every_ms,
                                       .timeout_ms = from->timeout_ms,
                                       .fall = (uint16_t)from->fall,
                                       .rise = (uint16_t)from->rise};
  }
  s.group_count = conf->group_count;
  for (size_t g = 0; g < conf->group_count; g++)
    s.group[g] =
        (struct health_group){.checks = conf->group[g].members, .need = (uint16_t)conf->group[g].need};
  struct health_watch watch = {.arg = a, .changed = agent_health_changed};
  int rc = health_open(out, a->loop, &s, &watch, error);
  if (rc == 0)
    a->exec_turn = turn;
  return rc;
}
