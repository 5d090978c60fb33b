// SPDX-License-Identifier: Apache-2.0
// Three voters that seal for each other, without a network: every datagram is kept, to be delivered in any
// order.
#ifndef TANIST_TEST_SEAL_BED_H
#define TANIST_TEST_SEAL_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/seal.h"

#define CLUSTER UINT64_C(0x0102030405060708)
#define FULL_US 10000000 // after so long every bucket is full again
// A datagram as it was on the wire, with what the test alone knows of it.
struct datagram {
  unsigned char bytes[SEAL_SIZE];
  uint8_t from, to;
  unsigned life_from, life_to; // how often each had been started by then
  uint64_t seq;
};

struct voter {
  struct seal *seal;
  uint64_t seq;
  unsigned life;
  unsigned accepted_life[VOTERS]; // of the peer, newest that was accepted in this life
  uint64_t accepted_seq;          // of the last OK
  unsigned ok;
};

extern struct crypto *crypto;
extern unsigned char private_keys[VOTERS][CRYPTO_KEY_SIZE], public_keys[VOTERS][CRYPTO_KEY_SIZE];
extern struct voter voter[VOTERS];
extern struct instant now;
extern char error[256];
extern uint64_t seed;                   // of a test at random; 0: none is running
extern struct datagram recorded[20000]; // everything that was ever sent in a test
extern size_t records;
struct seal *make_seal(uint64_t cluster, uint8_t self);
void start(uint8_t self);
int setup(void **unused);
int teardown(void **unused);
// The payload says who made it, and when.
void fill(const struct voter *v, uint8_t from, unsigned char payload[WIRE_BEAT_SIZE]);
/* The datagrams of the next beat, which are recorded too; returns how many there are from recorded[*first]
 * on. */
size_t send_beat(uint8_t from, uint8_t to, size_t *first);
/* Opens it, and holds the seal to what may never happen, whoever plays what. */
enum seal_result deliver_on(const struct datagram *d, unsigned path);
enum seal_result deliver(const struct datagram *d);
/* One beat on a network that loses nothing, answered as a hello asks for; the best result of its copies. */
enum seal_result say(uint8_t from, uint8_t to);
bool joined(uint8_t a, uint8_t b);
void converge(uint8_t a, uint8_t b);
/* Nothing that was ever recorded is taken, moves a session, or stops the two from going on. */
void replay_all(uint8_t a, uint8_t b);
void expect_nothing(const unsigned char *bytes, size_t size, enum seal_result want);

#endif
