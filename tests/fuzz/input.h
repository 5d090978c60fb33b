// SPDX-License-Identifier: Apache-2.0
// A fuzzer's bytes, taken from the front as values: what is past the end is 0, so that every input is whole.
#ifndef TANIST_FUZZ_INPUT_H
#define TANIST_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
  const uint8_t *at;
  size_t left;
};

uint8_t input_u8(struct input *);
uint16_t input_u16(struct input *);
uint32_t input_u32(struct input *);
uint64_t input_u64(struct input *);
uint8_t input_below(struct input *, uint8_t limit); // 0 to limit - 1
// Points *bytes at the next `size` bytes, or at what is left of them. Returns how many.
size_t input_bytes(struct input *, size_t size, const uint8_t **bytes);

// A directory of this process in memory (/dev/shm, or else /tmp), made at the first call and removed at the
// end with the files in it.
const char *input_directory(void);
// Writes a file there, replacing it. Returns its path, until the next call.
const char *input_file(const char *name, const void *bytes, size_t size);

#endif
