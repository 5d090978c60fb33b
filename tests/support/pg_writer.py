#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes numbered rows to a PostgreSQL table through an address, one after the other, as a queue's producer does.

usage: pg_writer.py ADDRESS PORT TABLE LOG [PATIENCE_MS]

A row without an answer in time is never called acknowledged, and its number never used again. Each acknowledgement
is a line "NUMBER µs" (CLOCK_BOOTTIME) in LOG. `look`, `mark NAME` on standard input: what the present phase was
like, as a line of JSON. An answer with a warning does not count: PostgreSQL says so of a wait that was cancelled.
"""

import json
import queue
import socket
import sys
import threading
import time

import pgwire

DIAL_SECONDS = 0.05


def boottime_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Writer:
    def __init__(self, address, port, table, log, patience):
        self.address, self.table, self.patience = (address, port), table, patience
        self.log = open(log, "a", encoding="ascii", buffering=1)  # pylint: disable=consider-using-with
        self.client, self.number, self.last_us = None, 0, 0
        self.begin("begin")

    def begin(self, name):
        self.phase = {"phase": name, "acknowledged": 0, "unknown": 0, "refused": 0, "connects": 0, "gap_us": 0}

    def look(self):
        now = boottime_us()
        open_gap = now - self.last_us if self.last_us else 0
        return dict(self.phase, gap_us=max(self.phase["gap_us"], open_gap))

    def drop(self):
        if self.client:
            self.client.close()
        self.client = None

    def connect(self):
        connection = socket.create_connection(self.address, DIAL_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(self.patience)
        try:
            self.client = pgwire.Client(connection, name="writer")
        except BaseException:
            connection.close()
            raise
        self.phase["connects"] += 1

    def acknowledged(self):
        now = boottime_us()
        self.phase["acknowledged"] += 1
        if self.last_us:
            self.phase["gap_us"] = max(self.phase["gap_us"], now - self.last_us)
        self.last_us = now
        self.log.write(f"{self.number} {now}\n")

    def write(self):
        """One row, or one attempt to connect."""
        try:
            if not self.client:
                self.connect()
            self.number += 1
            warned = len(self.client.warnings)
            self.client.ask(f"INSERT INTO {self.table} (n) VALUES ({self.number})")
            if len(self.client.warnings) > warned:
                raise ConnectionError("a warning: nothing to rely on")
            self.acknowledged()
        except pgwire.Refused:
            self.phase["refused"] += 1
            self.drop()
            time.sleep(0.002)
        except OSError:
            self.phase["unknown"] += 1
            self.drop()
            time.sleep(0.002)


def main():
    writer = Writer(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4],
                    float(sys.argv[5]) / 1000 if len(sys.argv) > 5 else 0.5)
    orders = queue.Queue()

    def read():
        for line in sys.stdin:
            orders.put(line.split())
        orders.put(None)
    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            order = orders.get_nowait()
        except queue.Empty:
            writer.write()
            continue
        if order is None:
            return 0
        print(json.dumps(writer.look()), flush=True)
        if order[0] == "mark":
            writer.begin(order[1])


if __name__ == "__main__":
    sys.exit(main())
