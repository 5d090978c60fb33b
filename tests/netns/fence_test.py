#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel fence by itself, the same suite for each mechanism, in namespaces of its own.

Usage: fence_test.py [--short] [--mechanism NAME] [NAME_PART ...]

VARIANT names the build (default release). Figures are printed for people; only what must hold is checked. A mechanism
that this machine does not have is skipped, and why is said.
"""
import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

import fence_world
import space
from fence_rounds import CASES, TOLD, Rounds
from fence_world import (NODE, SILENCE_S, TCP_PORT, VIP, VIP2, VIP6, Asker, Probe, World, expect,
                         expect_all, expect_soon, now_us)

ON_THE_WAY = 5  # questions that have no answer yet when the asking ends; a gap has more
INNER = "192.0.2.2"
SHORT = ("rounds", "closed_at_open", "taken_over_without_a_gap", "flush_by_others")


def early_us(lease_ms):
    """So much before the deadline a mechanism may close, most times, on a busy machine."""
    return lease_ms * (900 if fence_world.MECHANISM == "netlink" else 500)


def is_bpf():
    return fence_world.MECHANISM == "bpf"


def test_closed_at_open_then_armed_then_closed(world):
    expect_all(world, True)  # before there is a fence
    probe = Probe(world)
    expect(probe.greeting, f"open {fence_world.MECHANISM} 1 closed", "greeting")
    expect_all(world, False)
    expect_soon(world.finds_neighbour, False, "neighbour discovery while closed")
    expect_soon(lambda: world.answers(VIP, where=world.node), False, "from the node itself")
    expect_soon(lambda: world.answers(NODE), True, "the node's own address")
    expect_soon(lambda: world.answers_arp(NODE), True, "ARP for the node's own address")
    expect(probe.do("arm never")[0], "open", "state")
    expect_soon(world.finds_neighbour, True, "neighbour discovery while open")
    expect_all(world, True)
    expect_soon(lambda: world.answers(VIP, where=world.node), True, "from the node itself")
    expect(probe.do("close")[0], "closed", "state")
    expect_all(world, False)
    expect(probe.do("check")[0], "closed", "state")


def test_rounds(stack):
    """Ten times each: stopped, killed, cut off, no more grants, a lease made shorter."""
    rounds = Rounds(stack)
    lefts = [rounds.play() for _ in range(10)]
    for case in CASES:
        left = sorted(one[case][0] for one in lefts if case in one)
        assert len(left) > 5, f"{case}: no answers to judge by"
        print(f"  {TOLD[case]}: the last answer {left[0]} to {left[-1]} us before the deadline")
        late = -min(one[case][1] for one in lefts if case in one)
        assert late <= 0, f"{case}: what was asked {late} us after the deadline was answered"
        assert case == "cut" or left[len(left) // 2] < early_us(rounds.lease_ms), f"{case}: far too early: {left}"


def test_deadline_holds_for_the_dead(world):
    """ARP and IPv6 too; and what a killed process leaves stays closed."""
    probe = Probe(world)
    until = probe.arm(990)
    probe.kill()
    assert world.answers(VIP), "no answer in almost a second"
    while now_us() < until:
        time.sleep(0.01)
    expect_all(world, False)
    expect_soon(world.finds_neighbour, False, "neighbour discovery after the deadline")
    assert "tanist" in world.traces()


def stop_while_renewing(world, probe, lease_ms, after_s):
    """Stops at whatever instruction it is, goes on when the lease is over: (the last deadline given, what was seen)."""
    asker, deadlines, over = Asker(world), [], threading.Event()

    def renew():
        with contextlib.suppress(ValueError, IndexError, OSError):
            while not over.is_set():
                deadlines.append(probe.arm(lease_ms))
    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    time.sleep(after_s)
    probe.process.send_signal(signal.SIGSTOP)
    over.set()
    time.sleep(lease_ms / 1000 + 0.05)
    probe.process.send_signal(signal.SIGCONT)
    thread.join(5)
    time.sleep(lease_ms / 1000)  # the deadline may have been read off the clock only now
    seen = asker.stop()
    return max(deadlines), seen


def test_stopped_within_a_renewal_never_late(world):
    """A renewal that is carried out late must not open a lease that has ended."""
    lease_ms, times = (500, 10) if fence_world.MECHANISM == "netlink" else (100, 30)
    probe, heard = Probe(world, lease_ms=lease_ms), 0
    for i in range(times):
        until, seen = stop_while_renewing(world, probe, lease_ms * 0.9, 0.03 + i * 0.0003)
        heard += seen["heard"]
        assert seen["question_us"] <= until, f"{seen['question_us'] - until} us after every deadline"
    assert heard > 100, heard


def test_renewals_leave_no_gap(world):
    probe = Probe(world)
    probe.arm(990)
    asker = Asker(world)
    for _ in range(20):
        probe.arm(990)
        time.sleep(0.1)
    probe.do("arm never")
    probe.arm(990)
    seen = asker.stop()
    print(f"  {seen['asked']} asked, {seen['heard']} answered, longest gap {seen['gap_us']} us")
    assert seen["asked"] - seen["heard"] <= ON_THE_WAY, seen


def test_renewals_at_any_pace(world):
    """What a renewal leaves in the kernel for a while must not keep later ones out, least of all on a busy machine."""
    burners = [world.node.start(["sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL) for _ in range(6)]
    try:
        probe = Probe(world, lease_ms=1000)
        for pause_s in (0.011, 0.013, 0.017, 0.03):
            for _ in range(150):
                probe.arm(990)  # fails if the fence is taken for one that was removed
                time.sleep(pause_s)
    finally:
        for burner in burners:
            os.killpg(burner.pid, signal.SIGKILL)
            burner.wait()


def test_close_is_immediate(world):
    probe = Probe(world)
    probe.arm(900)
    asker = Asker(world)
    time.sleep(0.1)
    closed = probe.do("close")[2]
    seen = asker.stop()
    assert seen["heard"] and seen["question_us"] <= closed, seen["question_us"] - closed
    expect_soon(lambda: world.answers_arp(VIP), False, "ARP")


def test_past_and_lowered_deadlines(world):
    probe = Probe(world)
    expect(probe.do("arm -5")[0], "closed", "state")
    expect_all(world, False)
    probe.arm(900)
    until = probe.arm(400)
    asker = Asker(world)
    time.sleep(0.5)
    seen = asker.stop()
    assert seen["question_us"] <= until, seen["question_us"] - until
    expect_soon(lambda: world.answers_arp(VIP), False, "ARP")
    probe.arm(900)
    probe.do("arm -1")
    expect_all(world, False)


def test_sole_then_deadline_then_close(world):
    probe = Probe(world, lease_ms=500)
    probe.do("arm never")
    time.sleep(0.6)
    expect_all(world, True)
    probe.do("arm never")
    asker = Asker(world)
    until = probe.arm(490)
    time.sleep(0.6)
    seen = asker.stop()
    assert seen["heard"] and seen["question_us"] <= until, seen
    expect_all(world, False)
    probe.do("arm never")
    probe.do("close")
    expect_all(world, False)


def accept(world, connection):
    """The node's end of a connection, after those before it in the queue."""
    inside = world.echoes[0]
    inside.settimeout(1)
    while True:
        accepted, source = inside.accept()
        if source[1] == connection.getsockname()[1]:
            return accepted
        accepted.close()


def stays_silent(one, other):
    """What one end of a connection says does not reach the other."""
    one.send(b"late")
    other.settimeout(SILENCE_S)
    with contextlib.suppress(TimeoutError):
        raise AssertionError(f"an established connection went on: {other.recv(64)}")


def test_ports(world):
    probe = Probe(world)
    expect_soon(lambda: world.connects(world.client, NODE), False, "from outside while closed")
    expect_soon(lambda: world.connects(world.peer, NODE), True, "from the peer")
    expect_soon(lambda: world.connects(world.node, "127.0.0.1"), True, "over loopback")
    expect_soon(lambda: world.connects(world.node, NODE), True, "from the node to its own address")
    probe.do("arm never")
    expect_soon(lambda: world.connects(world.client, NODE), True, "from outside while open")


def test_established_connections_stop_both_ways(world):
    probe = Probe(world)
    probe.do("arm never")
    connection = world.client.connect(NODE, TCP_PORT)
    accepted = accept(world, connection)
    connection.send(b"soon")
    expect(accepted.recv(64), b"soon", "while open")
    probe.do("close")
    stays_silent(accepted, connection)
    stays_silent(connection, accepted)
    accepted.close()
    connection.close()


def container(world):
    """A machine behind the node, which passes on what is for it."""
    inner = space.Space("inner")
    world.stack.callback(inner.remove)
    space.run("ip", "link", "add", "veth1", "netns", "node", "type", "veth", "peer", "name", "eth0", "netns", "inner")
    for one, device, address in ((world.node, "veth1", "192.0.2.1"), (inner, "eth0", INNER)):
        one.ip("address", "add", address + "/24", "dev", device)
        one.ip("link", "set", device, "up")
    inner.ip("route", "add", "default", "via", "192.0.2.1")
    world.node.run("sysctl", "-q", "net.ipv4.ip_forward=1")
    return inner


def test_forwarded(world):
    """The address is not the node's own: it would be passed on, to a container say."""
    inner = container(world)
    world.node.ip("address", "del", VIP + "/24", "dev", "eth0")
    world.node.ip("route", "add", VIP, "via", INNER)
    inner.ip("address", "add", VIP + "/32", "dev", "lo")
    probe = Probe(world)
    asker = Asker(world)
    time.sleep(SILENCE_S)
    expect(asker.mark()["heard"], 0, "forwarded while closed")
    probe.arm(900)
    time.sleep(SILENCE_S)
    assert asker.mark()["heard"] > 0, "nothing was forwarded while armed"


def test_other_nodes_address_is_reached_from_here(world):
    """A client beside the secondary: the virtual IP is the other node's, and the fence here is closed."""
    world.node.ip("-6", "address", "add", "fd00::2/64", "dev", "eth0", "nodad")
    for vip in (VIP + "/24", VIP6 + "/64"):
        world.node.ip("address", "del", vip, "dev", "eth0")
        world.peer.ip("address", "add", vip, "dev", "eth0", *(["nodad"] if ":" in vip else []))
    world.echoes += [world.echo(family, address, world.peer) for family, address in fence_world.ECHOED[:2]]
    Probe(world)
    expect_soon(lambda: world.answers(VIP, where=world.node), True, "IPv4")
    expect_soon(lambda: world.answers(VIP6, where=world.node), True, "IPv6")


def test_broker_behind_address_translation(world):
    """A published port: the broker is in a container, and the packet it gets is not the one that came in."""
    inner = container(world)
    world.node.run("nft", "add table ip publish; add chain ip publish in "
                   "{ type nat hook prerouting priority dstnat; }; add rule ip publish in "
                   f"ip daddr {NODE} tcp dport {TCP_PORT} dnat to {INNER}:{TCP_PORT}")
    world.echoes[0].close()
    with inner.entered():
        world.echoes[0] = socket.create_server((INNER, TCP_PORT))
    expect_soon(lambda: world.connects(world.client, NODE), True, "before there is a fence")
    connection = world.client.connect(NODE, TCP_PORT)
    accepted = accept(world, connection)
    probe = Probe(world)
    expect_soon(lambda: world.connects(world.client, NODE), False, "while closed")
    expect_soon(lambda: world.connects(world.node, INNER), True, "from the node itself")
    stays_silent(accepted, connection)
    probe.do("arm never")
    expect_soon(lambda: world.connects(world.client, NODE), True, "while open")
    accepted.close()
    connection.close()


def test_flush_by_others(world):
    probe = Probe(world)
    probe.do("arm never")
    world.flush()
    if not is_bpf() and "tanist_orders" in world.traces():  # Linux 6.9: it is ours alone
        expect(probe.do("check")[0], "open", "state")
        probe.do("close")
    else:
        expect(probe.do("check", code=-2)[0], "closed", "state")
    expect_all(world, False)
    expect(probe.do("check")[0], "closed", "state")
    probe.do("arm never")
    world.flush()
    with contextlib.suppress(AssertionError):
        probe.do("arm never", code=-2)
    expect_all(world, not is_bpf() and "tanist_orders" in world.traces())
    probe.do("arm never")
    expect_all(world, True)


def test_new_interface_is_guarded(world):
    probe = Probe(world)
    world.node.ip("link", "add", "more0", "type", "veth", "peer", "name", "more1")
    probe.do("check")
    if is_bpf():
        shown = world.node.run("tc", "filter", "show", "dev", "more0", "ingress")
        assert "tanist:orders" in shown, shown
    world.node.ip("link", "del", "more0")
    expect(probe.do("check")[0], "closed", "state")


def test_says_when_anothers_filter_comes_first(world):
    if not is_bpf():
        print("  only BPF shares its place with others")
        return
    probe = Probe(world)
    assert "comes before" not in probe.ask("gaps")
    world.node.run("tc", "filter", "add", "dev", "eth0", "ingress", "protocol", "all", "prio", "1", "handle", "7", "bpf",
                   "bytecode", "1,6 0 0 0,")  # the newest of a priority is the first
    expect(probe.do("check")[0], "closed", "state")
    assert "another program's filter or tcx program on eth0 comes before" in probe.ask("gaps"), probe.ask("gaps")
    expect_all(world, False)
    world.node.run("tc", "filter", "del", "dev", "eth0", "ingress", "protocol", "all", "prio", "1", "handle", "7", "bpf")
    probe.do("check")
    assert "comes before" not in probe.ask("gaps")


def test_renewed_while_rule_sets_are_loaded(world):
    """Another program loads a large table again and again; no lease may lapse for it."""
    script = os.path.join("/run", "heavy.nft")
    with open(script, "w", encoding="ascii") as file:  # as much as fits into the buffer of who is not root
        elements = ", ".join(f"10.0.{i // 256}.{i % 256}" for i in range(2500))
        file.write("add table ip heavy\ndelete table ip heavy\ntable ip heavy {\n set s { type ipv4_addr; elements = { "
                   + elements + " } }\n}\n")
    probe = Probe(world)
    probe.arm(990)
    loading = world.node.start(["sh", "-c", f"while nft -f {script}; do :; done"], stdin=subprocess.DEVNULL)
    try:
        asker, longest, end = Asker(world), 0, time.monotonic() + 3
        while time.monotonic() < end:
            began = now_us()
            probe.arm(990)
            longest = max(longest, now_us() - began)
            time.sleep(0.1)
        assert loading.poll() is None, "the load ended by itself"
        seen = asker.stop()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(loading.pid, signal.SIGKILL)
        loading.wait()
    print(f"  longest renewal {longest} us, longest gap between answers {seen['gap_us']} us")
    assert seen["asked"] - seen["heard"] <= ON_THE_WAY, seen


def test_two_clusters_do_not_meet(world):
    one, other = Probe(world, "orders", (VIP,)), Probe(world, "orders-2", (VIP2,))
    one.do("arm never")
    for asked, name in ((world.answers, "answers"), (world.answers_arp, "ARP")):
        expect_soon(lambda by=asked: by(VIP), True, f"{name} of one, armed")
        expect_soon(lambda by=asked: by(VIP2), False, f"{name} of the other, closed")
    other.do("arm never")
    one.do("close")
    expect_soon(lambda: world.answers(VIP), False, "answers of one, closed")
    expect_soon(lambda: world.answers(VIP2), True, "answers of the other, armed")
    one.end("remove")
    expect_soon(lambda: world.answers(VIP), True, "answers without a fence")
    expect(other.do("check")[0], "open", "the other's state")
    other.do("close")
    expect_soon(lambda: world.answers(VIP2), False, "answers of the other")
    other.end("remove")
    expect(world.traces(), "", "traces")


def test_nothing_is_left_after_remove(world):
    probe = Probe(world)
    probe.arm(900)
    probe.end("remove")
    expect(world.traces(), "", "traces")


def test_left_behind_and_replaced(world):
    first = Probe(world)
    first.do("arm never")
    second = Probe(world)
    assert second.greeting.startswith("error -1 another agent"), second.greeting
    expect_all(world, True)
    first.kill()
    assert "tanist" in world.traces()
    third = Probe(world)
    expect(third.greeting, f"open {fence_world.MECHANISM} 1 closed", "greeting")
    expect_all(world, False)
    third.do("arm never")
    third.end("leave")
    expect_all(world, True)
    Probe(world).end("remove")
    expect(world.traces(), "", "traces")


def test_taken_over_without_a_gap(world):
    """An agent restarts within its lease: what it left is replaced by what is armed from its first moment."""
    first = Probe(world)
    first.arm(990)
    asker = Asker(world)
    first.end("leave")
    second = Probe(world, more=["until=900"])
    expect(second.greeting, f"open {fence_world.MECHANISM} 1 armed", "greeting")
    second.do("arm never")
    seen = asker.stop()
    print(f"  {seen['asked']} asked, {seen['heard']} answered, longest gap {seen['gap_us']} us")
    assert seen["asked"] - seen["heard"] <= ON_THE_WAY, seen


def test_stopped_within_a_take_over_never_late(world):
    """An agent that restarts is stopped at whatever instruction it is, until the lease that it takes up is over."""
    lease_ms, heard = 500, 0
    for i in range(20):
        first = Probe(world, lease_ms=lease_ms)
        first.arm(lease_ms - 10)
        asker = Asker(world)
        deadline = first.arm(lease_ms - 10)
        first.end("leave")
        words = [fence_world.PROBE, "orders", str(lease_ms), "require", f"mechanism={fence_world.MECHANISM}",
                 f"vip={VIP}", f"vip={VIP6}", f"at={deadline}"]
        second = world.node.start(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        time.sleep(i * 0.0007)  # it takes some ten milliseconds to start
        second.send_signal(signal.SIGSTOP)
        while now_us() < deadline:
            time.sleep(0.01)
        second.send_signal(signal.SIGCONT)
        greeting = second.stdout.readline().decode()
        assert greeting.startswith(f"open {fence_world.MECHANISM} 1"), greeting
        time.sleep(lease_ms / 1000 / 4)
        seen = asker.stop()
        second.kill()
        second.communicate()
        heard += seen["heard"]
        assert seen["question_us"] <= deadline, f"{seen['question_us'] - deadline} us after the deadline"
    assert heard > 100, heard


def test_mechanism_replaced_by_another(world):
    """What an agent left that used another mechanism must neither stay nor leave a hole."""
    others = [name for name in fence_world.MECHANISMS if name != fence_world.MECHANISM
              and not fence_world.refusal(name)]
    for other in others:
        first = Probe(world)
        first.do("arm never")
        first.kill()
        second = Probe(world, more=[f"mechanism={other}"])
        expect(second.greeting, f"open {other} 1 closed", "greeting")
        expect_all(world, False)
        second.do("arm never")
        expect_all(world, True)
        second.end("remove")
        expect(world.traces(), "", "traces")


def test_says_what_it_does_not_cover(world):
    said = Probe(world).ask("gaps")
    print("  " + said)
    assert len(said) > 20


def test_cost(world):
    words = Probe(world).ask("bench 3000").split()
    print("  arm median %s ns, p99 %s ns; close median %s ns, p99 %s ns" % (words[1], words[2], words[4], words[5]))


def play(name, test):
    try:
        with contextlib.ExitStack() as stack:
            test(stack if name == "rounds" else World(stack))
    except Exception:  # pylint: disable=broad-except  (one test's failure must not keep the others from running)
        print(f"FAILED {fence_world.MECHANISM}: {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"passed {fence_world.MECHANISM}: {name}", flush=True)
    return True


def run_inside(arguments):
    space.settle()
    why = fence_world.refusal(fence_world.MECHANISM)
    if why:
        return fence_world.skip(why)
    tests = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    wanted = {n: t for n, t in tests.items() if (not arguments.names or any(part in n for part in arguments.names))
              and (not arguments.short or any(part in n for part in SHORT))}
    results = [play(name, test) for name, test in wanted.items()]
    return fence_world.result(results)


def main():
    parser = argparse.ArgumentParser(description="tests of the kernel fence")
    parser.add_argument("--short", action="store_true", help="only those of make check")
    parser.add_argument("--mechanism", choices=fence_world.MECHANISMS, help="this one alone")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if space.inside():
        return run_inside(arguments)
    return fence_world.each_mechanism(os.path.abspath(__file__), sys.argv[1:], arguments.mechanism,
                                      jobs=len(fence_world.MECHANISMS) if arguments.short else 1)  # figures are for who waits for them


if __name__ == "__main__":
    sys.exit(main())
