// SPDX-License-Identifier: Apache-2.0
// Whether the own Redis, as master, takes writes: asked with a write, since INFO tells only some of what refuses
// them. Over a connection of its own: a pause withholds the answer, and nothing may wait behind that.
//
// `SET tanist:probe 1 XX` meets every check that a write meets, and does nothing, since there is no such key; it
// is neither replicated nor filed. A disk that is full shows in a real write only: one goes now and then, gone
// after a millisecond, while nobody else writes.
#include <stdio.h>
#include <string.h>

#include "agent/redis_driver.h"
#include "common/base/clock.h"

#define PROBE_KEY "tanist:probe"
#define REAL_EVERY_US 5000000

static bool leading(const struct redis *r) {
  return r->has_duty && r->duty.mode == BROKER_LEAD && !r->duty.paused && r->reached && r->known &&
         r->info.master && r->pause == PAUSE_OFF;
}

static void clear(struct redis *r) {
  r->refused = r->refused_unfit = false;
  r->refusal[0] = '\0';
}

// ---- asking ----

static bool real_is_due(struct redis *r, struct instant now) {
  if (r->info.offset != r->write_offset) // somebody's write went through, or a secondary was pinged
    r->write_moved = now;
  r->write_offset = r->info.offset;
  return now.us - r->write_moved.us >= REAL_EVERY_US;
}

void redis_writes_poll(struct redis *r) {
  static const char *const nothing[] = {"SET", PROBE_KEY, "1", "XX"};
  static const char *const real[] = {"SET", PROBE_KEY, "1", "PX", "1"};
  struct instant now = clock_now();
  if (!leading(r)) {
    clear(r);
    return;
  }
  if (r->write_asking || now.us - r->write_asked.us < (int64_t)r->settings.probe_every_ms * 1000)
    return;
  bool due = real_is_due(r, now);
  r->write_moved = due ? now : r->write_moved;
  r->write_asked = now;
  r->write_asking = redis_link_ask(r->writer, 0, due ? 5 : 4, due ? real : nothing);
  redis_link_flush(r->writer);
}

// ---- answers ----

static void writer_up(void *arg) {
  ((struct redis *)arg)->write_asking = false;
}

static void writer_answer(void *arg, uint32_t tag, struct instant asked, const struct resp_value *value) {
  struct redis *r = arg;
  (void)tag;
  (void)asked;
  r->write_asking = false;
  clear(r);
  if (value->type == RESP_ERROR && leading(r)) {
    enum redis_refusal kind =
        redis_trouble_write(r->refusal, r->settings.username, PROBE_KEY, value->text, value->length);
    r->refused = kind != REFUSAL_OF_PROBE;
    r->refused_unfit = kind == REFUSAL_FAILS;
    if (kind == REFUSAL_ALONE && r->duty.sync && r->info.good == 0)
      r->refusal[0] = '\0'; // what the duty asks for: no write without the secondary
  }
  redis_tell(r);
}

static void writer_late(void *arg) {
  struct redis *r = arg;
  if (!leading(r) || redis_link_is_late(r->own))
    return;
  r->refused = true;
  snprintf(r->refusal, sizeof(r->refusal),
           "Redis answers, but not to writes: somebody's CLIENT PAUSE, or it is overloaded; CLIENT UNPAUSE ends "
           "a pause");
  redis_tell(r);
}

static void writer_down(void *arg, bool was_up, int error) {
  struct redis *r = arg;
  (void)was_up;
  (void)error; // the other connection tells of it
  r->write_asking = false;
  clear(r);
}

int redis_writes_open(struct redis *r) {
  const struct broker_settings *s = &r->settings;
  const struct redis_link_settings link = {
      .what = r->own_what,
      .address = s->address,
      .username = s->username,
      .password_file = s->password_file,
      .tls = s->tls,
      .name = r->name,
      .late_ms = s->probe_timeout_ms,
      .give_up_ms = 0, // one that is paused answers when the pause is over
      .retry_ms = s->beat_ms,
  };
  const struct redis_link_watch watch = {r, writer_up, writer_answer, writer_late, writer_down};
  return redis_link_new(&r->writer, r->loop, &link, &watch);
}
