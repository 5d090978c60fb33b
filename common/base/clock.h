// SPDX-License-Identifier: Apache-2.0
#ifndef TANIST_BASE_CLOCK_H
#define TANIST_BASE_CLOCK_H

#include "common/core/types.h"

struct instant clock_now(void);           // CLOCK_BOOTTIME: the one clock by which anything is decided
int64_t clock_wall_ms(void);              // CLOCK_REALTIME since 1970, for people only
struct instant instant_in_ms(int64_t ms); // so long from now

#endif
