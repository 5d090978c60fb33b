// SPDX-License-Identifier: Apache-2.0
// A file of two failures each row, with the outcome it must have and why: tests/scenario/two_failures.txt.
#ifndef TANIST_SCENARIO_TABLE_H
#define TANIST_SCENARIO_TABLE_H

#include <stdbool.h>

// Is this a table rather than a dialogue: is its first line that is neither empty nor a remark a row?
bool table_is(const char *file);
// Plays every row, and looks for rows that are missing. With `rewriting` the outcomes are put in their places
// and missing rows at the end, with "?" as their reason, which never passes. Counts rows.
void table_play(const char *file, bool rewriting, unsigned *passed, unsigned *failed);

#endif
