#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The virtual IPs on real interfaces, in namespaces of its own. Usage: vip_test.py [NAME_PART ...]

One wire with three machines on it: two nodes, a and b, and a neighbour, who hears what they say. VARIANT names the
build (default release). Times are printed for people; only what must hold is checked.
"""
import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

import space

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROBE = os.path.join(ROOT, "build", os.environ.get("VARIANT", "release"), "tests/support/vip_probe")
V4, V6 = "10.0.0.100", "fd00::100"
BOTH = [V4 + "/24", "eth0", V6 + "/64", "eth0"]
MACS = {"a": "02:00:00:00:00:0a", "b": "02:00:00:00:00:0b", "neighbour": "02:00:00:00:00:0c"}
ETH_P_ALL = 3
CLOCK = time.CLOCK_BOOTTIME


class Probe:
    """A vip_probe process; each command's answer is awaited."""

    def __init__(self, where, *arguments):
        self.process = where.start([PROBE, *(arguments or BOTH)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True, bufsize=1)
        self.opened = self.process.stdout.readline().rstrip("\n")

    def __call__(self, command):
        """(result, what is wrong)"""
        return self.ask(command)[1:]

    def ask(self, command):
        """(when it was sent, result, what is wrong)"""
        began = time.clock_gettime(CLOCK)
        self.process.stdin.write(command + "\n")
        line = self.process.stdout.readline().rstrip("\n")
        assert line and not line.startswith("?"), (command, line)
        _, result, *rest = line.split(" ", 2)
        return began, result if command == "held" else int(result), rest[0] if rest else ""

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(5)
        assert code == 0, f"the probe ended with {code}"

    def kill(self):
        self.process.kill()
        self.process.wait()


class Ear:
    """Hears every frame that reaches an interface."""

    def __init__(self, where):
        with where.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.bind(("eth0", ETH_P_ALL))

    def until(self, seconds, enough=lambda heard: False):
        """What is said of the virtual IPs within the time, as (when, kind, mac)."""
        heard, end = [], time.clock_gettime(CLOCK) + seconds
        while not enough(heard):
            left = end - time.clock_gettime(CLOCK)
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                break
            frame = self.socket.recv(2048)
            kind = kind_of(frame)
            if kind:
                heard.append((time.clock_gettime(CLOCK), kind, frame[6:12].hex(":")))
        return heard

    def close(self):
        self.socket.close()


def kind_of(frame):
    """An announcement's kind; None for all else."""
    mac, v4, v6 = frame[6:12], socket.inet_aton(V4), socket.inet_pton(socket.AF_INET6, V6)
    if frame[12:14] == b"\x08\x06" and frame[28:32] == v4 and frame[38:42] == v4:
        assert frame[:6] == b"\xff" * 6 and frame[22:28] == mac == frame[32:38], frame.hex()
        return {1: "request", 2: "reply"}[struct.unpack("!H", frame[20:22])[0]]
    if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136 and frame[22:38] == v6:
        assert frame[:6] == b"\x33\x33\0\0\0\1" and frame[21] == 255 and frame[62:78] == v6, frame.hex()
        assert frame[58] == 0x20 and frame[78:80] == b"\2\1" and frame[80:86] == mac, frame.hex()
        return "advertisement"
    return None


class World:
    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.wire = space.Wire()
        self.stack.callback(self.wire.space.remove)
        self.spaces = {}
        for number, (name, mac) in enumerate(MACS.items(), 1):
            self.spaces[name] = space.Space(name)
            self.stack.callback(self.spaces[name].remove)
            self.wire.attach(self.spaces[name], mac, f"10.0.0.{number}")
            self.stack.callback(self.wire.detach, name)
            self.spaces[name].ip("address", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
        self.a, self.b, self.neighbour = self.spaces.values()

    def probe(self, where, *arguments):
        probe = Probe(where, *arguments)
        self.stack.callback(probe.kill)
        return probe

    def ear(self):
        ear = Ear(self.neighbour)
        self.stack.callback(ear.close)
        return ear

    def close(self):
        self.stack.close()


def addresses(where, interface="eth0"):
    """What the kernel has of the virtual IPs there, by address."""
    found = json.loads(where.ip("-json", "address", "show", "dev", interface))[0]["addr_info"]
    return {(one["local"], one["prefixlen"]): one for one in found if one["local"] in (V4, V6, "10.9.0.1")}


def routes(where, destination):
    return [r for r in json.loads(where.ip("-json", "route", "show", "table", "main")) if r["dst"] == destination]


def neighbour_knows(world, address):
    found = json.loads(world.neighbour.ip("-json", "neighbour", "show", "to", address, "dev", "eth0"))
    return found[0].get("lladdr") if found else None


def reach(world, address):
    """Somebody answers at the address, if only that there is nobody at the port."""
    with contextlib.suppress(ConnectionRefusedError):
        world.neighbour.connect(address, 9, 2).close()


def expect(real, wanted):
    assert real == wanted, f"{real!r} instead of {wanted!r}"


def test_adds_and_drops(world):
    probe = world.probe(world.a)
    expect(probe("held"), ("00", ""))
    expect(probe("add 30"), (0, ""))
    expect(probe("held"), ("11", ""))
    have = addresses(world.a)
    expect(sorted(have), sorted([(V4, 24), (V6, 64)]))
    for one in have.values():
        assert 28 <= one["valid_life_time"] <= 30, one
        assert one.get("noprefixroute") and not one.get("tentative"), one  # the node's own address has the network
    expect(probe("add 30"), (0, ""))
    expect(len(routes(world.a, "10.0.0.0/24")), 1)
    expect(probe("drop"), (0, ""))
    expect(addresses(world.a), {})
    expect(probe("drop"), (0, ""))
    expect(probe("held"), ("00", ""))
    expect(len(routes(world.a, "10.0.0.0/24")), 1)
    probe.end()


def test_lifetimes_are_renewed_and_run_out(world):
    probe = world.probe(world.a)
    probe("add 3")
    expect(probe("refresh 100"), (0, ""))
    for one in addresses(world.a).values():
        assert 98 <= one["valid_life_time"] <= 100, one
    expect(probe("refresh 0"), (0, ""))
    for one in addresses(world.a).values():
        expect(one["valid_life_time"], 0xffffffff)
    probe("refresh 1")
    probe.kill()  # nobody renews it any more
    with world.a.entered(), contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)) as news:
        news.bind((0, 0x10 | 0x100))  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
        end = time.clock_gettime(CLOCK) + 6
        while addresses(world.a):
            left = end - time.clock_gettime(CLOCK)
            assert left > 0, "the addresses outlive their lifetime"
            if select.select([news], [], [], left)[0]:
                news.recv(65536)


def test_is_no_source_of_own_connections(world):
    probe = world.probe(world.a)
    probe("add 30")
    for target, own in (("10.0.0.3", "10.0.0.1"), ("fd00::3", "fd00::1")):
        expect(json.loads(world.a.ip("-json", "route", "get", target))[0]["prefsrc"], own)


def test_announces_on_schedule(world):
    probe, ear = world.probe(world.a), world.ear()
    began, *result = probe.ask("add 30")
    expect(result, [0, ""])
    heard = ear.until(3, lambda h: len(h) == 15)
    expect({mac for _, _, mac in heard}, {MACS["a"]})
    for kind in ("request", "reply", "advertisement"):
        times = [when - began for when, one, _ in heard if one == kind]
        expect(len(times), 5)
        print("  %-14s at %s ms" % (kind, " ".join("%.1f" % (t * 1000) for t in times)))
        for at, due in zip(times, (0, 0.01, 0.05, 0.2, 1)):
            assert at >= due, f"{kind} after {at} s, due at {due} s"
    expect(ear.until(0.3), [])  # and then slowly


def test_announces_again_when_told(world):
    probe, ear = world.probe(world.a), world.ear()
    probe("announce")
    expect(ear.until(0.1), [])  # nothing is held
    probe("add 30")
    ear.until(3, lambda h: len(h) == 15)
    probe("announce")
    expect(len(ear.until(3, lambda h: len(h) == 15)), 15)


def test_drop_ends_the_announcements(world):
    probe, ear = world.probe(world.a), world.ear()
    probe("add 30")
    probe("drop")
    first = ear.until(1.3)
    assert 3 <= len(first) < 15, first
    assert first[-1][0] - first[0][0] < 0.2, first


def test_says_nothing_after_the_lease(world):
    probe, ear = world.probe(world.a), world.ear()
    probe("until 120")
    began, *_ = probe.ask("add 30")
    heard = ear.until(1.3)
    expect(len(heard), 9)  # at 0, 10, 50 ms
    assert heard[-1][0] - began < 0.2
    expect(probe("announce"), (0, ""))
    expect(ear.until(0.3), [])
    probe("until 60000")
    probe("announce")
    expect(len(ear.until(3, lambda h: len(h) == 15)), 15)


def test_neighbour_switches(world):
    a, b = world.probe(world.a), world.probe(world.b)
    a("add 30")
    for address in (V4, V6):
        reach(world, address)
        expect(neighbour_knows(world, address), MACS["a"])
    a("drop")
    ear = world.ear()
    b("add 30")
    ear.until(2, lambda h: len(h) == 3)  # the first round alone must do
    expect([mac for _, _, mac in ear.until(0)], [])
    for address in (V4, V6):
        expect(neighbour_knows(world, address), MACS["b"])
        reach(world, address)


def test_deleted_is_put_back_and_announced(world):
    probe, ear = world.probe(world.a), world.ear()
    probe("add 30")
    ear.until(3, lambda h: len(h) == 15)
    expect(probe("refresh 30"), (0, ""))
    for address in (V4 + "/24", V6 + "/64"):
        world.a.ip("address", "delete", address, "dev", "eth0")
        expect(probe("refresh 30"), (1, ""))
        expect(len(ear.until(3, lambda h: len(h) == 15)), 15)
        expect(probe("refresh 30"), (0, ""))
    expect(sorted(addresses(world.a)), sorted([(V4, 24), (V6, 64)]))


def test_brings_the_route_when_it_is_alone(world):
    probe = world.probe(world.a)
    probe("add 30")
    world.a.ip("address", "flush", "dev", "eth0", "scope", "global")  # the node's own addresses, too
    expect(routes(world.a, "10.0.0.0/24"), [])
    expect(probe("refresh 30"), (1, ""))
    expect(len(routes(world.a, "10.0.0.0/24")), 1)
    reach(world, V4)
    reach(world, V6)
    probe("drop")
    expect(routes(world.a, "10.0.0.0/24"), [])


def test_removes_what_a_former_agent_left(world):
    former = world.probe(world.a)
    former("add 0")
    former.kill()
    for prefix in (V4 + "/16", V4 + "/32"):  # as a former configuration had it
        world.a.ip("address", "add", prefix, "dev", "eth0")
    expect(len(addresses(world.a)), 4)
    probe = world.probe(world.a, V4 + "/24", "eth0", V6 + "/80", "eth0")
    expect(probe("drop"), (0, ""))
    expect(addresses(world.a), {})
    kept = world.a.ip("address", "show", "dev", "eth0")
    assert "10.0.0.1/24" in kept and "fd00::1/64" in kept, kept
    probe.end()


def test_a_failure_takes_back_what_was_added(world):
    world.a.ip("link", "add", "eth1", "type", "veth", "peer", "name", "end1")
    probe = world.probe(world.a, V4 + "/24", "eth0", V6 + "/64", "eth1")
    world.a.ip("link", "delete", "eth1")
    result, wrong = probe("add 30")
    expect(result, -19)
    assert "fd00::100/64 on eth1" in wrong and "no such interface" in wrong, wrong
    expect(addresses(world.a), {})
    expect(probe("drop"), (0, ""))
    world.a.ip("link", "add", "eth1", "type", "veth", "peer", "name", "end1")  # with another index
    world.a.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/eth1/disable_ipv6")
    result, wrong = probe("add 30")
    expect(result, -13)
    assert "IPv6 is switched off there" in wrong, wrong
    expect(addresses(world.a), {})
    expect(probe("held"), ("00", ""))
    world.a.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/eth1/disable_ipv6")
    expect(probe("add 30"), (0, ""))
    expect(list(addresses(world.a, "eth1")), [(V6, 64)])


def test_link_down(world):
    probe = world.probe(world.a)
    world.a.ip("link", "set", "eth0", "down")
    expect(probe("add 30"), (0, ""))
    expect(probe("refresh 30"), (0, ""))
    expect(probe("drop"), (0, ""))
    expect(addresses(world.a), {})
    world.a.ip("link", "delete", "eth0")
    expect(probe("drop"), (0, ""))
    world.wire.attach(world.a, MACS["a"], "10.0.0.1")  # a new interface of the same name


def test_wrong_settings(world):
    probe = world.probe(world.a, V4 + "/24", "eth9")
    assert probe.opened.startswith("error -19 "), probe.opened
    for part in (V4 + "/24", '"eth9"', "create it before the agent starts"):
        assert part in probe.opened, probe.opened
    probe = world.probe(world.a, V4, "eth0")
    assert probe.opened.startswith("error -22 ") and '"10.0.0.100/24"' in probe.opened, probe.opened


def test_what_a_refresh_costs(world):
    probe = world.probe(world.a)
    probe("add 30")
    probe.process.stdin.write("time 1000 30\n")
    print("  two addresses, us:", probe.process.stdout.readline().split(" ", 1)[1].strip())
    expect(probe("refresh 30"), (0, ""))


def run(name, test):
    world = World()
    try:
        test(world)
    except Exception as error:  # one test's failure must not keep the others from running
        print("FAILED %s: %s: %s" % (name, type(error).__name__, error), flush=True)
        return False
    finally:
        world.close()
    print("passed %s" % name, flush=True)
    return True


def main():
    if not space.inside():
        trouble = space.obstacle()
        if trouble:
            print(trouble, file=sys.stderr)
            return space.CANNOT
        return space.launch([os.path.abspath(__file__)] + sys.argv[1:]).wait()
    space.settle()
    tests = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    wanted = {n: t for n, t in tests.items() if not sys.argv[1:] or any(part in n for part in sys.argv[1:])}
    results = [run(name, test) for name, test in wanted.items()]
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
