// SPDX-License-Identifier: Apache-2.0
// A voter's ballot file. Its two slots are kept as ballots; where a crash, a fault or a start makes the bytes
// matter, they are those of the real writer (ballot_encode, slot_encode), and the real reader judges them.
#include <errno.h>
#include <string.h>

#include "common/base/ballot.h"
#include "tests/sim/sim.h"

#define IDENTITY "sim"

static struct disk *disk_of(unsigned who) {
  return &sim.process[who].disk;
}

static unsigned newest(const struct disk *d) {
  unsigned other = 1 - d->good;
  return d->whole[other] && d->sequence[other] > d->sequence[d->good] ? other : d->good;
}

const struct ballot *disk_ballot(unsigned who) {
  const struct disk *d = disk_of(who);
  return &d->slot[newest(d)];
}

static void encode(uint8_t *block, const struct ballot *ballot, uint64_t sequence) {
  uint8_t bytes[BALLOT_BYTES];
  ballot_encode(bytes, ballot);
  slot_encode(block, sequence, IDENTITY, bytes, sizeof bytes);
}

static void encode_file(uint8_t file[SLOT_FILE_SIZE], const struct disk *d) {
  for (unsigned i = 0; i < SLOT_COUNT; i++) {
    encode(file + i * DURABLE_BLOCK, &d->slot[i], d->sequence[i]);
    if (!d->whole[i]) /* torn long ago: its checksum is of no use */
      file[(i + 1) * DURABLE_BLOCK - 1] ^= 0x5a;
  }
}

static int decode_file(const uint8_t file[SLOT_FILE_SIZE], struct ballot *ballot) {
  struct durable_content content = {0};
  uint64_t sequence;
  memset(ballot, 0, sizeof *ballot);
  int rc = slot_choose(file, IDENTITY, &content, &sequence);
  return rc != 0 ? rc : ballot_decode(ballot, content.payload, content.size);
}

static bool same(const struct ballot *a, const struct ballot *b) {
  uint8_t one[BALLOT_BYTES], other[BALLOT_BYTES];
  ballot_encode(one, a);
  ballot_encode(other, b);
  return memcmp(one, other, BALLOT_BYTES) == 0;
}

static void fill(struct disk *d, const struct ballot *ballot) {
  for (unsigned i = 0; i < SLOT_COUNT; i++) {
    d->slot[i] = *ballot;
    d->sequence[i] = SLOT_COUNT - i;
    d->whole[i] = true;
  }
  d->good = 0;
}

void disk_blank(unsigned who) {
  struct ballot blank = {.blank = true, .sync = {.owner = NOBODY}};
  for (unsigned i = 0; i < VOTERS; i++)
    blank.seen[i].sync.owner = NOBODY;
  fill(disk_of(who), &blank);
}

void disk_restore(unsigned who, const struct ballot *snapshot) {
  fill(disk_of(who), snapshot);
}

/* The slot of the next write, with all of it in place. */
static unsigned put(struct disk *d, const struct ballot *ballot) {
  unsigned slot = 1 - d->good;
  d->slot[slot] = *ballot;
  d->sequence[slot] = d->sequence[d->good] + 1;
  d->whole[slot] = true;
  return slot;
}

/* A part of the block is new, the rest is what was there before: then the ballot before this one must be what
   is read. Where the part makes no difference, or all of it, nothing was torn. */
static void tear(unsigned who, const struct ballot *ballot) {
  struct disk *d = disk_of(who), then = *d;
  uint8_t file[SLOT_FILE_SIZE], before[SLOT_FILE_SIZE], after[SLOT_FILE_SIZE];
  struct ballot read;
  encode_file(before, d);
  unsigned slot = put(d, ballot);
  encode_file(after, d);
  size_t from = slot * DURABLE_BLOCK,
         size = (size_t)below(DURABLE_BLOCK / 512) * 512 + (chance(2) ? below(512) : 0);
  memcpy(file, before, sizeof file);
  memcpy(file + from, after + from, size);
  if (memcmp(file, before, sizeof file) == 0)
    *d = then;
  else
    d->whole[slot] = memcmp(file, after, sizeof file) == 0;
  sim.torn++;
  if (decode_file(file, &read) != 0 || !same(&read, disk_ballot(who)))
    broken("section 2: a torn write leaves the ballot before it", "%s, %zu bytes of it written",
           voter_name(who), size);
}

bool disk_write(unsigned who, const struct ballot *ballot) {
  struct disk *d = disk_of(who);
  const struct ballot *now = disk_ballot(who);
  if (ballot->epoch < now->epoch && !now->blank)
    broken("an epoch only rises", "%s writes %lu after %lu", voter_name(who), ballot->epoch, now->epoch);
  if (d->full || (d->failing && chance(2))) {
    if (!d->full && chance(2))
      put(d, ballot); /* written, but nobody can say so */
    else if (!d->full && chance(2))
      tear(who, ballot);
    return false;
  }
  d->good = put(d, ballot);
  return true;
}

void disk_cut(unsigned who, const struct ballot *ballot) {
  uint64_t how = below(3);
  if (how == 0)
    put(disk_of(who), ballot); /* it had just reached the disk */
  else if (how == 1)
    tear(who, ballot);
}

void disk_read(unsigned who, struct ballot *ballot) {
  struct disk *d = disk_of(who);
  uint8_t file[SLOT_FILE_SIZE];
  encode_file(file, d);
  if (decode_file(file, ballot) != 0 || !same(ballot, disk_ballot(who)))
    broken("section 2: what was written is read", "%s starts with epoch %lu after %lu", voter_name(who),
           ballot->epoch, disk_ballot(who)->epoch);
  d->good = newest(d);
}

/* Both slots, by a bad disk or by a program that wrote nonsense with a good checksum. */
void disk_damage(unsigned who) {
  const struct disk *d = disk_of(who);
  uint8_t file[SLOT_FILE_SIZE], bytes[BALLOT_BYTES];
  struct ballot read;
  encode_file(file, d);
  bool nonsense = chance(2);
  ballot_encode(bytes, disk_ballot(who));
  bytes[4 + 8 + 8 + 4] = 7; /* the mode of its record */
  for (unsigned i = 0; i < SLOT_COUNT; i++)
    if (nonsense)
      slot_encode(file + i * DURABLE_BLOCK, SLOT_COUNT - i, IDENTITY, bytes, sizeof bytes);
    else
      file[i * DURABLE_BLOCK + below(DURABLE_BLOCK)] ^= (uint8_t)(1u << below(8));
  if (decode_file(file, &read) != -EBADMSG)
    broken("section 2: a damaged ballot is refused", "%s reads epoch %lu%s", voter_name(who), read.epoch,
           read.blank ? ", blank" : "");
}
