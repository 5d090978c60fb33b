// SPDX-License-Identifier: Apache-2.0
// What a Redis says of itself in the sections `replication`, `server`, `keyspace` and `persistence` of INFO.
#ifndef TANIST_AGENT_REDIS_INFO_H
#define TANIST_AGENT_REDIS_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_ID_MAX 41    // a run id or replication id: 40 hexadecimal digits
#define REDIS_HOST_MAX 256 // a host name as REPLICAOF takes it

struct redis_info {
  bool master;           // role:master; else a secondary
  char id[REDIS_ID_MAX]; // master_replid: the history that the offsets count in
  char former_id[REDIS_ID_MAX]; // master_replid2: whose history it went on with
  uint64_t former_end;   // that holds up to before this offset
  uint64_t backlog, backlog_size; // master: from which offset on, and how many bytes, it can send again
  uint64_t offset;       // master: master_repl_offset; secondary: slave_repl_offset, what it has carried out
  char host[REDIS_HOST_MAX]; // secondary: whom it follows
  uint16_t port;
  bool link_up;  // secondary: master_link_status:up
  bool syncing;  // secondary: a full resynchronisation is under way
  bool online;   // master: a secondary is attached, state=online
  uint32_t lag;  // master: of the online secondary that acknowledged last, in s; UINT32_MAX: none
  bool sync;     // master: min-replicas-to-write is on
  uint32_t good; // master, while `sync`: secondaries that count
};

// Can `master` go on from where `secondary` stands (PSYNC), or must that discard all and copy?
bool redis_info_continues(const struct redis_info *secondary, const struct redis_info *master);

// Reads the section `replication`. False when it is not one; unknown lines are passed over, absent ones are
// 0.
bool redis_info_replication(const char *text, size_t length, struct redis_info *);

// Copies the value of `key:` within INFO's text to `value`, cut to size. False when the key is absent.
bool redis_info_value(const char *text, size_t length, const char *key, char *value, size_t size);

// What the section `persistence` says of what would survive a restart.
struct redis_disk {
  bool loading;
  bool aof;       // the append-only file is on, at least in name
  bool written;   // aof_last_write_status:ok
  bool rewriting; // a rewrite of it is under way or due
  bool rewritten; // aof_last_bgrewrite_status:ok
  bool saved;     // rdb_last_bgsave_status:ok
};

// Reads the section `persistence`. False when it is not one.
bool redis_info_disk(const char *text, size_t length, struct redis_disk *);

// The id that CLIENT LIST TYPE master gives the connection to the master: another one after each full
// resynchronisation. 0: there is none.
uint64_t redis_info_master_link(const char *text, size_t length);

// True when a section `keyspace` lists a database: there are keys.
bool redis_info_has_keys(const char *text, size_t length);

#endif
