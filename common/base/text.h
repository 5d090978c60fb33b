// SPDX-License-Identifier: Apache-2.0
// Text that came from elsewhere, on its way to people.
#ifndef TANIST_BASE_TEXT_H
#define TANIST_BASE_TEXT_H

#include <stddef.h>

// Puts a '?' in place of every control character (line ends and C1 included: no terminal obeys what is
// printed) and of every byte that is not UTF-8 (the journal would show the whole line as a blob). In place;
// the length stays.
void text_clean(char *text, size_t length);

#endif
