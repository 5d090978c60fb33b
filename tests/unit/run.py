#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs unit test programs, some side by side since many of them wait: run.py PROGRAM... Exit 1 if any failed.

What a program says is shown whole when it is over, in the order in which the programs were given.
"""

import concurrent.futures
import os
import subprocess
import sys


def run(program):
    return subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False)


def main(programs):
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        for program, done in zip(programs, pool.map(run, programs)):
            print(f"== {program}\n{done.stdout}", end="", flush=True)
            if done.returncode:
                failed = 1
                print(f"*** {program}: " + (f"exit {done.returncode}" if done.returncode > 0 else
                                            f"ended by signal {-done.returncode}"), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
