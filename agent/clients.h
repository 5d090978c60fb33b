// SPDX-License-Identifier: Apache-2.0
// The clients of the virtual IPs, who may only listen: their connections are reset before an address goes by
// plan, told to the other node while this one is master, and woken after this one has taken over from a node
// that could not do so any more.
#ifndef TANIST_AGENT_CLIENTS_H
#define TANIST_AGENT_CLIENTS_H

#include "common/base/loop.h"

#define CLIENTS_ADDRESSES 16

struct clients;

struct clients_settings {
  struct {
    int family;           // AF_INET, AF_INET6
    const uint8_t *bytes; // kept by reference
  } at[CLIENTS_ADDRESSES];
  size_t count;
  uint32_t every_ms; // how often the master looks which connections there are
};

// 0 or a negative errno with *error saying what is missing and what that means.
int clients_open(struct clients **, struct loop *, const struct clients_settings *, const char **error);
void clients_close(struct clients *); // NULL is allowed

// The addresses are held now: look who is there; wake whom the other node had, again after 50, 200 ms and 1 s.
void clients_held(struct clients *);
// They are about to go: reset every connection on them. How many, or a negative errno.
int clients_reset(struct clients *);

// What goes to the other node with each beat, and what came from there; bytes, at most `room` of them.
size_t clients_write(const struct clients *, uint8_t *to, size_t room);
void clients_read(struct clients *, const uint8_t *bytes, size_t size);

size_t clients_count(const struct clients *);    // connections here, as last seen; 0 unless the addresses are held
size_t clients_of_other(const struct clients *); // at the other node, as it has told
size_t clients_woken(const struct clients *);    // at the last take-over

#endif
