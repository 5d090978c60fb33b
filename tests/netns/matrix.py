#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays the fault matrix (matrix.txt), several pairs side by side, each in namespaces of its own.

usage: matrix.py [--each N | --all] [--seed S] [--jobs N] [--list] [FAULT | "FAULT, then FAULT"]...

Every single fault, and of each row of two so many pairs, drawn by the seed. A row whose outcome is not the promised one
is played once more, alone, before it counts as failed: the machine may have had too much to do. Two owners or a lost
write are never played again. Exit 0 if all is as promised, 77 if it cannot run here.
"""

import argparse
import json
import os
import pathlib
import queue
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import space
from matrix_bed import matrix_bed
from matrix_table import BadTable, Table
from testbed import ROOT, Cluster

HERE = pathlib.Path(__file__).resolve()
ROW_SECONDS_MAX = 180
ROWS_A_PAIR = 25  # then a new pair of brokers: what they wrote is in their files


def title(first, then):
    return f"{first}, then {then}" if then else first


def play_inside(directory):
    """In the namespaces: plays what comes in on stdin, a row a line; one line of JSON is the answer."""
    space.settle()
    table = Table()
    try:
        with matrix_bed(pathlib.Path(directory)) as bed:
            for line in sys.stdin:
                row = json.loads(line)
                began = time.monotonic()
                story = bed.play(table.story(*row))
                print(json.dumps({"story": [(fault, str(found), good) for fault, found, good in story],
                                  "seconds": time.monotonic() - began}), flush=True)
    except Exception as failure:  # pylint: disable=broad-except  (whatever it was, it is this row's result)
        if Cluster.newest:
            print(Cluster.newest.tails(60), file=sys.stderr)
        traceback.print_exc()
        print(json.dumps({"failure": str(failure), "story": [], "seconds": 0}), flush=True)
        return 1
    return 0


class Pair:
    """A pair of brokers in namespaces of its own, to play rows on."""

    def __init__(self):
        base = ROOT / "build" / "netns"
        base.mkdir(parents=True, exist_ok=True)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="matrix.", dir=base))
        self.played = 0
        with open(self.directory / "story", "wb") as story:
            self.child = space.launch([str(HERE), "--inside", str(self.directory)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=story)

    def play(self, row):
        self.played += 1
        try:
            self.child.stdin.write((json.dumps(row) + "\n").encode())
            self.child.stdin.flush()
            if select.select([self.child.stdout], [], [], ROW_SECONDS_MAX)[0]:
                return json.loads(self.child.stdout.readline())
        except (OSError, ValueError) as reason:
            return {"failure": f"it ended by itself ({reason}): see the story there", "story": [], "seconds": 0}
        return {"failure": f"no answer within {ROW_SECONDS_MAX} s", "story": [], "seconds": ROW_SECONDS_MAX}

    def end(self, failed):
        """Ends it with all that it started; its traces are judged then. False if they show a broken promise."""
        try:
            self.child.stdin.close()
            clean = failed or self.child.wait(ROW_SECONDS_MAX) == 0
        except (OSError, subprocess.TimeoutExpired):
            clean = False
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()
        if clean and not failed:
            shutil.rmtree(self.directory, ignore_errors=True)
        return clean


def good(result):
    return "failure" not in result and all(step[2] for step in result["story"])


def grave(result):
    """What no load of the machine excuses."""
    return any(word in result.get("failure", "") for word in ("TWO OWNERS", "LOST WRITES"))


class Run:
    """All rows, by so many players."""

    def __init__(self, table, rows, jobs):
        self.table, self.rows, self.jobs = table, rows, jobs
        self.waiting, self.again = queue.Queue(), []
        self.lock, self.failed = threading.Lock(), 0
        for row in rows:
            self.waiting.put(row)

    def report(self, row, result, pair, last):
        """Prints a row's result; with what was promised and where the logs are if it is another."""
        with self.lock:
            word = "ok" if good(result) else "FAILED" if last else "again"
            print(f"{word:7}{title(*row):36}{result['seconds']:5.1f} s  load {os.getloadavg()[0]:4.1f}  "
                  + "; ".join(step[1] for step in result["story"]), flush=True)
            if good(result):
                return
            print(f"       {pair.directory}: {result.get('failure', 'not as promised')}")
            for fault, allowed in self.table.story(*row):
                print(f"       promised after {fault}: " + " or ".join(str(one) for one in allowed))
            print(f"       because: {self.table.row(*row).why}", flush=True)

    def work(self):
        pair = None
        while True:
            try:
                row = self.waiting.get_nowait()
            except queue.Empty:
                break
            pair = pair or Pair()
            result = pair.play(row)
            last = grave(result)
            self.report(row, result, pair, last)
            if not good(result):
                with self.lock:
                    self.failed += last
                    self.again += [] if last else [row]
            if not good(result) or pair.played == ROWS_A_PAIR:
                self.end(pair, result)
                pair = None
        if pair:
            self.end(pair, result)

    def end(self, pair, result):
        """A pair whose traces show a broken promise has failed, whatever its rows were like."""
        if not pair.end(failed=not good(result)):
            with self.lock:
                self.failed += 1
                print(f"FAILED the traces of {pair.played} rows show a broken promise: {pair.directory}/story",
                      flush=True)

    def once_more(self):
        """Alone, and on a new pair."""
        for row in self.again:
            pair = Pair()
            result = pair.play(row)
            self.failed += not good(result)
            self.report(row, result, pair, True)
            self.end(pair, result)

    def run(self):
        players = [threading.Thread(target=self.work, daemon=True) for _ in range(self.jobs)]
        for player in players:
            player.start()
        for player in players:
            player.join()
        self.once_more()
        print(f"{max(0, len(self.rows) - self.failed)} passed, {self.failed} failed")
        return 1 if self.failed else 0


def asked_for(words, table):
    rows = []
    for word in words:
        first, _, then = (part.strip() for part in word.partition(", then "))
        table.story(first, then or None)
        rows.append((first, then or None))
    return rows


def main():
    parser = argparse.ArgumentParser(description="the fault matrix")
    parser.add_argument("--each", type=int, default=2, help="pairs of each row of two (2)")
    parser.add_argument("--all", action="store_true", help="every pair of faults")
    parser.add_argument("--seed", type=int, default=1, help="which pairs are drawn (1)")
    parser.add_argument("--jobs", type=int, default=3, help="how many side by side (3)")
    parser.add_argument("--list", action="store_true", help="print every pair with what is promised, and end")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("rows", nargs="*")
    arguments = parser.parse_args()
    if arguments.inside and space.inside():
        return play_inside(arguments.inside)
    try:
        table = Table()
        table.check()
        each = None if arguments.all else arguments.each
        rows = asked_for(arguments.rows, table) or table.choose(each, arguments.seed)
    except BadTable as mistake:
        sys.exit(str(mistake))
    if arguments.list:
        for first, then in rows:
            row = table.row(first, then)
            print(f"{title(first, then):36}" + " or ".join(str(one) for one in row.outcomes) + f"  {row.why}")
        return 0
    obstacle = space.obstacle()
    if obstacle:
        print("the matrix cannot be played here: " + obstacle, file=sys.stderr)
        return space.CANNOT
    print(f"{len(rows)} rows, {arguments.jobs} side by side, seed {arguments.seed}", flush=True)
    return Run(table, rows, arguments.jobs).run()


if __name__ == "__main__":
    sys.exit(main())
