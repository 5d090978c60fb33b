// SPDX-License-Identifier: Apache-2.0
// One unit of systemd, over D-Bus: the only file that uses libsystemd. Everything happens on the loop; nothing waits.
//
// The bus is the system bus, at DBUS_SYSTEM_BUS_ADDRESS where the environment has it. Bus or manager may come and
// go: while either is away unit_bus_trouble says so, the state is not known, and it is tried again twice a second.
#ifndef TANIST_AGENT_UNIT_BUS_H
#define TANIST_AGENT_UNIT_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"

#define UNIT_NAME_MAX 255 // of systemd, without the 0
#define UNIT_WORD_SIZE 32
#define UNIT_TEXT_SIZE 240
#define UNIT_RETRY_MS 500

// The properties of org.freedesktop.systemd1.Unit and .Service of the same names; "" where it has none.
struct unit_state {
  bool known;                // told over the present connection; else the rest is what was told last
  char load[UNIT_WORD_SIZE]; // LoadState: "loaded", "masked", "not-found", ...
  char active[UNIT_WORD_SIZE]; // ActiveState: "active", "inactive", "failed", "activating", "deactivating", ...
  char sub[UNIT_WORD_SIZE];
  char file[UNIT_WORD_SIZE];    // UnitFileState: "enabled", "disabled", "static", ...
  char result[UNIT_WORD_SIZE];  // "success", "exit-code", "signal", "timeout", ...
  char restart[UNIT_WORD_SIZE]; // "no", "always", "on-failure", ...
  char invocation[33];          // InvocationID in hex: another one with each start
  uint32_t main_pid;            // 0: there is none
};

enum unit_call {
  UNIT_LOOK,  // asks for the state; what is told then is newer than the question
  UNIT_START, // a unit that had failed is started as one that had not (ResetFailedUnit)
  UNIT_STOP,
  UNIT_KILL, // stops it, and sends SIGKILL to all of its processes: its Restart= does not bring it back
};

// `why` is "" if it has been done. Else what systemd said: a job's result ("failed", "timeout", "canceled",
// "dependency", ...), the refusal of a call, or that the bus is gone, in words for people.
typedef void unit_fn(void *arg, const char *why);

struct unit_watch {
  void *arg;
  void (*changed)(void *arg); // state or trouble have news
};

struct unit_bus;

// Connects by itself, from the loop on. `unit` is copied. 0; -EINVAL for what is no name of a service; -ENOMEM.
int unit_bus_open(struct unit_bus **, struct loop *, const char *unit, const struct unit_watch *);
const struct unit_state *unit_bus_state(const struct unit_bus *);
const char *unit_bus_trouble(const struct unit_bus *); // why nothing is known; "" while all is well

// Begins a call; a former one that is under way is forgotten first. The answer comes from the loop, once, as late as
// systemd likes, and not at all once it is forgotten. -ENOTCONN: neither bus nor manager, and no answer comes.
int unit_bus_call(struct unit_bus *, enum unit_call, unit_fn *, void *arg);
void unit_bus_forget(struct unit_bus *); // what systemd was told to do it does all the same

void unit_bus_close(struct unit_bus *); // not from within a callback; the unit is left as it is; NULL is allowed

#endif
