// SPDX-License-Identifier: Apache-2.0
// What the test programs share: the clock of every record, and the commands on stdin: "mark NAME" ends a
// phase of the test and begins the next, the end of the input ends the program.
#ifndef TANIST_TESTS_COMMAND_H
#define TANIST_TESTS_COMMAND_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PHASE_NAME_MAX 48

struct command {
  char text[256];
  size_t length;
};

// CLOCK_BOOTTIME in µs, comparable with what agents and tests note.
static inline int64_t now_us(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
    abort();
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline struct timespec timespec_us(int64_t us) {
  us = us > 0 ? us : 0;
  return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
}

// Reads what stdin has; false at its end. Call command_next until it returns false.
static inline bool command_read(struct command *command) {
  size_t room = sizeof command->text - command->length;
  ssize_t got = read(STDIN_FILENO, command->text + command->length, room);
  if (got <= 0)
    return got < 0 && errno == EINTR;
  command->length += (size_t)got;
  return true;
}

// Takes one whole line "mark NAME" and stores the name; false if there is none yet. Other lines end the
// program: a test that says what nobody understands must not go on.
static inline bool command_next(struct command *command, char name[PHASE_NAME_MAX]) {
  char *end = memchr(command->text, '\n', command->length);
  if (!end) {
    if (command->length == sizeof command->text)
      exit(2);
    return false;
  }
  *end = '\0';
  name[0] = '\0';
  if (strcmp(command->text, "look") != 0 && sscanf(command->text, "mark %47[A-Za-z0-9_.-]", name) != 1) {
    fprintf(stderr, "unknown command: %s\n", command->text);
    exit(2);
  }
  command->length -= (size_t)(end + 1 - command->text);
  memmove(command->text, end + 1, command->length);
  return true;
}

#endif
