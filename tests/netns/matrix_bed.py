# SPDX-License-Identifier: Apache-2.0
"""A Redis pair under an observer and a writer, to which faults happen one after the other: what comes of it.

One pair plays many rows: each begins with whoever is master as a, in PAIR, and ends so. After each row the observers'
and the writer's word is taken: never two who answered, no acknowledged write lost, doubled or out of order.
"""

import contextlib
import dataclasses
import json
import socket
import time

from faults import Faults
from matrix_table import Outcome
from testbed import Cluster, expect, until, verify

LEASE_MS = 1000
WINDOW_S = 0.25       # so long one looks who answers and whether writes are acknowledged
SETTLE_S = 20         # so long the outcome may take on a machine that has much to do
STEADY_S = 1.5        # and so long it must last
HEAL_S = 40
HEALTH = "health = ( { name = \"alive\"; check = \"broker\"; every_ms = 200; timeout_ms = 400; fall = 2; rise = 1; } );"


def quick_status(member):
    """The status of this member's program, {} if it does not answer."""
    if not member.space or not member.agent or not member.agent.alive() or member.agent.state() == "T":
        return {}
    try:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(2)
            control.connect(str(member.socket))
            control.sendall(b'{"command": "status"}\n')
            with control.makefile("rb") as reader:
                status = json.loads(reader.readline() or b"{}").get("status", {})
    except OSError:
        return {}
    return next(iter(status.get("clusters", [])), {}) if member.name == "w" else status


def one_owner(seen):
    expect(f"TWO OWNERS: both nodes answered at once: {seen}", seen["both_us"] == 0)


def united(looks):
    """What all of them saw; None if they differ, but for one who acknowledges only in some."""
    answers = {look.answers for look in looks if look} - {"-"}
    if None in looks or len({(look.leads, look.record) for look in looks}) > 1 or len(answers) > 1:
        return None
    return dataclasses.replace(looks[-1], answers=answers.pop() if answers else "-")


class MatrixBed:
    def __init__(self, directory, cluster):
        self.directory, self.cluster = directory, cluster
        self.observer = cluster.observe("--every", "4000")
        cluster.start()
        self.rows = self.reigns_before = 0
        self.sides = self.writer = self.faults = self.log = None

    def reigns(self):
        """How many masters began, by the nodes' logs."""
        return sum(node.log.read_text(encoding="utf-8", errors="replace").count("-> master,")
                   for node in self.cluster.nodes)

    def side(self, name):
        return next((side for side, node in self.sides.items() if node.name == name), None)

    def record(self, statuses):
        records = [status["record"] for status in statuses if "record" in status]
        if not records:
            return "*"
        newest = max(records, key=lambda record: (record["epoch"], record["version"]))
        return "pair" if newest["mode"] == "pair" else "sole-" + self.side(newest["owner"])

    def look(self):
        """What is so during a short while; None while that changes."""
        one_owner(self.observer.mark("window"))
        before = self.writer.look()["acknowledged"]
        time.sleep(WINDOW_S)
        seen, written = self.observer.look(), self.writer.look()["acknowledged"] - before
        one_owner(seen)
        statuses = {member.name: quick_status(member) for member in self.cluster.members}
        leads = [side for side, node in self.sides.items() if statuses[node.name].get("role") == "master"
                 and statuses[node.name]["lease"]["valid"]]
        holders = [side for side, node in self.sides.items() if seen[node.name]["icmp"] + seen[node.name]["arp"]]
        if len(leads) > 1 or written and len(holders) != 1:
            return None  # asked one after the other; whether two led at once their traces tell
        return Outcome(leads[0] if leads else "-", self.record(list(statuses.values())),
                       holders[0] if written else "-")

    def reached(self, allowed):
        """Waits until one of the allowed outcomes has lasted; returns it, or else what was there in the end.

        Who acknowledges may pause for a moment, with a wire that loses; but nobody else may, nor anybody if none is
        to.
        """
        end = time.monotonic() + SETTLE_S
        looks = []
        while True:
            now, moment = self.look(), time.monotonic()
            looks = [(at, look) for at, look in looks if at >= moment - STEADY_S] + [(moment, now)]
            lasting = united([look for _, look in looks])
            if lasting:
                lasting = dataclasses.replace(lasting, reigns=str(self.reigns() - self.reigns_before))
                if any(one.admits(lasting) for one in allowed) and moment - looks[0][0] > STEADY_S - 2 * WINDOW_S:
                    return lasting
            if moment > end:
                return lasting or Outcome("?", "?", "?")

    def begin(self):
        """A pair in PAIR that is written to: who leads is a."""
        self.rows += 1
        cluster = self.cluster
        until("a pair that is whole", self.whole, HEAL_S, 0.05)
        master = cluster.master()
        self.sides = {"a": master, "b": cluster.other(master)}
        self.faults = Faults(cluster, self.sides, seed=self.rows)
        self.log = self.directory / f"acknowledged-{self.rows}"
        self.writer = cluster.write(self.log, "--wait", "--every", "4000", "--patience", "600000", key=self.key())
        self.writing()
        self.reigns_before = self.reigns()

    def key(self):
        return f"row-{self.rows}"

    def writing(self):
        before = self.writer.look()["acknowledged"]
        until("writes are acknowledged", lambda: self.writer.look()["acknowledged"] >= before + 10, HEAL_S, 0.05)

    def whole(self):
        statuses = {member.name: quick_status(member) for member in self.cluster.members}
        leads = [node for node in self.cluster.nodes if statuses[node.name].get("role") == "master"
                 and statuses[node.name]["lease"]["valid"]]
        if len(leads) != 1 or any(status.get("blank", True) for status in statuses.values()):
            return False
        mine, other = statuses[leads[0].name], statuses[self.cluster.other(leads[0]).name]
        return (mine["record"]["mode"] == "pair" and mine["record"].get("committed", True) and mine["broker"]["in_sync"]
                and other.get("role") == "secondary" and other["epoch"] == mine["epoch"] and other["broker"]["healthy"]
                and all(voter["reachable"] for voter in mine["voters"] + other["voters"]))

    def end(self):
        """Mends all; returns which side leads a whole pair then. Nothing may be lost."""
        self.faults.heal()
        until("a pair that is whole again", self.whole, HEAL_S, 0.05)
        one_owner(self.observer.look())
        self.writing()
        self.writer.finish()
        master = self.cluster.master()
        expect("a master that answers", master)
        with master.client() as client:
            wanted, present = verify.acknowledged(self.log), verify.held(client, self.key())
            lost, doubled, disorder = verify.compare(wanted, present)
            expect(f"LOST WRITES: of {len(wanted)} acknowledged {lost} lost, {doubled} doubled, "
                   f"{disorder} out of order", (lost, doubled, disorder) == (0, 0, 0))
            with contextlib.suppress(Exception):
                client.ask("DEL", self.key())
        self.log.unlink()
        one_owner(self.observer.look())
        return self.side(master.name)

    def play(self, steps):
        """Each step is (fault, outcomes allowed after it). Returns what came of each step, and after the last of the
        mending: (fault, found, is it allowed?)."""
        self.begin()
        story = []
        for fault, allowed in steps:
            self.faults.strike(fault)
            found = self.reached(allowed)
            story.append((fault, found, any(one.admits(found) for one in allowed)))
        last = dataclasses.replace(found, healed=self.end())
        return story + [("mended", last, any(one.admits(last) for one in allowed))]


@contextlib.contextmanager
def matrix_bed(directory):
    with Cluster(directory, driver="redis", lease_ms=LEASE_MS, beat_ms=100, more=HEALTH,
                 broker="join_hold_ms = 500;") as cluster:
        yield MatrixBed(directory, cluster)
