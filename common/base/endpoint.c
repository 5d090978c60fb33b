// SPDX-License-Identifier: Apache-2.0
#include "common/base/endpoint.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

#define LOSS_WINDOW 256 // beats; when twice as many have been counted, both sides of the fraction are halved
#define RTT_WEIGHT 8    // a new sample counts for one part of so many

struct path {
  bool present;
  struct net_port *port;
  struct net_address address, own;
  struct instant heard;
  uint64_t top;            // the highest count seen: gaps below it are losses
  uint32_t expected, came; // beats, in the loss window
  int64_t rtt_us;
  int error;
  uint64_t sent, received, errors;
};

// A beat with ASK that is awaited back on every path that is heard, to measure the round trips.
struct probe {
  uint64_t seq; // 0: none
  struct instant at;
  uint8_t answered; // bit k: on path k
};

struct peer {
  uint64_t session, newest; // the last beat that was handed on
  uint8_t told;             // what it says of the paths on which it hears us
  struct instant told_at;
  unsigned paths;
  struct path *path; // its part of the endpoint's row
  struct probe probe;
};

struct endpoint {
  struct seal *seal;
  struct net_port *port[ENDPOINT_ADDRESSES];
  uint8_t self;
  int64_t timeout_us;
  struct peer peer[VOTERS]; // [self] is unused
  endpoint_beat_fn *beat;
  endpoint_hello_fn *hello;
  void *arg;
  uint64_t malformed, late, datagrams_in, bytes_in, datagrams_out, bytes_out;
  struct path row[]; // as many as there are: a witness has thousands of endpoints
};

#define NAME_PATH(name, text) [PATH_##name] = text,
const char *path_state_name(unsigned state) {
  static const char *const names[] = {PATH_STATES(NAME_PATH)};
  return state < PATH_STATE_COUNT ? names[state] : "?";
}
#undef NAME_PATH

static bool lately(const struct endpoint *e, struct instant at, struct instant now) {
  return at.us > now.us - e->timeout_us; /* PAST is never lately, and does not overflow on this side */
}

static uint8_t paths_heard(const struct endpoint *e, const struct peer *peer, struct instant now) {
  unsigned heard = 0;
  for (unsigned k = 0; k < peer->paths; k++)
    if (lately(e, peer->path[k].heard, now))
      heard |= 1u << k;
  return (uint8_t)heard;
}

// ---- sending ----

static int send_on(struct endpoint *e, struct path *path, const unsigned char *bytes, size_t size) {
  int rc = net_send(path->port, &path->address, bytes, size);
  path->error = -rc;
  if (rc != 0) {
    path->errors++;
    return rc;
  }
  path->sent++;
  e->datagrams_out++;
  e->bytes_out += size;
  return 0;
}

/* A probe is waited for on every path that is heard: else a path slower than the beats would never be
 * measured. */
static void start_probe(const struct endpoint *e, struct peer *peer, const struct beat *beat,
                        struct instant now) {
  uint8_t heard = paths_heard(e, peer, now);
  struct probe *probe = &peer->probe;
  bool under_way = probe->seq != 0 && (heard & ~probe->answered) != 0 && lately(e, probe->at, now);
  if ((beat->flags & BEAT_ASK) != 0 && !under_way)
    *probe = (struct probe){.seq = beat->seq, .at = now};
}

int endpoint_send(struct endpoint *e, const struct beat *beat, const char *note, size_t size) {
  assert(beat->from == e->self && beat->to < VOTERS && beat->to != e->self);
  struct peer *peer = &e->peer[beat->to];
  struct instant now = clock_now();
  struct beat out = *beat;
  out.paths_heard = paths_heard(e, peer, now);
  unsigned char payload[WIRE_BEAT_SIZE], sealed[SEAL_COPIES][SEAL_SIZE_MAX];
  wire_encode(&out, payload);
  size_t copies = seal_beat_noted(e->seal, beat->to, beat->seq, payload, note, size, sealed);
  start_probe(e, peer, beat, now);
  int error = -EIO;
  bool left = false;
  for (size_t i = 0; i < copies; i++)
    for (unsigned k = 0; k < peer->paths; k++) {
      int rc = peer->path[k].present ? send_on(e, &peer->path[k], sealed[i], SEAL_SIZE + size) : error;
      left |= rc == 0;
      error = rc != 0 ? rc : error;
    }
  return left ? 0 : error;
}

// ---- receiving ----

/* By the addresses at both ends; any other source is a stranger, whose datagrams count if they are authentic.
 */
static unsigned path_of(const struct endpoint *e, unsigned from, unsigned own,
                        const struct net_address *source) {
  const struct peer *peer = &e->peer[from];
  for (unsigned k = 0; k < peer->paths; k++) {
    const struct path *path = &peer->path[k];
    if (path->present && path->port == e->port[own] && net_address_equal(&path->address, source))
      return k;
  }
  return SEAL_STRANGER;
}

static void note_loss(struct path *path, uint64_t count) {
  if (count <= path->top) {
    path->came += path->came < path->expected; /* overtaken on its way, and counted as lost then */
    return;
  }
  uint64_t gap = path->top == 0 ? 1 : count - path->top;
  path->expected += gap < LOSS_WINDOW ? (uint32_t)gap : LOSS_WINDOW;
  path->came++;
  path->top = count;
  if (path->expected >= 2 * LOSS_WINDOW) {
    path->expected /= 2;
    path->came /= 2;
  }
}

static void note_rtt(struct peer *peer, unsigned k, uint64_t echo, struct instant now) {
  struct probe *probe = &peer->probe;
  struct path *path = &peer->path[k];
  unsigned bit = 1u << k;
  if (probe->seq == 0 || echo < probe->seq || (probe->answered & bit) != 0)
    return;
  probe->answered = (uint8_t)(probe->answered | bit);
  int64_t sample = now.us - probe->at.us;
  path->rtt_us = path->rtt_us < 0 ? sample : path->rtt_us + (sample - path->rtt_us) / RTT_WEIGHT;
}

static void note_path(struct peer *peer, unsigned k, const struct seal_opened *opened,
                      const struct beat *beat, struct instant now) {
  if (k == SEAL_STRANGER)
    return;
  peer->path[k].heard = now;
  peer->path[k].received++;
  note_loss(&peer->path[k], opened->count);
  note_rtt(peer, k, beat->echo, now);
}

/* A new session counts anew. What was measured of the paths stays true of them. */
static void note_session(struct peer *peer, uint64_t session) {
  peer->session = session;
  peer->newest = 0;
  for (unsigned k = 0; k < peer->paths; k++)
    peer->path[k].top = 0;
}

static void hand_on(struct endpoint *e, struct peer *peer, const struct beat *beat,
                    const struct seal_opened *opened, struct instant now) {
  if (beat->seq <= peer->newest) {
    e->late++;
    return;
  }
  peer->newest = beat->seq;
  peer->told = beat->paths_heard;
  peer->told_at = now;
  e->beat(e->arg, peer->session, beat, opened->note, opened->note_size);
}

static void on_opened(struct endpoint *e, unsigned path, const struct seal_opened *opened, bool first,
                      struct instant now) {
  struct peer *peer = &e->peer[opened->from];
  bool changed = opened->session != peer->session;
  if (changed)
    note_session(peer, opened->session);
  struct beat beat = {.from = opened->from, .to = e->self, .seq = opened->seq};
  if (!wire_decode(opened->payload, WIRE_BEAT_SIZE, &beat)) {
    e->malformed++;
    return;
  }
  note_path(peer, path, opened, &beat, now);
  if (first)
    hand_on(e, peer, &beat, opened, now);
  if (changed)
    e->hello(
        e->arg,
        opened->from); /* it knows our session, but only a beat from here tells it that we know its own */
}

static void on_datagram(void *arg, unsigned own, const struct net_address *source, const unsigned char *bytes,
                        size_t size) {
  struct endpoint *e = arg;
  struct instant now = clock_now();
  struct wire_header header;
  struct seal_opened opened;
  e->datagrams_in++;
  e->bytes_in += size;
  bool peer = wire_header_decode(bytes, size, &header) == WIRE_OK && header.from != e->self;
  unsigned path = peer ? path_of(e, header.from, own, source) : SEAL_STRANGER;
  enum seal_result result = seal_open(e->seal, now, path, bytes, size, &opened);
  if (result == SEAL_OK || result == SEAL_COPY)
    on_opened(e, path, &opened, result == SEAL_OK, now);
  else if (result == SEAL_HELLO)
    e->hello(e->arg, opened.from);
}

// ---- opening and closing ----

static int failed(int rc, char *error, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int failed(int rc, char *error, size_t size, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(error, size, format, args);
  va_end(args);
  return rc;
}

static int check_key(const struct endpoint_config *config, char *error, size_t size) {
  const struct endpoint_voter *self = &config->voter[config->self];
  if (memcmp(config->key->public_key, self->public_key, KEY_SIZE) == 0)
    return 0;
  char have[KEY_TEXT_SIZE], want[KEY_TEXT_SIZE];
  key_format(config->key->public_key, have);
  key_format(self->public_key, want);
  return failed(-EKEYREJECTED, error, size,
                "the key file of %s has the public key %s, but the configuration says %s: correct the one "
                "that is wrong",
                self->name, have, want);
}

static int open_ports(struct endpoint *e, struct net *net, const struct endpoint_config *config, char *error,
                      size_t size) {
  const struct endpoint_voter *self = &config->voter[e->self];
  uint64_t cluster = seal_cluster_id(config->cluster);
  for (unsigned i = 0; i < self->addresses; i++) {
    int rc = net_join(net, &e->port[i], &self->address[i], cluster, on_datagram, e, i);
    if (rc == 0)
      continue;
    char text[NET_ADDRESS_TEXT_SIZE];
    net_address_format(&self->address[i], text);
    return failed(rc, error, size, "cannot receive on %s, an address of %s: %s", text, self->name,
                  rc == -EEXIST ? "this cluster uses it already; list each address once" : strerror(-rc));
  }
  return 0;
}

static unsigned path_count(const struct endpoint_config *config, unsigned number) {
  unsigned own = config->voter[config->self].addresses, other = config->voter[number].addresses;
  return number == config->self ? 0 : own > other ? own : other;
}

static int add_paths(struct endpoint *e, const struct endpoint_config *config, unsigned number, char *error,
                     size_t size) {
  const struct endpoint_voter *self = &config->voter[e->self], *other = &config->voter[number];
  struct peer *peer = &e->peer[number];
  unsigned present = 0;
  for (unsigned k = 0; k < peer->paths; k++) {
    unsigned own = k % self->addresses;
    struct path *path = &peer->path[k];
    *path = (struct path){.port = e->port[own], .heard = INSTANT_PAST, .rtt_us = -1};
    path->own = self->address[own];
    path->address = other->address[k % other->addresses];
    path->present = net_same_family(&path->own, &path->address);
    present += path->present;
  }
  if (present != 0)
    return 0;
  return failed(
      -EAFNOSUPPORT, error, size,
      "there is no path from %s to %s: the first address of both, the second of both and so on must be of "
      "the same family, IPv4 or IPv6",
      self->name, other->name);
}

static int open_all(struct endpoint *e, struct net *net, struct crypto *crypto,
                    const struct endpoint_config *config, char *error, size_t size) {
  unsigned char public_keys[VOTERS][CRYPTO_KEY_SIZE];
  for (unsigned i = 0; i < VOTERS; i++)
    memcpy(public_keys[i], config->voter[i].public_key, CRYPTO_KEY_SIZE);
  int rc = check_key(config, error, size);
  if (rc == 0)
    rc = seal_new(&e->seal, crypto, seal_cluster_id(config->cluster), e->self, config->key->private_key,
                  (const unsigned char(*)[CRYPTO_KEY_SIZE])public_keys, error, size);
  if (rc == 0)
    rc = open_ports(e, net, config, error, size);
  for (unsigned i = 0; rc == 0 && i < VOTERS; i++)
    if (i != e->self)
      rc = add_paths(e, config, i, error, size);
  return rc;
}

static struct endpoint *allocate(const struct endpoint_config *config) {
  assert(config->self < VOTERS && config->timeout_ms > 0);
  unsigned paths = 0;
  for (unsigned i = 0; i < VOTERS; i++) {
    assert(config->voter[i].addresses >= 1 && config->voter[i].addresses <= ENDPOINT_ADDRESSES);
    paths += path_count(config, i);
  }
  struct endpoint *e = calloc(1, sizeof *e + paths * sizeof e->row[0]);
  if (e == NULL)
    return NULL;
  struct path *row = e->row;
  for (unsigned i = 0; i < VOTERS; i++) {
    e->peer[i] = (struct peer){.told_at = INSTANT_PAST, .paths = path_count(config, i), .path = row};
    row += e->peer[i].paths;
  }
  e->self = config->self;
  e->timeout_us = (int64_t)config->timeout_ms * 1000;
  return e;
}

int endpoint_open(struct endpoint **out, struct net *net, struct crypto *crypto,
                  const struct endpoint_config *config, endpoint_beat_fn *beat, endpoint_hello_fn *hello,
                  void *arg, char *error, size_t size) {
  struct endpoint *e = allocate(config);
  if (e == NULL)
    return failed(-ENOMEM, error, size, "out of memory");
  e->beat = beat;
  e->hello = hello;
  e->arg = arg;
  int rc = open_all(e, net, crypto, config, error, size);
  if (rc != 0) {
    endpoint_close(e);
    return rc;
  }
  *out = e;
  return 0;
}

void endpoint_close(struct endpoint *e) {
  if (e == NULL)
    return;
  for (unsigned i = 0; i < ENDPOINT_ADDRESSES; i++)
    net_leave(e->port[i]);
  seal_free(e->seal);
  free(e);
}

uint64_t endpoint_session(const struct endpoint *e) {
  return seal_session(e->seal);
}

// ---- for status ----

unsigned endpoint_paths(const struct endpoint *e, uint8_t peer) {
  assert(peer < VOTERS && peer != e->self);
  return e->peer[peer].paths;
}

static enum path_state state_of(bool hears, bool heard) {
  if (hears)
    return heard ? PATH_UP : PATH_MUTE;
  return heard ? PATH_DEAF : PATH_DOWN;
}

struct endpoint_path endpoint_path(const struct endpoint *e, uint8_t number, unsigned k) {
  assert(number < VOTERS && number != e->self && k < e->peer[number].paths);
  const struct peer *peer = &e->peer[number];
  const struct path *path = &peer->path[k];
  struct instant now = clock_now();
  bool heard = lately(e, peer->told_at, now) && (peer->told >> k & 1) != 0;
  double lost = path->expected - path->came;
  return (struct endpoint_path){
      .present = path->present,
      .own = path->own,
      .peer = path->address,
      .state = state_of(lately(e, path->heard, now), heard),
      .rtt_us = path->rtt_us,
      .loss_percent = path->expected > 0 ? 100 * lost / path->expected : 0,
      .error = path->error,
      .sent = path->sent,
      .received = path->received,
      .errors = path->errors,
  };
}

struct endpoint_counters endpoint_counters(const struct endpoint *e) {
  struct endpoint_counters counters = {.late = e->late,
                                       .datagrams_in = e->datagrams_in,
                                       .bytes_in = e->bytes_in,
                                       .datagrams_out = e->datagrams_out,
                                       .bytes_out = e->bytes_out};
  for (unsigned i = 0; i < SEAL_RESULT_COUNT; i++)
    counters.result[i] = seal_count(e->seal, i);
  counters.result[SEAL_MALFORMED] += e->malformed;
  return counters;
}
