# SPDX-License-Identifier: Apache-2.0
"""The test bed itself: do the instruments see what they are there to see? No agent runs here."""

import contextlib
import socket
import struct
import time

from faults import DELAY_MS, Faults
from testbed import (REDIS_PORT, VIRTUAL_IP, Cluster, always, boottime_us, expect, short, tcp_answers, until,
                     verify)


def hold(node):
    node.space.ip("address", "add", VIRTUAL_IP + "/24", "dev", "eth0")


def release(node):
    node.space.ip("address", "delete", VIRTUAL_IP + "/24", "dev", "eth0")


class Wired(Cluster):
    """A cluster's machines and wire without its programs."""

    def keygen(self, member):
        return "none"


@short
def test_observer_tells_two_holders_from_one(directory):
    with Wired(directory) as bed:
        observer = bed.observe()
        hold(bed.a)
        time.sleep(0.2)
        release(bed.a)
        hold(bed.b)
        time.sleep(0.2)
        one = observer.mark("two")
        expect(f"a, then b, answered: {one}", min(one[n][k] for n in "ab" for k in ("icmp", "arp")) > 100)
        expect(f"never both: {one}", one["both_us"] == 0 and one["a"]["last_us"] < one["b"]["first_us"])
        hold(bed.a)
        time.sleep(0.2)
        release(bed.a)
        two = observer.finish()
        expect(f"both for about 200 ms: {two}", 150000 < two["both_us"] < 400000)


@short
def test_wire_cuts_one_way_and_one_pair(directory):
    with Wired(directory) as bed:
        client = bed.client()
        bed.a.start_redis()
        bed.b.start_redis()
        reach = {"b-a": lambda: tcp_answers(bed.b.space, bed.a.address, REDIS_PORT),
                 "a-b": lambda: tcp_answers(bed.a.space, bed.b.address, REDIS_PORT),
                 "w-a": lambda: tcp_answers(bed.w.space, bed.a.address, REDIS_PORT),
                 "c-a": lambda: tcp_answers(client, bed.a.address, REDIS_PORT)}
        expect("all reach all", all(way() for way in reach.values()))
        bed.cut(bed.a, bed.b)
        expect("only a-b is cut", [name for name, way in reach.items() if not way()] == ["b-a", "a-b"])
        bed.mend(bed.a, bed.b)
        expect("mended", all(way() for way in reach.values()))
        bed.isolate(bed.a)
        expect("a is cut off", not any(way() for way in reach.values()))
        bed.wire.mend()
        bed.a.lose()
        expect("a is lost", not any(reach[way]() for way in ("b-a", "w-a", "c-a")))
        bed.a.boot()
        bed.a.start_redis()
        until("a is back", lambda: all(way() for way in reach.values()), 10)


@short
def test_writer_measures_gaps_and_verify_finds_losses(directory):
    with Wired(directory) as bed:
        log = directory / "acknowledged"
        bed.a.start_redis()
        hold(bed.a)
        writer = bed.write(log)
        until("it writes", lambda: writer.look()["acknowledged"] > 100)
        bed.a.redis.pause()
        time.sleep(0.1)
        bed.a.redis.resume()
        writes = writer.look()["acknowledged"]
        until("it writes again", lambda: writer.look()["acknowledged"] > writes + 100)
        gap = writer.look()["gap_us"]
        expect(f"a gap of about 100 ms was seen: {gap} us", 95000 < gap < 250000)
        with bed.a.client() as client:
            writer.finish()
            wanted, present = verify.acknowledged(log), verify.held(client, "orders")
            expect("nothing lost", verify.compare(wanted, present) == (0, 0, 0))
            client.ask("LSET", "orders", 20, present[21])
            lost, doubled, _ = verify.compare(wanted, verify.held(client, "orders"))
            expect("one lost and one doubled are found", (lost, doubled) == (1, 1))


@short
def test_writer_counts_only_what_the_secondary_has(directory):
    with Wired(directory) as bed:
        for node in bed.nodes:
            node.start_redis()
        hold(bed.a)
        with bed.a.client() as master, bed.b.client() as secondary:
            secondary.ask("REPLICAOF", bed.a.address, REDIS_PORT)
            master.ask("CONFIG", "SET", "min-replicas-to-write", 1)
            until("b is attached", lambda: "master_link_status:up" in secondary.ask("INFO", "replication"))
            writer = bed.write(directory / "acknowledged", "--wait")
            until("writes are confirmed", lambda: writer.look()["acknowledged"] > 100)
            bed.cut(bed.a, bed.b)
            writer.mark("cut")
            until("writes fail", lambda: writer.look()["unknown"] > 10)
            writer.mark("alone")
            always("nothing counts any more", lambda: writer.look()["acknowledged"] == 0, 0.2)
            master.ask("CONFIG", "SET", "min-replicas-to-write", 0)
            until("the master alone counts", lambda: writer.look()["acknowledged"] > 100)
            writer.finish()
            lost, doubled, _ = verify.compare(verify.acknowledged(directory / "acknowledged"),
                                              verify.held(master, "orders"))
            expect("nothing lost", (lost, doubled) == (0, 0))


def arrivals(bed, count=200):
    """Numbered datagrams from a to b, 2 ms apart: [(number, ms on the way)] in the order in which they arrive."""
    with bed.b.space.entered():
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        there.bind((bed.b.address, 9000))
    with bed.a.space.entered():
        here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(count):
        here.sendto(struct.pack("!Iq", number, boottime_us()), (bed.b.address, 9000))
        time.sleep(0.002)
    there.settimeout(1)
    came = []
    with contextlib.suppress(socket.timeout):
        while True:
            data = there.recv(64)
            number, sent_us = struct.unpack("!Iq", data)
            came.append((number, (boottime_us() - sent_us) / 1000))
    return came


def test_wire_loses_delays_and_reorders(directory):
    with Wired(directory) as bed:
        faults = Faults(bed, {"a": bed.a, "b": bed.b})
        plain = arrivals(bed)
        expect("a good wire carries all in order", [number for number, _ in plain] == list(range(200)))
        faults.strike("a>b loss")
        expect("about 30 % are lost", 90 < len(arrivals(bed)) < 180)
        faults.active = ["a>b delay"]
        faults.load_wire()
        slow = arrivals(bed)
        expect("all in order", [number for number, _ in slow] == list(range(200)))
        expect(f"each {DELAY_MS} ms later", min(ms for _, ms in slow) >= DELAY_MS)
        back = min(tcp_refused(bed.b.space, bed.a.address) for _ in range(20))
        expect(f"the way back is as it was: {back} s for both", DELAY_MS <= back * 1000 < 2 * DELAY_MS)
        faults.active = ["a-b reorder"]
        faults.load_wire()
        mixed = [number for number, _ in arrivals(bed)]
        expect("all come", sorted(mixed) == list(range(200)))
        passed = sum(1 for before, after in zip(mixed, mixed[1:]) if after < before)
        expect(f"many are passed by later ones: {passed}", passed > 20)
        faults.active = ["a-b cut", "a-b delay"]
        faults.load_wire()
        expect("a slow wire that is cut carries nothing", arrivals(bed) == [])
        faults.active = ["a-b delay", "brokers cut"]
        faults.load_wire()
        other = min(tcp_refused(bed.b.space, bed.a.address) for _ in range(20))
        expect("of a slow wire the brokers' port alone is cut",
               other < 0.3 <= tcp_refused(bed.b.space, bed.a.address, REDIS_PORT))
        faults.active = []
        faults.load_wire()
        expect("and mended all", len(arrivals(bed)) == 200)


def tcp_refused(space, address, port=9):
    """How long a refusal takes, in s: one round trip, or 0.3 s where nothing comes back."""
    began = time.monotonic()
    expect("nobody listens there", not tcp_answers(space, address, port))
    return time.monotonic() - began


@short
def test_address_of_nobody(directory):
    with Wired(directory) as bed:
        observer = bed.observe()
        time.sleep(0.2)
        nobody = observer.finish()
        expect(f"nobody answers: {nobody}", all(nobody[n][k] == 0 for n in "ab" for k in ("icmp", "arp")))
