// SPDX-License-Identifier: Apache-2.0
// How the codec takes single fields: part of codec.c, and here for its length alone. Functions are static so that the
// compiler sees into them: a search spends most of its time here.
#ifndef TANIST_EXPLORE_CODEC_FIELD_H
#define TANIST_EXPLORE_CODEC_FIELD_H

#include <assert.h>
#include <string.h>

#include "tests/explore/codec.h"

#define NOW_US                                                                                               \
  INT64_C(1000000000)       // true time of a world that was read; a multiple of all that passes at once
#define FORGOTTEN_US 500000 // longer ago than all that the cores measure in these settings, but for flaps
#define FLAPPING_US 2000000
#define NAMES_MAX 64

struct names {
  size_t count;
  uint64_t at[NAMES_MAX];
};

enum pass { COLLECT, WRITE, READ };

struct codec {
  enum pass pass;
  struct world *w;
  uint8_t *at;
  struct instant now[VOTERS];
  uint64_t epoch_min, epoch_max, shift;
  struct names beats[VOTERS]
                    [VOTERS]; // numbers of [from]'s beats that [to], or a beat to or from it, mentions
  struct names beat[VOTERS];  // all of them
  struct names session[VOTERS];
  struct names version; // epoch << 16 | version
};

// ---- names ----

static void name_add(struct names *names, uint64_t name) {
  size_t i = names->count;
  while (i > 0 && names->at[i - 1] >= name) {
    if (names->at[i - 1] == name)
      return;
    i--;
  }
  assert(names->count < NAMES_MAX);
  memmove(&names->at[i + 1], &names->at[i], (names->count - i) * sizeof names->at[0]);
  names->at[i] = name;
  names->count++;
}

static uint64_t name_below(const struct names *names, uint64_t name) {
  uint64_t below = 0;
  while (below < names->count && names->at[below] < name)
    below++;
  return below;
}

static bool name_known(const struct names *names, uint64_t name) {
  uint64_t below = name_below(names, name);
  return below < names->count && names->at[below] == name;
}

// ---- the fields' kinds ----

static uint64_t varint(struct codec *c, uint64_t value) {
  if (c->pass == WRITE) {
    uint64_t left = value;
    for (; left >= 0x80; left >>= 7)
      *c->at++ = (uint8_t)(left | 0x80);
    *c->at++ = (uint8_t)left;
  } else if (c->pass == READ) {
    value = 0;
    for (unsigned shift = 0;; shift += 7) {
      uint8_t byte = *c->at++;
      value |= (uint64_t)(byte & 0x7f) << shift;
      if (byte < 0x80)
        break;
    }
  }
  return value;
}

#define NUMBER(c, field) ((field) = (__typeof__(field))varint(c, (uint64_t)(field)))

static void boolean(struct codec *c, bool *value) {
  *value = varint(c, *value) != 0;
}

static void epoch(struct codec *c, uint64_t *value) {
  if (c->pass == COLLECT && *value != 0) {
    c->epoch_min = *value < c->epoch_min ? *value : c->epoch_min;
    c->epoch_max = *value > c->epoch_max ? *value : c->epoch_max;
  } else if (c->pass == WRITE) {
    varint(c, *value == 0 ? 0 : *value - c->shift);
  } else if (c->pass == READ) {
    *value = varint(c, 0);
  }
}

static uint64_t version_name(const struct record *record) {
  return record->epoch << 16 | record->version;
}

static void record(struct codec *c, struct record *r) {
  if (c->pass == COLLECT && r->version != 0)
    name_add(&c->version, version_name(r));
  uint64_t rank = 0;
  if (c->pass == WRITE && r->version != 0)
    rank = 1 + name_below(&c->version, version_name(r)) - name_below(&c->version, r->epoch << 16);
  rank = varint(c, rank);
  epoch(c, &r->epoch);
  NUMBER(c, r->mode);
  NUMBER(c, r->owner);
  if (c->pass == READ)
    r->version = (uint32_t)rank;
}

/* 0 NEVER, 1 PAST, else milliseconds from now, zigzag. */
static void instant_within(struct codec *c, unsigned voter, struct instant *at, int64_t most_us) {
  if (c->pass == COLLECT)
    return;
  uint64_t code = at->us == INSTANT_NEVER.us ? 0 : 1;
  if (c->pass == WRITE && at->us != INSTANT_NEVER.us && at->us != INSTANT_PAST.us) {
    int64_t us = at->us - c->now[voter].us;
    us = us < -most_us ? -most_us : us;
    assert(us % 1000 == 0);
    int64_t ms = us / 1000;
    code = 2 + (ms < 0 ? (uint64_t)(-ms) * 2 - 1 : (uint64_t)ms * 2);
  }
  code = varint(c, code);
  if (c->pass != READ)
    return;
  int64_t ms = code % 2 == 0 ? (int64_t)(code / 2) - 1 : -(int64_t)(code / 2);
  *at = code == 0 ? INSTANT_NEVER : code == 1 ? INSTANT_PAST : (struct instant){c->now[voter].us + ms * 1000};
}

static void instant(struct codec *c, unsigned voter, struct instant *at) {
  instant_within(c, voter, at, FORGOTTEN_US);
}

/* An end of which counts only whether it has come. */
static void until(struct codec *c, unsigned voter, struct instant *at) {
  struct instant over = INSTANT_PAST;
  bool runs = c->pass == READ || at->us > c->now[voter].us;
  instant(c, voter, runs ? at : &over);
}

/* What is forgotten may as well never have been. */
static void since(struct codec *c, unsigned voter, struct instant *at) {
  struct instant never = INSTANT_PAST;
  bool lately = c->pass == READ || at->us > c->now[voter].us - FORGOTTEN_US;
  instant(c, voter, lately ? at : &never);
}

static void session(struct codec *c, unsigned voter, uint64_t *value) {
  if (c->pass == COLLECT && *value != 0)
    name_add(&c->session[voter], *value);
  uint64_t rank = c->pass == WRITE && *value != 0 ? 1 + name_below(&c->session[voter], *value) : 0;
  rank = varint(c, rank);
  if (c->pass == READ)
    *value = rank;
}

/* Beats are numbered anew in each session. */
static uint64_t beat_name(uint64_t session, uint64_t seq) {
  return session << 32 | seq;
}

static uint64_t beat_rank(const struct codec *c, unsigned from, uint64_t session, uint64_t seq) {
  const struct names *names = &c->beat[from];
  return name_below(names, beat_name(session, seq)) - name_below(names, beat_name(session, 0));
}

/* A number of which only counts which of those mentioned are below it. */
static void threshold(struct codec *c, unsigned from, uint64_t session, uint64_t *seq) {
  uint64_t rank = c->pass == WRITE && *seq != 0 ? 1 + beat_rank(c, from, session, *seq) : 0;
  rank = varint(c, rank);
  if (c->pass == READ)
    *seq = rank;
}

/* The number of a beat from one voter, as the other or a beat between them remembers it. */
static void mention(struct codec *c, unsigned from, unsigned to, uint64_t session, uint64_t *seq) {
  if (c->pass == COLLECT && *seq != 0) {
    name_add(&c->beats[from][to], beat_name(session, *seq));
    name_add(&c->beat[from], beat_name(session, *seq));
  }
  threshold(c, from, session, seq);
}

#endif
