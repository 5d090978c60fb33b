#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make demo: a real Redis pair, a witness and a virtual IP, on machines of their own in network namespaces, and what
becomes of a writer when things break. KEEP=1 in the environment leaves it all running for people to look at.

Exit 0 if every promise held, 1 if one did not, 77 if this machine cannot run it, 130 after Ctrl-C.
"""

import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

import space
from testbed import BUILD, ROOT, VIRTUAL_IP, Cluster, Failed, until, verify

HERE = pathlib.Path(__file__).resolve()
LEASE_MS, BEAT_MS = 1000, 100
RESULT = "exit code"
ABSURD = 3  # times its target: on a noisy machine a gap is shown, beyond this it is a failure


class Row:
    """One line of the table: an event, once or several times."""

    def __init__(self, event, target_ms):
        self.event, self.target_ms = event, target_ms
        self.gaps_ms, self.epochs, self.spans = [], [], []
        self.holders, self.lost = 0, None

    def gap(self):
        return statistics.median(self.gaps_ms)

    def absurd(self):
        return self.target_ms is not None and self.gap() > ABSURD * self.target_ms

    def cells(self):
        gap = f"{self.gap():.1f}" + (f" (of {len(self.gaps_ms)})" if len(self.gaps_ms) > 1 else "")
        first, last = self.epochs[0], self.epochs[-1]
        return (self.event, gap, "-" if self.target_ms is None else f"<= {self.target_ms}",
                f"{last}" if first == last else f"{first} -> {last}", str(self.lost), str(self.holders))


class Demo:
    """The story, told as it happens."""

    def __init__(self, directory):
        self.began = time.monotonic()
        self.directory = pathlib.Path(directory)
        self.rows, self.broken = [], []
        self.cluster = Cluster(directory, driver="redis", lease_ms=LEASE_MS, beat_ms=BEAT_MS)
        self.observer = self.plain = self.sure = None

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    def promise(self, what, held):
        if not held:
            self.broken.append(what)
            self.say("BROKEN: " + what)

    def epoch(self):
        return self.cluster.wait_master().status()["epoch"]

    def pair(self):
        """(master, other), once both hold everything."""
        name = self.cluster.wait_pair(40)["node"]
        master = self.cluster.a if name == "a" else self.cluster.b
        return master, self.cluster.other(master)

    def writing(self, seconds=20):
        for writer in (self.plain, self.sure):
            before = writer.look()["acknowledged"]
            until("the writer goes on", lambda w=writer, n=before: w.look()["acknowledged"] > n + 50, seconds)

    def event(self, row, act, told):
        """One event from the mark before to the mark after: what it cost, and who answered meanwhile."""
        if row not in self.rows:
            self.rows.append(row)
        epoch = self.epoch() if row.epochs or self.rows[0] is not row else 0
        first = self.sure.mark("event")["last"]
        self.plain.mark("event")
        self.watch("event")
        act()
        self.writing()
        gap_ms = self.plain.mark("rest")["gap_us"] / 1000
        row.gaps_ms.append(gap_ms)
        row.spans.append((first, self.sure.mark("rest")["last"]))
        row.holders = max(row.holders, self.watch("rest"))
        row.epochs += [epoch, self.epoch()]
        old, new = row.epochs[-2:]
        self.say(f"  {told}: writes stood still for {gap_ms:.1f} ms at most, epoch "
                 + (f"{new}" if old == new else f"{old} -> {new}"))

    def watch(self, name):
        """Ends a phase of the observers; returns how many nodes at most answered at once in it."""
        seen = self.observer.mark(name)
        self.promise(f"two nodes answered on the virtual IP for {seen['both_us']} us", seen["both_us"] == 0)
        return 2 if seen["both_us"] else int(any(seen[node]["last_us"] for node in "ab"))

    def start(self):
        cluster = self.cluster
        self.say(f"Three machines on one switch: nodes a ({cluster.a.address}) and b ({cluster.b.address}), each with"
                 f" a Redis and an agent, witness w ({cluster.w.address}).")
        self.say(f"Clients know only the virtual IP {VIRTUAL_IP}. Lease {LEASE_MS} ms, beat {BEAT_MS} ms.")
        self.observer = cluster.observe()
        began = time.monotonic()
        master = cluster.start()
        self.say(f"Started: {master.name} is master in epoch {self.epoch()} and has the virtual IP, "
                 f"{time.monotonic() - began:.1f} s after the first process.")
        self.plain = cluster.write(self.directory / "plain", "--every", "1000", key="plain", name="c")
        self.sure = cluster.write(self.directory / "sure", "--wait", "--every", "2000", key="sure", name="d",
                                  number=51)
        self.writing()
        self.say("Two writers use the virtual IP, 2 ms to connect, 4 ms to answer. One takes Redis at its word: it"
                 " measures gaps.")
        self.say("The other counts a write when the secondary has it too, or the master was alone by the record.")
        self.event(Row("start", None), self.pair, "both nodes hold everything: the record says PAIR")

    def switchover(self, row):
        master, other = self.pair()
        self.say(f"Planned switchover from {master.name} to {other.name} (tanist switchover)")

        def act():
            done = master.ask("switchover", seconds=30)
            self.promise(f"switchover: {done.stderr.strip()}", done.returncode == 0)
            self.cluster.wait_master(other)
        self.event(row, act, f"{other.name} is master")
        self.promise("the epoch rises with a switchover", row.epochs[-1] > row.epochs[-2])

    def redis_killed(self, row):
        master, other = self.pair()
        self.say(f"kill -9 of the Redis of {master.name}, which is master")

        def act():
            master.redis.kill()
            self.cluster.wait_master(other)
        self.event(row, act, f"{other.name} is master")
        self.promise("the epoch rises with a failover", row.epochs[-1] > row.epochs[-2])
        master.start_redis()
        self.say(f"  Redis of {master.name} started again by hand; it comes back as secondary")

    def node_lost(self, row, back):
        master, other = self.pair()
        self.say(f"Node {master.name}, the master, is lost: its link is down and all its processes are gone, at once")

        def act():
            master.lose()
            self.cluster.wait_master(other)
        self.event(row, act, f"the lease has run out, and {other.name} is master")
        self.promise("the epoch rises with a failover", row.epochs[-1] > row.epochs[-2])
        self.say(f"Node {master.name} boots again")

        def rejoin():
            master.boot()
            master.start_redis()
            master.start()
            self.pair()
        self.event(back, rejoin, f"{master.name} is secondary and holds everything again")
        self.promise("who comes back does not take over", self.cluster.master() is other)
        self.promise("its return changes no epoch", back.epochs[-1] == back.epochs[-2])

    def agent_stopped(self, row):
        master, other = self.pair()
        fence = master.status()["fence"]
        self.promise("the kernel fence is armed", fence["kernel"] == "armed")
        self.say(f"The agent of {master.name}, the master, is stopped (SIGSTOP); Redis and address are left to it, and its"
                 f" kernel's fence ({fence['mechanism']})")

        def act():
            master.agent.pause()
            self.cluster.wait_master(other)
        self.event(row, act, f"{other.name} is master; {master.name} was shut by its kernel's fence"
                   f" ({fence['mechanism']}) when the lease ran out")
        self.promise("the epoch rises with a failover", row.epochs[-1] > row.epochs[-2])
        master.agent.resume()
        self.say(f"  the agent of {master.name} goes on (SIGCONT), finds itself deposed, and follows")

    def link_cut(self, row):
        master, other = self.pair()
        self.say(f"The link between {master.name} and {other.name} is cut; the witness and the clients see both")

        def act():
            self.cluster.cut(master, other)
            self.cluster.wait_mode("sole")
            self.say(f"  the record says SOLE({master.name}): the master goes on alone; {other.name} is excluded")
            self.writing()
            self.cluster.mend(master, other)
            self.say("  the link is whole again")
            self.pair()
        self.event(row, act, "the record says PAIR again")
        self.promise("a cut between the nodes changes no master", self.cluster.master() is master)
        self.promise("a cut between the nodes changes no epoch", row.epochs[-1] == row.epochs[-2])

    def tell(self):
        self.start()
        switchover, killed = Row("planned switchover", 10), Row("master's Redis killed (-9)", 50)
        for _ in range(3):
            self.switchover(switchover)
        for _ in range(3):
            self.redis_killed(killed)
        lost, back = Row("master's node lost", LEASE_MS + 30), Row("its return as secondary", None)
        for _ in range(2):
            self.node_lost(lost, back)
        self.agent_stopped(Row("master's agent stopped", LEASE_MS + 30))
        self.link_cut(Row("link a-b cut and mended", 20))
        self.pair()
        self.writing()

    def compare(self, client, key):
        """What a writer saw acknowledged against what the master holds: (count, the lost, doubled, out of order)."""
        wanted, present = verify.acknowledged(self.directory / key), verify.held(client, key)
        return (len(wanted), sorted(set(wanted) - set(present))) + verify.compare(wanted, present)[1:]

    def count_losses(self):
        for writer in (self.sure, self.plain):
            writer.look()  # its log is written out
        with self.cluster.wait_master().client() as client:
            count, lost, doubled, disorder = self.compare(client, "sure")
            self.say(f"{count} confirmed writes: {len(lost)} lost, {doubled} doubled, {disorder} out of order.")
            self.promise("no confirmed write is lost, doubled or out of order", not lost and doubled == disorder == 0)
            for row in self.rows:
                row.lost = sum(1 for number in lost for first, last in row.spans if first < number <= last)
            count, lost, _, _ = self.compare(client, "plain")
            self.say(f"{count} writes that Redis alone acknowledged, for which nothing is promised: {len(lost)} lost.")

    def table(self):
        head = ("event", "write gap ms", "target", "epoch", "acknowledged lost", "answered at once")
        cells = [head] + [row.cells() for row in self.rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
        rule = "-+-".join("-" * width for width in widths)
        print()
        for index, line in enumerate(cells):
            print(" | ".join(text.ljust(width) if i == 0 else text.rjust(width)
                             for i, (text, width) in enumerate(zip(line, widths))))
            if index == 0:
                print(rule)
        print("\nWrite gap: the longest time between two acknowledgements of the first writer, a median of several."
              "\nAcknowledged lost: of the second writer's. Answered at once: so many nodes on the virtual IP.")

    def verdict(self):
        for row in self.rows:
            self.promise(f"{row.event}: a gap of {row.gap():.0f} ms is absurd", not row.absurd())
        if self.broken:
            print("\nBroken promises:\n" + "\n".join("  " + what for what in self.broken))
            return 1
        print(f"\nEvery promise held. {time.monotonic() - self.began:.0f} s in all.")
        return 0


def keep():
    return os.environ.get("KEEP", "") not in ("", "0")


def end(*_):
    sys.exit(130)


def run_inside(directory):
    """In the namespaces: tells the story, in the end its exit code, and stays if it is to be kept."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    space.settle()
    demo = Demo(directory)
    try:
        demo.tell()
        demo.count_losses()
        demo.table()
        code = demo.verdict()
    except (Failed, space.CommandFailed, OSError, subprocess.SubprocessError):
        print(demo.cluster.tails(10))
        traceback.print_exc(file=sys.stdout)
        print(f"\nThe demo broke off; the logs are in {directory}")
        code = 1
    print(RESULT, code, flush=True)
    while keep():
        signal.pause()
    return code


def child_of(pid):
    """The first process inside: the one child of unshare."""
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0]


def explain_kept(directory, unshare):
    """Writes `enter`, which runs a command on one of the machines, and says how to use it."""
    enter = directory / "enter"
    enter.write_text(f'''#!/bin/sh
# enter a|b|w|c|lan COMMAND: runs it on that machine of the demo (lan: the switch)
machine=$1
shift
export PATH="{BUILD}:$PATH"
exec nsenter --target {child_of(unshare.pid)} --user --preserve-credentials --mount --pid --net \\
  nsenter --net=/run/netns/"$machine" "$@"
''', encoding="utf-8")
    enter.chmod(0o755)
    near = os.path.relpath(enter)
    print(f'''
It runs on. To look at it:
  {near} a tanist -s /run/tanist/a/orders.a.sock status
  {near} b tanist -s /run/tanist/b/orders.b.sock --json status
  {near} a tanist -s /run/tanist/a/orders.a.sock switchover
  {near} c redis-cli -h {VIRTUAL_IP} INFO replication
  {near} a ip address
The logs are in {os.path.relpath(directory)}/. To end it: kill -9 {unshare.pid}   (all goes with it)''')


def relay(story):
    """Shows the story as it comes; returns its exit code, 1 if it ends without one."""
    for line in story:
        if line.startswith(RESULT):
            return int(line.split()[-1])
        sys.stdout.write(line)
        sys.stdout.flush()
    return 1


def run_outside():
    """Starts the story in namespaces and waits for its end; nothing is left then but what was asked for."""
    obstacle = space.obstacle()
    if obstacle:
        print("The demo cannot run here: " + obstacle, file=sys.stderr)
        return space.CANNOT
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    base = ROOT / "build" / "netns"
    base.mkdir(parents=True, exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="demo.", dir=base))
    code, kept = 130, keep()
    # Through a pipe, which alone the kept processes hold: who waits for the end of our output is to see it.
    unshare = space.launch([str(HERE), "--inside", str(directory)], outlive_us=kept, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        code = relay(unshare.stdout)
        if kept:
            explain_kept(directory, unshare)
        else:
            unshare.wait(20)
    except (KeyboardInterrupt, SystemExit):
        kept = False
        print("\nEnded. Nothing is left running.", file=sys.stderr)
    finally:
        if not kept:
            unshare.kill()
            unshare.wait()
            if code != 1:
                shutil.rmtree(directory, ignore_errors=True)
    return code


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--inside" and space.inside():
        return run_inside(sys.argv[2])
    return run_outside()


if __name__ == "__main__":
    sys.exit(main())
