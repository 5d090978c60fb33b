// SPDX-License-Identifier: Apache-2.0
// Endpoints on loopback that talk to each other, and a puppet that seals whatever a test wants sent.
#ifndef TANIST_TEST_ENDPOINT_BED_H
#define TANIST_TEST_ENDPOINT_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/endpoint.h"

#define GIVE_UP_MS 10000
#define TIMEOUT_MS 400 // of a path
#define MEMBERS 8
// A voter of a cluster, with the little of a shell that a test needs: it counts, and answers what asks.
struct member {
  struct endpoint *endpoint;
  uint8_t self;
  uint64_t seq;
  unsigned beats, hellos;
  uint64_t session;
  struct beat last;
  char note[64], noted[SEAL_NOTE_MAX + 1]; // what goes with each beat, and what came with the last
};

extern struct loop *loop;
extern struct net *net;
extern struct crypto *crypto;
extern struct key keys[VOTERS];
extern struct endpoint_config config; // of the cluster "orders"; tests change it
extern struct member members[MEMBERS];
extern char error[512];
// A peer of which the test decides what comes on which path.
struct puppet {
  struct net *net; // its sockets are its own
  struct seal *seal;
  struct net_port *port[2];
  uint64_t seq;
};

extern struct puppet puppet;
void wait_until(bool (*condition)(void));
/* Lets time pass on the loop, as a path's timeout is about time. */
void pass(int64_t ms);
int say(struct member *m, uint8_t to, uint8_t flags);
struct net_address loopback(int family);
int setup(void **unused);
int teardown(void **unused);
int open_member(struct member *m, uint8_t self);
void two_paths(void);
void open_nodes(void);
bool both_know(void);
extern unsigned wanted; // beats at b
bool b_has_them(void);
uint64_t received(unsigned member, uint8_t peer, unsigned path);
extern uint64_t awaited[2]; // authentic datagrams at b on each path
bool paths_have_them(void);
enum path_state path_state(unsigned member, uint8_t peer, unsigned path);

#endif
