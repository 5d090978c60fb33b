#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `make check` runs, stage by stage, with one sum at the end: check.py MAKE [ARGUMENT...]

First what the rest needs is built; then the lanes run side by side, each its stages one after the other. Tests in
namespaces wait most of their time, so the other lanes compute meanwhile, and give way to them (nice). What a stage says
is shown whole when it is over. Counts what cmocka says of each unit test program and the last line 'N passed, N failed'
of the other runners.
"""

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time

FIRST = ["all", "netns-ready"]
LANES = ((["netns-short-e2e"],),
         (["netns-short-fence"], ["pure"], ["packaging"], ["unit"], ["outside"], ["scenario"], ["explore"], ["sim"], ["mutate-short"]),
         (["VARIANT=asan", "unit"], ["VARIANT=asan", "scenario"], ["VARIANT=asan", "fuzz-replay"]))
COUNTS = ((re.compile(r"^\[  PASSED  \] (\d+) test", re.M), ("passed",)),
          (re.compile(r"^\[  FAILED  \] (\d+) test\(s\), listed below", re.M), ("failed",)),
          (re.compile(r"^(\d+) passed, (\d+) failed$", re.M), ("passed", "failed")))


def count(text):
    sums = {"passed": 0, "failed": 0}
    for pattern, names in COUNTS:
        for found in pattern.finditer(text):
            for name, number in zip(names, found.groups()):
                sums[name] += int(number)
    return sums


class Check:
    """All that has run so far."""

    def __init__(self, make):
        self.make = make
        self.environment = {key: value for key, value in os.environ.items()
                            if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        self.sums = {"passed": 0, "failed": 0}
        self.lines = []
        self.running = set()
        self.stopped = False

    def run(self, command):
        """Returns what a command said and whether it went well."""
        with subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace") as child:
            self.running.add(child)
            text = child.communicate()[0]
            self.running.discard(child)
        return text, child.returncode

    def stage(self, targets):
        """Runs one stage; returns whether all passed. One that broke without telling a failure counts as one."""
        began = time.monotonic()
        gives_way = [] if any(target.startswith("netns") for target in targets) else ["nice", "-n", "10"]
        said, code = self.run(gives_way + self.make + targets)
        found = count(said)
        name = " ".join(targets)
        text = f"=== make {name}\n{said}"
        if code and not found["failed"]:
            found["failed"] = 1
            text += f"*** make {name}: exit {code}\n"
        self.sums = {kind: self.sums[kind] + found[kind] for kind in self.sums}
        self.lines.append(f"{name:24}{found['passed']:6} passed{found['failed']:4} failed"
                          f"{time.monotonic() - began:8.1f} s")
        sys.stdout.write(text)
        sys.stdout.flush()
        return not found["failed"]

    def lane(self, stages):
        for targets in stages:
            if not self.stopped:
                self.stage(targets)

    def stop(self):
        """Ends what runs, and begins nothing more: we were told to go."""
        self.stopped = True
        for child in list(self.running):
            child.terminate()

    def all(self):
        began = time.monotonic()
        if self.stage(FIRST):
            with concurrent.futures.ThreadPoolExecutor(len(LANES)) as pool:
                try:
                    list(pool.map(self.lane, LANES))
                except BaseException:
                    self.stop()
                    raise
        used = os.times()
        self.lines.append(f"in all{time.monotonic() - began:49.1f} s, with {used[2] + used[3]:.0f} s of processor time on "
                          f"{os.cpu_count()} processors")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    check = Check(sys.argv[1:])
    check.all()
    print("\n".join(["==="] + check.lines))
    print(f"{check.sums['passed']} passed, {check.sums['failed']} failed")
    return 1 if check.sums["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
