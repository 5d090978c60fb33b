// SPDX-License-Identifier: Apache-2.0
#include "common/core/hurdle.h"
#include "common/core/types.h"

#define NAME(name, text) text,
#define NAMES_BY(function, LIST, PICK)                                                                       \
  const char *function(unsigned number) {                                                                    \
    static const char *const names[] = {LIST(PICK)};                                                         \
    return number < sizeof names / sizeof names[0] ? names[number] : "?";                                    \
  }
#define NAMES_OF(function, LIST) NAMES_BY(function, LIST, NAME)

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

#define HURDLE_TEXT(name, text, rule, change) text,
#define HURDLE_RULE(name, text, rule, change) rule,
#define HURDLE_CHANGE(name, text, rule, change) change,
NAMES_BY(hurdle_name, HURDLES, HURDLE_TEXT)
NAMES_BY(hurdle_rule, HURDLES, HURDLE_RULE)
NAMES_BY(hurdle_change, HURDLES, HURDLE_CHANGE)
