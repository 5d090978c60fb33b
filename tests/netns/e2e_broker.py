# SPDX-License-Identifier: Apache-2.0
"""The reference broker: an in-house broker on libtanist, with producers, consumers and faults."""

import json
import pathlib
import shutil
import signal
import struct
import subprocess
import sys

from testbed import BROKER_PORT, BUILD, VIRTUAL_IP, Cluster, Process, always, expect, short, until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "broker"))
from check import Consumer, acknowledged, judge  # pylint: disable=wrong-import-position,wrong-import-order

ADDRESS = f"{VIRTUAL_IP}:{BROKER_PORT}"
MOVED, STALE = 3, 12  # tests/broker/frame.h


class Traffic:
    """Producers and consumers on client machines, and what they have written."""

    def __init__(self, cluster, count, producers=2, consumers=2, rate=1000, size=200):
        self.cluster, self.count = cluster, count
        self.space = cluster.client()
        self.produced, self.consumed, self.senders = [], [], []
        for n in range(consumers):
            self.run(f"consumer{n}", self.consumed, "consume", cluster.directory / f"fence{n}", ADDRESS)
        for n in range(producers):
            self.senders.append(self.run(f"producer{n}", self.produced, "produce", cluster.directory / f"outbox{n}",
                                         count, size, rate, 1000, ADDRESS))

    def run(self, name, logs, program, *arguments):
        log = self.cluster.directory / f"{name}.log"
        process = Process(name, self.space, [BUILD / "tests" / "broker" / program, *map(str, arguments)], log)
        self.cluster.helpers.append(process)
        logs.append(log)
        return process

    def acked(self):
        return sum(log.read_text().count("acked") for log in self.produced)

    def wait_acked(self, count, seconds=60):
        until(f"{count} messages are acknowledged", lambda: self.acked() >= count, seconds)

    def end(self, seconds=60):
        """No more are made; what was made is sent, acknowledged, delivered and judged. How many were acknowledged."""
        for sender in self.senders:
            sender.signal(signal.SIGTERM)
        for sender in self.senders:
            sender.wait(seconds)
        total = self.acked()
        if not self.cluster.max_lag:
            until("every consumer has it all",
                  lambda: all(len(Consumer(log).taken) >= total for log in self.consumed), 30, 1)
        findings = judge(self.produced, self.consumed, may_lose=self.cluster.max_lag)
        expect("; ".join(findings[:5]) or "delivered once, in order", not findings)
        return total

    def lost(self):
        """How many acknowledged messages the first consumer does not hold."""
        return len(set().union(*map(acknowledged, self.produced)) - set(Consumer(self.consumed[0]).taken))

    def finish(self, seconds=120):
        """Waits until all is sent, acknowledged and delivered, and judges it."""
        for sender in self.senders:
            sender.wait(seconds)
        total = len(self.senders) * self.count
        until("every consumer has it all",
              lambda: all(log.read_text().count("entry") >= total for log in self.consumed), 30)
        findings = judge(self.produced, self.consumed)
        expect("; ".join(findings[:5]) or "delivered once, in order", not findings)
        expect("all are acknowledged", self.acked() == total)


@short
def test_switchover_loses_nothing(directory):
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, 2000)
        traffic.wait_acked(500)
        other = cluster.other(master)
        done = master.ask("switchover")
        expect(f"switchover: {done.stderr}", done.returncode == 0)
        cluster.wait_master(other)
        cluster.wait_pair()
        traffic.wait_acked(2000)
        done = other.ask("switchover")
        expect(f"switchover back: {done.stderr}", done.returncode == 0)
        traffic.finish()


def test_master_broker_killed(directory):
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, 3000)
        traffic.wait_acked(500)
        master.broker.kill()
        cluster.wait_master(cluster.other(master))
        traffic.wait_acked(2000)
        master.start_broker()
        traffic.finish()
        cluster.wait_pair()


def test_master_broker_restarted_at_once(directory):
    """It never leads on in the epoch in which it died."""
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, 3000)
        traffic.wait_acked(500)
        epoch = master.status()["reign"]
        master.broker.kill()
        master.start_broker()
        traffic.wait_acked(2000)
        leader = cluster.wait_master()
        expect("a later epoch", leader.status()["reign"] > epoch)
        traffic.finish()


def test_master_node_lost(directory):
    """What it had past the commit is kept aside, and the node comes back by itself."""
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, 4000)
        traffic.wait_acked(500)
        master.lose()
        cluster.wait_master(cluster.other(master))
        traffic.wait_acked(2000)
        master.boot()
        master.start_broker()
        master.start()
        traffic.finish()
        cluster.wait_pair()


def test_what_a_rejoin_cuts_off_is_kept(directory):
    """Messages that only the old master had are found by `tanist orphans`, and replaying them doubles nothing."""
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        other = cluster.other(master)
        traffic = Traffic(cluster, 3000, rate=500)
        traffic.wait_acked(300)
        cluster.cut(master, other)
        cluster.cut(master, cluster.w)
        cluster.wait_master(other)
        cluster.mend(master, other)
        cluster.mend(master, cluster.w)
        cluster.wait_pair()
        traffic.finish()
        rows = [json.loads(line) for line in orphans(master, "--json", "list").splitlines()]
        events = [json.loads(line) for line in master.ask("--json", "events").stdout.splitlines()]
        expect("its path is in the events", any(e.get("what") == "orphaned" and rows[0]["name"] in e["path"] for e in events))
        expect(f"one file, with entries: {rows}", len(rows) == 1 and rows[0]["entries"] > 0 and not rows[0]["damaged"])
        name = rows[0]["name"]
        expect("all are shown", len(orphans(master, "show", name).splitlines()) == rows[0]["entries"])
        before = [log.read_text() for log in traffic.consumed]
        text = orphans(master, "replay", name, "--", BUILD / "tests" / "broker" / "republish",
                       f"{other.address}:{BROKER_PORT}", f"{master.address}:{BROKER_PORT}")
        expect(text, f"{rows[0]['entries']} entries were replayed" in text)
        expect("nothing came twice", before == [log.read_text() for log in traffic.consumed])
        orphans(master, "discard", name, "--yes-i-understand", name)
        expect("it is gone", orphans(master, "--json", "list") == "")
        kept = next((master.home / "state").glob("*.orphans"))
        (kept / "7-1500.dump").write_bytes(b"DUMP")
        (kept / "old").write_bytes(b"tanistO1 and what that version wrote")
        rows = {row["name"]: row for row in map(json.loads, orphans(master, "--json", "list").splitlines())}
        expect(f"what cannot be read here is told: {rows}", rows["7-1500.dump"]["foreign"] and rows["old"]["other_version"])
        for name in rows:
            orphans(master, "discard", name, "--yes-i-understand", name)
        expect("these go, too", orphans(master, "--json", "list") == "")


def give_disks(cluster, megabytes=512):
    """Each node's state and data on a disk of its own, which can be filled."""
    for node in cluster.nodes:
        disk = node.home / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", disk], check=True)
        for name in ("broker", "redis", "state"):
            (disk / name).mkdir()
            shutil.rmtree(node.home / name, ignore_errors=True)
            (node.home / name).symlink_to(disk / name)


def fill_disk(node):
    """Every byte of the disk that ballot and log lie on."""
    try:
        with open(node.home / "disk" / "filler", "wb", buffering=0) as file:
            while file.write(bytes(1 << 20)):
                pass
    except OSError:  # full
        pass


def test_a_full_disk_confirms_nothing(directory):
    """A secondary that could not write its log does not hold what is in its memory, however often it joins anew."""
    with Cluster(directory, driver="library") as cluster:
        give_disks(cluster, 16)
        master = cluster.start()
        cluster.wait_pair()
        other = cluster.other(master)
        traffic = Traffic(cluster, 1 << 40, rate=2000)
        traffic.wait_acked(500)
        fill_disk(other)
        said = other.home / "broker.log"
        until("its log cannot be written", lambda: said.read_text().count("cannot be written") > 0, 20, 0.001)
        durable = other.status()["broker"]["position"]
        always(f"it holds no more than {durable}", lambda: master.status()["broker"]["peer_position"] <= durable, 1)
        cluster.wait_mode("sole")
        traffic.wait_acked(traffic.acked() + 500)
        (other.home / "disk" / "filler").unlink()
        other.broker.kill()
        other.start_broker()
        cluster.wait_pair()
        traffic.end()


def test_at_once_announces_what_is_void(directory):
    """Consumers that are sent what is not committed yet are told which of it a failover discarded."""
    with Cluster(directory, driver="library", broker_options=("--at-once",)) as cluster:
        master = cluster.start()
        cluster.wait_pair()
        other = cluster.other(master)
        traffic = Traffic(cluster, 1 << 40, rate=500)
        traffic.wait_acked(300)
        cluster.cut(master, other)  # from here on nothing is committed, but all of it is delivered
        cluster.cut(master, cluster.w)
        cluster.wait_master(other)
        cluster.mend(master, other)
        cluster.mend(master, cluster.w)
        until("they are told", lambda: all("void" in log.read_text() for log in traffic.consumed), 30)
        traffic.wait_acked(traffic.acked() + 200)
        traffic.end()


def test_two_failovers_while_a_node_is_away(directory):
    """It has entries of a reign that nobody else knows; it comes back two reigns later, and keeps nothing of them."""
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        other = cluster.other(master)
        traffic = Traffic(cluster, 1 << 40, rate=500)
        traffic.wait_acked(300)
        cluster.cut(master, other)
        cluster.cut(master, cluster.w)
        cluster.wait_master(other)
        traffic.wait_acked(traffic.acked() + 200)
        for _ in range(2):
            epoch = other.status()["reign"]
            other.broker.kill()
            other.start_broker()
            until("it leads again, in a later epoch", lambda e=epoch: cluster.wait_master(other).status().get("reign", 0) > e, 30)
            traffic.wait_acked(traffic.acked() + 200)
        cluster.mend(master, other)
        cluster.mend(master, cluster.w)
        cluster.wait_pair()
        rows = [json.loads(line) for line in orphans(master, "--json", "list").splitlines()]
        expect(f"what it had alone is kept: {rows}", len(rows) == 1 and rows[0]["entries"] > 0 and not rows[0]["damaged"])
        done = other.ask("switchover")
        expect(f"it may lead again: {done.stderr}", done.returncode == 0)
        cluster.wait_master(master)
        traffic.wait_acked(traffic.acked() + 200)
        traffic.end()


def test_proof_of_a_higher_epoch_ends_a_reign(directory):
    """A receiver that has seen a higher epoch says so, and the master acknowledges nothing more, whatever its page says."""
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, 1 << 40, producers=1, rate=500)
        traffic.wait_acked(300)
        with master.space.connect("127.0.0.1", BROKER_PORT) as receiver:
            receiver.sendall(struct.pack(">IBQ", 9, STALE, master.status()["reign"] + 1))
            receiver.settimeout(10)
            expect("it is sent away", receiver.recv(5)[4:] == bytes([MOVED]))
        stopped = traffic.acked()
        always("nothing is acknowledged any more", lambda: traffic.acked() <= stopped + 1, 0.5)
        said = master.status()["broker"]
        expect(f"status says why: {said}", any("has seen epoch" in note for note in said["notes"]))
        expect("and what the broker has done", said["received"] >= said["acknowledged"] > 0 < said["delivered"])
        master.broker.kill()
        master.start_broker()
        traffic.wait_acked(stopped + 200)
        traffic.end()


def test_async_loses_no_more_than_it_says(directory):
    """The secondary falls behind, the master is lost: what is gone is within max_lag, and the status had said so."""
    with Cluster(directory, driver="library", max_lag=50) as cluster:
        master = cluster.start()
        cluster.wait_pair()
        other = cluster.other(master)
        traffic = Traffic(cluster, 1 << 40, producers=1, rate=500)
        traffic.wait_acked(300)
        said = master.status()["broker"]
        expect(f"said in advance: {said}", said["may_lose"] == 50 and "may lose the last 50" in said["note"])
        other.broker.pause()  # what is acknowledged from here on is on the master alone, up to 50
        before = traffic.acked()
        traffic.wait_acked(before + 40)
        master.lose()
        other.broker.resume()
        cluster.wait_master(other)
        traffic.wait_acked(traffic.acked() + 200)
        traffic.end()
        print(f"{traffic.lost()} acknowledged messages were lost")


def orphans(node, *words):
    """What `tanist orphans` says on the node; --json comes first."""
    options = ["--json"] if words[0] == "--json" else []
    return node.space.run(*map(str, [BUILD / "tanist", "-c", node.config, *options, "orphans", *words[len(options):]]))


def test_secondary_stalls(directory):
    """The master waits, goes on alone once that is on record, and takes the other back."""
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        other = cluster.other(master)
        traffic = Traffic(cluster, 6000)
        traffic.wait_acked(500)
        other.broker.pause()
        cluster.wait_mode("sole")
        before = traffic.acked()
        traffic.wait_acked(before + 500)
        other.broker.resume()
        cluster.wait_pair()
        traffic.finish()


def test_hung_master_broker(directory):
    """A stopped broker is not served on: the other takes over, and the old one changes nothing when it wakes."""
    with Cluster(directory, driver="library") as cluster:
        master = cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, 4000)
        traffic.wait_acked(500)
        master.broker.pause()
        cluster.wait_master(cluster.other(master), 30)
        traffic.wait_acked(2000)
        master.broker.resume()
        traffic.finish()
        cluster.wait_pair()
