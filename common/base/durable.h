// SPDX-License-Identifier: Apache-2.0
// A small file that a crash at any moment leaves with either what was written last or what was written before
// it.
//
// Two slots of one block each are written in turn, each with one pwrite and one fdatasync, over space that
// was allocated when the file was made: the slot that holds the newest good content is never the one being
// written. A slot: magic, format version, payload length, sequence number, identity, payload, and a CRC-32C
// over all of it. The file is locked while it is open: two processes cannot share an identity.
//
// Local file systems only (it relies on rename, RENAME_NOREPLACE, flock and fdatasync being what they say).
#ifndef TANIST_BASE_DURABLE_H
#define TANIST_BASE_DURABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DURABLE_BLOCK 4096       // a slot: no smaller than a disk's physical sector, or two would share one
#define DURABLE_IDENTITY_MAX 231 // bytes, without the 0 at the end
#define DURABLE_PAYLOAD_MAX 3836 // what a block has left

struct durable;

// What a file was found to hold. `identity` is set also where it belongs to somebody else (-EXDEV).
struct durable_content {
  bool torn; // one slot was not readable (a crash during a write leaves that): this is what was written
             // before it
  char identity[DURABLE_IDENTITY_MAX + 1];
  size_t size;
  uint8_t payload[DURABLE_PAYLOAD_MAX];
};

// Opens and reads directory/name. What it gives is on the disk, not merely in the page cache.
//   -ENOENT           there is no such file (a directory that is missing is -ENOTDIR)
//   -EXDEV            whole, but of another identity: content->identity says whose
//   -EPROTONOSUPPORT  whole, but in a newer format than this program knows
//   -EBADMSG          damaged: no slot readable, or not such a file at all. Never the leftover of a crash: a
//   file
//                     that is being created appears under its name only when it is whole
//   -EBUSY            another process has it open
//   other             what the system says (-EACCES, -EIO, ...)
int durable_open(struct durable **, const char *directory, const char *name, const char *identity,
                 struct durable_content *);

// Makes the file, durably, with this first payload; it is then open as by durable_open.
//   -EEXIST there is one, -EBUSY another process is making it, -ENAMETOOLONG, -EMSGSIZE, or what the system
//   says; then there is none. (A name with ".new" at its end may be left of a crash; the next attempt takes
//   it over.)
int durable_create(struct durable **, const char *directory, const char *name, const char *identity,
                   const void *payload, size_t size);

// 0 once the payload is on the disk. After an error (-EMSGSIZE, -ENOSPC, -EIO, ...) it may be there or not;
// what was written successfully before is untouched, and stays so: the next attempt goes to the same slot.
int durable_write(struct durable *, const void *payload, size_t size);

void durable_close(struct durable *); // NULL is allowed

// Renames directory/name, whole or damaged, to a name with the date in it, which goes to `kept_as`; durably.
//   -ENOENT there is none, -EBUSY it is open in a process, -EEXIST there was one in this very second,
//   -ENAMETOOLONG, or what the system says; then it keeps its name.
int durable_set_aside(const char *directory, const char *name, char *kept_as, size_t size);

#endif
