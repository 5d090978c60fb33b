// SPDX-License-Identifier: Apache-2.0
// A configuration file in a directory of its own, and what reading it gives.
#ifndef TANIST_TEST_CLUSTER_BED_H
#define TANIST_TEST_CLUSTER_BED_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cluster.h"

#define KEY_A "3rSbUFHZFgNoULGj7P5sx4mA6kc1o8+F0fXK1Vb0yXQ="
#define KEY_B "Zk0y4wQm1v9T8hJ2sN6cR3xL7bP5dF0gK4aVtE8uYhM="
#define KEY_W "Q9fW2nXr7tBz5LpYc1VhKd8sMj3uGo6eHa0iRwTqNkE="
#define NODE(name, address, key)                                                                             \
  "{ name = \"" name "\"; addresses = [ " address " ]; public_key = \"" key "\"; }"

#define NODE_A NODE("left", "\"10.0.0.1:7400\"", KEY_A)
#define NODE_B NODE("right", "\"10.0.0.2:7400\"", KEY_B)
#define NODE_W NODE("judge", "\"10.0.0.9:7400\"", KEY_W)
// Three lines; what a test adds begins at line 4.
#define FRAME(a, b, w) "cluster = \"c\";\nnodes = ( " a ", " b " );\nwitness = " w ";\n"
#define BASE FRAME(NODE_A, NODE_B, NODE_W)
#define REDIS                                                                                                \
  "broker = { driver = \"redis\"; address = \"127.0.0.1:6379\";\n"                                           \
  "peers = { right = \"10.0.0.2:6379\"; left = \"10.0.0.1:6379\"; };\n"

extern int root; // where the test was started: the source tree
extern struct cluster_conf conf;
extern struct conf_errors errors;
int setup(void **state);
int teardown(void **state);
int load(const char *text);
void accepts(const char *text);
// One mistake gives one error, with these words.
void refuses(const char *text, const char *error);
// Reads a file of the source tree to memory.
char *source_file(const char *path, size_t *size);

#endif
