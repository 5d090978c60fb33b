// SPDX-License-Identifier: Apache-2.0
// The bytes of a durable file (durable.h): two slots of one block each. Nothing but bytes here, so that the
// simulator tears and reads the very ones that a disk would hold.
#ifndef TANIST_BASE_SLOT_H
#define TANIST_BASE_SLOT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/durable.h"

#define SLOT_COUNT 2
#define SLOT_FILE_SIZE (SLOT_COUNT * DURABLE_BLOCK)

// The block of content number `sequence`, which belongs into slot `sequence % SLOT_COUNT`.
void slot_encode(uint8_t block[DURABLE_BLOCK], uint64_t sequence, const char *identity, const void *payload,
                 size_t size);

// Which slot counts: 0, or -EBADMSG, -EPROTONOSUPPORT, -EXDEV as durable_open. One that is too new, or
// another's, is never passed over in favour of an older one that would do: that would be forgetting.
int slot_choose(const uint8_t file[SLOT_FILE_SIZE], const char *identity, struct durable_content *content,
                uint64_t *sequence);

#endif
