// SPDX-License-Identifier: Apache-2.0
// libtanist: what a broker, a producer or a consumer links against, so that no acknowledged message is lost
// when the master changes.
//
// Plain C on libc alone. No threads of its own; nothing is allocated after an *_open. A handle belongs to one
// thread at a time; different handles, also of the same files' pages, are independent. What only reads the
// state page (tanist_epoch, tanist_view, tanist_may_serve) is async-signal-safe.
//
// Every function returns 0 or a negative errno unless it says otherwise. Times are CLOCK_BOOTTIME in ns. A
// position counts what a log holds: that of its last entry, 0 for an empty log; a broker chooses whether it
// counts messages or bytes, and keeps to it. Nodes are 0 (`a`, the first in the configuration) and 1 (`b`).
//
// The rules and their sources: protocol.md sections 1, 6 and 9; for the receiver's fence the quorum journal
// of HDFS (three checks), for the truncation point Kafka's KIP-101 and KIP-279.
#ifndef TANIST_H
#define TANIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TANIST_API __attribute__((visibility("default")))

// ---- the state page: what this node is, right now ----

struct tanist;

enum tanist_role {
  TANIST_WITNESS, // never a node's
  TANIST_SECONDARY,
  TANIST_SUSPECT,
  TANIST_CANDIDATE,
  TANIST_MASTER,
};

// What the agent wants the broker beside it to be. A level, not an edge: the newest one alone counts.
enum tanist_mode {
  TANIST_HOLD,   // serve nobody and take no writes; keep the data
  TANIST_FOLLOW, // secondary of `master`, in its reign `duty_epoch`
  TANIST_LEAD,   // master in `duty_epoch`
};

#define TANIST_NOBODY 3                  // where a node's number could stand
#define TANIST_LEASE_SOLE UINT64_MAX     // lease_end_ns: sole ownership, no lease is needed
#define TANIST_NEED(node) (1U << (node)) // the bit of a node in a need set
#define TANIST_ADDRESS_MAX 64

// A consistent copy of the page.
struct tanist_view {
  uint32_t self;         // this node: 0 or 1
  uint32_t role;         // enum tanist_role
  uint64_t epoch;        // the highest epoch this node has promised, accepted or stood for
  uint64_t reign;        // the epoch in which this node is master, or the last one in which it was
  uint64_t lease_end_ns; // until then it may serve; 0: not at all; TANIST_LEASE_SOLE
  uint64_t masterships;  // how often this node has become master since the agent started
  uint32_t need;         // nodes whose durable copy an acknowledgement waits for
  uint32_t master;       // the node that leads, as far as known here; TANIST_NOBODY
  uint64_t master_epoch; // and in which epoch
  char master_address[TANIST_ADDRESS_MAX]; // that broker, as `broker.peers` has it; "" where unknown
  uint32_t duty_serial;                    // of the duty; tanist_done answers with it
  uint32_t duty_mode;                      // enum tanist_mode
  uint64_t duty_epoch;
  bool paused; // acknowledge nothing
  bool evict;  // close the clients' connections: the address is about to go
};

// Maps a state page, RUN/CLUSTER.NAME.state, read-only.
//   -ENOENT no agent has run here since the machine started, -ESTALE the page is of an earlier boot, -EPROTO
//   it is no state page, -EPROTONOSUPPORT one of another layout: agent and library are not of one version;
//   -ENAMETOOLONG 256 bytes or more; -EACCES, -ENOMEM
TANIST_API int tanist_open(struct tanist **, const char *path);
TANIST_API void tanist_close(struct tanist *); // NULL is allowed

// The node's epoch, one load.
TANIST_API uint64_t tanist_epoch(const struct tanist *);

// -EAGAIN: the page was being written all the while (its writer may have been stopped in the middle): ask
// again, and serve nobody until then. -ESTALE: *view is filled, but the agent has given no sign of life for
// two leases or more. Its last word stands: a lease ends by itself, and a sole owner goes on. (Should it last
// though an agent runs: the page was made anew, by an agent of another version; close and open it.)
TANIST_API int tanist_view(const struct tanist *, struct tanist_view *view);

// Whether this node is master and its lease runs at this moment; then *epoch (if not NULL) is the reign. For
// what does not pass through replication: reads, deliveries not yet acknowledged. A handle that has reported
// as the broker (below) is answered for itself, and a broker that starts anew not before the agent has
// admitted it; any other handle is a reader's and is told of this node's broker, whichever that is. So a
// broker reports its position before it asks.
TANIST_API bool tanist_may_serve(const struct tanist *, uint64_t *epoch);

enum tanist_change_type {
  TANIST_PROMOTED = 1, // this node is master now, in `epoch`
  TANIST_DEMOTED,      // it was master in `epoch` and is not any more; nobody is known to have taken over
  TANIST_DEPOSED,      // it was master, and `master` leads in `epoch` now: acknowledge nothing, rejoin there
  TANIST_EPOCH,        // who leads, or the epoch in which, is another without the above: stamp with that
  TANIST_DUTY,         // the duty or the need set is another: see tanist_view
};

struct tanist_change {
  enum tanist_change_type type;
  uint64_t epoch;
  uint32_t master; // who leads; TANIST_NOBODY
  char master_address[TANIST_ADDRESS_MAX];
};

// A descriptor that is readable when tanist_next may have something; the same one each time, the handle's
// own. A negative errno: -EMFILE and its like. A lease that merely runs out makes nothing readable: where
// that matters, set a timer to lease_end_ns.
TANIST_API int tanist_fd(struct tanist *);

// Takes the next change: 1 and *change, 0 if there is none, or a negative errno as tanist_view has it
// (-ESTALE apart). Changes that came and went between two calls are told as the shortest row that leads to
// what is; a reign that ended in between is never left out.
TANIST_API int tanist_next(struct tanist *, struct tanist_change *change);

// ---- what a message carries ----

// Says who sends it and when: for the header of each message to a node or consumer. 24 bytes.
struct tanist_stamp {
  uint8_t cluster[8]; // the first 8 bytes of the SHA-256 of the cluster's name
  uint64_t epoch;     // the sender's reign
  uint64_t serial;    // 1, 2, 3, ... within the epoch: one row of numbers for each handle
};

#define TANIST_STAMP_SIZE 24

// Fills a stamp. -EPERM: this node may not serve now; send nothing.
TANIST_API int tanist_stamp(struct tanist *, struct tanist_stamp *);
// As bytes in network order, for the wire.
TANIST_API void tanist_stamp_encode(const struct tanist_stamp *, uint8_t bytes[TANIST_STAMP_SIZE]);
TANIST_API void tanist_stamp_decode(struct tanist_stamp *, const uint8_t bytes[TANIST_STAMP_SIZE]);

// ---- the receiver's fence ----

struct tanist_fence;

enum tanist_verdict {
  TANIST_OK,      // take it
  TANIST_NEWER,   // take it; it is the first of a higher epoch, which is on the disk by now
  TANIST_STALE,   // refuse it, and tell the sender tanist_fence_epoch: that is how a dead master learns it
  TANIST_DOUBLED, // it was here before
  TANIST_GAP,     // what comes before it is missing: ask for that again
};

// Opens the fence in the file `path`, which is made if there is none. One process at a time. What was durable
// before a crash is there again, also if the crash came in the middle of a write.
//   -EBUSY another process has it open, -EBADMSG it is damaged (both its copies: no crash does that) or no
//   such file, -EPROTONOSUPPORT of a later version of this library, -EXDEV it is whole, but another kind of
//   file, -ENOTDIR there is no such directory, or what the system says. It is never made anew over a damaged
//   one: that would be forgetting. Move it away, and know that what is older is taken once more.
TANIST_API int tanist_fence_open(struct tanist_fence **, const char *path);
TANIST_API void tanist_fence_close(struct tanist_fence *);

// Looks at one message: an enum tanist_verdict, or a negative errno: the higher epoch could not be made
// durable, or (-EXDEV) the message is of another cluster; then refuse it. `position` is the message's number
// in the sender's log, one above the one before; 0: not numbered. A verdict other than OK and NEWER changes
// nothing but, where the epoch is higher, the fence's epoch. A refusal means *outcome unknown* to the
// producer, not failed.
TANIST_API int tanist_fence_check(struct tanist_fence *, const struct tanist_stamp *, uint64_t position);

TANIST_API uint64_t tanist_fence_epoch(const struct tanist_fence *); // the highest it has seen

// What the receiver holds, from its own store: after a restart, or when it has cut its log back. The next
// message is to have position + 1; 0: whatever comes first.
TANIST_API void tanist_fence_expect(struct tanist_fence *, uint64_t position);

// ---- the epoch history of a log (protocol.md section 9) ----

struct tanist_history;

struct tanist_history_row {
  uint64_t epoch;    // entries of this epoch ...
  uint64_t position; // ... begin after this position: 0 for a log's very first
};

#define TANIST_HISTORY_ROWS 200 // older ones are dropped: past that a returning node takes everything anew

// Durable, in the file `path`, which is made if there is none. Errors as with tanist_fence_open.
TANIST_API int tanist_history_open(struct tanist_history **, const char *path);
// One in memory, such as the other node has told; rows rise in both. -EINVAL where they do not, -E2BIG.
TANIST_API int tanist_history_take(struct tanist_history **, const struct tanist_history_row *, size_t count);
TANIST_API void tanist_history_close(struct tanist_history *);
TANIST_API size_t tanist_history_rows(const struct tanist_history *, const struct tanist_history_row **);

// Entries of `epoch` begin after `position`; durable when it returns 0. Rows of this epoch or a later one,
// and rows that begin there or later, are gone with it: the log was cut back to there.
TANIST_API int tanist_history_append(struct tanist_history *, uint64_t epoch, uint64_t position);

// The log was cut back to `position`: rows that begin there or later are gone. Call it after the log itself,
// and again at each rejoin, cut or not: the crash between the two is made good then.
TANIST_API int tanist_history_cut(struct tanist_history *, uint64_t position);

// *e: the greatest epoch not above `epoch` in the history; *end: where its entries end, which is where the
// next one's begin, or log_end. -ENOENT: the history holds none so old.
TANIST_API int tanist_history_end(const struct tanist_history *, uint64_t epoch, uint64_t log_end,
                                  uint64_t *e, uint64_t *end);

// Where two logs part: *position is the last one both hold, at the earlier of both ends of the newest epoch
// that both histories hold, *epoch. All that `mine` has past it is to be kept aside and discarded. -ENOENT:
// they have no epoch in common: start anew from the other's data.
TANIST_API int tanist_history_diverged(const struct tanist_history *mine, const struct tanist_history *theirs,
                                       uint64_t my_end, uint64_t their_end, uint64_t *epoch,
                                       uint64_t *position);

// ---- acknowledging: rule 1 in one place ----
//
// A message is acknowledged only when every node in `need` holds it durably under the current epoch. The
// broker says how far it and the other are; what it says goes to the agent, too, through a page of its own
// beside the state page. Each of these may return what opening that page has met: -ENOENT, -EACCES (the
// broker must be in the group of the page), -EPROTO, -EPROTONOSUPPORT, -ESTALE, and -EINVAL where the state
// page is not called *.state.

// The own log: its last entry is of `epoch`; everything up to `durable` would survive a crash of the machine,
// and is applied up to `applied`.
TANIST_API int tanist_report_position(struct tanist *, uint64_t epoch, uint64_t durable, uint64_t applied);
// As master: the other node has confirmed, under `epoch`, this node's reign, that it holds everything up to
// `position` durably. What it confirmed under another epoch is no help: -ESTALE. -EAGAIN as tanist_view: it is
// to be said again.
TANIST_API int tanist_peer_acked(struct tanist *, uint64_t epoch, uint64_t position);
// Whether the other node is attached to this one (as master), or this one to its master.
TANIST_API int tanist_attached(struct tanist *, bool);
// The duty with this serial is reached: from here on the broker does as it says. Call tanist_report_position
// first: the position goes with it.
TANIST_API int tanist_done(struct tanist *, uint32_t serial);
// The broker's own word on whether it is fit to lead; without it, being attached to the page is enough.
TANIST_API int tanist_healthy(struct tanist *, bool);

// Whether the message at `position`, which this node appended in `epoch`, may be acknowledged now.
TANIST_API bool tanist_ack_ready(struct tanist *, uint64_t epoch, uint64_t position);
// How far everything may be acknowledged and delivered; 0 while this node may not serve or a pause is on.
// Never goes back within a reign. With `replication = "async"` up to max_lag_bytes, in the broker's positions,
// past what the other node holds.
TANIST_API uint64_t tanist_commit_position(struct tanist *);

// For status: totals since the broker's start. A check of your own (`health` in the configuration) that reads
// them there can make of them a criterion of dead.
enum tanist_counter { TANIST_RECEIVED, TANIST_ACKNOWLEDGED, TANIST_DELIVERED, TANIST_COUNTERS };
TANIST_API int tanist_progress(struct tanist *, enum tanist_counter, uint64_t n);
// The broker here finds that the master is not serving it: said in status, nothing is done by it alone.
TANIST_API int tanist_suspect(struct tanist *, const char *reason);

// A receiver has refused what this node sent: its fence has seen `epoch`. From here on nothing below that
// epoch is served, stamped or acknowledged through this handle; the agent hears of it as by tanist_suspect.
// Take it only from those who are as trusted as the nodes: a lie stops the broker until its next reign.
TANIST_API int tanist_overtaken(struct tanist *, uint64_t epoch);

// An orphan file (below) has been written: its path goes into the agent's events.
TANIST_API int tanist_orphaned(struct tanist *, const char *path);

// ---- a producer's outbox, and the receiver's de-duplication ----

struct tanist_outbox;

struct tanist_message {
  uint64_t number;  // rises by one from put to put
  const void *data; // in the outbox; valid until it is acknowledged
  size_t size;
  uint64_t producer; // under whom it was put: the key is (producer, number)
};

// Keeps what was not acknowledged, in a file of `capacity` bytes (rounded up to pages) that is made if there
// is none, or in memory if `path` is NULL. What a crashed producer had put is there again; after a crash of
// the machine what tanist_outbox_sync has seen. Which numbers such a crash made it forget nobody knows: so
// what is put after it is of a new producer, and what was there keeps the one that it had. A file that is
// there keeps the capacity it was made with. Errors as with tanist_fence_open, also -EPROTONOSUPPORT for an
// earlier version; -EINVAL for a capacity below 4096, -ENOSPC where the disk has not that much.
TANIST_API int tanist_outbox_open(struct tanist_outbox **, const char *path, size_t capacity);
TANIST_API void tanist_outbox_close(struct tanist_outbox *);
TANIST_API uint64_t tanist_outbox_producer(const struct tanist_outbox *); // of what is put now; random
// -ENOSPC: too much is unacknowledged, wait; -EMSGSIZE: more than a quarter of the capacity.
TANIST_API int tanist_outbox_put(struct tanist_outbox *, const void *data, size_t size, uint64_t *number);
// The next one to send: 1 and *message, or 0. In the order of their numbers, each once, until rewound.
TANIST_API int tanist_outbox_next(struct tanist_outbox *, struct tanist_message *message);
// After a change of master, or a lost connection: whatever is not acknowledged is sent again, under its
// number.
TANIST_API void tanist_outbox_rewind(struct tanist_outbox *);
// The master has acknowledged this one. -ENOENT: there is no such one, or it was before.
TANIST_API int tanist_outbox_acked(struct tanist_outbox *, uint64_t number);
TANIST_API int tanist_outbox_sync(struct tanist_outbox *);           // to the disk
TANIST_API size_t tanist_outbox_count(const struct tanist_outbox *); // not acknowledged

struct tanist_dedup;

// Knows the newest number of up to `producers` producers. In memory: a broker, also as secondary, feeds it
// from its log, in which each entry keeps producer and number.
TANIST_API int tanist_dedup_open(struct tanist_dedup **, size_t producers);
TANIST_API void tanist_dedup_close(struct tanist_dedup *);
// TANIST_OK: new, and next in its row, or the first of this producer; TANIST_DOUBLED: acknowledge it again,
// do not append it; TANIST_GAP: one before it is missing; -ENOSPC: a new producer, and there is no room for
// another: refuse it. Changes nothing.
TANIST_API int tanist_dedup_check(const struct tanist_dedup *, uint64_t producer, uint64_t number);
// It is in the log now. -ENOSPC: more producers than there is room for.
TANIST_API int tanist_dedup_take(struct tanist_dedup *, uint64_t producer, uint64_t number);
TANIST_API void tanist_dedup_clear(struct tanist_dedup *); // the log was cut back: feed it anew

// ---- orphan files: what a rejoin cuts off is kept first ----

struct tanist_orphan;

struct tanist_orphan_head {
  uint64_t epoch;        // of the newest epoch both logs held
  uint64_t position;     // the last position both held: what follows was cut off
  uint64_t master_epoch; // of the master that the node rejoined
  int64_t wall_ms;       // when, since 1970
};

struct tanist_orphan_entry {
  uint64_t epoch, position;  // as in the log it was cut from
  uint64_t producer, number; // 0 where the broker has none
  const void *data;          // valid until the next call
  size_t size;
};

#define TANIST_ORPHAN_ENTRY_MAX (64U << 20)

// To write: makes `path`; -EEXIST. It is whole, and has its name, only once tanist_orphan_finish has returned
// 0: cut nothing off before. An error while writing (-ENOSPC, ...) stays: finish returns it too.
TANIST_API int tanist_orphan_create(struct tanist_orphan **, const char *path,
                                    const struct tanist_orphan_head *);
TANIST_API int tanist_orphan_write(struct tanist_orphan *, const struct tanist_orphan_entry *);
TANIST_API int
tanist_orphan_finish(struct tanist_orphan *); // to the disk, with its name; frees it, also on error
// To read. -EBADMSG: no orphan file; -EPROTONOSUPPORT: of another version.
TANIST_API int tanist_orphan_open(struct tanist_orphan **, const char *path, struct tanist_orphan_head *);
// 1 and *entry, 0 at the end, -EBADMSG: damaged, or cut short, from here on. What came before is good.
TANIST_API int tanist_orphan_next(struct tanist_orphan *, struct tanist_orphan_entry *);
TANIST_API void tanist_orphan_close(struct tanist_orphan *); // one that was not finished is removed

#ifdef __cplusplus
}
#endif

#endif
