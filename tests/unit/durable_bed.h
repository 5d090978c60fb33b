// SPDX-License-Identifier: Apache-2.0
// A durable file in a directory of its own, and the system calls that it makes.
#ifndef TANIST_TEST_DURABLE_BED_H
#define TANIST_TEST_DURABLE_BED_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/crc.h"
#include "common/base/durable.h"

#define NAME "it"
#define WHO "orders/a"
#define FILE_BYTES (2 * DURABLE_BLOCK)
// What pwrite and fdatasync, which stand before the C library's, have counted; sync_error: what they fail
// with.
struct io {
  int pwrites, syncs, sync_error;
  off_t offset;
};

extern struct io io;
extern char directory[64], path[128];
extern struct durable_content content;
extern struct durable *store;
int set_up(void **state);
int tear_down(void **state);
int reopen(void);
int create(const char *payload);
int put(const char *payload);
#define assert_content(text)                                                                                 \
  do {                                                                                                       \
    assert_int_equal(content.size, strlen(text));                                                            \
    assert_memory_equal(content.payload, text, strlen(text));                                                \
  } while (0)

void load(uint8_t bytes[FILE_BYTES]);
void store_bytes(const uint8_t *bytes, size_t size);

#endif
