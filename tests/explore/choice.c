// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/choice.h"

#include <assert.h>
#include <string.h>

#include "tests/explore/codec.h"

#define MESSAGES_MAX 2 // that clients write in one history

#define KINDS(X)                                                                                             \
  /* at any step */                                                                                          \
  X(DELIVER, "a beat overtakes")                                                                             \
  X(DROP, "a beat is lost")                                                                                  \
  X(COPY, "a beat comes twice")                                                                              \
  X(LATE, "a beat is late")                                                                                  \
  X(TIMER, "a timer goes first")                                                                             \
  X(DONE, "a broker goes first")                                                                             \
  X(LATE_DONE, "a broker is late")                                                                           \
  X(CRASH_AFTER, "a machine dies amid its actions")                                                          \
  X(KILL_AFTER, "an agent dies amid its actions")                                                            \
  X(DISK, "a disk fails")                                                                                    \
  /* when all is quiet, before time passes */                                                                \
  X(CRASH, "a machine dies")                                                                                 \
  X(KILL, "an agent is killed")                                                                              \
  X(STOP, "an agent or witness is stopped")                                                                  \
  X(CUT, "links are cut")                                                                                    \
  X(BROKER, "a broker dies, is unfit, stalls")                                                               \
  X(FENCE, "a kernel fence is lost")                                                                         \
  X(ORDER, "an operator's order")                                                                            \
  X(WIPE, "ballot and data are wiped")                                                                       \
  X(FORGET, "a ballot is wiped")                                                                             \
  X(RATE, "a clock turns fast or slow")                                                                      \
  X(START, "a start")                                                                                        \
  X(RESUME, "a reign is taken up again")                                                                     \
  X(CONT, "a stopped one goes on")                                                                           \
  X(HEAL, "all links are mended")                                                                            \
  X(MEND, "a broker is mended")                                                                              \
  X(WRITE, "a client writes")                                                                                \
  X(DEVICE, "a fence device turns the other node off")

#define ENUM_KIND(name, text) name,
enum kind { KINDS(ENUM_KIND) KIND_COUNT };
#undef ENUM_KIND

static_assert(KIND_COUNT == CHOICE_KINDS, "what choice.h says");

const char *choice_name(unsigned kind) {
#define NAME(name, text) text,
  static const char *const names[] = {KINDS(NAME)};
#undef NAME
  return kind < KIND_COUNT ? names[kind] : "?";
}

static const char *const cuts[] = {"a>b", "b>a", "a>w", "w>a", "b>w", "w>b",
                                   "a-b", "a-w", "b-w", "a",   "b",   "w"};
#define CUTS (sizeof cuts / sizeof cuts[0])
static const char *const ills[] = {"dead", "unfit", "stalled"};
#define ILLS (sizeof ills / sizeof ills[0])

struct list {
  struct choice *at;
  size_t count;
};

static void add(struct list *list, enum kind kind, size_t who, size_t arg) {
  if (list->count < CHOICES_MAX)
    list->at[list->count++] = (struct choice){(uint8_t)kind, (uint8_t)who, (uint8_t)arg};
}

// ---- at any step: one thing out of order ----

static bool first_of_link(const struct world *w, size_t index) {
  const struct beat *beat = &w->queue[index].beat;
  for (size_t i = 0; i < index; i++)
    if (w->queue[i].beat.from == beat->from && w->queue[i].beat.to == beat->to)
      return false;
  return true;
}

static void add_beats(const struct world *w, struct step_plan plan, struct list *list) {
  for (size_t i = 0; i < w->queued; i++) {
    const struct datagram *d = &w->queue[i];
    bool planned = plan.kind == STEP_DELIVER && plan.index == i;
    if (d->late || w->machine[d->beat.to].stopped)
      continue;
    if (!planned)
      add(list, DELIVER, i, 0);
    if (!first_of_link(w, i))
      continue;
    add(list, DROP, i, 0);
    add(list, COPY, i, 0);
    add(list, LATE, i, 0);
  }
}

/* Whose core the plain schedule calls next. */
static unsigned called(const struct world *w, struct step_plan plan) {
  switch (plan.kind) {
  case STEP_DELIVER: {
    unsigned to = w->queue[plan.index].beat.to;
    return w->machine[to].agent ? to : NOBODY;
  }
  case STEP_DONE:
  case STEP_TIMER:
    return (unsigned)plan.index;
  case STEP_DROP:
  case STEP_PASS:
    break;
  }
  return NOBODY;
}

/* How long the list will be is not known before; one that ends sooner is followed by the death all the same.
 */
static void add_deaths(const struct world *w, struct step_plan plan, struct list *list) {
  unsigned voter = called(w, plan);
  if (voter == NOBODY)
    return;
  static struct world probe; /* what would the step do? */
  codec_copy(&probe, w);
  probe.actions = 0;
  probe.persists = false;
  steps_take(&probe, plan);
  size_t actions = probe.actions;
  for (size_t i = 0; i <= actions && actions > 0; i++) {
    add(list, CRASH_AFTER, voter, i);
    if (voter < NODES)
      add(list, KILL_AFTER, voter, i);
  }
  if (probe.persists)
    add(list, DISK, voter, 0);
}

static void add_disorder(const struct world *w, struct list *list) {
  struct step_plan plan = steps_next(w);
  add_beats(w, plan, list);
  for (unsigned v = 0; v < VOTERS; v++)
    if (steps_due(w, v) && !(plan.kind == STEP_TIMER && plan.index == v))
      add(list, TIMER, v, 0);
  for (unsigned node = 0; node < NODES; node++) {
    const struct machine *m = &w->machine[node];
    if (!m->agent || m->stopped || m->broker.done_at == NEVER_US || m->broker.late)
      continue;
    add(list, LATE_DONE, node, 0);
    if (!(plan.kind == STEP_DONE && plan.index == node))
      add(list, DONE, node, 0);
  }
  add_deaths(w, plan, list);
}

// ---- when all is quiet ----

static void add_cuts(const struct world *w, struct list *list) {
  for (size_t i = 0; i < CUTS; i++) {
    unsigned from = cuts[i][0] == 'w' ? VOTER_W : (unsigned)(cuts[i][0] - 'a');
    bool news = false;
    for (unsigned v = 0; v < VOTERS; v++) {
      bool one_way = cuts[i][1] == '>';
      bool named = cuts[i][1] == 0 || cuts[i][2] == voter_name(v)[0];
      if (v != from && named)
        news |= !w->cut[from][v] || (!one_way && !w->cut[v][from]);
    }
    if (news)
      add(list, CUT, 0, i);
  }
}

static void add_node_faults(const struct world *w, unsigned node, struct list *list) {
  const struct machine *m = &w->machine[node];
  const struct broker_model *b = &m->broker;
  if (m->power && b->running && !b->unfit && !b->stalled)
    for (size_t i = 0; i < ILLS; i++)
      add(list, BROKER, node, i);
  if (!m->agent || m->stopped)
    return;
  add(list, KILL, node, 0);
  if (m->core.role == ROLE_MASTER && !core_waits(&m->core)) {
    add(list, FENCE, node, 0);
    add(list, ORDER, node, ORDER_SWITCHOVER);
  } else if (!w->forced) {
    add(list, ORDER, node, ORDER_FORCE);
  }
  if (!m->core.retired)
    add(list, ORDER, node, ORDER_RETIRE);
}

/* One memory at a time: two that are lost need an operator (section 7). */
static bool others_remember(const struct world *w, unsigned voter) {
  for (unsigned v = 0; v < VOTERS; v++)
    if (v != voter && w->machine[v].disk.blank)
      return false;
  return !w->machine[voter].disk.blank;
}

static void add_faults(const struct world *w, struct list *list) {
  if (steps_next(w).kind != STEP_PASS)
    return;
  for (unsigned v = 0; v < VOTERS; v++) {
    const struct machine *m = &w->machine[v];
    if (m->power)
      add(list, CRASH, v, 0);
    if (m->agent && !m->stopped)
      add(list, STOP, v, 0);
    if (!m->power && others_remember(w, v)) {
      add(list, WIPE, v, 0);
      if (v < NODES)
        add(list, FORGET, v, 0);
    }
    if (m->agent && !m->stopped) {
      add(list, ORDER, v, m->core.voter.ballot.frozen.on ? ORDER_THAW : ORDER_FREEZE);
      if (m->core.voter.ballot.blank)
        add(list, ORDER, v, ORDER_FORM);
    }
    if (v < NODES)
      add_node_faults(w, v, list);
    add(list, RATE, v, m->clock.ppm == 0);
  }
  add_cuts(w, list);
}

static void add_repairs(const struct world *w, struct list *list) {
  bool cut = false;
  if (steps_next(w).kind != STEP_PASS)
    return;
  for (unsigned v = 0; v < VOTERS; v++) {
    const struct machine *m = &w->machine[v];
    if (!m->agent)
      add(list, START, v, 0);
    if (!m->agent && m->power && v < NODES && m->core.role == ROLE_MASTER)
      add(list, RESUME, v, 0);
    if (m->stopped)
      add(list, CONT, v, 0);
    if (v < NODES && m->power && (!m->broker.running || m->broker.unfit || m->broker.stalled))
      add(list, MEND, v, 0);
    for (unsigned to = 0; to < VOTERS; to++)
      cut |= w->cut[v][to];
  }
  if (cut)
    add(list, HEAL, 0, 0);
  if (w->messages < MESSAGES_MAX)
    add(list, WRITE, 0, 0);
  for (unsigned node = 0; node < NODES; node++)
    if (w->machine[node].peer_off != 0 && !w->machine[node].stopped)
      add(list, DEVICE, node, 0);
}

size_t choices_of(const struct world *w, unsigned weight, struct choice out[CHOICES_MAX]) {
  struct list list = {out, 0};
  if (weight == 1) {
    add_repairs(w, &list);
  } else {
    add_disorder(w, &list);
    add_faults(w, &list);
  }
  return list.count;
}

// ---- as lines of a dialogue ----

void choice_text(const struct choice *choice, char text[CHOICE_TEXT_MAX]) {
  const char *who = voter_name(choice->who);
  unsigned beat = choice->who + 1u, arg = choice->arg;
#define SAY(...)                                                                                             \
  snprintf(text, CHOICE_TEXT_MAX, __VA_ARGS__);                                                              \
  return
  switch ((enum kind)choice->kind) {
  case DELIVER:
    SAY("deliver %u\n", beat);
  case DROP:
    SAY("drop %u\n", beat);
  case COPY:
    SAY("copy %u\n", beat);
  case LATE:
    SAY("late %u\n", beat);
  case TIMER:
    SAY("timer %s\n", who);
  case DONE:
    SAY("done %s\n", who);
  case LATE_DONE:
    SAY("late done %s\n", who);
  case CRASH_AFTER:
    SAY("crash %s after %u\nsteps 1\n", who, arg);
  case KILL_AFTER:
    SAY("kill %s after %u\nsteps 1\n", who, arg);
  case DISK:
    SAY("disk %s fails\nsteps 1\ndisk %s ok\n", who, who);
  case CRASH:
    SAY("crash %s\n", who);
  case KILL:
    SAY("kill %s\n", who);
  case STOP:
    SAY("stop %s\n", who);
  case CUT:
    SAY("cut %s\n", cuts[arg]);
  case BROKER:
    SAY("broker %s %s\n", who, ills[arg]);
  case FENCE:
    SAY("fence-lost %s\n", who);
  case ORDER:
    SAY("order %s %s%s\n", who, order_name(arg),
        arg == ORDER_SWITCHOVER ? " timeout 300ms"
        : arg == ORDER_FORM     ? " node a"
                                : "");
  case WIPE:
    SAY("wipe %s\n", who);
  case FORGET:
    SAY("forget %s\n", who);
  case START:
    SAY("start %s\n", who);
  case RESUME:
    SAY("resume %s\n", who);
  case CONT:
    SAY("cont %s\n", who);
  case HEAL:
    SAY("heal\n");
  case MEND:
    SAY("broker %s ok\n", who);
  case WRITE:
    SAY("write 1\n");
  case DEVICE:
    SAY("device %s\n", who);
  case KIND_COUNT:
    break;
  case RATE:
    SAY("clock %s %s\n", who, arg ? "slow" : "fast");
  }
#undef SAY
}

void choice_take(struct world *w, const struct choice *choice) {
  char text[CHOICE_TEXT_MAX], *rest = NULL;
  choice_text(choice, text);
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
    command_run(w, line);
}
