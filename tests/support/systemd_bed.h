// SPDX-License-Identifier: Apache-2.0
// A system bus of a test's own, with tests/support/systemd_mock.py in the place of systemd.
#ifndef TANIST_TESTS_SYSTEMD_BED_H
#define TANIST_TESTS_SYSTEMD_BED_H

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PYTHON "/usr/bin/python3" // dbusmock is a package of Debian's, for Debian's interpreter

#define MORTAL "setpriv", "--pdeathsig", "KILL" // they go with a test that is killed

#ifndef UNITS
#error "UNITS is to be the parameters of the mock"
#endif

extern char **environ;

static char directory[64], socket_path[96], configuration[96];
static pid_t bus_pid, manager_pid;

// Without its words on stderr: dbus-daemon complains of limits that it may not raise.
static pid_t spawn(const char *const *argv) {
  pid_t pid = -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  assert_int_equal(posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

static void end(pid_t *pid) {
  if (*pid <= 0)
    return;
  kill(*pid, SIGCONT);
  kill(*pid, SIGKILL);
  waitpid(*pid, NULL, 0);
  *pid = 0;
}

static void start_bus(void) {
  char option[128];
  snprintf(option, sizeof option, "--config-file=%s", configuration);
  unlink(socket_path);
  bus_pid = spawn((const char *const[]){MORTAL, "dbus-daemon", option, "--nofork", "--nopidfile", "--nosyslog", NULL});
  for (int i = 0; i < 2000 && access(socket_path, F_OK) != 0; i++)
    usleep(10000);
  assert_int_equal(access(socket_path, F_OK), 0);
}

static void start_manager(void) {
  manager_pid = spawn((const char *const[]){MORTAL, PYTHON, "-B", "-m", "dbusmock", "--system", "--logfile", "/dev/null",
                                            "--template", "tests/support/systemd_mock.py", "--parameters", UNITS, NULL});
}

static bool installed(void) {
  return system(PYTHON " -c 'import dbusmock' 2>/dev/null && command -v dbus-daemon >/dev/null") == 0;
}

static int set_up(void **unused) {
  (void)unused;
  snprintf(directory, sizeof directory, "/tmp/tanist-bus-XXXXXX");
  if (!installed() || mkdtemp(directory) == NULL)
    return 0;
  char address[128];
  snprintf(socket_path, sizeof socket_path, "%s/bus", directory);
  snprintf(configuration, sizeof configuration, "%s/bus.conf", directory);
  snprintf(address, sizeof address, "unix:path=%s", socket_path);
  setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
  FILE *f = fopen(configuration, "w");
  if (f == NULL)
    return -1;
  fprintf(f,
          "<busconfig><listen>%s</listen><policy context='default'><allow user='*'/><allow own='*'/>"
          "<allow send_destination='*'/><allow eavesdrop='true'/></policy></busconfig>",
          address);
  fclose(f);
  start_bus();
  start_manager();
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  end(&manager_pid);
  end(&bus_pid);
  unlink(socket_path);
  unlink(configuration);
  rmdir(directory);
  return 0;
}

#endif
