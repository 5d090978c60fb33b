// SPDX-License-Identifier: Apache-2.0
// The same as fuzz_control.c for a witness.
#include <stdio.h>

#include "tests/fuzz/cluster.h"
#include "tests/fuzz/daemon.h"
#include "tests/fuzz/input.h"
#include "witness/witness.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void *run(void *unused) {
  struct witness_options options = {.file = {fuzz_cluster_file()},
                                    .file_count = 1,
                                    .run_directory = input_directory(),
                                    .state_directory = input_directory()};
  (void)unused;
  fprintf(stderr, "the witness has ended: %d\n", witness_run(&options));
  return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static char path[256];
  if (path[0] == 0) {
    snprintf(path, sizeof path, "%s/witness.sock", input_directory());
    daemon_start(run, path);
  }
  daemon_talk(path, bytes, size, daemon_replies);
  return 0;
}
