#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `make check` runs, stage by stage, with one sum at the end: check.py MAKE [ARGUMENT...]

Counts what cmocka says of each unit test program and the last line 'N passed, N failed' of the other runners.
"""

import os
import re
import subprocess
import sys
import time

STAGES = (["all"], ["pure"], ["packaging"], ["unit"], ["scenario"], ["explore"], ["sim"], ["mutate-short"], ["VARIANT=asan", "unit"],
          ["VARIANT=asan", "scenario"], ["VARIANT=asan", "fuzz-replay"], ["netns-short"])
COUNTS = ((re.compile(r"^\[  PASSED  \] (\d+) test"), ("passed",)),
          (re.compile(r"^\[  FAILED  \] (\d+) test\(s\), listed below"), ("failed",)),
          (re.compile(r"^(\d+) passed, (\d+) failed$"), ("passed", "failed")))


def count(line, sums):
    for pattern, names in COUNTS:
        found = pattern.match(line)
        for name, number in zip(names, found.groups() if found else ()):
            sums[name] += int(number)


def run(command, environment):
    """Runs one stage, shows what it says as it says it; returns its sums. A stage that broke counts as a failure."""
    sums = {"passed": 0, "failed": 0}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as child:
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            count(line.rstrip("\n"), sums)
    if child.returncode != 0 and sums["failed"] == 0:
        print(f"*** {' '.join(command)}: exit {child.returncode}")
        sums["failed"] = 1
    return sums


def main():
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    sums = {"passed": 0, "failed": 0}
    lines = []
    for stage in STAGES:
        began = time.monotonic()
        print(f"=== make {' '.join(stage)}", flush=True)
        found = run(sys.argv[1:] + stage, environment)
        sums = {name: sums[name] + found[name] for name in sums}
        lines.append(f"{' '.join(stage):24}{found['passed']:6} passed{found['failed']:4} failed"
                     f"{time.monotonic() - began:8.1f} s")
        if stage == ["all"] and found["failed"]:
            break
    print("\n".join(["==="] + lines))
    print(f"{sums['passed']} passed, {sums['failed']} failed")
    return 1 if sums["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
