# SPDX-License-Identifier: Apache-2.0
"""What a machine and its users may do to a voter that is well: no room, no writing, odd clocks, stalls, floods."""

import contextlib
import json
import os
import pathlib
import select
import socket
import struct
import subprocess
import time

from datagrams import Recorder
from e2e_agent import LEASE_MS, epoch, undisturbed, watched
from e2e_hostile import PAYLOAD, rejected
from e2e_redis import back_in_pair, phase, protected, writing
from testbed import BUILD, PORT, Cluster, Process, expect, short, until

DAY_S = 86400
FLOOD_A_MINUTE = 1000000
# What a flood may add to a daemon's memory; the sanitizers keep what was freed.
MEMORY_KB = 1024 if BUILD.name == "release" else 1 << 20
SIEGE_S = 15
CPU_SHARE = 0.6      # of one processor, for 16,667 hostile datagrams a second


# ---- the disk ----

@contextlib.contextmanager
def on_small_disks(directory):
    """A running pair whose voters each keep their ballot on a disk of 64 KiB of their own, and know it all three."""
    with Cluster(directory, lease_ms=LEASE_MS) as cluster:
        for member in cluster.members:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", member.state_directory], check=True)
        observer = cluster.observe()
        master = cluster.start()
        cluster.wait_secondary(cluster.other(master))
        remembered(cluster)
        yield cluster, master, cluster.other(master)
        seen = observer.finish()
        expect(f"never two at once: {seen}", seen["both_us"] == 0)


def remembered(cluster):
    until("all three have a memory that counts", lambda: all(m.status().get("blank") is False for m in cluster.members))


def fill(member):
    """Leaves not a byte of its disk free."""
    with open(member.state_directory / "full", "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))
    free = os.statvfs(member.state_directory).f_bfree
    expect(f"no block is free on {member.name}'s disk: {free}", free == 0)


def make_read_only(member):
    """Nothing can be made, removed or opened for writing in its directory any more."""
    for options in ("bind", "remount,ro,bind"):
        subprocess.run(["mount", "-o", options, member.state_directory, member.state_directory], check=True)


def make_writable(member):
    subprocess.run(["umount", member.state_directory], check=True)


def lost_and_taken_over(cluster, master, other):
    """A running ballot has its room and its file: the master leads on, is lost, and the other one takes over."""
    number = epoch(master)
    undisturbed(cluster, master, number, 2)
    master.lose()
    cluster.wait_master(other)
    expect("the epoch rose", epoch(other) > number)
    master.boot()
    master.start()
    cluster.wait_secondary(master)


def test_disks_full(directory):
    with on_small_disks(directory) as (cluster, master, other):
        for member in cluster.members:
            fill(member)
        lost_and_taken_over(cluster, master, other)


def test_state_directories_read_only(directory):
    with on_small_disks(directory) as (cluster, master, other):
        for member in (other, cluster.w):
            make_read_only(member)
        lost_and_taken_over(cluster, master, other)


def test_state_directory_read_only_at_the_start(directory):
    """A daemon that could not keep its word refuses to start, and says which directory it is about."""
    with on_small_disks(directory) as (cluster, master, other):
        number = epoch(master)
        for member in (other, cluster.w):
            member.agent.kill()
            make_read_only(member)
            before = len(member.log.read_text(encoding="utf-8"))
            member.start()
            until(f"{member.name} says what is wrong",
                  lambda m=member, n=before: str(m.state_directory) in m.log.read_text(encoding="utf-8")[n:])
            expect("and ends", member.agent.wait() != 0)
            undisturbed(cluster, master, number, 1)
            make_writable(member)
            member.start()
            until(f"{member.name} runs", member.status)
            until(f"{member.name} is heard",
                  lambda m=member: all(v["reachable"] for v in master.status()["voters"] if v["name"] == m.name))
        cluster.wait_secondary(other)
        undisturbed(cluster, master, number, 1)


# ---- the clock and the scheduler ----

class WallClock:
    """The wall clock of one member's daemon, which runs under an own one."""

    def __init__(self, member):
        self.member, self.file = member, member.home / "wallclock"
        self.file.write_bytes(struct.pack("=q", 0))
        member.environment = dict(os.environ, LD_PRELOAD=str(BUILD / "tests" / "support" / "wallclock.so"),
                                  WALLCLOCK_OFFSET=str(self.file))

    def step(self, seconds):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("=q", seconds))

    def noted(self, seconds):
        """Was a line logged with the day that the stepped clock shows? It tells that the step was seen at all."""
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + seconds))
        return any(line.startswith(day) for line in self.member.log.read_text(encoding="utf-8").splitlines())


def test_wall_clock_stepped_by_a_day(directory):
    with Cluster(directory, lease_ms=LEASE_MS) as cluster:
        clocks = {member.name: WallClock(member) for member in cluster.members}
        observer = cluster.observe()
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        number = epoch(master)
        for member in cluster.members:
            for seconds in (DAY_S, -DAY_S, 0):
                clocks[member.name].step(seconds)
                undisturbed(cluster, master, number, 1.5)
        for seconds in (DAY_S, -DAY_S):
            for clock in clocks.values():
                clock.step(seconds)
            undisturbed(cluster, master, number, 2)
        done = master.ask("switchover", seconds=20)  # something to log under the stepped clocks
        expect(f"switchover: {done}", done.returncode == 0)
        cluster.wait_master(other)
        for member in cluster.members:
            until(f"{member.name} ran under the stepped clock", lambda m=member: clocks[m.name].noted(-DAY_S))
        cluster.wait_secondary(master)
        seen = observer.finish()
        expect(f"never two at once: {seen}", seen["both_us"] == 0)


def stall(processes, seconds):
    """All of them stand still for so long."""
    for process in processes:
        process.pause()
    time.sleep(seconds)  # the stall itself
    for process in processes:
        process.resume()


def test_stalls_of_the_whole_node(directory):
    """Two seconds, twice the lease: the other takes over, and who wakes up does no harm; three times over."""
    with protected(directory) as (cluster, writer, master, other):
        for _ in range(3):
            stall([master.redis, master.agent], 2)
            cluster.wait_master(other)
            phase(writer, "stalled")
            back_in_pair(cluster, other, master)
            master, other = other, master


def test_stalls_of_those_who_do_not_lead(directory):
    """The secondary's node and the witness stand still for two seconds: nobody but the operator notices."""
    with protected(directory) as (cluster, writer, master, other):
        number = epoch(master)
        for processes in ([other.redis, other.agent], [cluster.w.agent]):
            stall(processes, 2)
            back_in_pair(cluster, master, other)
            expect("no failover", epoch(master) == number)
        writing(writer)


# ---- floods ----

def resident_kb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")))


def processor_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def bounded(members, cpu_share):
    """These daemons take no more memory than before, and no more than that share of a processor."""
    before = {member.name: (resident_kb(member.agent.pid), processor_s(member.agent.pid)) for member in members}
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    for member in members:
        grown = resident_kb(member.agent.pid) - before[member.name][0]
        share = (processor_s(member.agent.pid) - before[member.name][1]) / seconds
        print(f"{member.name}: {grown} KiB more, {share:.0%} of a processor over {seconds:.0f} s")
        expect(f"{member.name}'s memory: {grown} KiB more", grown <= MEMORY_KB)
        expect(f"{member.name}'s share of a processor: {share:.0%}", share <= cpu_share)


def templates(cluster, path):
    """Beats of all voters, taken from the wire."""
    recorder = Recorder(cluster)
    recorder.record(2)
    frames = [frame[PAYLOAD:] for frame in recorder.stop()][:500]
    expect("beats were recorded", len(frames) > 20)
    path.write_bytes(b"".join(struct.pack("!H", len(frame)) + frame for frame in frames))


def flood_of_datagrams(directory, seconds):
    """A million a minute at the master's agent, and as many at the witness, at the same time."""
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)
        templates(cluster, directory / "templates")
        space = cluster.client()
        before = rejected(master)
        with bounded((master, cluster.w), CPU_SHARE):
            floods = [Process(f"flood of {target.name}", space,
                              [BUILD / "tests" / "support" / "flood", FLOOD_A_MINUTE // 60, seconds, "10.0.0.50",
                               source.address, target.address, PORT, directory / "templates"],
                              directory / "flood.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                      for target, source in ((master, other), (cluster.w, master))]
            cluster.helpers += floods
            undisturbed(cluster, master, number, seconds)
            sent = [json.loads(flood.popen.stdout.readline())["sent"] for flood in floods]
        print(f"{sent} hostile datagrams sent, {rejected(master) - before} told of by {master.name}")
        expect(f"{sent} were sent", min(sent) > FLOOD_A_MINUTE // 60 * (seconds - 1.5))
        expect("they are counted", rejected(master) > before)
        undisturbed(cluster, master, number, 1)
        cluster.wait_secondary(other)
        expect("it follows in the same epoch", epoch(other) == number)


@short
def test_flood_of_datagrams_for_three_seconds(directory):
    flood_of_datagrams(directory, 3)


def test_a_million_datagrams_in_a_minute(directory):
    flood_of_datagrams(directory, 60)


def besiege(path, members=64):
    """Connections that say nothing, half a request, nonsense without end, or ask and never read."""
    sockets = []
    for number in range(members):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        with contextlib.suppress(OSError):
            client.connect(str(path))
            client.send((b"", b'{"command": "sta', b"\xff" * 8192, b'{"command": "status"}\n' * 300)[number % 4])
        sockets.append(client)
    return sockets


def test_control_sockets_flooded(directory):
    """The control socket full of people who mean harm; the voter goes on, and an operator gets in afterwards."""
    with watched(directory) as (cluster, observer, master, other):
        number = epoch(master)
        with bounded((master, cluster.w), CPU_SHARE):
            end = time.monotonic() + SIEGE_S
            rounds = 0
            while time.monotonic() < end:
                sockets = besiege(master.socket) + besiege(cluster.w.socket)
                select.select([], [], [], 0.05)
                status = other.status()
                expect("no failover", status["role"] in ("secondary", "suspect") and status["epoch"] == number)
                for client in sockets:
                    client.close()
                rounds += 1
            silent = besiege(master.socket)  # and these stay: they are closed as idle, for others to get in
            until("an operator gets an answer beside them", master.status, 20)
            for client in silent:
                client.close()
        print(f"{rounds} rounds of 128 connections")
        undisturbed(cluster, master, number, 1)
        seen = observer.look()
        expect(f"the other never answered: {seen}", seen[other.name]["icmp"] == 0)
