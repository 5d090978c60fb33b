# SPDX-License-Identifier: Apache-2.0
"""Judges what producers and consumers of the reference broker have written: check.py PRODUCERS... -- CONSUMERS...

Every acknowledged message is delivered exactly once to every consumer, in the order of its producer and in one order
to all; none is invented; nothing of a lower epoch is taken after a higher one, neither by the sender's epoch nor by
that in which an entry was made. What a consumer was told is void does not count as delivered. The producers have ended:
what they have made is acknowledged. Ends with 0, or with 1 and a line for each finding.
"""

import pathlib
import sys


def acknowledged(path):
    """The (producer, number) pairs of one producer's log."""
    rows = (line.split() for line in pathlib.Path(path).read_text(encoding="ascii").splitlines())
    return {(row[1], int(row[2])) for row in rows if row and row[0] == "acked" and len(row) == 4}


class Consumer:
    """What one consumer holds at the end, by position."""

    def __init__(self, path):
        self.name, self.taken, self.findings, self.epochs = path, [], [], []
        self.highest = self.sender = self.changes = 0
        for line in pathlib.Path(path).read_text(encoding="ascii").splitlines():
            row = line.split()
            getattr(self, "on_" + row[0])(*row[1:])

    def on_entry(self, epoch, position, producer, number, sender, _):
        if int(position) != len(self.taken) + 1:
            self.findings.append(f"{self.name}: position {position} follows {len(self.taken)}")
        if int(sender) < self.sender:
            self.findings.append(f"{self.name}: {position} came from epoch {sender} after {self.sender}")
        if self.epochs and int(epoch) < self.epochs[-1]:
            self.findings.append(f"{self.name}: {position} was made in epoch {epoch}, the one before it in {self.epochs[-1]}")
        self.taken.append((producer, int(number)))
        self.epochs.append(int(epoch))
        self.sender = int(sender)

    def on_void(self, position, _):
        del self.taken[int(position):], self.epochs[int(position):]

    def on_newer(self, epoch, _):
        if int(epoch) <= self.highest:
            self.findings.append(f"{self.name}: epoch {epoch} was taken after {self.highest}")
        self.highest = int(epoch)
        self.changes += 1

    def on_refused(self, epoch, _):
        if int(epoch) > self.highest:
            self.findings.append(f"{self.name}: epoch {epoch} was refused, though {self.highest} is not above it")

    def on_gap(self, *_):
        """It asks again; the entries themselves tell whether anything is missing."""

    on_doubled = on_gap


def judge(producers, consumers, may_lose=0):
    """The findings; `may_lose`: how many acknowledged messages each change of master may cost, with asynchronous
    replication."""
    acked = set().union(*(acknowledged(path) for path in producers)) if producers else set()
    heard = [Consumer(path) for path in consumers]
    findings = [finding for consumer in heard for finding in consumer.findings]
    for consumer in heard:
        taken = set(consumer.taken)
        lost = sorted(acked - taken)
        if len(lost) > may_lose * consumer.changes:
            findings.append(f"{consumer.name}: {len(lost)} acknowledged messages never came, the first {lost[0]}")
        invented = sorted(taken - acked)
        if invented:
            findings.append(f"{consumer.name}: {len(invented)} messages were never acknowledged, the first {invented[0]}")
        if len(taken) != len(consumer.taken):
            findings.append(f"{consumer.name}: {len(consumer.taken) - len(taken)} messages came twice")
        newest = {}
        for producer, number in consumer.taken:
            if number <= newest.get(producer, 0) or (number != newest.get(producer, 0) + 1 and not may_lose):
                findings.append(f"{consumer.name}: of {producer}, {number} follows {newest.get(producer, 0)}")
            newest[producer] = number
    orders = [consumer.taken for consumer in heard]
    longest = max(orders, key=len, default=[])
    for consumer, order in zip(heard, orders):
        if order != longest[:len(order)]:
            findings.append(f"{consumer.name}: its order is not that of the others")
    return findings


if __name__ == "__main__":
    split = sys.argv.index("--")
    found = judge(sys.argv[1:split], sys.argv[split + 1:])
    print("\n".join(found) or "all acknowledged messages were delivered once, in order")
    sys.exit(1 if found else 0)
