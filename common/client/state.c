// SPDX-License-Identifier: Apache-2.0
// The reader's side of the state page.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/client/handle.h"

int tanist_open(struct tanist **out, const char *path) {
  *out = NULL;
  if (strlen(path) >= sizeof(*out)->path)
    return -ENAMETOOLONG;
  struct tanist *t = calloc(1, sizeof *t);
  if (t == NULL)
    return -ENOMEM;
  struct page *page;
  int rc = page_map(&page, &t->fd, path, PAGE_STATE_MAGIC, false);
  if (rc != 0) {
    free(t);
    return rc;
  }
  t->page = page;
  t->bell = t->report_fd = -1;
  t->told.master = TANIST_NOBODY;
  t->told.role = TANIST_SECONDARY;
  memcpy(t->path, path, strlen(path) + 1);
  memcpy(t->stamp.cluster, page->head.cluster, sizeof t->stamp.cluster);
  *out = t;
  return 0;
}

void tanist_close(struct tanist *t) {
  if (t == NULL)
    return;
  page_unmap(t->report, t->report_fd);
  page_unmap((struct page *)t->page, t->fd);
  if (t->bell >= 0)
    close(t->bell);
  free(t);
}

uint64_t tanist_epoch(const struct tanist *t) {
  return atomic_load_explicit(&t->page->word[0], memory_order_acquire);
}

static void fill(const struct tanist *t, struct tanist_view *view, const struct page_state *s) {
  bool admitted = handle_admitted(t, s->admitted);
  *view = (struct tanist_view){.self = t->page->head.self,
                               .role = (uint32_t)s->role,
                               .epoch = s->epoch,
                               .reign = s->reign,
                               .lease_end_ns = s->lease_end_ns,
                               .masterships = s->masterships,
                               .need = (uint32_t)s->need,
                               .master = (uint32_t)s->master,
                               .master_epoch = s->master_epoch,
                               .duty_serial = (uint32_t)s->duty_serial,
                               .duty_mode = admitted ? (uint32_t)s->duty_mode : TANIST_HOLD,
                               .duty_epoch = s->duty_epoch,
                               .paused = (s->duty_flags & PAGE_PAUSED) != 0,
                               .evict = (s->duty_flags & PAGE_EVICT) != 0};
  memcpy(view->master_address, s->master_address, sizeof view->master_address);
  view->master_address[sizeof view->master_address - 1] = 0; /* a text, whatever the page holds */
}

int tanist_view(const struct tanist *t, struct tanist_view *view) {
  struct page_state state;
  if (!page_read(t->page, &state, PAGE_WORDS(struct page_state)))
    return -EAGAIN;
  fill(t, view, &state);
  return state.alive_until_ns > handle_now_ns() ? 0 : -ESTALE;
}

/* Only the words it needs: this is asked for each message. They are the first of the page. */
bool tanist_may_serve(const struct tanist *t, uint64_t *epoch) {
  uint64_t word[5];
  static_assert(offsetof(struct page_state, role) == 8 && offsetof(struct page_state, reign) == 16 &&
                    offsetof(struct page_state, lease_end_ns) == 24 && offsetof(struct page_state, admitted) == 32,
                "role, reign, the lease's end and who is meant follow the epoch");
  if (!page_read(t->page, word, 5) || word[1] != TANIST_MASTER || !handle_admitted(t, word[4]))
    return false;
  if (!handle_runs(t, word[2], word[3]))
    return false;
  if (epoch != NULL)
    *epoch = word[2];
  return true;
}

int tanist_fd(struct tanist *t) {
  if (t->bell >= 0)
    return t->bell;
  int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0)
    return -errno;
  if (inotify_add_watch(fd, t->path, IN_MODIFY) < 0) {
    int rc = -errno;
    close(fd);
    return rc;
  }
  return t->bell = fd;
}

static void drain(const struct tanist *t) {
  char buf[4096];
  while (t->bell >= 0 && read(t->bell, buf, sizeof buf) > 0)
    ;
}

static int tell(struct tanist_change *change, enum tanist_change_type type, uint64_t epoch,
                const struct tanist_view *view) {
  *change = (struct tanist_change){.type = type, .epoch = epoch, .master = view->master};
  memcpy(change->master_address, view->master_address, sizeof change->master_address);
  return 1;
}

/* A reign's end comes first, whatever has followed it. */
static int tell_end(struct tanist *t, const struct tanist_view *now, struct tanist_change *change) {
  struct tanist_view *told = &t->told;
  bool ended =
      told->role == TANIST_MASTER && (now->role != TANIST_MASTER || now->masterships != told->masterships);
  bool other = now->master != now->self && now->master != TANIST_NOBODY && now->master_epoch > told->reign;
  if (ended) {
    told->role = TANIST_SECONDARY;
    t->deposed_due = !other && now->role != TANIST_MASTER;
    if (other) {
      told->master = now->master;
      told->master_epoch = now->master_epoch;
    }
    return tell(change, other ? TANIST_DEPOSED : TANIST_DEMOTED, other ? now->master_epoch : told->reign,
                now);
  }
  if (t->deposed_due && other) {
    t->deposed_due = false;
    told->master = now->master;
    told->master_epoch = now->master_epoch;
    return tell(change, TANIST_DEPOSED, now->master_epoch, now);
  }
  return 0;
}

/* As tanist_view, and the agent hears that this loop turns. */
static int look(struct tanist *t, struct tanist_view *view) {
  struct page_state state;
  if (!page_read(t->page, &state, PAGE_WORDS(struct page_state)))
    return -EAGAIN;
  fill(t, view, &state);
  handle_answer(t, state.ping);
  return 0;
}

int tanist_next(struct tanist *t, struct tanist_change *change) {
  struct tanist_view now, *told = &t->told;
  drain(t); /* before the look: what comes after it rings again */
  int rc = look(t, &now);
  if (rc == -EAGAIN)
    return rc;
  if (tell_end(t, &now, change) != 0)
    return 1;
  if (now.role == TANIST_MASTER && told->role != TANIST_MASTER) {
    t->deposed_due = false;
    told->role = now.role;
    told->reign = now.reign;
    told->masterships = now.masterships;
    told->master = now.master;
    told->master_epoch = now.master_epoch;
    return tell(change, TANIST_PROMOTED, now.reign, &now);
  }
  bool leads = now.role == TANIST_MASTER;
  if ((leads && now.reign != told->reign) || now.master != told->master ||
      now.master_epoch != told->master_epoch) {
    told->reign = leads ? now.reign : told->reign;
    told->master = now.master;
    told->master_epoch = now.master_epoch;
    return tell(change, TANIST_EPOCH, leads ? now.reign : now.master_epoch, &now);
  }
  bool duty = now.duty_serial != told->duty_serial || now.duty_mode != told->duty_mode;
  if (duty || now.need != told->need) {
    told->duty_serial = now.duty_serial;
    told->duty_mode = now.duty_mode;
    told->need = now.need;
    return tell(change, TANIST_DUTY, now.duty_epoch, &now);
  }
  return 0;
}
