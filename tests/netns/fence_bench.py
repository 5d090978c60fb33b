#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make bench-fence: what each mechanism of the kernel fence costs, and how exactly it ends a lease.

Usage: fence_bench.py [--runs N] [--mechanism NAME]

Prints a table for people. Fails only if something was answered that was asked after a deadline.
"""
import argparse
import contextlib
import os
import statistics
import sys

import fence_world
import space
from fence_rounds import CASES, TOLD, Rounds
from fence_world import NODE, VIP, Probe, World

BATCHES = 2000  # of packets, of which the quickest counts
NOWHERE = "198.51.100.1"


def line(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def spread(values):
    return f"{min(values)} / {statistics.median(values):.0f} / {max(values)}"


def measure_ends(runs):
    """The last answers before the deadline, by case; and how many were asked after it."""
    ends, late = {case: [] for case in CASES}, 0
    with contextlib.ExitStack() as stack:
        rounds = Rounds(stack)
        for _ in range(runs):
            for case, (answer_us, question_us) in rounds.play().items():
                ends[case].append(answer_us)
                late += question_us < 0
    line("what ends the renewals", "runs", "last answer before the deadline, µs: least / median / most")
    line("---", "---", "---")
    for case in CASES:
        line(TOLD[case], len(ends[case]), spread(ends[case]))
    print(f"\nAsked after the deadline and answered: {late} of {sum(len(some) for some in ends.values())}\n")
    return late


def measure_costs():
    """Renewals and packets, with and without a fence."""
    with contextlib.ExitStack() as stack:
        world = World(stack)
        pit = space.Space("pit")  # lets fall what it gets, which is for another machine
        stack.callback(pit.remove)
        space.run("ip", "link", "add", "pit0", "netns", "node", "type", "veth", "peer", "name", "eth0", "netns", "pit")
        pit.ip("link", "set", "eth0", "up")
        world.node.ip("link", "set", "pit0", "up")
        world.node.ip("route", "add", NOWHERE, "dev", "pit0")
        world.node.ip("neigh", "add", NOWHERE, "lladdr", "02:00:00:00:00:99", "dev", "pit0")

        def packet_ns(probe, source):
            return int(probe.ask(f"packets {source} {NOWHERE} {BATCHES}"))
        off = Probe(world, kernel="off")
        bare = packet_ns(off, VIP)
        off.end("remove")
        probe = Probe(world)
        arm = probe.ask("bench 5000").split()
        closed_vip, closed_own = packet_ns(probe, VIP), packet_ns(probe, NODE)
        probe.do("arm never")
        sole = packet_ns(probe, VIP)
        probe.kill()
        probe = Probe(world, lease_ms=60000)
        probe.arm(59000)
        armed = packet_ns(probe, VIP)
    line("renewal, µs: median / p99", "closing, µs: median / p99")
    line("---", "---")
    line(*(f"{int(arm[i]) / 1000:.2f} / {int(arm[i + 1]) / 1000:.2f}" for i in (1, 4)))
    print()
    line("a packet out, ns", "no fence", "armed", "sole", "closed, another address", "closed, a virtual IP (dropped)")
    line(*["---"] * 6)
    line("", bare, f"{armed - bare:+}", f"{sole - bare:+}", f"{closed_own - bare:+}", f"{closed_vip - bare:+}")
    print()


def run_inside(runs):
    space.settle()
    why = fence_world.refusal(fence_world.MECHANISM)
    if why:
        return fence_world.skip(why)
    print(f"## {fence_world.MECHANISM}\n")
    late = measure_ends(runs)
    measure_costs()
    return fence_world.result([late == 0])


def main():
    parser = argparse.ArgumentParser(description="measures the kernel fence")
    parser.add_argument("--runs", type=int, default=100, help="how often a lease ends, in each way")
    parser.add_argument("--mechanism", choices=fence_world.MECHANISMS, help="this one alone")
    arguments = parser.parse_args()
    if space.inside():
        return run_inside(arguments.runs)
    return fence_world.each_mechanism(os.path.abspath(__file__), sys.argv[1:], arguments.mechanism)


if __name__ == "__main__":
    sys.exit(main())
