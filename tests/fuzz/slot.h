// SPDX-License-Identifier: Apache-2.0
// A durable file (common/base/durable.h) with everything in it taken from a fuzzer's bytes but what only
// keeps damage out: magic and checksum are right, so that the reader gets to see the rest.
#ifndef TANIST_FUZZ_SLOT_H
#define TANIST_FUZZ_SLOT_H

#include "common/base/durable.h"
#include "tests/fuzz/input.h"

// Takes a byte of bits: 1 there is a first slot, 2 a second one, 4 their headers are in the input too, else
// they are as they should be. Then for each slot its size in two bytes and its payload (of the last one the
// payload alone, which is all that is left, unless its header follows), and its header: version 2, length 2,
// sequence 8, and with the bit 8 the identity. Writes the file; returns its path, until the next call.
const char *slot_file(const char *name, const char *identity, struct input *);

#endif
