// SPDX-License-Identifier: Apache-2.0
// tanist, the operator's command.
#include "agent/ctl.h"

int main(int argc, char **argv) {
  struct ctl ctl = {.in = stdin, .out = stdout, .err = stderr};
  int code = ctl_main(&ctl, argc, argv);
  // A status that never reached its file must not look like success.
  if ((fflush(stdout) != 0 || ferror(stdout)) && code == CTL_DONE)
    code = ctl_fail(&ctl, CTL_FAILED, "standard output cannot be written");
  return code;
}
