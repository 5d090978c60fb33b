# SPDX-License-Identifier: Apache-2.0
"""Stands in for ActiveMQ Classic: waits for the lock of its store as KahaDB does, then greets as OpenWire does, and takes
lines: "N" is written to the store durably, then answered.

usage: lock_broker.py STORE PORT
"""
import fcntl
import os
import socketserver
import sys

GREETING = b"\0\0\0\x0b\x01ActiveMQ\0\0"


def main():
    store, port = sys.argv[1], int(sys.argv[2])
    os.makedirs(store, exist_ok=True)
    lock = open(os.path.join(store, "lock"), "a", encoding="ascii")  # pylint: disable=consider-using-with
    fcntl.lockf(lock, fcntl.LOCK_EX)
    journal = os.open(os.path.join(store, "journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    class Client(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(GREETING)
            for line in self.rfile:
                os.write(journal, line)
                os.fsync(journal)
                self.wfile.write(line)

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    socketserver.ThreadingTCPServer(("0.0.0.0", port), Client).serve_forever()


if __name__ == "__main__":
    main()
