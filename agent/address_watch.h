// SPDX-License-Identifier: Apache-2.0
// Who answers for the virtual IPs: asked after each change of master, while a take-over is near (in the time in
// which the old lease drains), and now and then. A MAC that is neither this node's nor the other's is a
// stranger's. While this node holds the addresses, any other claim contests them.
#ifndef TANIST_AGENT_ADDRESS_WATCH_H
#define TANIST_AGENT_ADDRESS_WATCH_H

#include "agent/claims.h"
#include "common/core/types.h"

#define ADDRESS_WATCH_MAX 16

struct address_watch;

struct address_watch_address {
  int family;           // AF_INET, AF_INET6
  const uint8_t *bytes; // 4 or 16, kept by reference
  const char *interface;
};

struct address_watch_settings {
  struct address_watch_address virtual_ip[ADDRESS_WATCH_MAX];
  size_t count;
  struct address_watch_address peer[ADDRESS_WATCH_MAX]; // the other node's own, `interface` unused: tell its MAC
  size_t peer_count;
  uint32_t lease_ms;
};

enum address_answer { ANSWER_NONE, ANSWER_OTHER_NODE, ANSWER_STRANGER, ANSWER_UNKNOWN };

struct address_seen {
  enum address_answer who; // UNKNOWN: the other node's MAC is not known
  uint8_t mac[ANNOUNCE_MAC_SIZE];
  struct instant at;
};

struct address_watch_hands {
  void *arg;
  void (*stranger)(void *arg, size_t index);  // one has been heard that was not before, nobody of us holding it
  void (*contested)(void *arg, size_t index); // this node's address was claimed by another: announce it
};

// 0 or a negative errno with *error naming the interface and what is missing.
int address_watch_open(struct address_watch **, struct loop *, const struct address_watch_settings *,
                       const struct address_watch_hands *, const char **error);
void address_watch_close(struct address_watch *); // NULL is allowed

void address_watch_hold(struct address_watch *, bool held); // this node holds them, or not any more
void address_watch_ask(struct address_watch *); // now, and once more after a second; at most ten times a second

struct address_seen address_watch_seen(const struct address_watch *, size_t index);
// Whether a stranger was heard within the last seconds, and this node does not hold the address.
bool address_watch_stranger(const struct address_watch *, size_t index);
const char *address_answer_name(enum address_answer);
void address_watch_mac(const struct address_seen *, char text[18]);

#endif
