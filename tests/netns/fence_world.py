# SPDX-License-Identifier: Apache-2.0
"""What the fence's tests and measurements play in: a client, a node with virtual IPs, another node, on one wire; on the
node a fence_probe, which is a kernel fence without an agent around it. The node's kernel answers; what passes is up to
the fence.
"""
import concurrent.futures
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import space

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.path.join(ROOT, "build", os.environ.get("VARIANT", "release"), "tests/support")
PROBE, ASKER = os.path.join(TOOLS, "fence_probe"), os.path.join(TOOLS, "asker")
MECHANISMS = ("bpf", "nft", "netlink")  # the best first
MECHANISM = os.environ.get("TANIST_FENCE", "")  # inside the namespaces: the one that is tested
CLIENT, NODE, PEER, VIP, VIP2, VIP6 = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.100", "10.0.0.200", "fd00::100")
NODE_MAC, CLIENT_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
PORT, TCP_PORT, LEASE_MS = 9000, 6379, 1000
ECHOED = ((socket.AF_INET, VIP), (socket.AF_INET6, VIP6), (socket.AF_INET, VIP2), (socket.AF_INET, NODE))
EVERY_US = 200  # between two questions
SETTLE_S = 0.03  # nothing is on its way for longer
SILENCE_S = 0.25  # that long without an answer is none: answers come within a millisecond


def now_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def refusal(mechanism):
    """Why this machine does not have a mechanism, in one line; "" if it has. To be asked inside the namespaces."""
    survey = space.run(PROBE, "survey").splitlines()
    return next((line.partition(" ")[2] for line in survey if line.partition(" ")[0] == mechanism), "not built")


class Probe:
    """A fence_probe process on the node."""

    def __init__(self, world, cluster="orders", vips=(VIP, VIP6), lease_ms=LEASE_MS, node=None, more=(),
                 kernel="require"):
        words = [f"mechanism={MECHANISM}"] + [f"vip={vip}" for vip in vips] + [f"peer={PEER}", f"port={TCP_PORT}"]
        self.process = (node or world.node).start([PROBE, cluster, str(lease_ms), kernel, *words, *more],
                                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
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

    def arm(self, milliseconds):
        """Arms for so long from now; returns the deadline that the fence was given, in µs."""
        answer = self.ask(f"arm {int(milliseconds)}").split()
        assert int(answer[0]) == 0, f"arm {milliseconds}: {answer}"
        return int(answer[4])

    def end(self, how):
        self.process.stdin.write(how + "\n")
        assert self.process.wait(5) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Asker:
    """Asks an address every 200 µs from the client's machine; notes the kernel's own time of each answer."""

    def __init__(self, world, address=VIP, every_us=EVERY_US):
        self.process = world.client.start([ASKER, address, str(every_us)], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, text=True, bufsize=1)
        world.stack.callback(self.kill)

    def mark(self, name="next"):
        """Ends a phase, begins another; returns the ended one: asked, heard, first_us, last_us, gap_us."""
        self.process.stdin.write(f"mark {name}\n")
        return json.loads(self.process.stdout.readline())

    def stop(self):
        """Ends the asking, once whatever is on its way has arrived."""
        time.sleep(SETTLE_S)
        last = self.mark()
        self.kill()
        return last

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


# ---- each mechanism in namespaces of its own ----

def skip(why):
    print(f"SKIPPED {MECHANISM}: {why}", flush=True)
    return space.CANNOT


def result(results):
    """The last line of one mechanism's run, and its exit code."""
    print(f"{results.count(True)} passed, {results.count(False)} failed of {MECHANISM}", flush=True)
    return 0 if results and all(results) else 1


def one_mechanism(program, arguments, mechanism, show):
    """Runs a program of ours with one mechanism; returns (its output, its exit code)."""
    real_root = mechanism == "bpf" and os.geteuid() == 0  # BPF is for root alone: no user namespace then
    lines = []
    with space.launch([program] + arguments, real_root=real_root, stdout=subprocess.PIPE, text=True,
                      env=dict(os.environ, TANIST_FENCE=mechanism)) as child:
        for line in child.stdout:
            lines.append(line)
            if show:
                sys.stdout.write(line)
                sys.stdout.flush()
    return lines, child.returncode


def each_mechanism(program, arguments, only=None, jobs=1):
    """Runs a program of ours once for each mechanism, so many at a time; tells the sum."""
    obstacle = space.obstacle()
    if obstacle:
        print("the tests in namespaces cannot run here: " + obstacle, file=sys.stderr)
        return space.CANNOT
    passed = failed = broken = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = [pool.submit(one_mechanism, program, arguments, mechanism, jobs == 1)
                for mechanism in ([only] if only else MECHANISMS)]
        for run in runs:
            lines, code = run.result()
            if jobs > 1:
                sys.stdout.writelines(lines)
            sums = [line.split() for line in lines if line.split()[1:2] == ["passed,"]]
            passed += sum(int(words[0]) for words in sums)
            failed += sum(int(words[2]) for words in sums)
            broken += code not in (0, space.CANNOT)
    failed = failed or int(broken > 0)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


# ---- the machines ----

def machine(world, name, mac, address):
    space_of_it = space.Space(name)
    world.stack.callback(space_of_it.remove)
    world.wire.attach(space_of_it, mac, address)
    return space_of_it


class Node:
    """One more machine with a virtual IP, which the client need not ask ARP for."""

    def __init__(self, world, name, number):
        self.name, self.vip = name, f"10.0.0.{100 + number}"
        mac = f"02:00:00:00:01:{number:02x}"
        self.space = machine(world, name, mac, f"10.0.0.{number}")
        self.space.ip("address", "add", self.vip + "/24", "dev", "eth0")
        world.client.ip("neigh", "replace", self.vip, "lladdr", mac, "dev", "eth0")


class World:
    """A client, a node with virtual IPs that answers, another node; on one wire."""

    def __init__(self, stack):
        self.stack = stack
        self.wire = space.Wire()
        stack.callback(self.wire.space.remove)
        self.client, self.node, self.peer = (machine(self, *m) for m in (
            ("client", CLIENT_MAC, CLIENT), ("node", NODE_MAC, NODE), ("peer", "02:00:00:00:00:03", PEER)))
        for vip in (VIP, VIP2):
            self.node.ip("address", "add", vip + "/24", "dev", "eth0")
        self.node.ip("-6", "address", "add", VIP6 + "/64", "dev", "eth0", "nodad")
        self.client.ip("-6", "address", "add", "fd00::1/64", "dev", "eth0", "nodad")
        self.peer.ip("-6", "address", "add", "fd00::3/64", "dev", "eth0", "nodad")
        for vip in (VIP, VIP2, VIP6):  # what asks while closed must not wait for ARP once open; that is asked by itself
            self.client.ip("neigh", "replace", vip, "lladdr", NODE_MAC, "dev", "eth0")
        with self.node.entered():
            self.echoes = [socket.create_server((NODE, TCP_PORT)), socket.create_server(("127.0.0.1", TCP_PORT))]
        self.echoes += [self.echo(family, address, self.node) for family, address in ECHOED]
        for one in self.echoes:
            stack.callback(one.close)

    def echo(self, family, address, where):
        with where.entered():
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
        """Whether the peer resolves the IPv6 address anew."""
        self.peer.ip("-6", "neigh", "flush", "dev", "eth0")
        self.answers(VIP6, where=self.peer)
        return "lladdr" in self.peer.ip("-6", "neigh", "show", "to", VIP6, "dev", "eth0")

    def connects(self, where, address):
        try:
            where.connect(address, TCP_PORT, SILENCE_S).close()
            return True
        except OSError:
            return False

    def traces(self):
        """All that a fence can have left in the node's kernel, as text; "" for nothing."""
        hooks = "\n".join(line for line in self.node.run("tc", "qdisc", "show").splitlines() if "clsact" in line)
        filters = "".join(self.node.run("tc", "filter", "show", "dev", dev, way) for dev in ("lo", "eth0")
                          for way in ("ingress", "egress"))
        return (hooks + filters + self.node.run("nft", "list", "ruleset")).strip()

    def flush(self):
        """What another program may do that thinks it is alone."""
        self.node.run("nft", "flush", "ruleset")
        for device in ("lo", "eth0"):
            with contextlib.suppress(space.CommandFailed):  # there is none
                self.node.run("tc", "qdisc", "del", "dev", device, "clsact")


def expect(what, wanted, name):
    assert what == wanted, f"{name}: {what!r} instead of {wanted!r}"


def expect_soon(asked, wanted, name):
    """What must answer gets some seconds, on a busy machine; what must not, no second chance."""
    end = time.monotonic() + 5
    answer = asked()
    while wanted and not answer and time.monotonic() < end:
        answer = asked()
    expect(answer, wanted, name)


def expect_all(world, wanted):
    expect_soon(lambda: world.answers(VIP), wanted, "IPv4")
    expect_soon(lambda: world.answers_arp(VIP), wanted, "ARP")
    expect_soon(lambda: world.answers(VIP6), wanted, "IPv6")
