// SPDX-License-Identifier: Apache-2.0
#include "agent/state_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/base/bytes.h"

#define STATE_MODE 0644  // anybody may know who leads
#define REPORT_MODE 0660 // the broker is in the agent's group

struct state_page {
  struct state_page_settings settings;
  struct page *page, *report;
  int fd, report_fd;
  struct page_state state;
};

static_assert((int)TANIST_WITNESS == (int)ROLE_WITNESS && (int)TANIST_SECONDARY == (int)ROLE_SECONDARY &&
                  (int)TANIST_SUSPECT == (int)ROLE_SUSPECT && (int)TANIST_CANDIDATE == (int)ROLE_CANDIDATE &&
                  (int)TANIST_MASTER == (int)ROLE_MASTER,
              "the library's roles are the core's");
static_assert((int)TANIST_HOLD == (int)BROKER_HOLD && (int)TANIST_FOLLOW == (int)BROKER_FOLLOW &&
                  (int)TANIST_LEAD == (int)BROKER_LEAD && TANIST_NOBODY == (int)NOBODY,
              "the library's duties are the core's");

static uint64_t lease_ns(struct instant until) {
  if (until.us == INSTANT_NEVER.us)
    return TANIST_LEASE_SOLE;
  return until.us <= 0 ? 0 : (uint64_t)until.us * 1000;
}

/* Wakes those who wait only for what they wait for: a renewed lease is none of it. */
static void show(struct state_page *p, bool ring) {
  page_write(p->page, &p->state, PAGE_WORDS(struct page_state));
  if (ring)
    page_ring(p->fd);
}

void state_page_lease(struct state_page *p, struct instant until) {
  uint64_t ns = lease_ns(until);
  bool was = p->state.lease_end_ns != 0, is = ns != 0;
  p->state.lease_end_ns = ns;
  show(p, was != is);
}

static void take_duty(struct page_state *s, const struct broker_duty *duty, unsigned self) {
  bool alone = duty->mode == BROKER_LEAD && !duty->sync;
  s->need = alone ? TANIST_NEED(self) : TANIST_NEED(VOTER_A) | TANIST_NEED(VOTER_B);
  s->duty_serial = duty->serial;
  s->duty_mode = duty->mode;
  s->duty_epoch = duty->epoch;
  s->duty_flags = (uint64_t)(duty->paused ? PAGE_PAUSED : 0) | (uint64_t)(duty->evict ? PAGE_EVICT : 0);
}

void state_page_duty(struct state_page *p, const struct broker_duty *duty) {
  take_duty(&p->state, duty, p->settings.self);
  show(p, true);
}

/* To the broker and its clients, who waits for its fence device (L11) is not master yet. */
static uint8_t shown_role(const struct core *core) {
  return core_waits(core) ? ROLE_SECONDARY : core->role;
}

static void take_master(struct state_page *p, const struct core *core) {
  struct page_state *s = &p->state;
  bool leads = shown_role(core) == ROLE_MASTER;
  s->master = leads ? core->config.self : core->follow;
  s->master_epoch = leads ? core->reign : s->master == NOBODY ? 0 : core->follow_epoch;
  const char *address = s->master < NODES ? p->settings.brokers[s->master] : NULL;
  memset(s->master_address, 0, sizeof s->master_address);
  if (address != NULL)
    snprintf(s->master_address, sizeof s->master_address, "%s", address);
}

void state_page_update(struct state_page *p, const struct core *core, struct instant now) {
  struct page_state before = p->state, *s = &p->state;
  s->masterships += shown_role(core) == ROLE_MASTER && before.role != ROLE_MASTER;
  s->epoch = core->voter.ballot.epoch;
  s->role = shown_role(core);
  s->reign = core->reign;
  take_master(p, core);
  bool changed = memcmp(&before, s, sizeof before) != 0;
  s->alive_until_ns = ((uint64_t)now.us + (uint64_t)p->settings.alive_ms * 1000) * 1000;
  show(p, changed);
}

static void nothing(struct state_page *p) {
  static const struct broker_duty hold = {.mode = BROKER_HOLD, .master = NOBODY};
  p->state.role = ROLE_SECONDARY;
  p->state.lease_end_ns = 0;
  p->state.master = NOBODY;
  p->state.master_epoch = 0;
  take_duty(&p->state, &hold, p->settings.self);
  show(p, true);
}

int state_page_open(struct state_page **out, const struct state_page_settings *settings) {
  struct page_head head = {.magic = PAGE_REPORT_MAGIC, .layout = PAGE_LAYOUT, .self = settings->self};
  uint8_t *cluster = head.cluster;
  *out = NULL;
  struct state_page *p = calloc(1, sizeof *p);
  if (p == NULL)
    return -ENOMEM;
  p->settings = *settings;
  p->fd = p->report_fd = -1;
  bytes_put_u64(&cluster, settings->cluster);
  int rc = page_boot_id(head.boot_id);
  if (rc == 0) /* the first: whoever finds the state page may report */
    rc = page_make(&p->report, &p->report_fd, settings->report_path, &head, REPORT_MODE);
  head.magic = PAGE_STATE_MAGIC;
  if (rc == 0)
    rc = page_make(&p->page, &p->fd, settings->state_path, &head, STATE_MODE);
  if (rc != 0) {
    page_unmap(p->report, p->report_fd);
    free(p);
    return rc;
  }
  /* how often it led counts on over a restart, so that no reader takes two reigns for one */
  bool whole = page_read(p->page, &p->state, PAGE_WORDS(struct page_state));
  if (!whole)
    memset(&p->state, 0, sizeof p->state);
  p->state.max_lag = settings->max_lag;
  if (!settings->admits)
    p->state.admitted = PAGE_ANYBODY;
  else if (p->state.admitted == PAGE_ANYBODY)
    p->state.admitted = 0;
  if (!settings->resumes || !whole)
    nothing(p);
  *out = p;
  return 0;
}

void state_page_admit(struct state_page *p, uint64_t incarnation) {
  p->state.admitted = incarnation;
  show(p, true);
}

uint64_t state_page_admitted(const struct state_page *p) {
  return p->state.admitted;
}

int state_page_bell(const struct state_page *p) {
  int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0)
    return -errno;
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", p->report_fd);
  if (inotify_add_watch(fd, path, IN_MODIFY) >= 0)
    return fd;
  int rc = -errno;
  close(fd);
  return rc;
}

uint32_t state_page_serial(const struct state_page *p) {
  return (uint32_t)p->state.duty_serial;
}

uint64_t state_page_ping(struct state_page *p) {
  p->state.ping++;
  show(p, true);
  return p->state.ping;
}

bool state_page_reported(const struct state_page *p, struct page_report *report) {
  return page_read(p->report, report, PAGE_WORDS(struct page_report));
}

void state_page_close(struct state_page *p, bool as_they_are) {
  if (p == NULL)
    return;
  if (!as_they_are)
    nothing(p);
  page_unmap(p->page, p->fd);
  page_unmap(p->report, p->report_fd);
  free(p);
}
