#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All benchmarks in their short forms, one after the other, as one table on stdout: all.py MAKE [NAME...]

What each says itself goes to stderr while it runs. Exit 1 if one of them failed, or told no figure.
"""

import os
import re
import subprocess
import sys
import time


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows_of_tables(text):
    """The rows of Markdown tables, each as {heading: cell}."""
    heading = None
    for line in text.splitlines():
        if not line.startswith("|"):
            heading = None
        elif heading is None:
            heading = cells(line)
        elif not set(line) <= set("|- "):
            yield dict(zip(heading, cells(line)))


def failover(text):
    for row in rows_of_tables(text):
        name, event = row["subject"], row["event"]
        if "median" not in row:
            yield name, event
        else:
            yield (f"{name}: {event}", f"no write for {row['median']} ms, at most {row['max']}; both answered for "
                                       f"{row['both, ms']} ms; {row['acknowledged writes lost']} writes lost")


def fence(text):
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        mechanism = part.split("\n")[0]
        for row in rows_of_tables(part):
            first = next(iter(row))
            if first == "what ends the renewals":
                yield f"{mechanism}: {row[first]}", list(row.values())[-1] + " µs from the last answer to the deadline"
            elif first.startswith("renewal"):
                yield f"{mechanism}: a renewal", f"{row[first]} µs, median / p99"
            else:
                yield f"{mechanism}: a packet out", f"{row['no fence']} ns, and with an armed fence {row['armed']}"


def client(text):
    for name, least, median in re.findall(r"^(tanist_\w+) +([\d.-]+) +([\d.-]+)$", text, re.M):
        yield name, f"{median} ns a call, at least {least}"


def sentences(text):
    """'what: figure' on each line."""
    for what, figure in re.findall(r"^ *(\d.*|switchover.*): (.*\d.*)$", text, re.M):
        yield what, re.sub(" +", " ", figure)


BENCHMARKS = {"failover": (["RUNS=3", "ONLY=lease 1000,0.1 s,Sentinel"], failover),
              "fence": (["RUNS=5"], fence),
              "client": ([], client),
              "broker": (["COUNT=20000"], sentences),
              "clients": ([], sentences)}


def run(make, name):
    """Returns the table's rows, and whether it went well."""
    options, read = BENCHMARKS[name]
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    print(f"=== bench-{name} {' '.join(options)}", file=sys.stderr, flush=True)
    done = subprocess.run(make + [f"bench-{name}"] + options, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, errors="replace", check=False)
    print(done.stdout, file=sys.stderr, flush=True)
    rows = list(read(done.stdout))
    if done.returncode or not rows:
        return rows + [("failed", f"exit {done.returncode}; what it said is above")], False
    return rows, True


def main(make, names):
    began, load = time.monotonic(), os.getloadavg()[0]
    results = {name: run(make.split(), name) for name in names or BENCHMARKS}
    print("| benchmark | what | figure |\n|---|---|---|")
    for name, (rows, _) in results.items():
        for what, figure in rows:
            print(f"| {name} | {what} | {figure} |")
    print(f"| all | {os.cpu_count()} processors, load {load:.1f} when it began | {time.monotonic() - began:.0f} s |")
    return 0 if all(good for _, good in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
