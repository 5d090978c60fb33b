// SPDX-License-Identifier: Apache-2.0
// A control socket in this process, its client, and a handler that answers what the tests want.
#ifndef TANIST_TEST_CONTROL_BED_H
#define TANIST_TEST_CONTROL_BED_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/control.h"

extern char directory[64], path[100];
extern struct loop *loop;
extern struct control *control;
extern int requests;       // seen by the handler
extern int depth, deepest; // of handlers within each other
extern uint64_t held[4];   // connections whose "hold" was not answered
extern size_t held_count;
extern const struct control_handler handler;
int set_up(void **state);
int tear_down(void **state);
int connect_client(void);
void say(int fd, const char *text);
// What a descriptor gives up to and with the next line's end, or "" at its end. The loop runs meanwhile.
extern char line[CONTROL_REPLY_MAX + 1];
const char *receive(int fd);
#define assert_contains(text, part) assert_non_null(strstr(text, part))

#endif
