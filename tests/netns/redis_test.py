#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The redis driver against real Redis servers, in namespaces of its own. Usage: redis_test.py [NAME_PART ...]

The cases are in redis_*_cases.py, by subject. Figures are printed for people; only what must hold is checked.
"""
import contextlib
import shutil
import sys
import tempfile
import traceback

import redis_duty_cases
import redis_kept_cases
import redis_login_cases
import redis_stream_cases
import redis_tls_cases
import redis_writes_cases
from redis_bed import World, enter_namespaces

CASES = (redis_duty_cases, redis_kept_cases, redis_login_cases, redis_stream_cases, redis_tls_cases,
         redis_writes_cases)


def run(name, test):
    folder = tempfile.mkdtemp(prefix="tanist-redis-")
    world = World(folder)
    try:
        test(world)
        world.close()
    except Exception as error:  # one test's failure must not keep the others from running
        line = traceback.extract_tb(error.__traceback__)[-1]
        print("FAILED %s: %s: %s (%s)" % (name, type(error).__name__, error, line.line), flush=True)
        for end in reversed(world.stack):
            with contextlib.suppress(Exception):
                end()
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("passed %s" % name, flush=True)
    return True


def main():
    enter_namespaces()
    tests = {name[5:]: test for cases in CASES for name, test in vars(cases).items() if name.startswith("test_")}
    wanted = {n: t for n, t in tests.items() if not sys.argv[1:] or any(part in n for part in sys.argv[1:])}
    results = [run(name, test) for name, test in wanted.items()]
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
