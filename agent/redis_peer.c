// SPDX-License-Identifier: Apache-2.0
// The other node's Redis, asked directly: how far it is, whom it follows, and whether it keeps what it confirms.
#include <stdio.h>
#include <string.h>

#include "agent/redis_driver.h"

#define PEER_GIVE_UP_MS_MIN 300

enum peer_ask { PEER_LINK, PEER_DISK, PEER_REPLICATION };

// The order matters: redis_kept.h, and the last answer is what the driver goes on with.
void redis_peer_ask(struct redis *r) {
  static const char *const link[] = {"CLIENT", "LIST", "TYPE", "master"};
  static const char *const disk[] = {"INFO", "persistence"}, *const replication[] = {"INFO", "replication"};
  if (!r->other_asking && redis_link_ask(r->peer, PEER_LINK, 4, link) &&
      redis_link_ask(r->peer, PEER_DISK, 2, disk))
    r->other_asking = redis_link_ask(r->peer, PEER_REPLICATION, 2, replication);
  redis_link_flush(r->peer);
}

static void peer_up(void *arg) {
  struct redis *r = arg;
  r->other_asking = false;
  redis_kept_forget(&r->other_kept);
  redis_peer_ask(r);
}

static void take_replication(struct redis *r, struct instant asked, const struct resp_value *value) {
  struct redis_info info;
  r->other_asking = false;
  r->other_known = value->type != RESP_ERROR && redis_info_replication(value->text, value->length, &info);
  if (r->other_known) {
    r->other = info;
    r->other_asked = asked;
  }
  redis_settle(r);
}

static void peer_answer(void *arg, uint32_t tag, struct instant asked, const struct resp_value *value) {
  struct redis *r = arg;
  if (tag == PEER_REPLICATION)
    take_replication(r, asked, value);
  else if (value->type == RESP_BULK && tag == PEER_LINK)
    redis_kept_link(&r->other_kept, value->text, value->length);
  else if (value->type == RESP_BULK && tag == PEER_DISK)
    redis_kept_disk(&r->other_kept, value->text, value->length);
}

static void peer_late(void *arg) {
  redis_tell(arg);
}

// A lost connection alone says nothing (a step down closes ours too); that there is no new one does.
static void peer_down(void *arg, bool was_up, int error) {
  struct redis *r = arg;
  (void)error;
  r->other_asking = false;
  if (!was_up)
    r->other_known = false;
  redis_tell(r);
}

int redis_peer_open(struct redis *r) {
  const struct broker_settings *s = &r->settings;
  snprintf(r->peer_what, sizeof(r->peer_what), "broker.peers.%c", 'b' - s->self);
  const struct redis_link_settings link = {
      .what = r->peer_what,
      .address = s->peers[1 - s->self],
      .username = s->username,
      .password_file = s->password_file,
      .tls = s->tls,
      .name = r->name,
      .late_ms = s->beat_ms * 2,
      .give_up_ms = s->lease_ms < PEER_GIVE_UP_MS_MIN ? PEER_GIVE_UP_MS_MIN : s->lease_ms,
      .retry_ms = s->beat_ms,
  };
  const struct redis_link_watch watch = {r, peer_up, peer_answer, peer_late, peer_down};
  return redis_link_new(&r->peer, r->loop, &link, &watch);
}
