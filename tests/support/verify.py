#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is every write that was acknowledged in the data of the master that is left, once, and in order?

usage: verify.py ACKNOWLEDGEMENTS HOST PORT KEY      exit 0 if so, 1 if not
"""

import pathlib
import socket
import sys

import resp

STEP = 50000


def acknowledged(path):
    """The numbers that the writer saw acknowledged, in the order in which it saw that."""
    lines = pathlib.Path(path).read_text(encoding="ascii").splitlines()
    return [int(line.split()[0]) for line in lines]


def held(client, key):
    """The numbers in the broker's list, in its order."""
    numbers = []
    while len(numbers) % STEP == 0:
        part = client.ask("LRANGE", key, len(numbers), len(numbers) + STEP - 1)
        if not part:
            break
        numbers += [int(word) for word in part]
    return numbers


def compare(wanted, present):
    """(lost, doubled, out of order) among the acknowledged numbers; others may be there, their fate was unknown."""
    lost = len(set(wanted) - set(present))
    known = set(wanted)
    found = [number for number in present if number in known]
    doubled = len(found) - len(set(found))
    disorder = sum(1 for before, after in zip(found, found[1:]) if after < before)
    return lost, doubled, disorder


def main():
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    path, host, port, key = sys.argv[1:]
    with resp.Client(socket.create_connection((host, int(port)), 5)) as client:
        present = held(client, key)
    wanted = acknowledged(path)
    lost, doubled, disorder = compare(wanted, present)
    print(f"{len(wanted)} acknowledged, {len(present)} held, {lost} lost, {doubled} doubled, {disorder} out of order")
    return 1 if lost or doubled or disorder else 0


if __name__ == "__main__":
    sys.exit(main())
