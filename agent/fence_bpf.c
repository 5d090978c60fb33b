// SPDX-License-Identifier: Apache-2.0
// The kernel fence as BPF programs at tc's hooks: clsact of every interface of the network namespace, both
// directions. They read one word, the deadline in CLOCK_BOOTTIME ns, which is memory of this process too: a
// renewal is a store. The deadline is absolute, so it does not matter when a process that was stopped comes
// to store it, and the time that the machine slept counts.
//
// Filters keep the programs and these keep the map, whatever becomes of this process. The next one puts its
// own in their place, at once, under the same handle, which is a hash of the cluster's name: clusters do not
// meet.
//
// What others do to the hooks, and interfaces that come, the kernel reports; nothing is asked while it is
// silent, but every ten seconds for what it does not report (tcx).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/bpf.h"
#include "agent/fence_bpf_code.h"
#include "agent/fence_mechanism.h"
#include "agent/tc.h"
#include "common/base/clock.h"

#define LINKS_MAX 512          // interfaces of one network namespace, bridge ports not counted
#define LOOK_EVERY_US 10000000 // whether or not the kernel reported a change
#define NAME_BEGIN "tanist:"
#define OPEN UINT64_MAX

struct links {
  struct tc_link at[LINKS_MAX];
  size_t count;
  bool more;
};

struct bpf_fence {
  struct bpf_word deadline;
  int program[FENCE_BPF_PLACES]; // -1: none needed
  uint32_t id[FENCE_BPF_PLACES]; // the kernel's
  struct tc *tc;
  char name[TC_NAME_MAX]; // of the filters
  uint32_t handle;
  struct links links;     // room for what is asked anew each time
  int guarded[LINKS_MAX]; // indexes of interfaces that had all filters when last looked at
  size_t guarded_count;
  struct instant looked; // 0: look again
  bool idle;             // there is nothing to guard
  bool adopted;          // a former agent's filters were found, and replaced
  char gap[160];         // what was found that this fence does not cover, "" if nothing
};

// ---- the deadline ----

static uint64_t to_ns(struct instant until) {
  if (until.us == INSTANT_NEVER.us)
    return OPEN;
  return until.us > 0 ? (uint64_t)until.us * 1000 : 0;
}

static uint64_t get(const struct bpf_fence *f) {
  return atomic_load_explicit(f->deadline.value, memory_order_relaxed);
}

static void store(struct bpf_fence *f, uint64_t ns) {
  atomic_store_explicit(f->deadline.value, ns, memory_order_release);
}

static const char *bpf_text(const void *state) {
  uint64_t ns = get(state);
  if (ns == OPEN)
    return "open";
  return ns > to_ns(clock_now()) ? "armed" : "closed";
}

// ---- the filters of one interface ----

struct look {
  const struct bpf_fence *fence;
  uint32_t program; // the id that the filter is to have
  bool found;       // it is there, with this program
  bool former;      // it is there, with another: a former agent's
  bool stranger;    // the handle is another's
  bool behind;      // another's filter comes first
};

static bool is_tanist(const struct tc_filter *filter) {
  return strncmp(filter->name, NAME_BEGIN, strlen(NAME_BEGIN)) == 0;
}

static void see_filter(void *arg, const struct tc_filter *filter) {
  struct look *look = arg;
  bool ours = filter->priority == TC_FIRST && filter->handle == look->fence->handle;
  if (ours && strcmp(filter->name, look->fence->name) != 0)
    look->stranger = true;
  else if (ours && filter->program == look->program)
    look->found = true;
  else if (ours)
    look->former = true;
  else if (!look->found && !look->former && !is_tanist(filter))
    look->behind = true;
}

static enum fence_bpf_place place_of(const struct tc_link *link, bool out) {
  return link->loopback ? FENCE_BPF_LOOPBACK : out ? FENCE_BPF_OUT : FENCE_BPF_IN;
}

static struct tc_filter filter_of(const struct bpf_fence *f, int index, bool out) {
  struct tc_filter filter = {.index = index, .out = out, .priority = TC_FIRST, .handle = f->handle};
  memcpy(filter.name, f->name, sizeof(filter.name));
  return filter;
}

// 1: it was not there and is now; 0: it was; -ENODEV: nor is the interface; or another negative errno.
static int guard_way(struct bpf_fence *f, const struct tc_link *link, bool out) {
  enum fence_bpf_place place = place_of(link, out);
  struct look look = {.fence = f, .program = f->id[place]};
  int rc = tc_each_filter(f->tc, link->index, out, see_filter, &look);
  if (rc == 0 && look.stranger)
    rc = -EEXIST;
  if (rc == 0 && !look.found) {
    struct tc_filter filter = filter_of(f, link->index, out);
    rc = tc_put(f->tc, &filter, f->program[place]);
    rc = rc == 0 ? 1 : rc;
  }
  f->adopted = f->adopted || look.former;
  if (look.behind || bpf_in_front(link->index, out) > 0)
    snprintf(
        f->gap, sizeof(f->gap),
        "another program's filter or tcx program on %s comes before the fence and may pass what it would "
        "drop",
        link->name);
  return rc;
}

static int guard_link(struct bpf_fence *f, const struct tc_link *link) {
  if (link->loopback && f->program[FENCE_BPF_LOOPBACK] < 0)
    return 0;
  int in = guard_way(f, link, false);
  if (in < 0 || link->loopback) // what leaves there comes in there
    return in;
  int out = guard_way(f, link, true);
  return out < 0 ? out : in | out;
}

// The interface may be gone: then so is what hung there.
static void unguard(struct bpf_fence *f, int index) {
  for (int out = 0; out < 2; out++) {
    struct tc_filter filter = filter_of(f, index, out);
    tc_remove(f->tc, &filter);
  }
}

// ---- all interfaces ----

static void see_link(void *arg, const struct tc_link *link) {
  struct links *links = arg;
  if (links->count < LINKS_MAX)
    links->at[links->count++] = *link;
  else
    links->more = true;
}

static int ask_links(struct bpf_fence *f) {
  f->links.count = 0;
  f->links.more = false;
  return tc_each_link(f->tc, see_link, &f->links);
}

static bool was_guarded(const struct bpf_fence *f, int index) {
  for (size_t i = 0; i < f->guarded_count; i++)
    if (f->guarded[i] == index)
      return true;
  return false;
}

// One interface that was looked at: whether the fence is whole there. An interface that came and cannot be
// guarded is a gap to be told of; one that was guarded and no more can be, a fence that is lost.
static int look_at(struct bpf_fence *f, const struct tc_link *link, bool first) {
  bool before = was_guarded(f, link->index);
  if (link->port) {
    if (before)
      unguard(f, link->index);
    return -ENODEV;
  }
  int rc = guard_link(f, link);
  if (rc >= 0 || rc == -ENODEV)
    return rc == 1 ? before : rc;
  snprintf(f->gap, sizeof(f->gap), "%s cannot be guarded: %s", link->name, strerror(-rc));
  return first || before ? rc : -ENODEV;
}

static int guard_links(struct bpf_fence *f, bool first) {
  const struct links *links = &f->links;
  int guarded[LINKS_MAX];
  size_t count = 0;
  int result = 0;
  f->gap[0] = '\0';
  if (links->more)
    snprintf(f->gap, sizeof(f->gap), "of the interfaces here only the first %d are guarded", LINKS_MAX);
  for (size_t i = 0; i < links->count; i++) {
    int rc = look_at(f, &links->at[i], first);
    if (rc != -ENODEV) // also where it no more can be: until the agent hears that all is well, it is lost
      guarded[count++] = links->at[i].index;
    if (rc != -ENODEV && (rc < 0 || result == 0))
      result = rc;
  }
  memcpy(f->guarded, guarded, count * sizeof(guarded[0]));
  f->guarded_count = count;
  return result;
}

// 0: all is as it was; -ENOENT: somebody took filters away, they are back and all is closed.
static int look(struct bpf_fence *f, bool first) {
  struct instant now = clock_now();
  bool changed = tc_changed(f->tc);
  if (f->idle)
    return 0;
  if (!changed && now.us - f->looked.us < LOOK_EVERY_US)
    return 0;
  int rc = ask_links(f);
  if (rc == 0)
    rc = guard_links(f, first);
  f->looked = rc >= 0 ? now : (struct instant){0};
  if (rc != 0)
    store(f, 0);
  return rc > 0 ? -ENOENT : rc;
}

// ---- the mechanism ----

static int bpf_check(void *state) {
  return look(state, false);
}

static int bpf_close(void *state) {
  store(state, 0);
  return look(state, false);
}

// What is shortened is shortened before all else; what is extended, only where the fence is whole.
static int bpf_arm(void *state, struct instant until) {
  struct bpf_fence *f = state;
  uint64_t ns = to_ns(until);
  if (ns < get(f))
    store(f, ns);
  int rc = look(f, false);
  if (rc == 0)
    store(f, ns);
  return rc;
}

static void bpf_gaps(const void *state, fence_gap_fn *tell, void *arg) {
  const struct bpf_fence *f = state;
  if (f->gap[0])
    tell(arg, "found", f->gap);
  tell(arg, "new-interfaces",
       "not covered: an interface that appears while the agent does not run; ports of a bridge, which is "
       "guarded");
  tell(arg, "ipsec-ports", "not covered: fence.ports inside IPsec (ESP, AH); virtual IPs are");
}

static void remove_all(struct bpf_fence *f) {
  if (ask_links(f) < 0)
    return;
  for (size_t i = 0; i < f->links.count; i++)
    unguard(f, f->links.at[i].index);
}

static void bpf_free(void *state, bool remove) {
  struct bpf_fence *f = state;
  if (remove && f->tc)
    remove_all(f);
  for (size_t i = 0; i < FENCE_BPF_PLACES; i++)
    if (f->program[i] >= 0)
      close(f->program[i]);
  tc_free(f->tc);
  bpf_word_close(&f->deadline);
  free(f);
}

// ---- opening ----

static uint32_t hash(const char *text) {
  uint32_t h = 2166136261u; // FNV-1a
  for (; *text; text++)
    h = (h ^ (unsigned char)*text) * 16777619u;
  return h ? h : 1;
}

static int load_place(struct bpf_fence *f, enum fence_bpf_place place,
                      const struct fence_settings *settings) {
  static const char *const names[] = {"tanist_in", "tanist_out", "tanist_lo"};
  if (place == FENCE_BPF_LOOPBACK && settings->address_count == 0)
    return 0; // it would have nothing to drop
  struct bpf_insn code[FENCE_BPF_CODE_MAX];
  size_t count = fence_bpf_code(place, settings, f->deadline.map, code);
  f->program[place] = bpf_load(code, count, names[place], NULL, 0);
  return f->program[place] < 0 ? f->program[place] : bpf_id(f->program[place], &f->id[place]);
}

static int load_programs(struct bpf_fence *f, const struct fence_settings *settings) {
  int rc = 0;
  for (int place = 0; place < FENCE_BPF_PLACES && rc == 0; place++)
    rc = load_place(f, (enum fence_bpf_place)place, settings);
  return rc;
}

static const char *explain(const struct bpf_fence *f, const char *step, int rc) {
  static char text[400];
  const char *advice = "it needs Linux 5.8, with BPF and the modules sch_ingress and cls_bpf";
  if (rc == -EPERM)
    advice =
        "run the agent with CAP_BPF and CAP_NET_ADMIN; in a container or user namespace BPF may not be used";
  else if (rc == -EEXIST || rc == -EINVAL || rc == -EBUSY)
    advice =
        "another program's filter of priority 1, or its \"ingress\" discipline, is in the way: \"tc filter "
        "show dev NAME ingress\" shows it";
  snprintf(text, sizeof(text), "the kernel fence (bpf) cannot be had: %s: %s%s%s; %s", step, strerror(-rc),
           f->gap[0] ? ": " : "", f->gap, advice);
  return text;
}

static int bpf_start(struct bpf_fence *f, const struct fence_settings *settings, const char **error) {
  const char *step = "making its map";
  int rc = bpf_word_open(&f->deadline, "tanist");
  if (rc == 0) {
    store(f, to_ns(settings->until));
    step = "loading its programs";
    rc = load_programs(f, settings);
  }
  if (rc == 0) {
    step = "asking for interfaces";
    rc = tc_open(&f->tc);
  }
  f->idle = settings->address_count + settings->port_count == 0;
  if (rc == 0) {
    step = "hanging it in at the interfaces";
    rc = look(f, true);
  }
  if (rc == 0 && f->gap[0]) // then another mechanism is better
    rc = -EBUSY;
  if (rc < 0)
    *error = explain(f, step, rc);
  return rc;
}

static void name(struct bpf_fence *f, const char *cluster) {
  f->handle = hash(cluster);
  snprintf(f->name, sizeof(f->name), NAME_BEGIN "%s", cluster);
}

static int bpf_open(void **state, const struct fence_settings *settings, const char **error) {
  struct bpf_fence *f = calloc(1, sizeof(*f));
  *error = "out of memory";
  if (!f)
    return -ENOMEM;
  f->deadline.map = -1;
  for (size_t i = 0; i < FENCE_BPF_PLACES; i++)
    f->program[i] = -1;
  name(f, settings->cluster);
  int rc = bpf_start(f, settings, error);
  if (rc < 0)
    bpf_free(f, !f->adopted); // what a former agent left may have an address to guard still
  else
    *state = f;
  return rc;
}

static void bpf_sweep(const struct fence_settings *settings) {
  struct bpf_fence f = {.deadline = {.map = -1}};
  name(&f, settings->cluster);
  if (tc_open(&f.tc) < 0)
    return;
  remove_all(&f);
  tc_free(f.tc);
}

const struct fence_mechanism fence_bpf = {
    .name = "bpf",
    .enforced = true,
    .open = bpf_open,
    .arm = bpf_arm,
    .close = bpf_close,
    .check = bpf_check,
    .text = bpf_text,
    .gaps = bpf_gaps,
    .free = bpf_free,
    .sweep = bpf_sweep,
};
