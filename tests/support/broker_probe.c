// SPDX-License-Identifier: Apache-2.0
// Drives one broker driver by hand: commands on stdin, callbacks as lines on stdout, each with CLOCK_BOOTTIME
// in us.
// broker_probe --config FILE NODE [INCARNATION]  takes the broker that a configuration names, as the agent does.
//   duty SERIAL hold|follow|lead MASTER EPOCH PAUSED SYNC     kill     view     reload     quit
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/broker.h"
#include "agent/orphans.h"
#include "agent/pg_keep.h"
#include "common/base/clock.h"

static struct loop *loop;
static struct broker *broker;
static char input[4096];
static size_t input_size;

static void print_view(const char *what) {
  const struct broker_view *v = broker_view(broker);
  printf("%" PRId64 " %s reachable=%d dead=%d writable=%d unfit=%d link=%d position=%" PRIu64 ":%" PRIu64
         " peer=%" PRIu64 ":%" PRIu64 " state=%s incarnation=%s trouble=%s\n",
         clock_now().us, what, v->reachable, v->dead, v->writable, v->unfit, v->link, v->position.epoch,
         v->position.offset, v->peer.epoch, v->peer.offset, v->state, v->incarnation, v->trouble);
}

static void on_changed(void *arg) {
  (void)arg;
  print_view("changed");
}

static void on_done(void *arg, uint32_t serial, struct position position) {
  (void)arg;
  printf("%" PRId64 " done %" PRIu32 " %" PRIu64 ":%" PRIu64 "\n", clock_now().us, serial, position.epoch,
         position.offset);
}

static void on_cleared(void *arg) {
  (void)arg;
  printf("%" PRId64 " cleared\n", clock_now().us);
}

static void on_orphaned(void *arg, const char *path) {
  (void)arg;
  printf("%" PRId64 " orphaned %s\n", clock_now().us, path);
}

static void duty_command(const char *line) {
  unsigned serial, master, paused, sync;
  char mode[8];
  uint64_t epoch;
  if (sscanf(line, "duty %u %7s %u %" SCNu64 " %u %u", &serial, mode, &master, &epoch, &paused, &sync) != 6) {
    printf("? %s\n", line);
    return;
  }
  uint8_t number = strcmp(mode, "lead") == 0     ? BROKER_LEAD
                   : strcmp(mode, "follow") == 0 ? BROKER_FOLLOW
                                                 : BROKER_HOLD;
  struct broker_duty duty = {.serial = serial,
                             .mode = number,
                             .master = (uint8_t)master,
                             .epoch = epoch,
                             .paused = paused != 0,
                             .sync = sync != 0};
  printf("%" PRId64 " applying %u\n", clock_now().us, serial);
  broker_apply(broker, &duty);
}

static void command(const char *line) {
  if (strncmp(line, "duty ", 5) == 0)
    duty_command(line);
  else if (strcmp(line, "kill") == 0)
    broker_kill_clients(broker);
  else if (strcmp(line, "reload") == 0)
    broker_reload(broker);
  else if (strcmp(line, "view") == 0)
    print_view("view");
  else
    loop_stop(loop); // "quit"
}

static void on_input(void *arg, bool readable, bool writable) {
  (void)arg;
  (void)readable;
  (void)writable;
  ssize_t size = read(STDIN_FILENO, input + input_size, sizeof(input) - 1 - input_size);
  if (size == 0)
    loop_stop(loop);
  if (size <= 0)
    return;
  input_size += (size_t)size;
  input[input_size] = '\0';
  for (char *end; (end = strchr(input, '\n'));) {
    *end = '\0';
    command(input);
    input_size -= (size_t)(end + 1 - input);
    memmove(input, end + 1, input_size + 1);
  }
}

static int open_configured(int argc, char **argv, const struct broker_watch *watch, const char **error) {
  static struct cluster_conf conf;
  static struct conf_errors errors;
  static char orphans[PATH_MAX];
  struct broker_settings settings;
  if (cluster_load(&conf, argv[2], &errors) != 0) {
    *error = errors.at[0].text;
    return -EINVAL;
  }
  int self = cluster_voter_find(&conf, argv[3]);
  broker_settings_of(&settings, &conf, (unsigned)self);
  settings.orphans = orphans_path(&conf, (unsigned)self, orphans, sizeof orphans);
  settings.incarnation = argc > 4 ? argv[4] : "";
  return broker_open(&broker, loop, &settings, watch, error);
}

static int open_listed(char **argv, const struct broker_watch *watch, const char **error) {
  const struct broker_settings settings = {
      .cluster = "test",
      .self = (uint8_t)atoi(argv[2]),
      .driver = argv[1],
      .address = argv[3],
      .peers = {argv[4], argv[5]},
      .username = argv[6],
      .password_file = argv[7],
      .incarnation = "",
      .replication = broker_find(argv[1]) && broker_find(argv[1])->replicates ? REPLICATION_SYNC : REPLICATION_NONE,
      .beat_ms = (uint32_t)atoi(argv[8]),
      .lease_ms = (uint32_t)atoi(argv[9]),
      .probe_every_ms = (uint32_t)atoi(argv[10]),
      .probe_timeout_ms = (uint32_t)atoi(argv[11]),
  };
  return broker_open(&broker, loop, &settings, watch, error);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], PG_KEEP_OPTION) == 0) // as the agent's own program does
    return pg_keep_main(argc - 2, argv + 2);
  bool configured = argc >= 4 && strcmp(argv[1], "--config") == 0;
  if (argc != 12 && !configured) {
    fprintf(stderr, "usage: broker_probe DRIVER SELF ADDRESS PEER_A PEER_B USER PASSWORD_FILE BEAT LEASE "
                    "EVERY TIMEOUT\n       broker_probe --config FILE NODE [INCARNATION]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN); // as the agent does
  setvbuf(stdout, NULL, _IOLBF, 0);
  loop = loop_new();
  const struct broker_watch watch = {
      .changed = on_changed, .done = on_done, .cleared = on_cleared, .orphaned = on_orphaned};
  const char *error = "";
  int rc = -ENOMEM;
  if (loop)
    rc = configured ? open_configured(argc, argv, &watch, &error) : open_listed(argv, &watch, &error);
  if (rc < 0) {
    printf("error %s: %s\n", strerror(-rc), error);
    return 1;
  }
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  struct loop_io *io = loop_io_new(loop, STDIN_FILENO, on_input, NULL);
  loop_io_want(io, true, false);
  rc = loop_run(loop);
  loop_io_free(io);
  broker_close(broker);
  loop_free(loop);
  return rc < 0;
}
