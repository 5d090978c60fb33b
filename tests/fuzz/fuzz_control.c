// SPDX-License-Identifier: Apache-2.0
// Whatever is sent to an agent's control socket, by somebody who may change anything. The agent is a whole
// one, alone in its cluster, with its state in memory; it goes on from input to input.
#include <stdio.h>

#include "agent/agent.h"
#include "tests/fuzz/cluster.h"
#include "tests/fuzz/daemon.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void *run(void *unused) {
  struct agent_options options = {.file = fuzz_cluster_file(), .name = "a"};
  (void)unused;
  fprintf(stderr, "the agent has ended: %d\n", agent_run(&options));
  return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static char path[256];
  if (path[0] == 0)
    daemon_start(run, cluster_socket_path(fuzz_cluster(), VOTER_A, path, sizeof path));
  daemon_talk(path, bytes, size, daemon_replies);
  return 0;
}
