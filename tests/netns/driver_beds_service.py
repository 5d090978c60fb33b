# SPDX-License-Identifier: Apache-2.0
"""Services that run on the master alone, driven through an OCF resource agent and through systemd. What runs is a Redis
that nobody replicates, on a store of its own.

systemd does not run in here: support/systemd_mock.py takes its place, on a bus of the bed's own.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import driver_bed
import redis_bed
from driver_bed import ROOT, now
from driver_beds_redis import Client

AGENT = "/usr/lib/ocf/resource.d/heartbeat/anything"
PYTHON = "/usr/bin/python3"  # of the package python3-dbusmock
ALONE = "a service runs on the master alone, and replicates nothing"


class LateClient:
    """One that connects with its first word. There may be nobody to connect to, which then is how that ends, or one that
    has been started and is not there yet."""

    def __init__(self, port, timeout):
        self.port, self.timeout, self.real = port, timeout, None

    def connected(self):
        deadline = now() + min(self.timeout, 1.0)
        while not self.real:
            try:
                self.real = Client(self.port, self.timeout)
            except ConnectionRefusedError:
                if now() > deadline:
                    raise
                time.sleep(0.02)
        return self.real

    def write(self, key, value):
        self.connected().write(key, value)

    def read(self, key):
        return self.connected().read(key)

    def close(self):
        if self.real:
            self.real.close()


class Service:
    """The broker of one node, started and stopped by its driver; `kill` and `start` happen behind the driver's back."""

    def __init__(self, bed, which):
        self.bed, self.which, self.port = bed, which, redis_bed.PORTS[which]

    def client(self, timeout=2.0):
        return LateClient(self.port, timeout)

    def pids(self):
        """Its process, by the title that it gives itself, or before that by its configuration."""
        marks = f"redis-server *:{self.port}".encode(), f"redis-server {self.bed.folder}/redis-{self.which}.conf".encode()
        return [pid for pid, line in driver_bed.processes().items() if any(mark in line for mark in marks)]

    def signal(self, number):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        deadline = now() + self.bed.slack
        while self.pids() and now() < deadline:
            time.sleep(0.01)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def start(self):
        self.bed.start_by_hand(self.which)


class ServiceBed(driver_bed.Bed):
    replication = "shared"
    every_ms, timeout_ms, verb_timeout_ms = 200, 2000, 10000
    lacks = {feature: ALONE for feature in ("replicates", "sync", "orphan", "held")}
    lacks.update({feature: "there is no such verb" for feature in ("pause", "evict")})
    lacks.update({"commands": "there is no command of the operator's to hang", "program": "there is no program beside",
                  "start": "it is started by its promotion", "memory": "its store is kept",
                  "durable": "a service that died is not held: it does not run"})

    def address(self, which):
        return f"127.0.0.1:{redis_bed.PORTS[which]}"

    def server(self):
        server = self.folder / "redis-server"
        if not server.exists():
            server.symlink_to(shutil.which("redis-server") or "/usr/bin/redis-check-rdb")
        return str(server)

    def server_conf(self, which):
        store = self.folder / f"store-{which}"
        store.mkdir(exist_ok=True)
        path = self.folder / f"redis-{which}.conf"
        path.write_text(f"port {redis_bed.PORTS[which]}\ndir {store}\nsave \"\"\nappendonly yes\nappendfsync always\n"
                        f"bind * -::*\nlogfile {self.folder}/redis-{which}.log\n", encoding="utf-8")
        return str(path)

    def start(self, which, *arguments):
        return Service(self, which)


class OcfBed(ServiceBed):
    name = "ocf"
    lacks = ServiceBed.lacks | {"death": "for ocf:heartbeat:anything one that died has failed, and nobody knows how"}

    def __init__(self, folder):
        super().__init__(folder)
        os.environ["HA_SBIN_DIR"] = str(ROOT / "packaging" / "ocf")
        programs = self.folder / "programs"
        programs.mkdir()
        su = programs / "su"  # the agent's way to its user; in a user namespace there is no way to become another
        su.write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n', encoding="utf-8")
        su.chmod(0o755)
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"

        self.ending = threading.Event()
        reaper = threading.Thread(target=self.reap)
        reaper.start()
        self.stack.append(lambda: (self.ending.set(), reaper.join()))

    def reap(self):
        """What the agent has started falls to the first process in here, which is to be an init for it: for the agent,
        one that nobody has reaped runs."""
        while not self.ending.wait(0.02):
            for entry in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    words = pathlib.Path("/proc", entry, "stat").read_text(encoding="utf-8").rsplit(")", 1)
                    if words[0].endswith("(redis-server") and words[1].split()[:2] == ["Z", str(os.getpid())]:
                        os.waitpid(int(entry), 0)

    @staticmethod
    def obstacle():
        return None if os.access(AGENT, os.X_OK) else "the package resource-agents is not installed"

    def options(self, which):
        return {"binfile": self.server(), "cmdline_options": self.server_conf(which), "workdir": str(self.folder),
                "pidfile": f"{self.folder}/redis-{which}.pid", "logfile": f"{self.folder}/agent-{which}.log"}

    def broker_options(self, which):
        options = " ".join(f'{key} = "{value}";' for key, value in self.options(which).items())
        return (f'  agent = "ocf:heartbeat:anything";\n  options = {{ {options} }};\n'
                f"  verb_timeout_ms = {self.verb_timeout_ms};")

    def start_by_hand(self, which):
        told = {"OCF_RESKEY_" + key: value for key, value in self.options(which).items()}
        subprocess.run([AGENT, "start"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=os.environ | told | {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "orders",
                                                "HA_RSCTMP": str(self.folder)})


class SystemdBed(ServiceBed):
    name = "systemd"

    def __init__(self, folder):
        super().__init__(folder)
        address = f"unix:path={self.folder}/bus"
        configuration = self.folder / "bus.conf"
        configuration.write_text(
            f"<busconfig><listen>{address}</listen><policy context='default'><allow user='*'/><allow own='*'/>"
            "<allow send_destination='*'/><allow eavesdrop='true'/></policy></busconfig>", encoding="utf-8")
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
        self.run("dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile", "--nosyslog")
        deadline = now() + self.slack
        while not pathlib.Path(self.folder, "bus").exists():
            assert now() < deadline, "dbus-daemon does not start"
            time.sleep(0.01)
        units = {self.unit(which): {"command": [self.server(), self.server_conf(which)]} for which in (0, 1)}
        self.run(PYTHON, "-B", "-m", "dbusmock", "--system", "--logfile", "/dev/null", "--template",
                 str(ROOT / "tests" / "support" / "systemd_mock.py"), "--parameters", json.dumps({"units": units}))

    @staticmethod
    def obstacle():
        mock = subprocess.run([PYTHON, "-c", "import dbusmock"], check=False, stderr=subprocess.DEVNULL)
        return None if mock.returncode == 0 and shutil.which("dbus-daemon") else "python3-dbusmock is not installed"

    def run(self, *argv):
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end():
            process.kill()
            process.wait()
        self.stack.append(end)

    @staticmethod
    def unit(which):
        return f"orders-{'ab'[which]}.service"

    def broker_options(self, which):
        return f'  unit = "{self.unit(which)}";\n  verb_timeout_ms = {self.verb_timeout_ms};'

    def start_by_hand(self, which):
        subprocess.run(["dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.systemd1",
                        "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.StartUnit",
                        f"string:{self.unit(which)}", "string:replace"], check=True, stdout=subprocess.DEVNULL)
