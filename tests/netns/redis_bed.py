# SPDX-License-Identifier: Apache-2.0
"""What the tests of the redis driver share: real Redis servers, drivers (broker_probe), a writer, the world of one test.

Looks for redis-server in PATH, else starts the server through the multi-call binary of the package redis-tools.
VARIANT names the build (default release).
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import shutil
import socket
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROBE = os.environ.get("BROKER_PROBE",
                       os.path.join(ROOT, "build", os.environ.get("VARIANT", "release"), "tests/support/broker_probe"))
BEAT_MS, LEASE_MS, EVERY_MS, TIMEOUT_MS = 100, 1000, 200, 300
PORTS = (7001, 7002)
KEYS = ("3rSbUFHZFgNoULGj7P5sx4mA6kc1o8+F0fXK1Vb0yXQ=", "Zk0y4wQm1v9T8hJ2sN6cR3xL7bP5dF0gK4aVtE8uYhM=",
        "Q9fW2nXr7tBz5LpYc1VhKd8sMj3uGo6eHa0iRwTqNkE=")  # of nobody


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def enter_namespaces():
    if os.environ.get("TANIST_INSIDE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        # The leak sanitizer looks for its own number there.
        subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=False, stderr=subprocess.DEVNULL)
        return
    os.environ["TANIST_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork",
                          "--kill-child", sys.executable, os.path.abspath(sys.argv[0])] + sys.argv[1:])


class Refused(Exception):
    """An error that Redis answered."""


class Client:
    """A blocking connection, one command at a time; read(None) waits for ever."""

    def __init__(self, port, timeout=2.0, connect=None, auth=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=connect or timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(timeout)
        self.buffer = b""
        if auth:
            self(*auth)

    def send(self, *words):
        data = b"*%d\r\n" % len(words)
        for word in words:
            word = str(word).encode()
            data += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("closed")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read(self):
        line = self.line()
        sign, rest = line[:1], line[1:]
        if sign == b"-":
            raise Refused(rest.decode())
        if sign == b"+":
            return rest.decode()
        if sign == b":":
            return int(rest)
        size = int(rest)
        if sign == b"*":
            return [self.read() for _ in range(size)]
        if size < 0:
            return None
        while len(self.buffer) < size + 2:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        return data.decode()

    def __call__(self, *words):
        self.send(*words)
        return self.read()

    def close(self):
        self.socket.close()

    def info(self, section):
        return dict(l.split(":", 1) for l in self("INFO", section).splitlines() if ":" in l)


class Redis:
    def __init__(self, folder, port, *arguments):
        self.port, self.arguments, self.process = port, arguments, None
        self.folder = os.path.join(folder, str(port))
        os.makedirs(self.folder, exist_ok=True)
        self.start()

    def start(self):
        found = shutil.which("redis-server")
        command = ["redis-server", "--port", str(self.port), "--dir", self.folder, "--save", "",
                   "--repl-diskless-sync-delay", "0", "--logfile", os.path.join(self.folder, "log"), *self.arguments]
        self.process = subprocess.Popen(command, executable=found or "/usr/bin/redis-check-rdb")
        deadline = now() + 10
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            if now() > deadline or self.process.poll() is not None:
                raise RuntimeError("redis-server does not start on port %d" % self.port)
            time.sleep(0.002)

    def client(self, timeout=5.0, auth=None):
        return Client(self.port, timeout, auth=auth)

    def kill(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


class Probe:
    """A broker_probe process: its lines with their times, and duties with their serials."""

    def __init__(self, self_id, user="", password_file="", address=None, lease_ms=LEASE_MS, driver="redis"):
        addresses = ["127.0.0.1:%d" % p for p in PORTS]
        self.begin(self_id, [PROBE, driver, str(self_id), address or addresses[self_id], *addresses, user, password_file,
                             str(BEAT_MS), str(lease_ms), str(EVERY_MS), str(TIMEOUT_MS)])

    @classmethod
    def configured(cls, config, self_id, incarnation=""):
        """The driver as the agent opens it, from a configuration file."""
        probe = cls.__new__(cls)
        probe.begin(self_id, [PROBE, "--config", str(config), "ab"[self_id], incarnation])
        return probe

    def begin(self, self_id, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.id, self.serial = self_id, 0
        self.lines, self.news = [], threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait(self, matches, since=0, timeout=5.0):
        """The first line from index `since` on that `matches`, a pattern or a function of the line, accepts."""
        if isinstance(matches, str):
            pattern = re.compile(matches)
            matches = pattern.search
        deadline, at = now() + timeout, since
        with self.news:
            while True:
                for at in range(at, len(self.lines)):
                    if matches(self.lines[at]):
                        return self.lines[at]
                at = len(self.lines)
                if not self.news.wait(max(0.0, deadline - now())) and now() >= deadline:
                    raise AssertionError("probe %d never said so; its last lines:\n  %s"
                                         % (self.id, "\n  ".join(self.lines[-6:])))

    def mark(self):
        return len(self.lines)

    def duty(self, mode, epoch, master=None, paused=False, sync=False):
        self.serial += 1
        other = 1 - self.id
        master = {"lead": self.id, "follow": other, "hold": 3}[mode] if master is None else master
        self.command("duty %d %s %d %d %d %d" % (self.serial, mode, master, epoch, paused, sync))
        return self.serial

    def done(self, serial, timeout=5.0):
        """(when in s, (epoch, offset)) of the duty's end."""
        line = self.wait(r"^\d+ done %d " % serial, timeout=timeout)
        when, _, _, position = line.split()
        return int(when) / 1e6, tuple(int(n) for n in position.split(":"))

    def reach(self, mode, epoch, timeout=5.0, **more):
        return self.done(self.duty(mode, epoch, **more), timeout)

    def has_done(self, serial):
        return any(re.match(r"\d+ done %d " % serial, line) for line in self.lines)

    def view(self):
        mark = self.mark()
        self.command("view")
        return fields(self.wait(" view ", mark))

    def close(self):
        if self.process.poll() is None:
            self.command("quit")
        code = self.process.wait(timeout=5)
        assert code == 0, "the probe ended with %d" % code


def fields(line):
    head, trouble = line.split(" trouble=", 1)
    view = dict(word.split("=", 1) for word in head.split() if "=" in word)
    view["trouble"] = trouble
    view["when"] = int(line.split()[0]) / 1e6
    return view


def offset_at_least(key, offset):
    def matches(line):
        return " changed " in line and int(fields(line)[key].split(":")[1]) >= offset
    return matches


# ---- the writer: a process of its own ----

class Writer:
    """Writes numbers to a list at whichever Redis takes them, in the manner of a client behind the virtual IP."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "writing\n"

    def stop(self):
        self.process.stdin.close()
        result = json.loads(self.process.stdout.read())
        self.process.wait()
        return result


def write_one(client, number):
    client("RPUSH", "acknowledged", number)


def run_writer():
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    client, turn, number, last, gap, errors = None, 0, 0, None, 0.0, {}
    acknowledged = []
    while not stopped.is_set():
        number += 1
        try:
            if client is None:
                client = Client(PORTS[turn % 2], timeout=0.004, connect=0.002)
            write_one(client, "%d-%d" % (os.getpid(), number))
        except (OSError, Refused) as error:
            kind = str(error).split()[0] if isinstance(error, Refused) else type(error).__name__
            errors[kind] = errors.get(kind, 0) + 1
            if client:
                client.close()
            client, turn = None, turn + 1
            continue
        when = now()
        if last is None:
            print("writing", flush=True)
        else:
            gap = max(gap, when - last)
        last = when
        acknowledged.append("%d-%d" % (os.getpid(), number))
    print(json.dumps({"gap_ms": gap * 1000, "acknowledged": acknowledged, "errors": errors}))


# ---- the world of one test ----

class World:
    def __init__(self, folder):
        self.folder, self.stack = folder, []

    def redis(self, which, *arguments, port=0):
        redis = Redis(self.folder, port or PORTS[which], *arguments)
        self.stack.append(redis.kill)
        return redis

    def probe(self, *arguments, **more):
        probe = Probe(*arguments, **more)
        self.stack.append(probe.close)
        return probe

    def config(self, broker):
        """Writes a configuration with these more keys of the group broker, and returns its path."""
        node = '{{ name = "{0}"; addresses = [ "10.0.0.{1}:7400" ]; public_key = "{2}"; }}'
        nodes = [node.format("abw"[i], i + 1, KEYS[i]) for i in range(3)]
        path = os.path.join(self.folder, "orders.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'''cluster = "orders"; nodes = ( {nodes[0]}, {nodes[1]} ); witness = {nodes[2]};
timing = {{ lease_ms = {LEASE_MS}; beat_ms = {BEAT_MS}; }}; state_directory = "{self.folder}";
broker = {{ driver = "redis"; address = "127.0.0.1:{PORTS[0]}"; replication = "sync";
  peers = {{ a = "127.0.0.1:{PORTS[0]}"; b = "127.0.0.1:{PORTS[1]}"; }}; {broker} }};\n''')
        return path

    def configured(self, which, broker):
        """A driver with more keys of the group broker; of b it is the address that differs."""
        text = pathlib.Path(self.config(broker)).read_text(encoding="utf-8")
        path = pathlib.Path(self.folder, "orders.%d.conf" % which)
        path.write_text(text.replace('address = "127.0.0.1:%d"' % PORTS[0], 'address = "127.0.0.1:%d"' % PORTS[which]), encoding="utf-8")
        probe = Probe.configured(path, which)
        self.stack.append(probe.close)
        return probe

    def pair(self, *arguments, auth=None, **more):
        """Two Redis, two drivers, a leads in epoch 2, b is attached and keeps up.

        Right after a full resynchronisation it does not: Redis sends what is new only when the secondary has
        acknowledged, up to a second later.
        """
        servers = [self.redis(0, *arguments), self.redis(1, *arguments)]
        probes = [self.probe(0, **more), self.probe(1, **more)]
        for probe in probes:
            probe.reach("hold", 0)
        probes[0].reach("lead", 2)
        probes[1].reach("follow", 2)
        probes[0].wait(" changed .* link=1 .* peer=2:")
        client = servers[0].client(auth=auth)
        client("SET", "warm", 1)
        reached = int(client.info("replication")["master_repl_offset"])
        probes[0].wait(lambda line: offset_at_least("peer", reached)(line) and fields(line)["link"] == "1")
        client.close()
        return servers, probes

    def close(self):
        for end in reversed(self.stack):
            end()


def until(what, condition, seconds=10):
    deadline = now() + seconds
    while not condition():
        assert now() < deadline, "never: " + what
        time.sleep(0.01)


def refused(client, *words):
    try:
        return "answered %s" % (client(*words),)
    except Refused as error:
        return str(error).split()[0]


def closed(client):
    try:
        client.read()
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def switch(old, new, epoch):
    """The planned sequence as the agents go through it; returns when the new one led."""
    _, position = old.reach("lead", epoch - 1, paused=True)
    mark = old.mark()
    old.command("view")
    old.wait(lambda line: ("changed" in line or "view" in line) and
             int(fields(line)["peer"].split(":")[1]) >= position[1], mark)
    mark = old.mark()
    old.command("kill")
    old.wait(" cleared$", mark)
    serial = new.duty("lead", epoch)
    held = old.duty("hold", epoch)
    when, _ = new.done(serial)
    old.done(held)
    old.reach("follow", epoch)
    new.wait(" changed .* link=1 .* peer=%d:" % epoch)
    return when


if __name__ == "__main__":
    run_writer()
