// SPDX-License-Identifier: Apache-2.0
// The machine's watchdog: resets a machine whose agent hangs. Kicked only while this node is not master, or master
// with a valid lease; what the kernel fence does not reach (a process that serves in spite of all, a kernel that hangs)
// ends with the machine.
#ifndef TANIST_AGENT_WATCHDOG_H
#define TANIST_AGENT_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watchdog;

// Opens the device and sets its time-out to the lease, rounded down to whole seconds. 0 with *out NULL where `path` is
// "". A negative errno with what is wrong in `error`; then the device is stopped again: -ERANGE, its time-out is
// shorter than three beats, so that it would reset a machine that is well.
int watchdog_open(struct watchdog **out, const char *path, uint32_t lease_ms, uint32_t beat_ms, char *error,
                  size_t size);

// Each beat. `may`: not master, or master with a valid lease. 0, or the negative errno of a device that fails.
int watchdog_look(struct watchdog *, bool may); // NULL is allowed

// "none", "hardware", "virtual" (the hypervisor's: as good as that), "software" (this
// kernel's: it ends with it), "unknown" (it tells no name).
const char *watchdog_class(const struct watchdog *);
const char *watchdog_identity(const struct watchdog *); // "" unknown
int watchdog_timeout_s(const struct watchdog *);
// What the operator should know of it, "" if nothing.
const char *watchdog_note(const struct watchdog *, char *buf, size_t size);

// A clean stop: the magic close. Else it runs on: the next agent kicks it in time, or the machine is reset.
void watchdog_close(struct watchdog *, bool clean); // NULL is allowed

#endif
