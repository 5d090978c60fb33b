// SPDX-License-Identifier: Apache-2.0
// `tanist doctor`: looks at the live machine. An examination is a row of the table in ctl_doctor.c, one file
// a kind (ctl_doctor_*.c). Looking and judging are apart: what judges takes what was seen, and says lines.
#ifndef TANIST_AGENT_DOCTOR_H
#define TANIST_AGENT_DOCTOR_H

#include <sys/types.h>

#include "agent/ctl.h"
#include "common/base/json.h"
#include "common/core/types.h"

#define DOCTOR_LINES_MAX 128
#define DOCTOR_TEXT_MAX 512

enum doctor_level {
  DOCTOR_OK,
  DOCTOR_NOTE,    // worth knowing; nothing has to be mended
  DOCTOR_UNKNOWN, // could not be examined, and why
  DOCTOR_FINDING, // to be mended: exit 1
};

struct doctor_line {
  const char *examination;
  enum doctor_level level;
  char text[DOCTOR_TEXT_MAX];
  char mend[DOCTOR_TEXT_MAX]; // a command, or what to do; "" if there is nothing to do
};

struct doctor {
  const char *file;         // of the configuration; NULL: none was found
  struct cluster_conf conf; // only if `loaded`
  bool loaded;
  unsigned self;                 // enum voter_id; NOBODY: not known
  const struct json *status;     // of the daemon here; NULL: none answers
  char silence[DOCTOR_TEXT_MAX]; // why none does
  pid_t pid;                     // of the daemon; 0: not known
  const char *now;               // the examination under way
  struct doctor_line line[DOCTOR_LINES_MAX];
  size_t count;
};

// Adds a line of the examination under way.
void doctor_say(struct doctor *, enum doctor_level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// What mends the last one.
void doctor_mend(struct doctor *, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *doctor_level_name(enum doctor_level);                       // "ok", "note", "unknown", "finding"
const char *doctor_unit(const struct doctor *, char *buf, size_t size); // the systemd unit; returns buf

// ---- the examinations ----

typedef void doctor_fn(struct doctor *);
doctor_fn doctor_agent, doctor_paths, doctor_clocks, doctor_fence, doctor_capabilities, doctor_realtime,
    doctor_keys, doctor_ports, doctor_virtual_ip, doctor_budget;

// ---- judging, by itself ----

// One path of the status to a voter.
void doctor_judge_path(struct doctor *, unsigned voter, const struct json *path);

void doctor_judge_clock(struct doctor *, unsigned voter, const struct json *clock);

#define DOCTOR_FENCE_MS 1000 // so long is it armed
#define DOCTOR_GAPS_MAX 8
struct doctor_fence_trial {
  int error;       // of opening or arming, negative errno; 0: tried
  const char *why; // in words, with an error
  const char *mechanism;
  bool leaked;     // passed before it was armed
  unsigned passed; // datagrams while it was armed
  int64_t late_us; // the last one that passed was sent so long after the deadline; negative: before it
  size_t gaps;     // what this mechanism does not cover, and why none better is in use
  char gap[DOCTOR_GAPS_MAX][512];
};
void doctor_judge_fence(struct doctor *, const struct doctor_fence_trial *);
// What the running agent's fence is and does not cover, by its status; without one, what the trial's does not.
void doctor_judge_gaps(struct doctor *, const struct json *status_fence, const struct doctor_fence_trial *);

// `effective`: CapEff of the process that counts, `whose` in words.
void doctor_judge_capabilities(struct doctor *, uint64_t effective, const char *whose);

struct doctor_realtime_seen {
  int policy;   // SCHED_OTHER, SCHED_FIFO, …
  bool allowed; // it may be scheduled in real time: RLIMIT_RTPRIO or CAP_SYS_NICE
  const char *whose;
};
void doctor_judge_realtime(struct doctor *, const struct doctor_realtime_seen *);

struct doctor_key_seen {
  const char *path;
  int result;          // of key_load
  const char *error;   // its words
  bool matches;        // the public key of the configuration
  uid_t owner, daemon; // daemon (uid_t)-1: not known
};
void doctor_judge_key(struct doctor *, const struct doctor_key_seen *);

struct doctor_port_seen {
  const char *address;  // "10.0.0.1:7400"
  const char *protocol; // "udp", "tcp"
  const char *key;      // of the configuration
  int bind_error;       // of binding it now, errno; 0: free
  pid_t holder;         // 0: nobody seen
  char program[32];     // of the holder
};
void doctor_judge_port(struct doctor *, const struct doctor_port_seen *);

#define DOCTOR_MACS_MAX 4
struct doctor_macs {
  size_t count;
  uint8_t at[DOCTOR_MACS_MAX][6];
};
struct doctor_vip_seen {
  size_t index;               // in the configuration
  int error;                  // of asking, negative errno
  bool held;                  // the daemon here says so
  bool here;                  // the address is on an interface here
  struct doctor_macs answers; // who answered for it
  struct doctor_macs peer;    // who answered for the other node's own addresses there
  bool peer_leads;            // by the status
};
void doctor_judge_virtual_ip(struct doctor *, const struct doctor_vip_seen *);

// -1 for what could not be measured.
void doctor_judge_budget(struct doctor *, int64_t rtt_us, int64_t sync_us);

#endif
