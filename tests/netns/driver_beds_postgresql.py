# SPDX-License-Identifier: Apache-2.0
"""A pair of PostgreSQL servers, which the driver starts, stops and rewinds."""

import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import driver_bed
import postgres
import pgwire  # beside postgres' other instruments
import space
from driver_bed import Refused

PORTS = (5501, 5502)
PATIENCE = 20.0  # seconds: for a start
TABLE = "CREATE TABLE kv (key text PRIMARY KEY, value text);\n"


class Client:
    """What the cases ask of a client, over a connection of its own."""

    def __init__(self, port, timeout):
        connection = self.connect(port, timeout)
        connection.settimeout(timeout)
        try:
            self.sql = self.translated(pgwire.Client, connection)
        except BaseException:
            connection.close()
            raise

    @staticmethod
    def connect(port, timeout):
        """Who was demoted is down for a moment: the patient wait for its restart as a standby."""
        deadline = time.monotonic() + (PATIENCE if timeout >= 2 else timeout)
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout)
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @staticmethod
    def translated(call, *arguments):
        try:
            return call(*arguments)
        except pgwire.Refused as refused:
            raise Refused(str(refused)) from None

    def write(self, key, value):
        warned = len(self.sql.warnings)
        self.translated(self.sql.ask, f"INSERT INTO kv VALUES ('{key}', '{value}')"
                        " ON CONFLICT (key) DO UPDATE SET value = excluded.value")
        if len(self.sql.warnings) > warned:
            raise Refused("with a warning: nothing to rely on")

    def read(self, key):
        return self.translated(self.sql.value, f"SELECT value FROM kv WHERE key = '{key}'")

    def closed(self):
        """Whether the server has closed the connection, or does within half a second."""
        self.sql.connection.settimeout(0.5)
        try:
            while self.sql.connection.recv(4096):
                pass
            return True
        except socket.timeout:
            return False
        except OSError:
            return True

    def close(self):
        self.sql.close()


class Probe(driver_bed.Probe):
    def reach(self, mode, *arguments, **options):
        """Held is a server that is down, too; the cases go on with one that is up again."""
        reached, deadline = super().reach(mode, *arguments, **options), time.monotonic() + PATIENCE
        view = self.view()
        while mode == "hold" and view["state"] != "held" and view["dead"] == "0":
            assert time.monotonic() < deadline, "it does not come up as a standby"
            time.sleep(0.01)
            view = self.view()
        return reached


class Server:
    """One data directory with whatever server runs on it, whoever started that."""

    def __init__(self, data, port, start):
        self.data, self.port, self.launch = data, port, start

    def processes(self):
        """The server's, and those that are about to start one."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if os.readlink(entry / "cwd") == str(self.data) or str(self.data).encode() in words:
                        found.append(int(entry.name))
        return found

    def signal(self, number):
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def start(self):
        """Starts it as it is, unless somebody else has."""
        self.launch()

    def kill(self):
        """All at once, as the kernel's last resort would; the first process here buries whom nobody else does."""
        master = postgres.postmaster(self.data)
        while self.processes() or (master and pathlib.Path(f"/proc/{master}").exists()):
            self.signal(signal.SIGKILL)
            self.signal(signal.SIGCONT)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.002)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def client(self, timeout=2.0):
        return Client(self.port, timeout)

    def listen(self):
        """A client that only listens."""
        client = self.client()
        client.sql.ask("LISTEN news")
        return client


class PostgresqlBed(driver_bed.Bed):
    name = "postgresql"
    lacks = {"commands": "the driver talks to PostgreSQL itself: there is no command to hang",
             "program": "the driver talks to PostgreSQL itself: there is no program of the operator's",
             "memory": "PostgreSQL never comes back empty: its log is on the disk"}
    slack = PATIENCE
    template = None  # a database with the table, made once

    @staticmethod
    def obstacle():
        return postgres.obstacle()

    @classmethod
    def make_template(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="postgresql."))
        atexit.register(shutil.rmtree, folder, True)
        programs = postgres.make_programs(folder / "bin")
        postgres.make_database(programs, folder / "data")
        subprocess.run([*postgres.AS_ANOTHER, postgres.BIN / "postgres", "--single", "-j", "-D", folder / "data",
                        "postgres"], input=TABLE + "\n", text=True, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        cls.template = folder / "data"

    def __init__(self, folder):
        super().__init__(folder)
        if not self.template:
            self.make_template()
        self.programs = postgres.make_programs(self.folder / "bin")

    def data(self, which):
        return self.folder / f"data-{'ab'[which]}"

    def settings(self, which):
        """Outside of the data directory: a rewind copies what is inside."""
        path, data = self.folder / f"postgresql-{which}.conf", self.data(which)
        path.write_text(f"{postgres.SETTINGS}\nport = {PORTS[which]}\ndata_directory = '{data}'\n"
                        f"hba_file = '{data}/pg_hba.conf'\nident_file = '{data}/pg_ident.conf'\n", encoding="utf-8")
        return path

    def address(self, which):
        return f"127.0.0.1:{PORTS[which]}"

    def broker_options(self, which):
        return (f'  options = {{ data_directory = "{self.data(which)}"; bin_directory = "{self.programs}";'
                f' config_file = "{self.settings(which)}"; }};')

    def start(self, which, *_):
        data = self.data(which)
        if not data.exists():
            subprocess.run(["cp", "-a", self.template, data], check=True)
            (data / "standby.signal").touch()  # two copies that both write are no pair

        def launch():
            if postgres.postmaster(data) is None:
                subprocess.run([self.programs / "pg_ctl", "start", "-D", data, "-s", "-w", "-l", data / "startup.log",
                                "-o", f"-c config_file={self.settings(which)}"], check=False,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        launch()
        return Server(data, PORTS[which], launch)

    def probe(self, which, incarnation="", **options):
        probe = Probe(self.config(which, **options), which, incarnation)
        self.stack.append(probe.close)
        return probe

    def durable(self):
        return ()

    def nowhere(self):
        """An address that takes packets and never answers."""
        space.run("ip", "link", "add", "nowhere", "type", "veth", "peer", "name", "nobody")
        space.run("ip", "address", "add", "10.9.9.1/24", "dev", "nowhere")
        for end in ("nowhere", "nobody"):
            space.run("ip", "link", "set", end, "up")
        self.stack.append(lambda: space.run("ip", "link", "delete", "nowhere"))
        return "10.9.9.9:5502"
