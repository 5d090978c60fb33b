#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel fence by itself, in namespaces of its own. Usage: fence_test.py [NAME_PART ...]

A client asks a node's virtual IPs for answers, which something beside the fence's process gives: what passes is up to
the kernel. VARIANT names the build (default release). Figures are printed for people; only what must hold is checked.
"""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

import space

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROBE = os.path.join(ROOT, "build", os.environ.get("VARIANT", "release"), "tests/support/fence_probe")
CLIENT, NODE, PEER, VIP, VIP2, VIP6 = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.100", "10.0.0.200", "fd00::100")
NODE_MAC, CLIENT_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
PORT, TCP_PORT, LEASE_MS = 9000, 6379, 1000
SO_TIMESTAMPNS = 35
SILENCE_S = 0.25  # that long without an answer is none: answers come within a millisecond


def now_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Probe:
    """A fence_probe process on the node."""

    def __init__(self, world, cluster="orders", vips=(VIP, VIP6), lease_ms=LEASE_MS):
        words = [f"vip={vip}" for vip in vips] + [f"peer={PEER}", f"port={TCP_PORT}"]
        self.process = world.node.start([PROBE, cluster, str(lease_ms), "require"] + words, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        world.stack.callback(self.kill)
        self.greeting = self.process.stdout.readline().strip()

    def ask(self, text):
        self.process.stdin.write(text + "\n")
        return self.process.stdout.readline().strip()

    def do(self, text, code=0):
        """Performs a command; returns (state, began, ended) in µs."""
        answer = self.ask(text).split()
        assert int(answer[0]) == code, f"{text}: {answer}"
        return answer[1], int(answer[2]), int(answer[3])

    def end(self, how):
        self.process.stdin.write(how + "\n")
        assert self.process.wait(5) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Asker:
    """Asks an address every millisecond; notes the kernel's own time of each answer's arrival."""

    def __init__(self, world, address):
        with world.client.entered():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.settimeout(0.05)
        self.socket.connect((address, PORT))
        self.sent, self.heard, self.over = 0, [], False
        self.offset_us = time.time_ns() // 1000 - now_us()
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self.send, self.hear)]
        for thread in self.threads:
            thread.start()

    def send(self):
        while not self.over:
            with contextlib.suppress(OSError):
                self.socket.send(b"?")
                self.sent += 1
            time.sleep(0.001)

    def hear(self):
        while not self.over:
            try:
                ancillary = self.socket.recvmsg(64, 64)[1]
            except OSError:
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            self.heard.append(seconds * 1000000 + nanoseconds // 1000 - self.offset_us)

    def stop(self):
        time.sleep(SILENCE_S)
        self.over = True
        for thread in self.threads:
            thread.join()
        self.socket.close()


class World:
    """A client, a node with virtual IPs that answers, another node; on one wire."""

    def __init__(self, stack):
        self.stack = stack
        self.wire = space.Wire()
        stack.callback(self.wire.space.remove)
        self.client, self.node, self.peer = (self.machine(*m) for m in (
            ("client", CLIENT_MAC, CLIENT), ("node", NODE_MAC, NODE), ("peer", "02:00:00:00:00:03", PEER)))
        for vip in (VIP, VIP2):
            self.node.ip("address", "add", vip + "/24", "dev", "eth0")
        self.node.ip("-6", "address", "add", VIP6 + "/64", "dev", "eth0", "nodad")
        self.client.ip("-6", "address", "add", "fd00::1/64", "dev", "eth0", "nodad")
        for vip in (VIP, VIP2):  # what asks while closed must not wait for ARP once open; ARP is asked by itself
            self.client.ip("neigh", "replace", vip, "lladdr", NODE_MAC, "dev", "eth0")
        with self.node.entered():
            self.echoes = [socket.create_server((NODE, TCP_PORT)), socket.create_server(("127.0.0.1", TCP_PORT))]
            for family, address in ((socket.AF_INET, VIP), (socket.AF_INET, VIP2), (socket.AF_INET, NODE),
                                    (socket.AF_INET6, VIP6)):
                self.echoes.append(self.echo(family, address))
        for one in self.echoes:
            stack.callback(one.close)

    def machine(self, name, mac, address):
        machine = space.Space(name)
        self.stack.callback(machine.remove)
        self.wire.attach(machine, mac, address)
        return machine

    def echo(self, family, address):
        answering = socket.socket(family, socket.SOCK_DGRAM)
        answering.bind((address, PORT))

        def answer():
            with contextlib.suppress(OSError):  # closed: the test is over
                while True:
                    data, source = answering.recvfrom(64)
                    with contextlib.suppress(PermissionError):  # the fence closed in between
                        answering.sendto(data, source)
        threading.Thread(target=answer, daemon=True).start()
        return answering

    def answers(self, address, seconds=SILENCE_S, where=None):
        with (where or self.client).entered():
            asking = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        with asking:
            asking.settimeout(seconds)
            try:
                asking.sendto(b"?", (address, PORT))
                return asking.recv(64) == b"?"
            except OSError:
                return False

    def answers_arp(self, address):
        """Asks by a frame of our own who has the address."""
        with self.client.entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        with wire:
            wire.bind(("eth0", 0x0806))
            mac, target = bytes.fromhex(CLIENT_MAC.replace(":", "")), socket.inet_aton(address)
            wire.send(b"\xff" * 6 + mac + b"\x08\x06\0\1\x08\0\6\4\0\1" + mac + socket.inet_aton(CLIENT) + b"\0" * 6
                      + target)
            until = time.monotonic() + SILENCE_S
            while (left := until - time.monotonic()) > 0:
                wire.settimeout(left)
                with contextlib.suppress(TimeoutError):
                    frame = wire.recv(128)
                    if frame[20:22] == b"\0\2" and frame[28:32] == target:
                        return True
            return False

    def finds_neighbour(self):
        """Whether the client resolves the IPv6 address anew."""
        self.client.ip("-6", "neigh", "flush", "dev", "eth0")
        self.answers(VIP6)
        return "lladdr" in self.client.ip("-6", "neigh", "show", "to", VIP6, "dev", "eth0")

    def connects(self, where, address):
        try:
            where.connect(address, TCP_PORT, SILENCE_S).close()
            return True
        except OSError:
            return False

    def rules(self):
        return self.node.run("nft", "list", "ruleset").strip()


def expect(what, wanted, name):
    assert what == wanted, f"{name}: {what!r} instead of {wanted!r}"


def expect_all(world, wanted):
    expect(world.answers(VIP), wanted, "IPv4")
    expect(world.answers_arp(VIP), wanted, "ARP")
    expect(world.answers(VIP6), wanted, "IPv6")


def test_closed_at_open_then_armed_then_closed(world):
    expect_all(world, True)  # before there is a fence
    probe = Probe(world)
    expect(probe.greeting, "open nft 1 closed", "greeting")
    expect_all(world, False)
    expect(world.finds_neighbour(), False, "neighbour discovery while closed")
    expect(world.answers(VIP, where=world.node), False, "from the node itself")
    expect(world.answers(NODE), True, "the node's own address")
    expect(world.answers_arp(NODE), True, "ARP for the node's own address")
    expect(probe.do("arm never")[0], "open", "state")
    expect(world.finds_neighbour(), True, "neighbour discovery while open")
    expect_all(world, True)
    expect(probe.do("close")[0], "closed", "state")
    expect_all(world, False)
    expect(probe.do("check")[0], "closed", "state")


def run_out(world, sign):
    probe = Probe(world)
    asker = Asker(world, VIP)
    began = probe.do("arm 900")[1]
    probe.process.send_signal(sign)
    time.sleep(1.0)
    asker.stop()
    left = began + 900000 - asker.heard[-1]
    print(f"  {sign.name}: {len(asker.heard)} answers, the last {left} us before the deadline")
    assert 0 <= left < 120000, left  # a rung and the slack; the rest is a busy machine
    expect(world.answers_arp(VIP), False, "ARP after the deadline")
    return probe


def test_deadline_holds_for_a_stopped_process(world):
    run_out(world, signal.SIGSTOP)


def test_deadline_holds_for_a_killed_process(world):
    run_out(world, signal.SIGKILL)
    assert "tanist_orders" in world.rules()
    expect_all(world, False)


def test_stopped_within_a_renewal_never_late(world):
    """Stops at whatever instruction it is: the two-step refresh must not open a lease that has ended."""
    probe = Probe(world, lease_ms=100)
    rounds = []
    for i in range(40):
        asker = Asker(world, VIP)
        reader = []

        def renew():
            with contextlib.suppress(ValueError, AssertionError, IndexError, OSError):
                while True:
                    reader.append(probe.do("arm 90"))
        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        time.sleep(0.03 + i * 0.0003)
        probe.process.send_signal(signal.SIGSTOP)
        stopped = now_us()
        time.sleep(0.15)
        asker.stop()
        late = [t for t in asker.heard if t > stopped + 90000]
        expect(late, [], "answers after every deadline that can have been armed")
        rounds.append(len(asker.heard))
        probe.kill()
        thread.join(1)
        probe = Probe(world, lease_ms=100)
    assert min(rounds) > 0, rounds


def test_renewals_leave_no_gap(world):
    probe = Probe(world)
    probe.do("arm 900")
    expect(world.answers(VIP), True, "answer")
    asker = Asker(world, VIP)
    for _ in range(20):
        probe.do("arm 990")
        time.sleep(0.1)
    probe.do("arm never")
    probe.do("arm 900")
    asker.stop()
    gaps = [b - a for a, b in zip(asker.heard, asker.heard[1:])]
    print(f"  {asker.sent} asked, {len(asker.heard)} answered, longest gap {max(gaps)} us")
    expect(len(asker.heard), asker.sent, "answers")


def test_close_is_immediate(world):
    probe = Probe(world)
    probe.do("arm 900")
    asker = Asker(world, VIP)
    time.sleep(0.1)
    closed = probe.do("close")[2]
    asker.stop()
    assert asker.heard and asker.heard[-1] <= closed, asker.heard[-1] - closed
    expect(world.answers_arp(VIP), False, "ARP")


def test_past_and_lowered_deadlines(world):
    probe = Probe(world)
    expect(probe.do("arm -5")[0], "closed", "state")
    expect_all(world, False)
    probe.do("arm 900")
    began = probe.do("arm 200")[1]
    asker = Asker(world, VIP)
    asker.stop()
    assert asker.heard and asker.heard[-1] <= began + 200000
    expect(world.answers_arp(VIP), False, "ARP")
    probe.do("arm 900")
    probe.do("arm -1")
    expect_all(world, False)


def test_sole_then_deadline_then_close(world):
    probe = Probe(world, lease_ms=300)
    probe.do("arm never")
    time.sleep(0.5)
    expect_all(world, True)
    probe.do("arm never")
    asker = Asker(world, VIP)
    began = probe.do("arm 290")[1]
    time.sleep(0.4)
    asker.stop()
    assert asker.heard and asker.heard[-1] <= began + 290000
    expect_all(world, False)
    probe.do("arm never")
    probe.do("close")
    expect_all(world, False)


def test_ports(world):
    probe = Probe(world)
    expect(world.connects(world.client, NODE), False, "from outside while closed")
    expect(world.connects(world.peer, NODE), True, "from the peer")
    expect(world.connects(world.node, "127.0.0.1"), True, "over loopback")
    expect(world.connects(world.node, NODE), True, "from the node to its own address")
    probe.do("arm never")
    expect(world.connects(world.client, NODE), True, "from outside while open")
    connection = world.client.connect(NODE, TCP_PORT)
    inside = world.echoes[0]
    inside.settimeout(1)
    accepted, source = inside.accept()
    while source[1] != connection.getsockname()[1]:  # those before it in the queue
        accepted.close()
        accepted, source = inside.accept()
    probe.do("close")
    accepted.send(b"late")
    connection.settimeout(SILENCE_S)
    with contextlib.suppress(TimeoutError):
        raise AssertionError(f"an established connection went on: {connection.recv(64)}")
    accepted.close()
    connection.close()


def test_flush_by_others(world):
    probe = Probe(world)
    probe.do("arm never")
    world.node.run("nft", "flush", "ruleset")
    if "tanist_orders" in world.rules():  # Linux 6.9: it is ours alone
        expect(probe.do("check")[0], "open", "state")
        probe.do("close")
    else:
        expect(probe.do("check", code=-2)[0], "closed", "state")
    expect_all(world, False)
    expect(probe.do("check")[0], "closed", "state")


def test_two_clusters_do_not_meet(world):
    one, other = Probe(world, "orders", (VIP,)), Probe(world, "orders-2", (VIP2,))
    one.do("arm never")
    expect((world.answers(VIP), world.answers(VIP2)), (True, False), "answers")
    expect((world.answers_arp(VIP), world.answers_arp(VIP2)), (True, False), "ARP")
    other.do("arm never")
    one.do("close")
    expect((world.answers(VIP), world.answers(VIP2)), (False, True), "answers")
    one.end("remove")
    expect(world.answers(VIP), True, "answers without a fence")
    other.do("check")
    other.end("remove")


def test_nothing_is_left_after_remove(world):
    probe = Probe(world)
    probe.do("arm 900")
    probe.end("remove")
    expect(world.rules(), "", "rules")


def test_left_behind_and_adopted_closed(world):
    first = Probe(world)
    first.do("arm never")
    second = Probe(world)
    if second.greeting.startswith("error"):  # Linux 6.9: the living agent owns the tables
        assert "another agent" in second.greeting, second.greeting
        expect_all(world, True)
    first.kill()
    assert "tanist_orders" in world.rules()
    third = Probe(world)
    expect(third.greeting, "open nft 1 closed", "greeting")
    expect_all(world, False)
    third.do("arm never")
    third.end("leave")
    expect_all(world, True)


def test_cost(world):
    words = Probe(world).ask("bench 3000").split()
    print("  arm median %s ns, p99 %s ns; close median %s ns, p99 %s ns" % (words[1], words[2], words[4], words[5]))


def run(name, test):
    try:
        with contextlib.ExitStack() as stack:
            test(World(stack))
    except Exception:  # pylint: disable=broad-except  (one test's failure must not keep the others from running)
        print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"passed {name}", flush=True)
    return True


def main():
    if not space.inside():
        obstacle = space.obstacle()
        if obstacle:
            print("the tests in namespaces cannot run here: " + obstacle, file=sys.stderr)
            return space.CANNOT
        return space.launch([os.path.abspath(__file__)] + sys.argv[1:]).wait()
    space.settle()
    tests = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    wanted = {n: t for n, t in tests.items() if not sys.argv[1:] or any(part in n for part in sys.argv[1:])}
    results = [run(name, test) for name, test in wanted.items()]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
