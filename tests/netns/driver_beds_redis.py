# SPDX-License-Identifier: Apache-2.0
"""A pair of Redis, driven by the built-in driver, by the commands of etc/drivers, or by the co-process of etc/drivers."""

import pathlib

import driver_bed
import redis_bed
import space
from driver_bed import ROOT, Process


class Client:
    """What the cases ask of a client, over a connection of its own."""

    def __init__(self, port, timeout):
        self.redis = redis_bed.Client(port, timeout)

    def write(self, key, value):
        self.redis("SET", key, value)

    def read(self, key):
        return self.redis("GET", key)

    def closed(self):
        """Whether the server has closed the connection, or does within half a second."""
        self.redis.socket.settimeout(0.5)
        return redis_bed.closed(self.redis)

    def close(self):
        self.redis.close()


class Redis(Process, redis_bed.Redis):
    def client(self, timeout=2.0):  # pylint: disable=arguments-differ
        return Client(self.port, timeout)

    def listen(self):
        """A client that only listens."""
        client = self.client()
        client.redis("SUBSCRIBE", "news")
        return client


class RedisBed(driver_bed.Bed):
    name = "redis"
    lacks = {"commands": "the driver talks to Redis itself: there is no command to hang",
             "start": "the driver leaves it to the service manager to start Redis",
             "orphan": "not kept by the driver yet", "program": "there is no program beside the agent"}

    def address(self, which):
        return f"127.0.0.1:{redis_bed.PORTS[which]}"

    def broker_options(self, which):
        return ""

    def start(self, which, *arguments):
        return Redis(str(self.folder), redis_bed.PORTS[which], *arguments)

    def nowhere(self):
        """An address that takes packets and never answers."""
        space.run("ip", "link", "add", "nowhere", "type", "veth", "peer", "name", "nobody")
        space.run("ip", "address", "add", "10.9.9.1/24", "dev", "nowhere")
        for end in ("nowhere", "nobody"):
            space.run("ip", "link", "set", end, "up")
        self.stack.append(lambda: space.run("ip", "link", "delete", "nowhere"))
        return "10.9.9.9:7002"

    def durable(self):
        """What a broker is started with so that a restart keeps its data."""
        return ("--appendonly", "yes", "--appendfsync", "always")


class ExecBed(RedisBed):
    name = "exec"
    lacks = {"program": "each command is a program of its own: there is none that could go mad"}
    every_ms, timeout_ms = 200, 1000
    verbs = ("monitor", "pos", "start", "promote", "demote", "pause", "resume", "evict", "waitpos", "rejoin", "sync", "stop")
    starts = False  # the verb start is configured

    def programs(self):
        """The redis-server that the verb start runs: where the package is not here, the multi-call binary."""
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        server = programs / "redis-server"
        if not server.exists():
            server.symlink_to(redis_bed.shutil.which("redis-server") or "/usr/bin/redis-check-rdb")
        return programs

    def server_conf(self, which):
        path = self.folder / f"redis-{which}.conf"
        path.write_text(f"port {redis_bed.PORTS[which]}\ndir {self.folder}\nsave \"\"\n"
                        f"repl-diskless-sync-delay 0\nlogfile {self.folder}/redis-{which}.log\n", encoding="utf-8")
        return path

    def program(self, which):  # pylint: disable=unused-argument
        """The commands of etc, with a hook: a verb whose name is a file in `hang` never answers."""
        (self.folder / "hang").mkdir(exist_ok=True)
        wrapper = self.folder / "verbs"
        wrapper.write_text(f"""#!/bin/sh
[ -e {self.folder}/hang/$1 ] && exec sleep 1000
echo "$1 epoch=$TANIST_EPOCH node=$TANIST_NODE" >>{self.folder}/asked-$TANIST_NODE
PATH={self.programs()}:$PATH exec {ROOT}/etc/drivers/exec-redis "$@"
""", encoding="utf-8")
        wrapper.chmod(0o755)
        return wrapper

    def hang(self, verb, hangs=True):
        path = pathlib.Path(self.folder, "hang", verb)
        if hangs:
            path.touch()
        else:
            path.unlink()

    def runs(self, broker):
        return broker.process.poll() is None

    def stop_started(self, broker):
        """Ends the Redis that a command has started in the place of the one that was killed."""
        broker.client().redis.send("SHUTDOWN", "NOSAVE")

    def asked(self, which):
        path = self.folder / f"asked-{'ab'[which]}"
        return [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def broker_options(self, which):
        program = self.program(which)
        verbs = [verb for verb in self.verbs if verb != "start" or self.starts]
        commands = "\n".join(f'    {verb} = [ "{program}", "{verb}", "{self.server_conf(which)}" ];' for verb in verbs)
        return f"  verb_timeout_ms = {self.verb_timeout_ms};\n  commands = {{\n{commands}\n  }};"


class CoprocessBed(ExecBed):
    """The template of etc, behind a program that does not answer the verbs in `hang`, says what is in `says` before
    each request, and ends when there is `exits`."""

    name = "coprocess"
    lacks = {"start": "the template leaves it to the service manager to start Redis",
             "stop": "the template leaves it to the service manager to end Redis"}
    every_ms, timeout_ms = 100, 800

    def says(self, data):
        new = self.folder / "says.new"
        new.write_bytes(data)
        new.rename(self.folder / "says")

    def exits(self):
        (self.folder / "exits").touch()

    def broker_options(self, which):
        (self.folder / "hang").mkdir(exist_ok=True)
        program = self.folder / "program"
        program.write_text(f"""#!/usr/bin/env python3
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "{ROOT}/etc/drivers/coprocess-redis"], stdin=subprocess.PIPE, text=True)
for line in sys.stdin:
    if os.path.exists("{self.folder}/exits"):
        os.unlink("{self.folder}/exits")
        sys.exit("out of order")
    if os.path.exists("{self.folder}/says"):
        os.write(1, open("{self.folder}/says", "rb").read())
    if not os.path.exists("{self.folder}/hang/" + line.split()[1]):
        child.stdin.write(line)
        child.stdin.flush()
""", encoding="utf-8")
        program.chmod(0o755)
        return f'  verb_timeout_ms = {self.verb_timeout_ms};\n  command = [ "{program}" ];'
