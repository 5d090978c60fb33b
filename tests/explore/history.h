// SPDX-License-Identifier: Apache-2.0
// A history as a scenario.
#ifndef TANIST_EXPLORE_HISTORY_H
#define TANIST_EXPLORE_HISTORY_H

#include <stdio.h>

#include "tests/explore/search.h"

// Plays the history as a dialogue and writes it down with all that happens. False: the dialogue does not end
// in something broken, so search and dialogue disagree. An assertion that fails there ends the program, with
// the commands written.
bool history_write(const struct violation *, FILE *out);

#endif
