// SPDX-License-Identifier: Apache-2.0
#ifndef TANIST_BASE_CRC_H
#define TANIST_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

// CRC-32C, against torn writes and rotten bits; no protection against forgery.
uint32_t crc32c(const void *data, size_t size);

#endif
