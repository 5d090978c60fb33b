#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How soon clients that only listen are back after their master's node was lost: a benchmark, no test.

usage: bench_clients.py [COUNT ...]      1 and 1000 by default
"""

import datetime
import json
import pathlib
import shutil
import sys
import tempfile
import time

import space
from e2e_clients import Listeners
from testbed import ROOT, Cluster


def measure(count):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="bench.", dir=ROOT / "build"))
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        listeners = Listeners(cluster, count)
        listeners.wait_known(other)
        master.lose()
        listeners.wait("again", count, 60)
        events = [json.loads(line) for line in other.ask("--json", "events").stdout.splitlines()]
        taken = next(e for e in events if e["event"] == "address" and e["what"] == "added")
        ahead_us = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000 - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        taken_us = datetime.datetime.fromisoformat(taken["time"]).timestamp() * 1e6 - ahead_us
        first, last = min(listeners.times("again")) - taken_us, max(listeners.times("again")) - taken_us
        print(f"{count:6} clients: the first back {first / 1000:6.1f} ms, the last {last / 1000:6.1f} ms after the take-over")
    shutil.rmtree(directory)


def main():
    (ROOT / "build").mkdir(exist_ok=True)
    if space.inside():
        space.settle()
        measure(int(sys.argv[1]))
        return 0
    return max(space.launch([__file__, count]).wait() for count in sys.argv[1:] or ("1", "1000"))


if __name__ == "__main__":
    sys.exit(main())
