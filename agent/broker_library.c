// SPDX-License-Identifier: Apache-2.0
// A broker that speaks for itself through libtanist: its duty stands in the state page, which the agent
// writes anyway, and its answers come by the report page and its bell. What the driver adds: it notices the
// broker's death by its pidfd and a loop that does not turn by a ping, and it admits a broker that starts
// anew to a duty only where that is safe.
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "agent/broker.h"
#include "agent/state_page.h"
#include "common/base/clock.h"

#define HURRY_US 300 // between two looks while a paused master waits for the other's position
#define HURRY_SLOW_US 5000
#define HURRY_FOR_US 200000

struct library {
  struct loop *loop;
  struct broker_watch watch;
  struct broker_settings settings;
  struct loop_timer *look, *probe, *clearing;
  struct loop_io *bell_io, *death_io;
  int bell, death; // inotify, pidfd; -1: none
  struct broker_view view, told;
  struct page_report report;
  uint64_t incarnation; // whose pidfd this is; 0: nobody has reported since the agent started
  bool gone;            // it has ended
  bool looked;          // a report was taken since the agent started
  struct broker_duty duty;
  bool has_duty, untold; // untold: reached, and the watcher is still to hear of it
  bool reached;
  struct instant since; // of the duty
  uint64_t epoch;       // the newest reign in which the broker reached its duty: section 9 is done in it
  bool distrust;        // it came up anew while the one before led
  struct instant distrust_until;
  uint64_t ping;
  struct instant pinged;
  bool hung, clears_pending;
};

// ---- what there is to see ----

// An empty log that has been part of a reign is not "no data": offsets are one above the broker's positions.
static uint64_t above(uint64_t position) {
  return position < UINT64_MAX ? position + 1 : position;
}

static struct position position(const struct library *l, uint64_t own_epoch, uint64_t durable) {
  uint64_t epoch = own_epoch > l->epoch ? own_epoch : l->epoch;
  return epoch == 0 && durable == 0 ? (struct position){0, 0} : (struct position){epoch, above(durable)};
}

static bool leads(const struct library *l) {
  return l->has_duty && l->reached && l->duty.mode == BROKER_LEAD && !l->gone && !l->distrust;
}

static const char *state_of(const struct library *l) {
  if (l->incarnation == 0 || l->gone)
    return "down";
  if (l->hung)
    return "hung";
  if (!l->reached || l->distrust)
    return l->distrust ? "held" : "changing";
  if (l->duty.mode == BROKER_LEAD)
    return l->duty.paused ? "paused" : "master";
  if (l->duty.mode == BROKER_HOLD)
    return "held";
  return l->report.attached ? "secondary" : "detached";
}

static void set_trouble(struct library *l) {
  struct broker_view *v = &l->view;
  const char *text = "";
  if (l->incarnation == 0)
    text = "no broker has reported through libtanist yet: start it, and see that it may write the report page";
  else if (l->gone)
    text = "the broker has ended: start it again";
  else if (l->hung)
    text = "the broker does not answer: its loop must call tanist_next when tanist_fd is readable";
  else if (l->report.unfit)
    text = "the broker says that it is not fit to lead";
  else if (l->distrust)
    text = "the broker was restarted while it led: held, so that the other node can take over";
  snprintf(v->trouble, sizeof v->trouble, "%s", text);
  if (text[0] == 0 && l->report.suspects > 0)
    snprintf(v->trouble, sizeof v->trouble, "the broker said: %.100s", l->report.suspect);
}

static void update_view(struct library *l) {
  struct broker_view *v = &l->view;
  const struct page_report *r = &l->report;
  bool there = l->incarnation != 0 && !l->gone;
  v->reachable = there && !l->hung && !r->unfit;
  v->dead = l->incarnation != 0 && l->gone && l->looked;
  v->writable = leads(l) && !l->duty.paused;
  v->link = there && r->attached;
  v->position = position(l, r->epoch, r->durable);
  v->peer = (struct position){0, 0};
  if (leads(l) && r->peer_epoch == l->duty.epoch)
    v->peer = (struct position){r->peer_epoch, above(r->peer_position)};
  v->received = r->counter[TANIST_RECEIVED];
  v->acknowledged = r->counter[TANIST_ACKNOWLEDGED];
  v->delivered = r->counter[TANIST_DELIVERED];
  v->counts = there && (v->received | v->acknowledged | v->delivered) != 0;
  snprintf(v->state, sizeof v->state, "%s", state_of(l));
  set_trouble(l);
  broker_bound(v);
}

static bool differs(const struct broker_view *a, const struct broker_view *b) {
  return a->reachable != b->reachable || a->dead != b->dead || a->writable != b->writable ||
         a->link != b->link || a->position.epoch != b->position.epoch ||
         a->position.offset != b->position.offset || a->peer.epoch != b->peer.epoch ||
         a->peer.offset != b->peer.offset || strcmp(a->state, b->state) != 0 ||
         strcmp(a->trouble, b->trouble) != 0;
}

static void tell(struct library *l) {
  update_view(l);
  if (differs(&l->view, &l->told)) {
    l->told = l->view;
    l->watch.changed(l->watch.arg);
  }
  if (!l->untold) // also when `changed` brought a newer duty
    return;
  l->untold = false;
  l->watch.done(l->watch.arg, l->duty.serial, l->view.position);
}

static void tell_cleared(struct library *l) {
  if (!l->clears_pending)
    return;
  l->clears_pending = false;
  loop_timer_at(l->clearing, INSTANT_NEVER);
  l->watch.cleared(l->watch.arg);
}

static void on_clearing(void *arg) {
  tell_cleared(arg);
}

// ---- who the broker is ----

static void forget_process(struct library *l) {
  loop_io_free(l->death_io);
  l->death_io = NULL;
  if (l->death >= 0)
    close(l->death);
  l->death = -1;
}

static void settle(struct library *l);

static void died(struct library *l) {
  l->gone = true;
  forget_process(l);
  if (l->clears_pending)
    loop_timer_in(l->clearing, 0);
}

static void on_death(void *arg, bool readable, bool writable) {
  (void)writable;
  if (!readable)
    return;
  died(arg);
  settle(arg);
}

// A broker that is not admitted serves nobody and acknowledges nothing: the library sees to it.
static void admit(struct library *l) {
  if (!l->gone && !l->distrust && state_page_admitted(l->settings.page) != l->incarnation)
    state_page_admit(l->settings.page, l->incarnation);
}

static void take_process(struct library *l) {
  bool reborn = l->incarnation != 0 && l->incarnation != l->report.incarnation;
  forget_process(l);
  l->incarnation = l->report.incarnation;
  l->epoch = 0;
  l->reached = l->untold = l->hung = false;
  l->pinged = INSTANT_NEVER;
  l->distrust = reborn && l->has_duty && l->duty.mode == BROKER_LEAD;
  l->distrust_until = instant_in_ms(l->settings.lease_ms);
  l->death = pidfd_open((pid_t)l->report.pid, 0);
  l->gone = l->death < 0;
  if (l->gone)
    return;
  l->death_io = loop_io_new(l->loop, l->death, on_death, l);
  if (l->death_io != NULL)
    loop_io_want(l->death_io, true, false);
}

// ---- its duty ----

static void take_done(struct library *l) {
  const struct page_report *r = &l->report;
  bool admitted = state_page_admitted(l->settings.page) == l->incarnation;
  if (!l->has_duty || l->reached || !admitted || (uint32_t)r->done_serial != l->duty.serial)
    return;
  l->reached = l->untold = true;
  if (l->duty.mode != BROKER_HOLD)
    l->epoch = l->duty.epoch;
}

static void take_report(struct library *l) {
  struct page_report report;
  if (!state_page_reported(l->settings.page, &report) || report.incarnation == 0)
    return;
  if (report.incarnation != l->incarnation && l->incarnation != 0 && !l->gone) {
    died(l); // the agent is to hear of it, however soon the next one came
    tell(l);
  }
  if (report.orphans > (l->incarnation == report.incarnation ? l->report.orphans : 0)) {
    report.orphan[sizeof report.orphan - 1] = 0; // the page is the broker's to write
    l->watch.orphaned(l->watch.arg, report.orphan);
  }
  l->report = report;
  if (report.incarnation != l->incarnation || (l->gone && l->death < 0 && !l->looked))
    take_process(l);
  l->looked = true;
  admit(l);
  if (report.pong == l->ping) {
    l->hung = false;
    l->pinged = INSTANT_NEVER;
  }
  take_done(l);
  if (l->clears_pending && (uint32_t)report.done_serial == state_page_serial(l->settings.page))
    loop_timer_in(l->clearing, 0);
}

// Whoever is gone serves nobody.
static void settle(struct library *l) {
  if (l->distrust && clock_now().us >= l->distrust_until.us)
    l->distrust = false;
  take_report(l);
  if (l->has_duty && !l->reached && l->gone && l->duty.mode == BROKER_HOLD)
    l->reached = l->untold = true;
  tell(l);
}

static void look_in(struct library *l) {
  int64_t us = (int64_t)l->settings.beat_ms * 1000, waited = clock_now().us - l->since.us;
  if (l->has_duty && l->duty.paused)
    us = waited < HURRY_FOR_US ? HURRY_US : HURRY_SLOW_US;
  loop_timer_in(l->look, us);
}

static void on_look(void *arg) {
  struct library *l = arg;
  settle(l);
  look_in(l);
}

static void on_bell(void *arg, bool readable, bool writable) {
  struct library *l = arg;
  char buf[4096];
  (void)readable;
  (void)writable;
  while (read(l->bell, buf, sizeof buf) > 0)
    ;
  settle(l);
}

static void on_probe(void *arg) {
  struct library *l = arg;
  struct instant now = clock_now();
  const struct broker_settings *s = &l->settings;
  if (l->pinged.us == INSTANT_NEVER.us) {
    l->ping = state_page_ping(s->page);
    l->pinged = now;
  } else if (now.us - l->pinged.us >= (int64_t)s->probe_timeout_ms * 1000) {
    l->hung = true;
  }
  settle(l);
  uint32_t wait = l->pinged.us != INSTANT_NEVER.us && s->probe_timeout_ms < s->probe_every_ms
                      ? s->probe_timeout_ms
                      : s->probe_every_ms;
  loop_timer_in(l->probe, (int64_t)wait * 1000);
}

// ---- the driver ----

static void library_close(void *state) {
  struct library *l = state;
  forget_process(l);
  loop_io_free(l->bell_io);
  if (l->bell >= 0)
    close(l->bell);
  loop_timer_free(l->look);
  loop_timer_free(l->probe);
  loop_timer_free(l->clearing);
  free(l);
}

static int open_parts(struct library *l) {
  l->look = loop_timer_new(l->loop, on_look, l);
  l->probe = loop_timer_new(l->loop, on_probe, l);
  l->clearing = loop_timer_new(l->loop, on_clearing, l);
  l->bell = state_page_bell(l->settings.page);
  if (l->bell < 0)
    return l->bell;
  l->bell_io = loop_io_new(l->loop, l->bell, on_bell, l);
  if (!l->look || !l->probe || !l->clearing || !l->bell_io)
    return -ENOMEM;
  loop_io_want(l->bell_io, true, false);
  return 0;
}

static int library_open(void **state, struct loop *loop, const struct broker_settings *settings,
                        const struct broker_watch *watch, const char **error) {
  *error = "out of memory";
  struct library *l = calloc(1, sizeof *l);
  if (l == NULL)
    return -ENOMEM;
  l->loop = loop;
  l->watch = *watch;
  l->settings = *settings;
  l->bell = l->death = -1;
  l->pinged = INSTANT_NEVER;
  l->incarnation = state_page_admitted(settings->page); // a former agent's: it may have ended since
  l->gone = l->incarnation != 0;
  *error = "the report page cannot be watched: see fs.inotify.max_user_watches";
  int rc = open_parts(l);
  if (rc < 0) {
    library_close(l);
    return rc;
  }
  loop_timer_in(l->look, 0);
  loop_timer_in(l->probe, 0);
  update_view(l);
  l->told = l->view;
  *state = l;
  return 0;
}

// The page shows the duty already.
static void library_apply(void *state, const struct broker_duty *duty) {
  struct library *l = state;
  if (duty->mode != BROKER_LEAD || l->duty.mode != BROKER_LEAD || duty->epoch != l->duty.epoch)
    l->distrust = false;
  l->duty = *duty;
  l->has_duty = true;
  l->reached = l->untold = false;
  l->since = clock_now();
  loop_timer_in(l->look, 0); // from the loop: never calls back from within this
}

static void library_kill_clients(void *state) {
  struct library *l = state;
  l->clears_pending = true;
  loop_timer_in(l->clearing, l->gone || l->incarnation == 0 ? 0 : BROKER_CLEAR_MS * 1000);
}

static const struct broker_view *library_view(const void *state) {
  return &((const struct library *)state)->view;
}

const struct broker_driver broker_library = {
    .name = "library",
    .replicates = true,
    .open = library_open,
    .apply = library_apply,
    .kill_clients = library_kill_clients,
    .view = library_view,
    .close = library_close,
};
