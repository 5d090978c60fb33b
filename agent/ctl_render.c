// SPDX-License-Identifier: Apache-2.0
// The screen of `status`, from the same object that --json prints.
#include "agent/ctl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/text.h"

#define WIDTH 80
#define LABEL 10 // columns of the labels at the left
#define LINE_MAX_BYTES 1024

// ---- lines ----

// Words behind a label, wrapped; further lines begin below the first one's text.
static void print_wrapped(FILE *f, const char *label, char *text) {
  size_t column = (size_t)fprintf(f, "%-*s", LABEL, label);
  bool first = true;
  text_clean(text, strlen(text));
  for (char *w = strtok(text, " "); w; w = strtok(NULL, " ")) {
    size_t n = strlen(w);
    if (!first && column + 1 + n > WIDTH) {
      fprintf(f, "\n%*s", LABEL, "");
      column = LABEL;
      first = true;
    }
    fprintf(f, "%s%s", first ? "" : " ", w);
    column += n + !first;
    first = false;
  }
  fputc('\n', f);
}

static void line(FILE *, const char *label, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void line(FILE *f, const char *label, const char *format, ...) {
  char text[LINE_MAX_BYTES];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  print_wrapped(f, label, text);
}

// What the agent wants said of a part that this program may not know more of.
static void print_notes(FILE *f, const struct json *part) {
  const struct json *notes = json_get(part, "notes");
  const char *note = json_get_text(part, "note", "");
  if (*note)
    line(f, "", "%s", note);
  for (size_t i = 0; i < json_count(notes); i++)
    line(f, "", "%s", json_as_text(json_at(notes, i), ""));
}

// ---- parts ----

static void print_record(FILE *f, const struct json *record) {
  const char *mode = json_get_text(record, "mode", "?");
  if (strcmp(mode, "sole") == 0)
    line(f, "record",
         "sole: only %s is known to hold all that was acknowledged (epoch %" PRId64 ", version %" PRId64 ")",
         json_get_text(record, "owner", "?"), json_get_int(record, "epoch", 0),
         json_get_int(record, "version", 0));
  else
    line(f, "record",
         "%s: both nodes hold all that was acknowledged (epoch %" PRId64 ", version %" PRId64 ")", mode,
         json_get_int(record, "epoch", 0), json_get_int(record, "version", 0));
  print_notes(f, record);
}

static void print_lease(FILE *f, const struct json *lease) {
  int64_t left = json_get_int(lease, "remaining_ms", -1);
  if (json_get_bool(lease, "sole", false))
    line(f, "lease", "none needed: sole owner, no other node can be elected");
  else if (json_get_bool(lease, "valid", false) && left >= 0)
    line(f, "lease", "valid, %" PRId64 " ms left", left);
  else if (json_get_bool(lease, "valid", false))
    line(f, "lease", "valid");
  else
    line(f, "lease", "none here");
  print_notes(f, lease);
}

// "3 d 4 h", "12 min 5 s": two units are enough.
static void put_duration(char *buf, size_t size, int64_t ms) {
  static const struct {
    int64_t s;
    const char *name;
  } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
  int64_t s = ms > 0 ? ms / 1000 : 0;
  size_t i = 0;
  while (i < 3 && s < units[i].s)
    i++;
  int n = snprintf(buf, size, "%" PRId64 " %s", s / units[i].s, units[i].name);
  if (i < 3 && n > 0)
    snprintf(buf + n, size - (size_t)n, " %" PRId64 " %s", s % units[i].s / units[i + 1].s,
             units[i + 1].name);
}

// What an operator ordered and is still in force. The reason for a force is among the warnings.
static void print_orders(FILE *f, const struct json *s) {
  const struct json *forced = json_get(s, "forced");
  char lasting[64];
  put_duration(lasting, sizeof lasting, json_get_int(s, "frozen_ms", 0));
  if (json_get(s, "frozen_since"))
    line(f, "FROZEN", "for %s, since %s, by %s: no automatic failover until an operator thaws it", lasting,
         json_get_text(s, "frozen_since", "?"), json_get_text(s, "frozen_by", "an operator elsewhere"));
  else if (json_get_bool(s, "frozen", false))
    line(f, "FROZEN", "no automatic failover until an operator thaws it");
  for (size_t i = 0; i < json_count(forced); i++)
    line(f, "FORCED", "%s leads, or led, in epoch %" PRId64 " without a majority",
         json_get_text(json_at(forced, i), "node", "?"), json_get_int(json_at(forced, i), "epoch", 0));
}

static void print_master(FILE *f, const struct json *s) {
  const char *node = json_get_text(s, "node", "?"), *master = json_get_text(s, "master", NULL);
  const char *role = json_get_text(s, "role", "?");
  int64_t epoch = json_get_int(s, "epoch", 0), reign = json_get_int(s, "reign", 0);
  if (json_get_bool(json_get(s, "fence"), "awaited", false))
    line(f, "master", "NOBODY YET: this node is elected in epoch %" PRId64 ", and waits for the fence device", reign);
  else if (!master)
    line(f, "master", "UNKNOWN: no master is heard here (epoch %" PRId64 ")", epoch);
  else if (strcmp(role, "master") == 0)
    line(f, "master", "%s, this node, in epoch %" PRId64, master, reign);
  else
    line(f, "master", "%s, in epoch %" PRId64, master, epoch);
  if (strcmp(role, "master") != 0)
    line(f, "this node", "%s, %s", node, role);
  print_orders(f, s);
}

static void print_broker(FILE *f, const struct json *broker) {
  const char *driver = json_get_text(broker, "driver", "none");
  char positions[128] = "";
  int64_t own = json_get_int(broker, "position", -1), peer = json_get_int(broker, "peer_position", -1);
  if (!broker)
    return;
  if (strcmp(driver, "none") == 0) {
    line(f, "broker", "none");
    print_notes(f, broker);
    return;
  }
  if (own >= 0 && peer >= 0)
    snprintf(positions, sizeof positions, "; position %" PRId64 ", the other %" PRId64, own, peer);
  else if (own >= 0)
    snprintf(positions, sizeof positions, "; position %" PRId64 ", the other's unknown", own);
  line(f, "broker", "%s: %s, %s, %s%s", driver, json_get_text(broker, "state", "?"),
       json_get_bool(broker, "healthy", false) ? "healthy" : "NOT HEALTHY",
       json_get_bool(broker, "in_sync", false) ? "in sync" : "not in sync", positions);
  print_notes(f, broker);
}

static void print_addresses(FILE *f, const struct json *list) {
  for (size_t i = 0; i < json_count(list); i++) {
    const struct json *vip = json_at(list, i);
    line(f, i == 0 ? "address" : "", "%s %s", json_get_text(vip, "address", "?"),
         json_get_bool(vip, "held", false) ? "held here" : "not here");
    print_notes(f, vip);
  }
}

static void print_process(FILE *f, const struct json *process) {
  int64_t stalls = json_get_int(process, "stalls", 0);
  bool late = process != NULL && (!json_get_bool(process, "realtime", true) || stalls > 0);
  if (!late && json_count(json_get(process, "notes")) == 0)
    return;
  line(f, "agent", "real-time %s, memory locked %s, %" PRId64 " stall%s, the longest %" PRId64 " ms",
       json_get_bool(process, "realtime", false) ? "yes" : "no",
       json_get_bool(process, "memory_locked", false) ? "yes" : "no", stalls, stalls == 1 ? "" : "s",
       json_get_int(process, "longest_stall_ms", 0));
  print_notes(f, process);
}

static void print_fence(FILE *f, const struct json *fence) {
  if (!fence)
    return;
  const char *by = json_get_text(fence, "mechanism", "");
  const char *device = json_get_text(fence, "device", "none");
  bool there = strcmp(device, "none") != 0;
  line(f, "fence", "kernel %s%s%s, watchdog %s%s%s", json_get_text(fence, "kernel", "?"), *by ? " by " : "", by,
       json_get_text(fence, "watchdog", "?"), there ? ", device " : "", there ? device : "");
  print_notes(f, fence);
}

// ---- voters ----

static void print_path(FILE *f, const struct json *path) {
  char address[64], text[160];
  int64_t rtt = json_get_int(path, "rtt_us", -1);
  double loss = json_get_real(path, "loss_percent", -1);
  snprintf(address, sizeof address, "%s", json_get_text(path, "address", "?"));
  int n = snprintf(text, sizeof text, "%-31s %-5s", address, json_get_text(path, "state", "?"));
  if (rtt >= 0 && n > 0 && (size_t)n < sizeof text)
    n += snprintf(text + n, sizeof text - (size_t)n, " %9.2f ms", (double)rtt / 1000);
  else if (n > 0 && (size_t)n < sizeof text)
    n += snprintf(text + n, sizeof text - (size_t)n, " %9s   ", "-");
  if (loss >= 0 && (size_t)n < sizeof text)
    snprintf(text + n, sizeof text - (size_t)n, " %6.1f %% lost", loss);
  text_clean(text, strlen(text));
  fprintf(f, "%*s%s\n", LABEL + 2, "", text);
}

static void print_voter(FILE *f, const char *label, const struct json *voter) {
  const struct json *paths = json_get(voter, "paths");
  const char *role = json_get_text(voter, "role", "?");
  bool witness = strcmp(role, "witness") == 0;
  if (!json_get_bool(voter, "reachable", false))
    line(f, label, "%s: NOT HEARD, last known as %s in epoch %" PRId64, json_get_text(voter, "name", "?"),
         role, json_get_int(voter, "epoch", 0));
  else
    line(f, label, "%s: %s, epoch %" PRId64 "%s%s", json_get_text(voter, "name", "?"), role,
         json_get_int(voter, "epoch", 0),
         witness                                  ? ""
         : json_get_bool(voter, "healthy", false) ? ", healthy"
                                                  : ", NOT HEALTHY",
         json_get_bool(voter, "blank", false) ? ", BLANK" : "");
  for (size_t i = 0; i < json_count(paths); i++)
    print_path(f, json_at(paths, i));
  print_notes(f, voter);
}

static void print_voters(FILE *f, const struct json *voters) {
  for (size_t i = 0; i < json_count(voters); i++)
    print_voter(f, i == 0 ? "voters" : "", json_at(voters, i));
}

static void print_warnings(FILE *f, const struct json *warnings) {
  for (size_t i = 0; i < json_count(warnings); i++)
    line(f, i == 0 ? "WARNING" : "", "- %s", json_as_text(json_at(warnings, i), "?"));
}

// ---- screens ----

static void print_node(FILE *f, const struct json *s) {
  line(f, "cluster", "%s, as %s sees it", json_get_text(s, "cluster", "?"), json_get_text(s, "node", "?"));
  print_master(f, s);
  print_lease(f, json_get(s, "lease"));
  print_record(f, json_get(s, "record"));
  print_broker(f, json_get(s, "broker"));
  print_addresses(f, json_get(s, "virtual_ip"));
  print_fence(f, json_get(s, "fence"));
  print_process(f, json_get(s, "process"));
  print_voters(f, json_get(s, "voters"));
  print_warnings(f, json_get(s, "warnings"));
  print_notes(f, s);
}

// A cluster as its witness knows it.
static void print_witnessed(FILE *f, const struct json *s) {
  const char *leader = json_get_text(s, "leader", NULL);
  line(f, "cluster", "%s, as its witness sees it", json_get_text(s, "cluster", "?"));
  if (leader)
    line(f, "master", "%s, promised in epoch %" PRId64, leader,
         json_get_int(s, "leader_epoch", json_get_int(s, "epoch", 0)));
  else
    line(f, "master", "none promised (epoch %" PRId64 ")", json_get_int(s, "epoch", 0));
  if (json_get_bool(s, "blank", false))
    line(f, "BLANK", "this witness has no memory of the cluster: its votes do not count yet");
  print_orders(f, s);
  print_record(f, json_get(s, "record"));
  print_voters(f, json_get(s, "voters"));
  print_warnings(f, json_get(s, "warnings"));
  print_notes(f, s);
}

void ctl_render_status(FILE *f, const struct json *status) {
  const struct json *clusters = json_get(status, "clusters");
  if (!clusters) {
    print_node(f, status);
    return;
  }
  for (size_t i = 0; i < json_count(clusters); i++) {
    fputs(i == 0 ? "" : "\n", f);
    print_witnessed(f, json_at(clusters, i));
  }
  if (json_count(clusters) == 0)
    fputs("this witness serves no cluster: it has no configuration\n", f);
  print_warnings(f, json_get(status, "warnings"));
  print_notes(f, status);
}
