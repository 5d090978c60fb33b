// SPDX-License-Identifier: Apache-2.0
// A required fence device (fence.agent.required): while this node is elected and waits (L11), the device is to turn the
// other node off, again and again, with a pause that doubles from a second to a minute. That pause outlives a reign:
// a cluster that elects again and again does not wear a broken device out.
#ifndef TANIST_AGENT_PEER_OFF_H
#define TANIST_AGENT_PEER_OFF_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/json.h"

#define PEER_OFF_RETRY_MIN_MS 1000
#define PEER_OFF_RETRY_MAX_MS 60000

struct agent;
struct peer_off;

int peer_off_open(struct peer_off **, struct agent *); // 0; -ENOMEM
void peer_off_close(struct peer_off *);                // NULL is allowed

void peer_off_begin(struct peer_off *, uint64_t reign); // FENCE_PEER: EVENT_FENCED comes once the device has done it
void peer_off_end(struct peer_off *);                   // SPARE_PEER: what it is at is broken off

// For status: "awaited", and while it is true "tries" and "why_not", what the last one failed by (null: none did).
void peer_off_put(const struct peer_off *, struct json *fence);
// What is waited for and what to do; "" if nothing is.
const char *peer_off_note(const struct peer_off *, char *text, size_t size);

#endif
