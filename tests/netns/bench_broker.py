#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a synchronous pair of the reference broker takes: messages a second, and the gaps of a switchover.

usage: bench_broker.py [MESSAGES [SIZE]]      a benchmark, no test
"""

import statistics
import pathlib
import shutil
import sys
import tempfile

import space
from e2e_broker import Traffic
from testbed import ROOT, Cluster


def times(log):
    return [int(line.split()[3]) for line in log.read_text(encoding="ascii").splitlines() if line.startswith("acked")]


def throughput(directory, count, size):
    with Cluster(directory, driver="library") as cluster:
        cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, count, producers=2, consumers=1, rate=0, size=size)
        traffic.finish()
        acked = sorted(time for log in traffic.produced for time in times(log))
        seconds = (acked[-1] - acked[0]) / 1e6
        print(f"{len(acked)} messages of {size} bytes, 2 producers, 1 consumer: {len(acked) / seconds:.0f} a second")


def gaps(directory, runs):
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        found = []
        traffic = Traffic(cluster, 1000000, producers=1, consumers=1, rate=2000)
        for _ in range(runs):
            cluster.wait_pair()
            before = traffic.acked()
            traffic.wait_acked(before + 500)
            done = master.ask("switchover")
            if done.returncode != 0:
                print(done.stderr)
                continue
            master = cluster.wait_master(cluster.other(master))
            traffic.wait_acked(traffic.acked() + 500)
            all_times = times(traffic.produced[0])[before:]
            found.append(max(b - a for a, b in zip(all_times, all_times[1:])) / 1000)
        print(f"switchover, gap between acknowledgements, ms, {len(found)} runs: median {statistics.median(found):.1f}, "
              f"max {max(found):.1f}")


def main():
    """Each part in a world of its own."""
    (ROOT / "build").mkdir(exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="bench.", dir=ROOT / "build"))
    if sys.argv[1] == "gaps":
        gaps(directory, 10)
    else:
        throughput(directory, *(int(word) for word in sys.argv[2:]))
    shutil.rmtree(directory)


def main_outside():
    count, size = (sys.argv[1:] + ["100000", "200"][len(sys.argv) - 1:])[:2]
    codes = [space.launch([__file__, *part]).wait() for part in (("throughput", count, size), ("gaps",))]
    return max(codes)


if __name__ == "__main__":
    if space.inside():
        space.settle()
        main()
    else:
        sys.exit(main_outside())
