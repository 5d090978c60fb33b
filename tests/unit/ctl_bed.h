// SPDX-License-Identifier: Apache-2.0
// The command tanist in a process of its own, and an agent in this one that answers what a test wants.
#ifndef TANIST_TEST_CTL_BED_H
#define TANIST_TEST_CTL_BED_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/ctl.h"
#include "common/base/ballot.h"
#include "common/base/control.h"

extern char directory[];
extern char conf_file[128];
const char *in_directory(char *buf, const char *name);
int setup(void **state);
int teardown(void **state);
extern char *out, *err;
int run_typing(const char *typed, const char *line);
extern int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
int run(const char *format, ...);
void contains(const char *text, const char *part);
void answer(void *arg, uint64_t connection, const struct json *request, bool may_change);
// Listens before it returns: the caller may ask at once. The child is ended by stop.
pid_t start(const char *path, const char *reply);
void stop(pid_t pid, const char *path);

#endif
