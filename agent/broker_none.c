// SPDX-License-Identifier: Apache-2.0
// No broker at all: the pair guards an address. Every duty is reached at once.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/broker.h"

struct none {
  struct broker_watch watch;
  struct broker_view view;
  struct loop_timer *soon; // answers leave from the loop, never from within the call that asked
  struct broker_duty duty;
  bool asked;      // `duty` is not answered yet
  unsigned clears; // calls of kill_clients not answered yet
};

static void take_on(struct none *none) {
  none->view.position = (struct position){none->duty.epoch, 1};
  none->view.writable = none->duty.mode == BROKER_LEAD && !none->duty.paused;
  none->view.link = none->duty.mode != BROKER_HOLD;
  snprintf(none->view.state, sizeof(none->view.state), "%s",
           none->duty.mode == BROKER_LEAD     ? "master"
           : none->duty.mode == BROKER_FOLLOW ? "secondary"
                                              : "held");
}

static void answer(void *arg) {
  struct none *none = arg;
  for (; none->clears > 0; none->clears--)
    none->watch.cleared(none->watch.arg);
  if (!none->asked)
    return;
  none->asked = false;
  take_on(none);
  none->watch.done(none->watch.arg, none->duty.serial, none->view.position);
  none->watch.changed(none->watch.arg);
}

static void none_close(void *state) {
  struct none *none = state;
  loop_timer_free(none->soon);
  free(none);
}

static int none_open(void **state, struct loop *loop, const struct broker_settings *settings,
                     const struct broker_watch *watch, const char **error) {
  (void)settings;
  *error = "out of memory";
  struct none *none = calloc(1, sizeof(*none));
  if (!none)
    return -ENOMEM;
  none->watch = *watch;
  none->view = (struct broker_view){.reachable = true, .position = {0, 1}, .state = "none"};
  none->soon = loop_timer_new(loop, answer, none);
  if (!none->soon) {
    free(none);
    return -ENOMEM;
  }
  *state = none;
  return 0;
}

static void none_apply(void *state, const struct broker_duty *duty) {
  struct none *none = state;
  none->duty = *duty;
  none->asked = true;
  loop_timer_in(none->soon, 0);
}

static void none_kill_clients(void *state) {
  struct none *none = state;
  none->clears++;
  loop_timer_in(none->soon, 0);
}

static const struct broker_view *none_view(const void *state) {
  return &((const struct none *)state)->view;
}

const struct broker_driver broker_none = {
    .name = "none",
    .replicates = false,
    .open = none_open,
    .apply = none_apply,
    .kill_clients = none_kill_clients,
    .view = none_view,
    .close = none_close,
};
