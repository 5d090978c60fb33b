// SPDX-License-Identifier: Apache-2.0
#include "common/base/text.h"

#include <stdint.h>

#define BEYOND_UNICODE 0x110000

// The length of the UTF-8 sequence that starts here, 0 if none does (RFC 3629: shortest form, no surrogates).
static size_t sequence(const unsigned char *at, size_t left, uint32_t *code) {
  static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t length = *at < 0x80 ? 1 : *at < 0xc0 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf8 ? 4 : 0;
  if (length == 0 || length > left)
    return 0;
  *code = length == 1 ? *at : *at & (0x7fu >> length);
  for (size_t i = 1; i < length; i++) {
    if ((at[i] & 0xc0) != 0x80)
      return 0;
    *code = *code << 6 | (at[i] & 0x3f);
  }
  if (*code < lowest[length] || *code >= BEYOND_UNICODE || (*code >= 0xd800 && *code < 0xe000))
    return 0;
  return length;
}

void text_clean(char *text, size_t length) {
  unsigned char *at = (unsigned char *)text;
  for (size_t left = length; left > 0;) {
    uint32_t code = 0;
    size_t size = sequence(at, left, &code);
    if (size == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
      size = size == 0 ? 1 : size;
      for (size_t i = 0; i < size; i++)
        at[i] = '?';
    }
    at += size;
    left -= size;
  }
}
