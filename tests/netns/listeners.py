#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that only listen, and what they listen to.

listeners.py serve ADDRESS PORT            takes connections and never says a word
listeners.py wait ADDRESS PORT COUNT       opens COUNT connections and waits in them as in read(); one that is reset is
                                           opened again at once. On stdout a line each: "open US", "reset US",
                                           "again US" (CLOCK_BOOTTIME)
"""

import selectors
import socket
import sys
import time

RETRY_S = 0.005


def say(word):
    print(word, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000, flush=True)


def serve(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(4096)
        held = []
        while True:
            held.append(server.accept()[0])


def connect(address, port):
    """Until it is there; an address that is on its way takes no connection."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        client = socket.socket(family)
        client.settimeout(0.02)
        try:
            client.connect((address, port))
            return client
        except OSError:
            client.close()
            time.sleep(RETRY_S)  # the rhythm of a client that tries again


def wait(address, port, count):
    poll = selectors.DefaultSelector()
    for _ in range(count):
        poll.register(connect(address, port), selectors.EVENT_READ)
        say("open")
    while True:
        for key, _ in poll.select():
            poll.unregister(key.fileobj)
            key.fileobj.close()
            say("reset")
            poll.register(connect(address, port), selectors.EVENT_READ)
            say("again")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    wait(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
