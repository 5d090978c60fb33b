// SPDX-License-Identifier: Apache-2.0
// The check "exec": does a command end with 0 in time? It gets a process group of its own, no stdin, and its
// output goes to the agent's stderr; out of time the whole group is killed.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/health_check.h"

extern char **environ;

void health_exec_forget(struct health_run *run) {
  loop_io_free(run->io);
  if (run->fd >= 0)
    close(run->fd);
  run->io = NULL;
  run->fd = -1;
  run->pid = 0;
}

static void on_ended(void *arg, bool readable, bool writable) {
  (void)readable;
  (void)writable;
  struct health_run *run = arg;
  siginfo_t info = {0};
  kill(-run->pid, SIGKILL); // what it leaves behind in its group, which lives while its leader is not reaped
  if (waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
    return;
  health_exec_forget(run);
  if (!run->busy) // it was out of time
    return;
  char why[64];
  snprintf(why, sizeof(why), info.si_code == CLD_EXITED ? "it ended with %d" : "it was ended by signal %d",
           info.si_status);
  health_run_result(run, info.si_code == CLD_EXITED && info.si_status == 0 ? NULL : why);
}

// The agent's blocked signals and handlers are no business of the command.
static int spawn(pid_t *pid, const char *const *command, const char *const *environment) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  int error = posix_spawn(pid, command[0], &files, &attributes, (char *const *)(uintptr_t)command,
                          environment ? (char *const *)(uintptr_t)environment : environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

const char *health_exec_start(struct health_run *run, const char *const *environment) {
  if (run->pid > 0)
    return "its former run was killed and has not ended yet";
  int error = spawn(&run->pid, run->settings->command, environment);
  if (error) {
    run->pid = 0;
    return strerror(error);
  }
  run->fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
  run->io = run->fd >= 0 ? loop_io_new(run->loop, run->fd, on_ended, run) : NULL;
  if (!run->io)
    return "the agent is out of descriptors or memory";
  loop_io_want(run->io, true, false);
  return NULL;
}

// Its end is not waited for: a process stuck in the kernel must not stop the agent. on_ended reaps it.
void health_exec_stop(struct health_run *run) {
  if (run->pid > 0)
    kill(-run->pid, SIGKILL);
}
