#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long nobody could write, when this or that was lost: Tanist at three leases, and what others do, side by side.

usage: failover.py [--runs N] [--only WORD,...]       each subject in namespaces of its own, one after the other

A gap is the longest time between two acknowledged writes, measured by a client that writes through the virtual IP
every millisecond. With Tanist a write counts when the other node has it too; the others acknowledge before that, and
the last column says how many such writes were gone in the end. `both` is the time for which both nodes answered on the
virtual IP, by two observers. Exit 0 if all subjects that are installed could be measured.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "netns"))
import space  # noqa: E402
from rivals import Keepalived, Sentinel  # noqa: E402
from subject import Tanist  # noqa: E402
from testbed import Failed, until, verify  # noqa: E402

EVENTS = ("node lost", "broker killed", "switchover", "agent killed", "isolated")
SUBJECTS = {
    "Tanist, lease 1000 ms": lambda directory: Tanist(directory, 1000, 100),
    "Tanist, lease 300 ms": lambda directory: Tanist(directory, 300, 30),
    "Tanist, lease 100 ms": lambda directory: Tanist(directory, 100, 20),
    "keepalived, advert 1 s (its default)": lambda directory: Keepalived(directory, 1),
    "keepalived, advert 0.1 s": lambda directory: Keepalived(directory, 0.1),
    "Redis Sentinel, down after 1000 ms": lambda directory: Sentinel(directory, 1000),
}
LACKS = {"Tanist": lambda: None, "keepalived": Keepalived.lacks, "Redis": Sentinel.lacks}
SUBJECT_SECONDS_MAX = 1800
TAKEOVER_S = 15
AFTERMATH_S = 0.7  # so long both are watched once the new one serves


class Measure:
    """One subject under a writer and two observers."""

    def __init__(self, subject, directory):
        self.subject, self.log = subject, directory / "acknowledged"
        self.observer = subject.cluster.observe()
        subject.start()
        self.writer = subject.cluster.write(self.log, *subject.writer_options)
        self.writing()

    def writing(self, count=50):
        before = self.writer.look()["acknowledged"]
        until("writes are acknowledged", lambda: self.writer.look()["acknowledged"] >= before + count, 30)

    def run(self, event):
        """One loss and what came of it; all is mended afterwards."""
        master = until("a whole pair", self.subject.whole, 40, 0.05)
        self.writing()
        self.observer.mark("run")
        self.writer.mark("run")
        self.subject.strike(event, master)
        other = self.subject.cluster.other(master)
        if self.subject.takes_over(event):
            until(f"{other.name} answers", lambda: self.observer.look()[other.name]["icmp"], TAKEOVER_S)
        self.writing()
        time.sleep(AFTERMATH_S)
        gap, both = self.writer.mark("mend")["gap_us"] / 1000, self.observer.mark("mend")["both_us"] / 1000
        self.subject.mend(event, master)
        return gap, both

    def lost(self):
        master = until("a whole pair", self.subject.whole, 40, 0.05)
        self.writer.finish()
        with master.client() as client:
            wanted, present = verify.acknowledged(self.log), verify.held(client, "orders")
        return len(wanted), verify.compare(wanted, present)[0]


def measure(name, runs, directory):
    """Inside: prints a line of JSON an event."""
    space.settle()
    with SUBJECTS[name](directory) as subject:
        bench = Measure(subject, directory)
        for event in EVENTS:
            gaps, boths, failed, load = [], [], 0, os.getloadavg()[0]
            while len(gaps) < runs and failed <= runs // 2:
                try:
                    gap, both = bench.run(event)
                    gaps.append(gap)
                    boths.append(both)
                except Failed as reason:
                    failed += 1
                    print(f"{name}, {event}: {reason}", file=sys.stderr, flush=True)
                    subject.mend(event, None)
            print(json.dumps({"event": event, "gaps": gaps, "both": boths, "failed": failed, "load": load}), flush=True)
        written, lost = bench.lost()
        print(json.dumps({"written": written, "lost": lost}), flush=True)
    return 0


def rank(values, share):
    """The value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def show(name, lines):
    """A subject's rows of the table; Markdown, so that it can be put into a document as it is."""
    sums = next((line for line in lines if "lost" in line), None)
    lost = f"{sums['lost']} of {sums['written']}" if sums else "?"
    for line in lines:
        if "event" not in line:
            continue
        gaps, both = line["gaps"], max(line["both"], default=0)
        figures = [f"{rank(gaps, 50):.0f}", f"{rank(gaps, 90):.0f}", f"{max(gaps):.0f}"] if gaps else ["-"] * 3
        runs = f"{len(gaps)}" + (f" ({line['failed']} failed)" if line["failed"] else "")
        print("| " + " | ".join([name, line["event"], runs] + figures + [f"{both:.0f}", lost, f"{line['load']:.1f}"])
              + " |", flush=True)


def run_subject(name, runs):
    """In namespaces of its own; False if it could not be measured."""
    base = ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="failover.", dir=base))
    with open(directory / "story", "wb") as story:
        child = space.launch([str(pathlib.Path(__file__).resolve()), "--inside", name, str(directory), "--runs",
                              str(runs)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=story, text=True)
        try:
            output, _ = child.communicate(timeout=SUBJECT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
    show(name, [json.loads(line) for line in output.splitlines()])
    if child.returncode == 0:
        shutil.rmtree(directory, ignore_errors=True)
        return True
    print(f"{name}: could not be measured to the end; see {directory}", flush=True)
    return False


def run_all(names, runs):
    print(f"{os.cpu_count()} processors, {platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f}; "
          f"gaps in ms over {runs} runs\n")
    print("| subject | event | runs | median | p90 | max | both, ms | acknowledged writes lost | load |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    good = True
    for name in names:
        reason = LACKS[name.partition(" ")[0].rstrip(",")]()
        if reason:
            print(f"| {name} | skipped: {reason} |", flush=True)
        else:
            good = run_subject(name, runs) and good
    return 0 if good else 1


def main():
    parser = argparse.ArgumentParser(description="write gaps at failover")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", action="append", default=[], help="subjects with one of these words in their name")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside and space.inside():
        try:
            return measure(arguments.inside[0], arguments.runs, pathlib.Path(arguments.inside[1]))
        except Exception:  # pylint: disable=broad-except  (whatever it was ends this subject alone)
            traceback.print_exc()
            return 1
    obstacle = space.obstacle()
    if obstacle:
        print("cannot run here: " + obstacle, file=sys.stderr)
        return space.CANNOT
    words = [word for some in arguments.only for word in some.split(",")]
    names = [name for name in SUBJECTS if not words or any(word in name for word in words)]
    return run_all(names, arguments.runs)


if __name__ == "__main__":
    sys.exit(main())
