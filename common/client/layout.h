// SPDX-License-Identifier: Apache-2.0
// The two pages that agent and broker share, as both sides see them. The state page is the agent's to write
// (RUN/CLUSTER.NAME.state), the report page the broker's (RUN/CLUSTER.NAME.report, made by the agent). Both
// are one page, local to a machine and a boot, so that nothing here has a byte order. What changes lies under
// a sequence lock; a writer that was killed in the middle is mended by the next write.
#ifndef TANIST_CLIENT_LAYOUT_H
#define TANIST_CLIENT_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/client/tanist.h"

#define PAGE_SIZE_BYTES 4096
#define PAGE_LAYOUT 1
#define PAGE_STATE_MAGIC 0x3174617473746174U  // "tatstat1"
#define PAGE_REPORT_MAGIC 0x317065727474616eU // "nattrep1"
#define PAGE_BOOT_ID 40
#define PAGE_BELL (PAGE_SIZE_BYTES - 8) // a write(2) there tells whoever watches the file by inotify

struct page_head {
  uint64_t magic;
  uint32_t layout, self;
  char boot_id[PAGE_BOOT_ID];
  uint8_t cluster[8];
};

// All members are multiples of 8 bytes.
struct page_state {
  uint64_t epoch; // first: tanist_epoch reads it alone
  uint64_t role, reign, lease_end_ns;
  uint64_t admitted; // the broker that the duty is for: its page_report.incarnation, PAGE_ANYBODY, or 0
  uint64_t masterships;
  uint64_t need, master, master_epoch;
  uint64_t max_lag; // so far behind may the others of `need` be
  uint64_t duty_serial, duty_mode, duty_epoch, duty_flags;
  uint64_t ping;           // the agent asks whether the broker's loop turns
  uint64_t alive_until_ns; // the agent writes again before
  char master_address[TANIST_ADDRESS_MAX];
};

// A broker that starts anew must not go on with a duty given to the one before: it may have lost the last of
// what that one said. So a duty counts only for the broker that the agent has admitted.
#define PAGE_ANYBODY UINT64_MAX // the broker has a driver that does not need the pages

enum page_duty_flag { PAGE_PAUSED = 1, PAGE_EVICT = 2 };

struct page_report {
  uint64_t pid; // of the broker
  uint64_t incarnation; // when it began to report, CLOCK_BOOTTIME ns: another one, another broker
  uint64_t pong;        // the last ping it has seen
  uint64_t epoch, durable, applied;
  uint64_t peer_epoch, peer_position;
  uint64_t attached, unfit;
  uint64_t done_serial, done_position;
  uint64_t counter[TANIST_COUNTERS];
  uint64_t suspects; // how often; with the last reason
  char suspect[128];
  uint64_t orphans; // how many files; with the last one's path
  char orphan[256];
};

#define PAGE_WORDS(type) (sizeof(type) / sizeof(uint64_t))

struct page {
  struct page_head head;
  _Atomic uint64_t sequence; // odd: being written
  _Atomic uint64_t word[];   // struct page_state or struct page_report
};

static_assert(sizeof(struct page_state) % 8 == 0 && sizeof(struct page_report) % 8 == 0, "whole words");
static_assert(sizeof(struct page) + sizeof(struct page_report) < PAGE_BELL, "they fit into a page");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "pages are shared between processes");

// This machine's present boot, as in /proc/sys/kernel/random/boot_id. 0 or a negative errno.
int page_boot_id(char id[PAGE_BOOT_ID]);

// Maps a page: for reading, or, with `writable`, for writing too. *fd stays open for the bell; the caller
// closes both. -EPROTO, -EPROTONOSUPPORT, -ESTALE as tanist_open.
int page_map(struct page **, int *fd, const char *path, uint64_t magic, bool writable);

// Makes the page, or takes up the one that is there, so that a broker that has mapped it goes on seeing it.
int page_make(struct page **, int *fd, const char *path, const struct page_head *head, unsigned mode);

void page_unmap(struct page *, int fd);
void page_ring(int fd); // the bell

// A consistent copy of `words` words; false: it was being written all the while.
bool page_read(const struct page *, void *to, unsigned words);
void page_write(struct page *, const void *from, unsigned words); // one writer at a time

#endif
