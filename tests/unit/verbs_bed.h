// SPDX-License-Identifier: Apache-2.0
// The verbs' engine with a transport of the test's own: it keeps what it is asked, and answers what a test
// says.
#ifndef TANIST_TEST_VERBS_BED_H
#define TANIST_TEST_VERBS_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/broker_verbs.h"
#include "common/base/clock.h"

#define ALL ((1u << VERB_COUNT) - 1)
#define NEVER (-1)
struct bed {
  struct loop *loop;
  void *driver;
  struct verbs *verbs;
  struct loop_timer *reply, *end;
  uint32_t supports;
  bool busy;
  enum verb verb;
  struct words words;           // of the newest verb
  char asked[4096];             // " demote monitor ..."
  int rc[VERB_COUNT];           // what each answers; NEVER: nothing
  const char *says[VERB_COUNT]; // "key=value key=value"
  bool master;                  // what monitor answers where rc says 0
  unsigned kills, changed, done, cleared;
  bool was_dead; // at some time
  uint32_t serial, wanted_serial;
  struct position position;
  char orphan[64];
  const char *until; // the loop ends when this verb is begun
};

extern struct bed bed;
int try_open(int replication, uint32_t supports, const char *incarnation, const char **error);
void open_bed(int replication, uint32_t supports);
// The same with these two of the policy, which may be changed meanwhile.
void open_bed_of(int replication, uint32_t supports, const uint32_t *restart_max, const uint32_t *window_ms);
void close_bed(void);
void run_ms(int64_t ms);
void run_until(const char *verb);
uint32_t order(int mode, uint64_t epoch, bool paused, bool sync);
void reach(int mode, uint64_t epoch, bool paused, bool sync);
bool asked(const char *verb);
bool told(const char *key, const char *value);
const struct broker_view *view(void);

#endif
