// SPDX-License-Identifier: Apache-2.0
// D-Bus keeps the order of messages between two, so a signal's match is in force for whatever is asked behind it, and a
// job's end comes behind the answer that names the job.
#include "agent/unit_bus.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "common/base/cluster.h"
#include "common/base/text.h"

#define MANAGER "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER_TYPE MANAGER ".Manager"
#define UNIT_TYPE MANAGER ".Unit"
#define SERVICE_TYPE MANAGER ".Service"
#define PROPERTIES "org.freedesktop.DBus.Properties"
#define ANSWER_US 3000000 // for a call, not for the job that it begins
#define BATCH 64          // messages in one go
#define PATH_SIZE 1024

struct unit_bus {
  struct loop *loop;
  struct unit_watch watch;
  char unit[UNIT_NAME_MAX + 1];
  char path[PATH_SIZE]; // the unit's object; "" before the manager has told
  sd_bus *bus;
  struct loop_io *io;
  int fd;
  struct loop_timer *timer, *retry;

  struct unit_state state, next; // next: half read
  sd_bus_slot *load, *look, *properties;
  bool again; // something changed since the look under way began

  bool calling, fresh; // fresh: the look under way began after the call
  enum unit_call call;
  sd_bus_slot *asked;
  char job[PATH_SIZE];
  unit_fn *fn;
  void *arg;
  char trouble[UNIT_TEXT_SIZE];
};

// ---- telling ----

static void finish(struct unit_bus *b, const char *why) {
  if (!b->calling)
    return;
  b->calling = false;
  b->asked = sd_bus_slot_unref(b->asked);
  b->job[0] = 0;
  b->fn(b->arg, why);
}

static void put_trouble(struct unit_bus *b, const char *what, const char *why) {
  snprintf(b->trouble, sizeof b->trouble, "%s%s%.120s", what, why[0] != 0 ? ": " : "", why);
  text_clean(b->trouble, strlen(b->trouble));
}

// What an answer that is an error says; "" for any other.
static const char *refusal(sd_bus_message *m) {
  const sd_bus_error *e = sd_bus_message_get_error(m);
  return e == NULL ? "" : e->message != NULL && e->message[0] != 0 ? e->message : e->name;
}

// Nothing more is known of the unit; said once, and tried again.
static void unknown(struct unit_bus *b, const char *what, const char *why) {
  char former[UNIT_TEXT_SIZE];
  bool knew = b->state.known;
  memcpy(former, b->trouble, sizeof former);
  put_trouble(b, what, why);
  b->state.known = false;
  b->path[0] = 0;
  b->look = sd_bus_slot_unref(b->look);
  b->load = sd_bus_slot_unref(b->load);
  loop_timer_in(b->retry, UNIT_RETRY_MS * INT64_C(1000));
  finish(b, b->trouble);
  if (knew || strcmp(former, b->trouble) != 0)
    b->watch.changed(b->watch.arg);
}

// ---- the connection ----

static void rearm(struct unit_bus *b);

static void drop(struct unit_bus *b) {
  loop_io_free(b->io);
  loop_timer_at(b->timer, INSTANT_NEVER);
  b->io = NULL;
  b->fd = -1;
  b->asked = sd_bus_slot_unref(b->asked);
  b->look = sd_bus_slot_unref(b->look);
  b->load = sd_bus_slot_unref(b->load);
  b->properties = sd_bus_slot_unref(b->properties);
  b->bus = sd_bus_close_unref(b->bus);
}

static void lost(struct unit_bus *b, int error) {
  drop(b);
  unknown(b, "no connection to the system bus, is dbus running?", strerror(error));
}

static void pump(struct unit_bus *b) {
  int rc = 1;
  for (int i = 0; i < BATCH && rc > 0; i++)
    rc = sd_bus_process(b->bus, NULL);
  if (rc < 0)
    lost(b, -rc);
  else
    rearm(b);
}

static void on_io(void *arg, bool readable, bool writable) {
  (void)readable;
  (void)writable;
  pump(arg);
}

static void on_timer(void *arg) {
  pump(arg);
}

// The library counts in CLOCK_MONOTONIC.
static void arm_timer(struct unit_bus *b) {
  uint64_t at;
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  int64_t now = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
  if (sd_bus_get_timeout(b->bus, &at) <= 0 || at == UINT64_MAX)
    loop_timer_at(b->timer, INSTANT_NEVER);
  else
    loop_timer_in(b->timer, (int64_t)at > now ? (int64_t)at - now : 0);
}

// While it connects, the library goes from one address to the next, with another descriptor.
static void rearm(struct unit_bus *b) {
  int fd = sd_bus_get_fd(b->bus), events = sd_bus_get_events(b->bus);
  if (fd != b->fd || b->io == NULL) {
    loop_io_free(b->io);
    b->fd = fd;
    b->io = fd >= 0 ? loop_io_new(b->loop, fd, on_io, b) : NULL;
  }
  if (b->io == NULL || events < 0) {
    loop_timer_in(b->timer, 0); // what is wrong comes out of the next sd_bus_process
    return;
  }
  loop_io_want(b->io, (events & POLLIN) != 0, (events & POLLOUT) != 0);
  arm_timer(b);
}

// ---- the state ----

static int begin_look(struct unit_bus *b);

static void take_text(sd_bus_message *m, char *to) {
  const char *text = NULL;
  if (sd_bus_message_read(m, "v", "s", &text) >= 0 && text != NULL) {
    snprintf(to, UNIT_WORD_SIZE, "%s", text);
    text_clean(to, strlen(to));
  }
}

static void take_invocation(sd_bus_message *m, char *to) {
  const uint8_t *bytes = NULL;
  size_t size = 0;
  if (sd_bus_message_enter_container(m, 'v', "ay") < 0)
    return;
  if (sd_bus_message_read_array(m, 'y', (const void **)&bytes, &size) >= 0)
    for (size_t i = 0; i < size && i < 16; i++)
      snprintf(to + 2 * i, 3, "%02x", bytes[i]);
  sd_bus_message_exit_container(m);
}

static void take_property(sd_bus_message *m, const char *name, struct unit_state *to) {
  const struct {
    const char *name;
    char *to;
  } texts[] = {{"LoadState", to->load},         {"ActiveState", to->active}, {"SubState", to->sub},
               {"UnitFileState", to->file}, {"Result", to->result},      {"Restart", to->restart}};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (strcmp(texts[i].name, name) == 0) {
      take_text(m, texts[i].to);
      return;
    }
  if (strcmp(name, "InvocationID") == 0)
    take_invocation(m, to->invocation);
  else if (strcmp(name, "MainPID") == 0)
    sd_bus_message_read(m, "v", "u", &to->main_pid);
  else
    sd_bus_message_skip(m, "v");
}

static void take_properties(sd_bus_message *m, struct unit_state *to) {
  const char *name;
  if (sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
    return;
  while (sd_bus_message_enter_container(m, 'e', "sv") > 0 && sd_bus_message_read(m, "s", &name) > 0) {
    take_property(m, name, to);
    if (sd_bus_message_exit_container(m) < 0)
      return; // a property of another type than it should be
  }
}

static int ask_properties(struct unit_bus *b, const char *type, sd_bus_message_handler_t fn) {
  b->look = sd_bus_slot_unref(b->look);
  return sd_bus_call_method_async(b->bus, &b->look, MANAGER, b->path, PROPERTIES, "GetAll", fn, b, "s", type);
}

// The two halves are of one moment only if nothing changed between them.
static void looked(struct unit_bus *b) {
  if (b->again) {
    begin_look(b);
    return;
  }
  bool same = b->state.known && memcmp(&b->state, &b->next, sizeof b->state) == 0 && b->trouble[0] == 0;
  b->state = b->next;
  b->trouble[0] = 0;
  if (b->calling && b->call == UNIT_LOOK && b->fresh)
    finish(b, "");
  if (!same)
    b->watch.changed(b->watch.arg);
}

static int on_unit(sd_bus_message *m, void *arg, sd_bus_error *unused) {
  (void)unused;
  struct unit_bus *b = arg;
  b->look = sd_bus_slot_unref(b->look);
  if (sd_bus_message_is_method_error(m, NULL)) {
    unknown(b, "systemd does not tell the unit's state", refusal(m));
    return 0;
  }
  take_properties(m, &b->next);
  b->next.known = true;
  looked(b);
  return 0;
}

// One that could not be loaded has no properties of a service.
static int on_service(sd_bus_message *m, void *arg, sd_bus_error *unused) {
  (void)unused;
  struct unit_bus *b = arg;
  if (!sd_bus_message_is_method_error(m, NULL))
    take_properties(m, &b->next);
  ask_properties(b, UNIT_TYPE, on_unit);
  return 0;
}

static int begin_look(struct unit_bus *b) {
  memset(&b->next, 0, sizeof b->next);
  b->again = false;
  b->fresh = b->calling && b->call == UNIT_LOOK;
  return ask_properties(b, SERVICE_TYPE, on_service);
}

static void look(struct unit_bus *b) {
  if (b->look != NULL)
    b->again = true;
  else if (b->path[0] != 0)
    begin_look(b);
}

static int on_properties(sd_bus_message *m, void *arg, sd_bus_error *unused) {
  (void)m;
  (void)unused;
  look(arg);
  return 0;
}

// ---- the manager ----

static void no_unit(struct unit_bus *b) {
  memset(&b->next, 0, sizeof b->next);
  b->next.known = true;
  snprintf(b->next.load, sizeof b->next.load, "not-found");
  snprintf(b->next.active, sizeof b->next.active, "inactive");
  b->fresh = true;
  b->again = false;
  loop_timer_in(b->retry, UNIT_RETRY_MS * INT64_C(1000));
  looked(b);
}

static int on_load(sd_bus_message *m, void *arg, sd_bus_error *unused) {
  (void)unused;
  struct unit_bus *b = arg;
  const char *path;
  b->load = sd_bus_slot_unref(b->load);
  if (sd_bus_message_is_method_error(m, MANAGER ".NoSuchUnit")) {
    no_unit(b);
  } else if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "o", &path) <= 0) {
    unknown(b, "systemd does not answer on the system bus", refusal(m));
  } else {
    snprintf(b->path, sizeof b->path, "%s", path);
    b->properties = sd_bus_slot_unref(b->properties);
    sd_bus_match_signal_async(b->bus, &b->properties, MANAGER, b->path, PROPERTIES, "PropertiesChanged", on_properties,
                              NULL, b);
    look(b);
  }
  return 0;
}

// LoadUnit and not GetUnit: systemd forgets units that do nothing. Without Subscribe it sends no signals; that this
// connection has subscribed before is no error that matters.
static void load(struct unit_bus *b) {
  b->path[0] = 0;
  b->load = sd_bus_slot_unref(b->load);
  sd_bus_call_method_async(b->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_TYPE, "Subscribe", NULL, NULL, "");
  sd_bus_call_method_async(b->bus, &b->load, MANAGER, MANAGER_PATH, MANAGER_TYPE, "LoadUnit", on_load, b, "s", b->unit);
}

static int on_owner(sd_bus_message *m, void *arg, sd_bus_error *unused) {
  (void)unused;
  struct unit_bus *b = arg;
  const char *name, *former, *owner;
  if (sd_bus_message_read(m, "sss", &name, &former, &owner) <= 0)
    return 0;
  if (former[0] != 0)
    unknown(b, "systemd has left the system bus", "");
  if (owner[0] != 0)
    load(b);
  return 0;
}

static int on_job_removed(sd_bus_message *m, void *arg, sd_bus_error *unused) {
  (void)unused;
  struct unit_bus *b = arg;
  uint32_t id;
  const char *path, *unit, *result;
  if (!b->calling || b->job[0] == 0 || sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) <= 0 ||
      strcmp(path, b->job) != 0)
    return 0;
  look(b);
  finish(b, strcmp(result, "done") == 0 ? "" : result);
  return 0;
}

static int match(struct unit_bus *b, const char *rule, sd_bus_message_handler_t fn) {
  return sd_bus_add_match_async(b->bus, NULL, rule, fn, NULL, b);
}

static int begin(struct unit_bus *b) {
  int rc = sd_bus_open_system(&b->bus); // begins to connect: what it has to say waits until it is
  if (rc < 0)
    return rc;
  sd_bus_set_method_call_timeout(b->bus, ANSWER_US);
  rc = match(b, "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" MANAGER "'", on_owner);
  if (rc >= 0)
    rc = match(b, "type='signal',sender='" MANAGER "',path='" MANAGER_PATH "',member='JobRemoved'", on_job_removed);
  if (rc >= 0)
    load(b);
  return rc;
}

static void on_retry(void *arg) {
  struct unit_bus *b = arg;
  if (b->bus != NULL) { // connected, but without the unit
    if (b->path[0] == 0 && b->load == NULL)
      load(b);
    rearm(b);
    return;
  }
  int rc = begin(b);
  if (rc < 0)
    lost(b, -rc);
  else
    rearm(b);
}

// ---- calls ----

static int on_job(sd_bus_message *m, void *arg, sd_bus_error *unused) {
  (void)unused;
  struct unit_bus *b = arg;
  const char *path;
  if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "o", &path) <= 0) {
    char why[UNIT_TEXT_SIZE];
    snprintf(why, sizeof why, "systemd refused: %s", refusal(m));
    text_clean(why, strlen(why));
    finish(b, why);
    return 0;
  }
  snprintf(b->job, sizeof b->job, "%s", path);
  return 0;
}

static int ask_job(struct unit_bus *b, const char *method) {
  return sd_bus_call_method_async(b->bus, &b->asked, MANAGER, MANAGER_PATH, MANAGER_TYPE, method, on_job, b, "ss",
                                  b->unit, "replace");
}

static int start(struct unit_bus *b) {
  sd_bus_call_method_async(b->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_TYPE, "ResetFailedUnit", NULL, NULL, "s",
                           b->unit);
  return ask_job(b, "StartUnit");
}

// That there is no process to kill shows in the stop's end.
static int stop_and_kill(struct unit_bus *b) {
  int rc = ask_job(b, "StopUnit");
  if (rc >= 0)
    rc = sd_bus_call_method_async(b->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_TYPE, "KillUnit", NULL, NULL, "ssi",
                                  b->unit, "all", (int32_t)SIGKILL);
  return rc;
}

int unit_bus_call(struct unit_bus *b, enum unit_call call, unit_fn *fn, void *arg) {
  unit_bus_forget(b);
  if (b->bus == NULL || !(b->state.known || b->load != NULL || b->look != NULL))
    return -ENOTCONN;
  b->calling = true;
  b->fresh = false;
  b->call = call;
  b->fn = fn;
  b->arg = arg;
  int rc = call == UNIT_START  ? start(b)
           : call == UNIT_STOP ? ask_job(b, "StopUnit")
           : call == UNIT_KILL ? stop_and_kill(b)
                               : 0;
  if (call == UNIT_LOOK && b->path[0] != 0)
    look(b);
  else if (call == UNIT_LOOK && b->load == NULL)
    load(b); // there was no such unit
  if (rc < 0)
    unit_bus_forget(b);
  rearm(b);
  return rc < 0 ? rc : 0;
}

void unit_bus_forget(struct unit_bus *b) {
  b->calling = false;
  b->asked = sd_bus_slot_unref(b->asked);
  b->job[0] = 0;
}

// ---- outside ----

const struct unit_state *unit_bus_state(const struct unit_bus *b) {
  return &b->state;
}

const char *unit_bus_trouble(const struct unit_bus *b) {
  return b->trouble;
}

int unit_bus_open(struct unit_bus **out, struct loop *loop, const char *unit, const struct unit_watch *watch) {
  if (!cluster_is_service(unit))
    return -EINVAL;
  struct unit_bus *b = calloc(1, sizeof *b);
  if (b == NULL)
    return -ENOMEM;
  b->loop = loop;
  b->watch = *watch;
  b->fd = -1;
  memcpy(b->unit, unit, strlen(unit));
  snprintf(b->trouble, sizeof b->trouble, "not connected to the system bus yet");
  b->timer = loop_timer_new(loop, on_timer, b);
  b->retry = loop_timer_new(loop, on_retry, b);
  if (b->timer == NULL || b->retry == NULL) {
    unit_bus_close(b);
    return -ENOMEM;
  }
  if (begin(b) >= 0) {
    rearm(b);
  } else {
    drop(b);
    loop_timer_in(b->retry, 0); // and what is wrong is told from the loop
  }
  *out = b;
  return 0;
}

void unit_bus_close(struct unit_bus *b) {
  if (b == NULL)
    return;
  drop(b);
  loop_timer_free(b->timer);
  loop_timer_free(b->retry);
  free(b);
}
