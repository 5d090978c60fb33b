// SPDX-License-Identifier: Apache-2.0
#include "common/core/types.h"

#define NAME(name, text) text,
#define NAMES_OF(function, LIST)                                                                             \
  const char *function(unsigned number) {                                                                    \
    static const char *const names[] = {LIST(NAME)};                                                         \
    return number < sizeof names / sizeof names[0] ? names[number] : "?";                                    \
  }

NAMES_OF(role_name, ROLES)
NAMES_OF(replication_name, REPLICATIONS)
NAMES_OF(event_name, EVENTS)
NAMES_OF(order_name, ORDERS)
NAMES_OF(action_name, ACTIONS)
NAMES_OF(broker_mode_name, BROKER_MODES)
NAMES_OF(fact_name, FACTS)
NAMES_OF(reason_text, REASONS)

const char *voter_name(unsigned voter) {
  static const char *const names[] = {"a", "b", "w", "-"};
  return voter < sizeof names / sizeof names[0] ? names[voter] : "?";
}
