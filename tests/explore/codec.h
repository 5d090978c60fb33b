// SPDX-License-Identifier: Apache-2.0
// A world as a short row of bytes, field by field, in a normal form: what differs only in names that nobody
// can tell apart is the same row. Instants are relative to the voter's own now, and one is as good as another
// once nothing asks how long ago it was; epochs are moved down by an even number; numbers of beats, sessions,
// duties and record versions become ranks among those that anybody still remembers.
#ifndef TANIST_EXPLORE_CODEC_H
#define TANIST_EXPLORE_CODEC_H

#include "tests/scenario/world.h"

#define CODE_MAX 8192 // bytes

// Writes the normal form of *w; returns its length.
size_t codec_write(struct world *w, uint8_t out[CODE_MAX]);

// The other way round: *w is overwritten but for its settings (config, out, direct, same_dice), which are no
// part of a code.
void codec_read(struct world *w, const uint8_t *code);

// Copies what a step may look at or change; what is behind the lengths of its rows stays as it is.
void codec_copy(struct world *to, const struct world *from);

#endif
