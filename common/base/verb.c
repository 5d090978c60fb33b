// SPDX-License-Identifier: Apache-2.0
#include "common/base/verb.h"

#include <stdio.h>
#include <string.h>

#include "common/core/types.h"

#define VERBS_NAME(name, text, help) [VERB_##name] = text,
static const char *const names[] = {VERBS(VERBS_NAME)};

const char *verb_name(enum verb verb) {
  return names[verb];
}

bool verb_find(const char *name, size_t length, enum verb *verb) {
  for (enum verb v = 0; v < VERB_COUNT; v++)
    if (strlen(names[v]) == length && memcmp(names[v], name, length) == 0) {
      *verb = v;
      return true;
    }
  return false;
}

uint32_t verb_set(const char *text) {
  uint32_t set = 0;
  enum verb verb;
  for (; *text; text += strspn(text, ", ")) {
    size_t length = strcspn(text, ", ");
    if (verb_find(text, length, &verb))
      set |= VERB_BIT(verb);
    text += length;
  }
  return set;
}

uint32_t verb_needed(int replication) {
  uint32_t always = VERB_BIT(VERB_MONITOR) | VERB_BIT(VERB_PROMOTE) | VERB_BIT(VERB_DEMOTE);
  uint32_t replicated = VERB_BIT(VERB_REJOIN) | VERB_BIT(VERB_POS);
  uint32_t synchronous = VERB_BIT(VERB_SYNC) | VERB_BIT(VERB_PAUSE) | VERB_BIT(VERB_RESUME);
  if (replication == REPLICATION_SYNC)
    return always | replicated | synchronous;
  return replication == REPLICATION_ASYNC ? always | replicated : always;
}

const char *verb_names(uint32_t set, char *buf, size_t size) {
  size_t used = 0;
  buf[0] = 0;
  for (enum verb v = 0; v < VERB_COUNT; v++)
    if ((set & VERB_BIT(v)) && used < size)
      used += (size_t)snprintf(buf + used, size - used, "%s%s", used > 0 ? ", " : "", names[v]);
  return buf;
}
