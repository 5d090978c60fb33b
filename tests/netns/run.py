#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests in network namespaces, two at a time, each in namespaces of its own.

usage: run.py [--short] [--list] [--jobs N] [--keep] [--fence MECHANISM] [NAME...]     NAME: a test, or a part of a name

With --fence the tests are played with that mechanism of the kernel fence, those alone that are about it if no name is
given; BPF is for root, and skipped with that reason for others. Without, the agent chooses.

A test is a function `test_NAME(directory)` of a module e2e_*.py; @short marks those of `make check`. It runs in a fresh
directory under build/netns/, which is kept if it fails. Exit 0 if all passed, 1 if not, 77 if they cannot run here.
"""

import argparse
import concurrent.futures
import importlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import space
from testbed import BUILD, ROOT, Cluster

HERE = pathlib.Path(__file__).resolve().parent
SECONDS_MAX = 180


def find_tests():
    """All tests by their names, MODULE.NAME."""
    tests = {}
    for path in sorted(HERE.glob("e2e_*.py")):
        module = importlib.import_module(path.stem)
        for name, function in vars(module).items():
            if name.startswith("test_") and function.__module__ == path.stem:
                tests[path.stem.removeprefix("e2e_") + "." + name.removeprefix("test_")] = function
    return tests


def run_inside(name, directory):
    """In the namespaces: the one test; its story goes to stderr."""
    space.settle()
    try:
        find_tests()[name](pathlib.Path(directory))
    except Exception:  # pylint: disable=broad-except  (whatever it was, it is the test's result)
        if Cluster.newest:
            print(Cluster.newest.tails(), file=sys.stderr)
        traceback.print_exc()
        return 1
    return 0


def real_root(fence):
    """BPF may not be used in a namespace of users, so its tests do without."""
    return fence == "bpf" and os.geteuid() == 0


def run_test(name, keep, fence):
    """One test in a new world; returns (passed, seconds, the directory if it was kept)."""
    base = ROOT / "build" / "netns"
    base.mkdir(parents=True, exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix=name + ".", dir=base))
    began = time.monotonic()
    with open(directory / "story", "wb") as story:
        child = space.launch([str(HERE / "run.py"), "--inside", name, str(directory)], real_root=real_root(fence),
                             stdin=subprocess.DEVNULL, stdout=story, stderr=story,
                             env=dict(os.environ, TANIST_FENCE=fence))
        try:
            passed = child.wait(SECONDS_MAX) == 0
        except subprocess.TimeoutExpired:
            passed = False
            story.write(f"not over after {SECONDS_MAX} s: ended\n".encode())
        finally:
            child.kill()  # with it goes all that it started
            child.wait()
    seconds = time.monotonic() - began
    if passed and not keep:
        shutil.rmtree(directory, ignore_errors=True)
        return passed, seconds, None
    return passed, seconds, directory


def report(name, passed, seconds, directory):
    kept = f"  {directory}" if directory else ""
    print(f"{'ok' if passed else 'FAILED':7}{name:50}{seconds:6.1f} s{kept}", flush=True)
    if not passed:
        story = (directory / "story").read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join("    " + line for line in story[-60:]), flush=True)


def select(arguments):
    tests = find_tests()
    marks = [mark for mark, asked in (("short", arguments.short), ("fence", arguments.fence and not arguments.names))
             if asked]
    names = [name for name, function in tests.items() if all(getattr(function, mark, False) for mark in marks)]
    for wanted in arguments.names:
        if not any(wanted in name for name in names):
            sys.exit(f"no test has {wanted!r} in its name; see run.py --list")
    return [name for name in names if not arguments.names or any(wanted in name for wanted in arguments.names)]


def run_all(names, jobs, keep, fence):
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(run_test, name, keep, fence): name for name in names}
        try:
            for done in concurrent.futures.as_completed(running):
                result = done.result()
                failed += not result[0]
                report(running[done], *result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


def missing(fence):
    """Why this machine does not have a mechanism; "" if it has."""
    if not fence:
        return ""
    ask = f"PATH=$PATH:/sbin:/usr/sbin ip link set lo up && {BUILD}/tests/support/fence_probe survey"
    done = subprocess.run(space.command(real_root(fence)) + ["sh", "-c", ask], capture_output=True, text=True,
                          check=False)
    told = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    return told.get(fence, done.stderr.strip() or "not built")


def main():
    parser = argparse.ArgumentParser(description="tests in network namespaces")
    parser.add_argument("--short", action="store_true", help="only those of make check")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--keep", action="store_true", help="keep the directories of tests that pass, too")
    parser.add_argument("--fence", default="", choices=("bpf", "nft", "netlink"), help="with this kernel fence")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if arguments.inside and space.inside():
        return run_inside(*arguments.inside)
    names = select(arguments)
    if arguments.list:
        print("\n".join(names))
        return 0
    obstacle = space.obstacle()
    if obstacle:
        print("the tests in namespaces cannot run here: " + obstacle, file=sys.stderr)
        return space.CANNOT
    why_not = missing(arguments.fence)
    if why_not:
        print(f"SKIPPED with the kernel fence {arguments.fence}: {why_not}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return run_all(names, arguments.jobs, arguments.keep, arguments.fence)


if __name__ == "__main__":
    sys.exit(main())
