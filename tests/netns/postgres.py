# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL pairs in the test bed: servers from Debian's package, run as somebody who is not root.

PostgreSQL refuses to run as root, and who makes namespaces is root in there. So each of its programs runs in a user
namespace of its own within, where the same user has another number; for the agent that is a directory of programs
like any other (broker.options.bin_directory).
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess

from space import run
from testbed import ROOT, BUILD, VIRTUAL_IP, Cluster, Process, Talk, expect, until
import pgwire

PORT = 5432
BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
PROGRAMS = ("initdb", "pg_ctl", "pg_rewind", "pg_waldump", "pg_basebackup")
AS_ANOTHER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
SETTINGS = """
listen_addresses = '*'
unix_socket_directories = ''
shared_buffers = 16MB
wal_log_hints = on
wal_keep_size = 64MB
wal_sender_timeout = 3s
wal_receiver_timeout = 3s
log_line_prefix = '%m [%p] '
autovacuum = off
"""


def obstacle():
    """What keeps PostgreSQL from being tested here, in words; None if nothing does."""
    if not (BIN / "postgres").exists():
        return "needs PostgreSQL 15: packaging/install-dependencies postgresql"
    done = subprocess.run(AS_ANOTHER + ("true",), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"this kernel lets nobody make a user namespace within another: {done.stderr.strip()}"
    return None


def make_programs(directory):
    """The programs of BIN as scripts that run them as another user."""
    directory.mkdir(exist_ok=True)
    for name in PROGRAMS:
        script = directory / name
        script.write_text(f"#!/bin/sh\nexec {' '.join(AS_ANOTHER)} {BIN}/{name} \"$@\"\n", encoding="ascii")
        script.chmod(0o755)
    return directory


def make_database(programs, data, password=None):
    """A new database; a copy of it is what a base backup would be."""
    words = [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"]
    hba = "password" if password else "trust"
    subprocess.run(words + ([f"--pwfile={password}"] if password else []), check=True, stdout=subprocess.DEVNULL)
    with open(data / "postgresql.conf", "a", encoding="ascii") as file:
        file.write(SETTINGS)
    (data / "pg_hba.conf").write_text(f"host all all 0.0.0.0/0 {hba}\nhost replication all 0.0.0.0/0 {hba}\n",
                                      encoding="ascii")


def postmaster(data):
    """The process of the server on this directory; None if there is none."""
    try:
        pid = int((data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        return pid if pathlib.Path(f"/proc/{pid}/cwd").resolve() == data.resolve() else None
    except (OSError, ValueError, IndexError):
        return None


class Postgres(Cluster):
    """A cluster whose brokers are PostgreSQL servers, which the agents start and stop."""

    def __init__(self, directory, options="", password=None, **settings):
        self.programs = make_programs(pathlib.Path(directory) / "bin")
        self.options, self.password = options, password  # the file with it
        super().__init__(directory, **settings)

    def data(self, node):
        return node.home / "disk" / "data"

    def configuration(self, member):
        data = self.data(member)  # of a directory of its own on each: the digest of the options is the same on real machines
        text = super().configuration(member)
        secret = f'password_file = "{self.password}";' if self.password else ""
        broker = f'''broker = {{ driver = "postgresql"; address = "127.0.0.1:{PORT}"; {secret}
  peers = {{ a = "{self.a.address}:{PORT}"; b = "{self.b.address}:{PORT}"; }};
  options = {{ data_directory = "{data}"; bin_directory = "{self.programs}"; {self.options} }}; }};'''
        return text.replace('broker = { driver = "none"; };', broker)

    def make(self):
        """Both servers, with the same data, not running, each on a disk of its own."""
        for node in self.nodes:
            (node.home / "disk").mkdir()
            run("mount", "-t", "tmpfs", "-o", "size=400m,mode=755", "tmpfs", node.home / "disk")
        make_database(self.programs, self.data(self.a), self.password)
        subprocess.run(["cp", "-a", self.data(self.a), self.data(self.b)], check=True)

    def start(self):
        """Both servers with the same database, all three voters; a holds the data that count."""
        self.make()
        for member in (self.w, self.b, self.a):
            member.start()
        until("a forms the cluster", lambda: self.a.ask("form", "--data", "a").returncode == 0, 30, every=0.1)
        return self.wait_master(seconds=40)

    def sql(self, node, address="127.0.0.1", seconds=5.0):
        connection = node.space.connect(address, PORT, seconds)
        connection.settimeout(seconds)
        secret = self.password.read_text(encoding="ascii").strip() if self.password else None
        return pgwire.Client(connection, password=secret)

    def ask(self, node, sql):
        """One query to a node's server; None if it does not answer."""
        try:
            with self.sql(node) as client:
                return client.ask(sql)
        except (OSError, socket.timeout, pgwire.Refused):
            return None

    def pid(self, node):
        return postmaster(self.data(node))

    def kill(self, node):
        """Kills the server outright. If whoever started it has ended, it is ours to bury, as the first process here."""
        pid = self.pid(node)
        os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:  # pg_ctl still waits for it to come up
            until("pg_ctl buries it", lambda: self.pid(node) is None, 30)

    def start_by_hand(self, node):
        """As it is, past the agent."""
        data = self.data(node)
        done = node.space.start([self.programs / "pg_ctl", "start", "-D", data, "-s", "-w", "-l", data / "startup.log"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(60)
        expect(f"pg_ctl start: {done}", done == 0)

    def lose(self, node):
        """The machine with its server is gone at once. (Its agent first: it would start the server again.)"""
        self.wire.pull(node.name)
        node.agent.kill()
        self.kill(node)
        node.lose()

    def writer(self, log, patience_ms=100):
        self.client()
        process = Process("writer", self.clients["c"],
                          ["python3", "-B", ROOT / "tests" / "support" / "pg_writer.py", VIRTUAL_IP, PORT, "queue", log,
                           patience_ms], self.directory / "writer.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.helpers.append(process)
        return Talk(process)

    def end_servers(self):
        for node in self.nodes:
            pid = self.pid(node)
            if pid:
                subprocess.run(["kill", "-QUIT", str(pid)], check=False)

    def __exit__(self, kind, value, trace):
        for member in self.members:
            if member.agent:
                member.agent.kill()
        self.end_servers()
        for node in self.nodes:
            log = self.data(node) / "startup.log"
            if log.exists():
                shutil.copy(log, node.home / "postgresql.log")
        super().__exit__(kind, value, trace)


def held(client):
    return [int(row[0]) for row in client.ask("SELECT n FROM queue ORDER BY id")]


__all__ = ["BIN", "BUILD", "PORT", "Postgres", "expect", "held", "make_database", "make_programs", "obstacle",
           "postmaster"]
