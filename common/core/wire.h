// SPDX-License-Identifier: Apache-2.0
// Bytes <-> struct beat (protocol.md, section 8): fixed-size structures in network byte order, field by
// field.
//
// A datagram is the clear header, then what the seal makes of the payload. The header says who sent the beat
// and its number; the payload says everything else. Nothing here trusts the bytes it reads.
#ifndef TANIST_CORE_WIRE_H
#define TANIST_CORE_WIRE_H

#include "common/core/types.h"

#define WIRE_VERSION 1

// offset  size  field, in the clear
//      0     1  version
//      1     8  cluster: the first 8 bytes of the SHA-256 of its name
//      9     1  the sender's number (enum voter_id)
//     10     8  the sender's session, never 0
//     18     8  seq, from 1
#define WIRE_HEADER_SIZE 26
#define WIRE_BEAT_SIZE 127

#define WIRE_EPOCH_MAX EPOCH_MAX

struct wire_header {
  uint64_t cluster;
  uint8_t from;
  uint64_t session, seq;
};

enum wire_result { WIRE_OK, WIRE_MALFORMED, WIRE_OTHER_VERSION };

void wire_header_encode(const struct wire_header *, unsigned char out[WIRE_HEADER_SIZE]);

// Reads the header that a datagram of `size` bytes begins with. The version byte is looked at before anything
// else. MALFORMED: too short, a sender that is no voter, or a session or seq of 0.
enum wire_result wire_header_decode(const unsigned char *bytes, size_t size, struct wire_header *);

// The cluster that a datagram is for, before anything in it is checked; false: too short, or of another
// version.
bool wire_cluster(const unsigned char *bytes, size_t size, uint64_t *cluster);

// Encodes all but from, to and seq; returns WIRE_BEAT_SIZE.
size_t wire_encode(const struct beat *, unsigned char out[WIRE_BEAT_SIZE]);

// Decodes into *beat, whose from, to and seq the caller has filled in beforehand with what the seal has
// proved; what belongs to the sender is checked against them. False, with *beat undefined, for anything that
// no voter can have meant: a size, enum, flag, owner or length out of range, or an epoch that is not its
// leader's.
bool wire_decode(const unsigned char *bytes, size_t size, struct beat *);

#endif
