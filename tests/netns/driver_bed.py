# SPDX-License-Identifier: Apache-2.0
"""What the conformance suite of the drivers needs of a driver: a bed, one class a driver (BEDS in driver_suite).

A bed says how its broker is started, killed and stopped, how a client writes and reads, and what the configuration of
its driver is. What its broker or driver cannot have it names in `lacks`, with the reason.
"""

import contextlib
import os
import pathlib
import signal
import threading
import time

import redis_bed
from redis_bed import Refused, fields, now  # noqa: F401  (the cases use them)

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEYS = redis_bed.KEYS
NOT_ACKNOWLEDGED = (OSError, Refused)  # what a write may end with; nobody knows what became of it


class Probe(redis_bed.Probe):
    """The driver as the agent opens it, from a configuration, without an agent."""

    def __init__(self, config, number, incarnation=""):  # pylint: disable=super-init-not-called
        self.begin(number, [redis_bed.PROBE, "--config", str(config), "ab"[number], incarnation])


class Bed:
    """One test's two brokers and their drivers."""

    name = ""  # the driver
    lacks = {}  # feature: why this driver, or this broker, cannot have it
    replication = "async"
    beat_ms, lease_ms, every_ms, timeout_ms, verb_timeout_ms = 100, 1000, 100, 400, 8000
    slack = 10.0  # seconds: within what an answer must have come on a loaded machine

    def __init__(self, folder):
        self.folder, self.stack = pathlib.Path(folder), []
        self.children = set()  # of the brokers: what may be there when a test ends

    @staticmethod
    def obstacle():
        """What keeps this machine from running its broker, in words; None if nothing does."""
        return None

    # ---- what a driver's bed brings ----

    def address(self, which):
        raise NotImplementedError

    def broker_options(self, which):
        """The driver's own keys in the group broker, as text; `which` node's probe will read them."""
        raise NotImplementedError

    def start(self, which, *arguments):
        """Starts a broker and returns it: .client(), .kill(), .start(), .freeze(), .thaw()."""
        raise NotImplementedError

    # ---- what all have ----

    def config(self, which=0, peers=None, **options):
        """Writes a configuration and returns its path; options replace those of the broker."""
        peers = peers or [self.address(0), self.address(1)]
        timing = f"lease_ms = {self.lease_ms}; beat_ms = {self.beat_ms};"
        known = {"driver": f'"{self.name}"', "address": f'"{self.address(which)}"',
                 "peers": f'{{ a = "{peers[0]}"; b = "{peers[1]}"; }}', "replication": f'"{self.replication}"'}
        if self.replication == "async":
            known["max_lag_bytes"] = "1000000"
        known.update(options)
        text = "\n".join([
            'cluster = "orders";', "nodes = (",
            f'  {{ name = "a"; addresses = [ "10.0.0.1:7400" ]; public_key = "{KEYS[0]}"; }},',
            f'  {{ name = "b"; addresses = [ "10.0.0.2:7400" ]; public_key = "{KEYS[1]}"; }} );',
            f'witness = {{ name = "w"; addresses = [ "10.0.9.9:7400" ]; public_key = "{KEYS[2]}"; }};',
            f"timing = {{ {timing} }};", "broker = {",
            *(f"  {key} = {value};" for key, value in known.items()), self.broker_options(which), "};",
            f'health = ( {{ name = "alive"; check = "broker"; every_ms = {self.every_ms};'
            f" timeout_ms = {self.timeout_ms}; fall = 2; rise = 2; }} );",
            f'state_directory = "{self.folder}/state";', f'run_directory = "{self.folder}/run";', ""])
        path = self.folder / f"node-{which}-{len(list(self.folder.glob('node-*')))}.conf"
        path.write_text(text, encoding="utf-8")
        for directory in ("state", "run"):
            (self.folder / directory).mkdir(exist_ok=True)
        return path

    def broker(self, which, *arguments):
        broker = self.start(which, *arguments)
        self.stack.append(broker.kill)
        return broker

    def probe(self, which, incarnation="", **options):
        probe = Probe(self.config(which, **options), which, incarnation)
        self.stack.append(probe.close)
        return probe

    def pair(self, **options):
        """Two brokers, two drivers, a leads in epoch 2, b is attached and keeps up."""
        brokers = [self.broker(0), self.broker(1)]
        probes = [self.probe(0, **options), self.probe(1, **options)]
        for probe in probes:
            probe.reach("hold", 0, self.slack)
        probes[0].reach("lead", 2, self.slack)
        probes[1].reach("follow", 2, self.slack)
        probes[0].wait(lambda line: " changed " in line and fields(line)["link"] == "1", timeout=self.slack)
        self.written(brokers[0], "warm", 1)
        self.arrived(brokers[1], "warm", 1)
        return brokers, probes

    def written(self, broker, key, value):
        """Writes until it is acknowledged: what stands in the way right after a change is not the test's matter."""
        deadline = now() + self.slack
        while True:
            try:
                broker.client().write(key, value)
                return
            except NOT_ACKNOWLEDGED:
                if now() > deadline:
                    raise
                time.sleep(0.01)

    def arrived(self, broker, key, value):
        deadline = now() + self.slack
        while True:
            with contextlib.suppress(*NOT_ACKNOWLEDGED):
                if broker.client().read(key) == str(value):
                    return
            assert now() < deadline, f"{key} = {value} has not arrived"
            time.sleep(0.01)

    def close(self):
        for end in reversed(self.stack):
            end()


class Process:
    """A broker that is a process."""

    process = None

    def kill(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class Writer(threading.Thread):
    """Writes numbers at whichever broker takes them, in the manner of a client behind the virtual IP."""

    def __init__(self, brokers):
        super().__init__(daemon=True)
        self.brokers, self.acknowledged, self.ending = brokers, [], threading.Event()
        self.gap, self.last = 0.0, None
        self.start()
        deadline = now() + 10
        while not self.acknowledged and now() < deadline:
            time.sleep(0.005)

    def run(self):
        client, turn, number = None, 0, 0
        while not self.ending.is_set():
            number += 1
            try:
                client = client or self.brokers[turn % 2].client(timeout=0.3)
                client.write(f"n{number}", number)
            except NOT_ACKNOWLEDGED:
                if client:
                    client.close()
                client, turn = None, turn + 1
                time.sleep(0.002)
                continue
            if self.last:
                self.gap = max(self.gap, now() - self.last)
            self.last = now()
            self.acknowledged.append(number)

    def wait_for_more(self, count=20, timeout=10.0):
        deadline, goal = now() + timeout, len(self.acknowledged) + count
        while len(self.acknowledged) < goal:
            assert now() < deadline, "nothing is acknowledged any more"
            time.sleep(0.005)

    def stop(self):
        self.ending.set()
        self.join()
        return self.acknowledged


def processes():
    """All processes of this process namespace but those that are dead: {pid: command line}."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                status = pathlib.Path("/proc", entry, "stat").read_text(encoding="utf-8")
                if status.rpartition(")")[2].split()[0] != "Z":
                    found[int(entry)] = pathlib.Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ")
    return found
