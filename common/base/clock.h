// SPDX-License-Identifier: Apache-2.0
#ifndef TANIST_BASE_CLOCK_H
#define TANIST_BASE_CLOCK_H

#include "common/core/types.h"

struct instant clock_now(void);           // CLOCK_BOOTTIME: the one clock by which anything is decided
int64_t clock_wall_ms(void);              // CLOCK_REALTIME since 1970, for people only
struct instant instant_in_ms(int64_t ms); // so long from now

#define CLOCK_WALL_TEXT_SIZE 32                                               // "2026-11-21T09:24:40.123Z"
const char *clock_wall_text(int64_t wall_ms, char buf[CLOCK_WALL_TEXT_SIZE]); // RFC 3339, UTC; returns buf
// Which boot the instants are of (the kernel's boot id, 36 characters); "" where /proc does not tell.
#define CLOCK_BOOT_ID_SIZE 37
const char *clock_boot_id(void);

#endif
