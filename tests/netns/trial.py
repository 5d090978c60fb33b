#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The trial: real brokers under random faults for as long as wanted; no acknowledged message may be lost.

usage: trial.py [--driver library|redis] [--minutes N] [--seed N] [--lease MS] [--max-lag N]

Two producers and two consumers of the reference broker, or a confirming writer of Redis, go on while agents, brokers
and the witness are killed and stopped, links cut in either direction, disks filled, nodes lost, everything restarted and
orders given. Every minute all is healed, and the cluster must serve again. At the end every acknowledged message must
have come to every consumer once and in order (tests/broker/check.py), or must be in Redis. The plan of faults follows
from the seed; what became of it is kept under build/ when the trial fails.
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import space
from e2e_broker import Traffic, fill_disk, give_disks
from testbed import ROOT, Cluster, Failed, expect, until, verify

CALM_EVERY_S = 60
SERVE_AGAIN_S = 60


class Fault:
    """Something that breaks for a while: `breaks` and `heals` are called once each."""

    def __init__(self, name, targets, breaks, heals):
        self.name, self.targets, self.breaks, self.heals = name, targets, breaks, heals
        self.until = 0


class Trial:
    """One cluster, what goes wrong in it, and the traffic through it."""

    def __init__(self, cluster, seed, say):
        self.cluster, self.random, self.say = cluster, random.Random(seed), say
        self.broken, self.counts, self.fillers = [], {}, {}

    # ---- the parts ----

    def broker(self, node):
        return node.redis if self.cluster.driver == "redis" else node.broker

    def start_broker(self, node):
        if self.cluster.driver == "redis":
            node.start_redis()
        else:
            node.start_broker()

    def restart_broker(self, node):
        self.broker(node).kill()
        self.start_broker(node)

    def fill_disk(self, node):
        fill_disk(node)

    def empty_disk(self, node):
        (node.home / "disk" / "filler").unlink(missing_ok=True)
        self.restart_broker(node)

    def lose(self, node):
        node.lose()

    def boot(self, node):
        node.boot()
        self.start_broker(node)
        node.start()

    def restart_all(self):
        for member in self.cluster.members:
            member.agent.kill()
        for node in self.cluster.nodes:
            self.broker(node).kill()
        for node in self.cluster.nodes:
            self.start_broker(node)
        for member in self.cluster.members:
            member.start()

    def order(self, *words):
        """What comes of it is the cluster's to say; it must answer."""
        node = self.random.choice(self.cluster.nodes)
        if node.agent and node.agent.alive() and node.agent.state() != "T":
            try:
                node.ask(*words, seconds=20)
            except subprocess.TimeoutExpired as error:
                raise Failed(f"{node.name} did not answer {words}") from error

    # ---- the faults ----

    def faults(self):
        cluster, nodes = self.cluster, self.cluster.nodes
        found = [Fault("restart everything", {"a", "b", "w", "wire"}, self.restart_all, lambda: None),
                 Fault("switchover", {"order"}, lambda: self.order("switchover"), lambda: None),
                 Fault("freeze", {"order"}, lambda: self.order("freeze"), lambda: self.thaw())]
        for member in cluster.members:
            name = member.name
            found += [Fault(f"agent of {name} killed", {name}, lambda m=member: m.agent.kill(), member.start),
                      Fault(f"agent of {name} stopped", {name}, lambda m=member: m.agent.pause(),
                            lambda m=member: m.agent.resume())]
        for node in nodes:
            name = node.name
            found += [Fault(f"broker of {name} killed", {name}, lambda n=node: self.broker(n).kill(),
                            lambda n=node: self.start_broker(n)),
                      Fault(f"broker of {name} restarted", {name}, lambda n=node: self.restart_broker(n), lambda: None),
                      Fault(f"broker of {name} stopped", {name}, lambda n=node: self.broker(n).pause(),
                            lambda n=node: self.broker(n).resume()),
                      Fault(f"node {name} lost", {name, "wire"}, lambda n=node: self.lose(n), lambda n=node: self.boot(n))]
            found.append(Fault(f"disk of {name} full", {name}, lambda n=node: self.fill_disk(n),
                               lambda n=node: self.empty_disk(n)))
        for one in cluster.members:
            for other in cluster.members:
                if one is not other:
                    found.append(self.link(f"{one.name} to {other.name} cut", [(one, other)], 100))
                    found.append(self.link(f"{one.name} to {other.name} loses 30 %", [(one, other)], 30))
            others = [other for other in cluster.members if other is not one]
            found.append(self.link(f"{one.name} cut off from both", [(one, o) for o in others] + [(o, one) for o in others],
                                   100))
        found.append(self.link("a and b cut", [(nodes[0], nodes[1]), (nodes[1], nodes[0])], 100))
        return found

    def link(self, name, ways, share):
        def load(percent):
            for one, other in ways:
                self.cluster.wire.drop(one.name, other.name, percent)
        return Fault(name, {"wire"}, lambda: load(share), lambda: load(0))

    def thaw(self):
        until("it is thawed (4: it was never frozen)", lambda: any(node.agent and node.agent.alive() and node.agent.state() != "T"
                                           and node.ask("thaw").returncode in (0, 4) for node in self.cluster.nodes), 30)

    # ---- the course ----

    def break_one(self):
        busy = set().union(*(fault.targets for fault in self.broken)) if self.broken else set()
        free = [fault for fault in self.faults() if not fault.targets & busy]
        if not free or len(self.broken) >= 2:
            return
        fault = self.random.choice(free)
        self.say(f"{fault.name}")
        self.counts[fault.name] = self.counts.get(fault.name, 0) + 1
        fault.breaks()
        fault.until = time.monotonic() + self.random.choice((0.1, 0.5, 1.5, 4, 8))
        self.broken.append(fault)

    def heal(self, everything=False):
        for fault in list(self.broken):
            if everything or fault.until <= time.monotonic():
                self.say(f"{fault.name}: over")
                fault.heals()
                self.broken.remove(fault)

    def run(self, seconds, progress):
        """`progress()` counts what was acknowledged; it must grow again whenever all is healed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            calm = min(end, time.monotonic() + CALM_EVERY_S)
            while time.monotonic() < calm:
                self.break_one()
                time.sleep(self.random.uniform(0.2, 2.5))  # the faults' own rhythm, not a wait for anything
                self.heal()
            self.heal(everything=True)
            self.cluster.wait_master(seconds=SERVE_AGAIN_S)
            before = progress()
            until("messages are acknowledged again", lambda: progress() > before, SERVE_AGAIN_S, 0.2)
            self.say(f"all is well: {progress()} acknowledged")
        self.cluster.wait_pair(SERVE_AGAIN_S)


def trial_library(directory, seconds, seed, say, lease_ms=1000, rate=100, max_lag=0):
    with Cluster(directory, driver="library", lease_ms=lease_ms, beat_ms=lease_ms // 10, max_lag=max_lag) as cluster:
        give_disks(cluster)
        cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, 1 << 40, rate=rate)
        trial = Trial(cluster, seed, say)
        trial.run(seconds, lambda: sum(log.stat().st_size for log in traffic.produced))
        count = traffic.end()
        say(f"{sum(trial.counts.values())} faults of {len(trial.counts)} kinds, {count} messages acknowledged, {traffic.lost()} lost"
            + (f", at most {max_lag} at a change of master" if max_lag else ""))
        return count


def trial_redis(directory, seconds, seed, say, lease_ms=1000):
    with Cluster(directory, driver="redis", lease_ms=lease_ms, beat_ms=lease_ms // 10) as cluster:
        give_disks(cluster)
        # Only so is nothing acknowledged that a full disk did not take (README).
        cluster.redis_settings = {"appendfsync": "always"}
        cluster.start()
        cluster.wait_pair()
        log = directory / "acknowledged"
        writer = cluster.write(log, "--wait")
        trial = Trial(cluster, seed, say)
        trial.run(seconds, lambda: log.stat().st_size)
        writer.finish()
        with cluster.wait_master().client() as client:
            wanted, present = verify.acknowledged(log), verify.held(client, "orders")
        expect(f"of {len(wanted)}: lost, doubled, out of order", verify.compare(wanted, present) == (0, 0, 0))
        say(f"{sum(trial.counts.values())} faults of {len(trial.counts)} kinds, {len(wanted)} writes confirmed, 0 lost")


def main():
    parser = argparse.ArgumentParser(description="real brokers under random faults")
    parser.add_argument("--driver", choices=("library", "redis"), default="library")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()) & 0xffffff)
    parser.add_argument("--max-lag", type=int, default=0, help="library: asynchronous, behind by so many messages")
    parser.add_argument("--lease", type=int, default=1000)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not (arguments.inside and space.inside()):
        (ROOT / "build").mkdir(exist_ok=True)
        directory = tempfile.mkdtemp(prefix="trial.", dir=ROOT / "build")
        code = space.launch([__file__, *sys.argv[1:], "--seed", str(arguments.seed), "--inside", directory]).wait()
        print("passed" if code == 0 else f"FAILED: all that was written is in {directory}")
        if code == 0:
            shutil.rmtree(directory)
        return code
    space.settle()
    began = time.monotonic()

    def say(text):
        print(f"{time.monotonic() - began:8.1f} s  {text}", flush=True)
    say(f"{arguments.driver}, lease {arguments.lease} ms, seed {arguments.seed}")
    course = pathlib.Path(arguments.inside), arguments.minutes * 60, arguments.seed, say, arguments.lease
    if arguments.driver == "library":
        trial_library(*course, max_lag=arguments.max_lag)
    else:
        trial_redis(*course)
    return 0


if __name__ == "__main__":
    sys.exit(main())
