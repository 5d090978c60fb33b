// SPDX-License-Identifier: Apache-2.0
// A directory of its own for the files that libtanist keeps, and damage to them.
#ifndef TANIST_TEST_CLIENT_KEEP_BED_H
#define TANIST_TEST_CLIENT_KEEP_BED_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/client/tanist.h"

#define RING_HEAD 88 // of an outbox
extern char directory[64], path[128];
int set_up(void **unused);
int tear_down(void **unused);
void damage(off_t offset);

#endif
