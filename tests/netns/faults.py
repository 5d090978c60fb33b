# SPDX-License-Identifier: Apache-2.0
"""What can befall a pair, as matrix.txt names it: `COMPONENT KIND`, a the master's side and b the secondary's.

Faults of the wire are conditions of its ways (from, to), which add up; all others are done to processes and machines,
and undone by what brings back whatever is not as it should be.
"""

import subprocess

from testbed import BUILD, REDIS_PORT, expect

LOSS_PERCENT = 30
DELAY_MS = 40        # one way: within what L2 allows an answer, two beats for both ways
LATE_PERCENT = 25    # reorder: so many frames of a hundred are passed by those of the next two beats
LATE_MS = 250
WIRE_KINDS = ("cut", "loss", "delay", "reorder")

LINKS = (("a", "b"), ("a", "w"), ("b", "w"))


def component_ways(component):
    """The ways that a component's own wire consists of, as (from, to) in the table's words."""
    if "-" in component:
        one, other = component.split("-")
        return [(one, other), (other, one)]
    if ">" in component:
        return [tuple(component.split(">"))]
    return [way for link in LINKS if component in link for way in (link, link[::-1])]


def catalogue():
    """Every fault that means something, in the order of the table."""
    faults = []
    for side in "ab":
        faults += [f"{side} {kind}" for kind in ("kill", "stop") + WIRE_KINDS]
        faults += [f"agent {side} {kind}" for kind in ("kill", "stop")]
        faults += [f"broker {side} {kind}" for kind in ("kill", "stop")]
    faults += ["brokers cut"]
    faults += [f"w {kind}" for kind in ("kill", "stop") + WIRE_KINDS]
    faults += [f"{one}-{other} {kind}" for one, other in LINKS for kind in WIRE_KINDS]
    directions = [f"{x}>{y}" for link in LINKS for x, y in (link, link[::-1])]
    return faults + [f"{way} {kind}" for way in directions for kind in WIRE_KINDS]


def takes(fault):
    """What a fault takes away or makes worse: processes, ways, the brokers' own connection."""
    component, _, kind = fault.rpartition(" ")
    if component == "brokers":
        return {"replication"}
    if kind in WIRE_KINDS:
        return set(component_ways(component))
    what, _, name = component.rpartition(" ")
    voter = {("agent", name)} | {way for way in component_ways(name) if "w" in way}
    broker = {("broker", name), "replication"}
    if name == "w":
        return voter
    return {"agent": voter, "broker": broker, "": voter | broker | set(component_ways(name))}[what]


def weak(fault):
    """Makes the wire worse and cuts nothing."""
    return fault.split()[-1] in ("loss", "delay", "reorder")


def means_something(first, then):
    """Is anything left for the second fault to take? What is off or cut off can lose nothing more."""
    if weak(first) and (not weak(then) or first.split()[-1] != then.split()[-1]):
        return True
    return not takes(then) <= takes(first)


def pairs():
    faults = catalogue()
    return [(first, then) for first in faults for then in faults if first != then and means_something(first, then)]


class Relay:
    """The slow wire of some ways, beside the switch, which carries them no more."""

    def __init__(self, wire, ways, delay_ms, late_percent, lose_percent, seed):
        words = [f"{wire.port(source)},{wire.port(target)},{mac}" for source, target, mac in ways]
        self.popen = wire.space.start([str(word) for word in (
            BUILD / "tests" / "support" / "relay", "--delay", delay_ms * 1000, "--late", late_percent, "--late-by",
            LATE_MS * 1000, "--lose", lose_percent, "--without", wire.without_port or 0, "--seed", seed, *words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        expect("the relay carries", self.popen.stdout.readline() == b"ready\n")

    def end(self):
        self.popen.stdin.close()
        self.popen.stdout.close()
        expect("the relay ends well", self.popen.wait(10) == 0)


class Faults:
    """The faults that are in force on one cluster; `sides` says which node is a and which is b."""

    def __init__(self, cluster, sides, seed=1):
        self.cluster, self.sides, self.seed = cluster, sides, seed
        self.active, self.relays = [], []

    def member(self, name):
        return self.cluster.w if name == "w" else self.sides[name]

    def strike(self, fault):
        """Lets a fault happen; a process that is gone already stays gone."""
        self.active.append(fault)
        component, _, kind = fault.rpartition(" ")
        if kind in WIRE_KINDS:
            self.load_wire()
        else:
            {"kill": self.kill, "stop": self.stop}[kind](component)

    def processes(self, component):
        what, _, name = component.rpartition(" ")
        member = self.member(name)
        both = {"agent": [member.agent], "broker": [member.redis], "": [member.agent, member.redis]}[what]
        return [process for process in both if process and process.alive()]

    def kill(self, component):
        name = component.rpartition(" ")[2]
        if component in "ab":
            if self.member(name).space:
                self.member(name).lose()
            return
        for process in self.processes(component):
            process.kill()

    def stop(self, component):
        for process in self.processes(component):
            if process.state() != "T":
                process.pause()

    def conditions(self):
        """(from, to) of machines' names -> {kind}, of all faults in force."""
        ways = {}
        for fault in self.active:
            component, _, kind = fault.rpartition(" ")
            if kind in WIRE_KINDS and component != "brokers":
                for way in component_ways(component):
                    ways.setdefault(tuple(self.member(end).name for end in way), set()).add(kind)
        return ways

    def load_wire(self):
        wire, ways = self.cluster.wire, self.conditions()
        wire.without_port = REDIS_PORT if "brokers cut" in self.active else None
        for relay in self.relays:
            relay.end()
        slow = {}
        for (source, target), kinds in ways.items():
            if kinds & {"delay", "reorder"} and "cut" not in kinds:
                manner = (DELAY_MS if "delay" in kinds else 0, LATE_PERCENT if "reorder" in kinds else 0,
                          LOSS_PERCENT if "loss" in kinds else 0)
                mac = next(member.mac for member in self.cluster.members if member.name == target)
                slow.setdefault(manner, []).append((source, target, mac))
        living = {member.name for member in self.cluster.members if member.space}
        self.relays = [Relay(wire, carried, *manner, self.seed) for manner, carried in (
            (manner, [way for way in group if way[0] in living and way[1] in living])
            for manner, group in slow.items()) if carried]
        passed_by = {way[:2] for group in slow.values() for way in group}
        wire.drops = {way: 100 if "cut" in kinds or way in passed_by else LOSS_PERCENT for way, kinds in ways.items()}
        wire.load()

    def heal(self):
        """All is as it was: the wire first, then whoever was stopped goes on, and who is gone starts again."""
        self.active = []
        self.load_wire()
        for member in self.cluster.members:
            for process in (member.agent, member.redis):
                if process and process.alive() and process.state() == "T":
                    process.resume()
        for member in self.cluster.members:
            self.bring_back(member)

    @staticmethod
    def bring_back(member):
        if not member.space:
            member.boot()
        if member.name != "w" and not (member.redis and member.redis.alive()):
            member.start_redis()
        if not (member.agent and member.agent.alive()):
            member.start()

