#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The redis driver against two real Redis servers, in namespaces of its own. Usage: redis_test.py [NAME_PART ...]

Looks for redis-server in PATH, else starts the server through the multi-call binary of the package redis-tools.
VARIANT names the build (default release). Figures are printed for people; only what must hold is checked.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROBE = os.environ.get("BROKER_PROBE",
                       os.path.join(ROOT, "build", os.environ.get("VARIANT", "release"), "tests/support/broker_probe"))
BEAT_MS, LEASE_MS, EVERY_MS, TIMEOUT_MS = 100, 1000, 200, 300
PORTS = (7001, 7002)


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
                          "--kill-child", sys.executable, os.path.abspath(__file__)] + sys.argv[1:])


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

    def client(self, timeout=2.0, auth=None):
        return Client(self.port, timeout, auth=auth)

    def kill(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


class Probe:
    """A broker_probe process: its lines with their times, and duties with their serials."""

    def __init__(self, self_id, user="", password_file="", address=None, lease_ms=LEASE_MS, driver="redis"):
        addresses = ["127.0.0.1:%d" % p for p in PORTS]
        self.process = subprocess.Popen(
            [PROBE, driver, str(self_id), address or addresses[self_id], *addresses, user, password_file,
             str(BEAT_MS), str(lease_ms), str(EVERY_MS), str(TIMEOUT_MS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
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
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--writer"],
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

    def redis(self, which, *arguments):
        redis = Redis(self.folder, PORTS[which], *arguments)
        self.stack.append(redis.kill)
        return redis

    def probe(self, *arguments, **more):
        probe = Probe(*arguments, **more)
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


# ---- tests ----

def test_untouched_before_the_first_duty(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.wait(" changed reachable=1 .* state=master")
    assert redis.client()("SET", "x", 1) == "OK"
    assert redis.client().info("replication")["role"] == "master"


def test_empty_is_0_0_and_data_is_not(world):
    redis = world.redis(0)
    probe = world.probe(0)
    assert probe.reach("hold", 0)[1] == (0, 0)
    other = world.redis(1)
    other.client()("SET", "x", 1)
    assert world.probe(1).reach("hold", 0)[1] == (0, 1)
    assert redis.client().info("replication")["role"] == "slave"


def test_hold_keeps_data_and_takes_no_writes(world):
    redis = world.redis(0)
    client, reader = redis.client(), redis.client()
    client("SET", "x", 1)
    reader("SUBSCRIBE", "news")
    probe = world.probe(0)
    probe.reach("hold", 0)
    assert closed(client) and closed(reader), "clients of a master that is held meet a reset"
    client = redis.client()
    assert refused(client, "SET", "x", 2) == "READONLY"
    assert client("GET", "x") == "1"
    assert probe.view()["state"] == "held"


def test_lead_and_follow(world):
    (a, b), (pa, pb) = world.pair()
    client = a.client()
    for i in range(100):
        client("SET", "k%d" % i, i)
    pa.wait(offset_at_least("peer", int(client.info("replication")["master_repl_offset"])))
    assert b.client()("GET", "k99") == "99"
    assert refused(b.client(), "SET", "k", 1) == "READONLY"
    view = pb.view()
    assert view["link"] == "1" and view["state"] == "secondary" and view["position"].startswith("2:"), view
    view = pa.view()
    assert view["link"] == "1" and view["writable"] == "1" and view["state"] == "master", view


def test_follow_waits_for_the_promotion(world):
    world.redis(0), world.redis(1)
    pa, pb = world.probe(0), world.probe(1)
    pa.reach("hold", 0), pb.reach("hold", 0)
    serial = pb.duty("follow", 2)
    pa.reach("lead", 2)
    started = now()
    when, _ = pb.done(serial)
    print("    attached %.0f ms after the promotion" % ((when - started) * 1000))
    assert when - started < 0.9, "Redis' own retry after a second was waited for"


def test_newest_duty_alone_counts(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    for epoch in range(2, 22, 2):
        lead = probe.duty("lead", epoch)
        hold = probe.duty("hold", epoch)
        probe.done(hold)
        assert not probe.has_done(lead) or probe.lines.index(probe.wait(" done %d " % lead)) < \
            probe.lines.index(probe.wait(" done %d " % hold)), "an older duty reported after a newer one"
        assert refused(redis.client(), "SET", "x", 1) == "READONLY"


def test_switchover_with_a_writer(world):
    (a, b), (pa, pb) = world.pair()
    start = [s.client().info("stats")["sync_full"] for s in (a, b)]
    gaps, lost, errors, epoch, old, new = [], 0, {}, 2, (a, pa), (b, pb)
    for _ in range(12):
        writer = Writer()
        time.sleep(0.15)  # so long it writes before
        epoch += 1
        switch(old[1], new[1], epoch)
        time.sleep(0.05)
        result = writer.stop()
        held = set(new[0].client()("LRANGE", "acknowledged", 0, -1))
        lost += sum(n not in held for n in result["acknowledged"])
        gaps.append(result["gap_ms"])
        for kind, count in result["errors"].items():
            errors[kind] = errors.get(kind, 0) + count
        old, new = new, old
    print("    write gap ms: median %.2f max %.2f of %d; lost %d; errors %s"
          % (statistics.median(gaps), max(gaps), len(gaps), lost, errors))
    end = [s.client().info("stats")["sync_full"] for s in (a, b)]
    assert lost == 0, "%d acknowledged writes are gone" % lost
    assert start == end, "a full resynchronisation where nothing diverged: %s -> %s" % (start, end)


def test_hold_and_follow_resumes(world):
    (a, b), (_, pb) = world.pair()
    client = a.client()
    before = client.info("stats")["sync_full"]
    for i in range(5):
        pb.reach("hold", 2)
        client("SET", "x", i)
        pb.reach("follow", 2)
    assert client.info("stats")["sync_full"] == before
    assert b.client()("GET", "x") == "4"


def test_kill_9_of_the_master(world):
    (a, b), (pa, pb) = world.pair()
    noticed, promoted, gaps, lost, epoch = [], [], [], 0, 2
    for _ in range(5):
        writer = Writer()
        time.sleep(0.15)
        mark, killed = pa.mark(), now()
        a.kill()
        seen = fields(pa.wait(" changed reachable=0 dead=1", mark))["when"]
        epoch += 1
        asked = now()
        when, _ = pb.reach("lead", epoch)
        noticed.append((seen - killed) * 1000)
        promoted.append((when - asked) * 1000)
        pa.duty("follow", epoch)
        result = writer.stop()
        held = set(b.client()("LRANGE", "acknowledged", 0, -1))
        gone = sum(n not in held for n in result["acknowledged"])
        lost += gone
        gaps.append(result["gap_ms"])
        a.start()
        mark = pa.mark()
        pa.wait(" done %d " % pa.serial)
        pb.wait(" changed .* link=1 .* peer=%d:" % epoch)
        switch(pb, pa, epoch + 1)
        epoch += 1
    print("    ms, medians: dead noticed %.2f, promoted %.2f, write gap %.2f; max gap %.2f; lost %d "
          "(Redis acknowledges asynchronously)"
          % (statistics.median(noticed), statistics.median(promoted), statistics.median(gaps), max(gaps), lost))


def test_restart_of_a_master_is_noticed(world):
    (a, _), (pa, _) = world.pair("--appendonly", "yes", "--appendfsync", "always")
    client = a.client()
    client("SET", "x", 1)
    mark = pa.mark()
    a.kill()
    a.start()
    pa.wait(" changed .* dead=1", mark)
    pa.wait(" changed reachable=1 dead=0 .* state=held", mark)
    view = pa.view()
    assert view["state"] == "held" and "restarted while it led" in view["trouble"], view
    assert refused(a.client(), "SET", "x", 2) == "READONLY"
    pa.wait(" state=master", pa.mark())  # nobody took over: it leads on, with its data
    assert a.client()("GET", "x") == "1"


def test_restart_without_its_data_does_not_lead(world):
    (a, _), (pa, _) = world.pair(lease_ms=300)
    a.client()("SET", "x", 1)
    pa.wait(offset_at_least("position", 2))
    mark = pa.mark()
    a.kill()
    a.start()
    pa.wait(" changed reachable=1 dead=1 .* state=held .*came back empty", mark)
    time.sleep(0.6)  # two leases: nothing may happen in them
    view = pa.view()
    assert view["state"] == "held" and view["dead"] == "1", view
    assert pa.reach("hold", 4)[1] == (0, 0)
    assert pa.view()["dead"] == "0"


def test_hold_is_reached_by_a_dead_redis(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    probe.reach("lead", 2)
    redis.kill()
    probe.wait(" changed reachable=0 dead=1")
    probe.reach("hold", 2, timeout=0.5)
    mark = probe.mark()
    redis.start()
    probe.wait(" changed reachable=1 dead=0 .* state=held", mark)
    assert refused(redis.client(), "SET", "x", 1) == "READONLY"


def test_lost_connection_is_no_death(world):
    (a, _), (pa, _) = world.pair()
    mark = pa.mark()
    client = a.client()
    client("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    pa.wait(" changed reachable=0", mark)
    pa.wait(" changed reachable=1 dead=0 writable=1", mark)
    assert not any(" dead=1" in line for line in pa.lines)
    assert client("SET", "x", 1) == "OK"


def test_pause_is_renewed(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    probe.reach("lead", 2)
    client = redis.client(timeout=12)
    probe.reach("lead", 2, paused=True)
    assert probe.view()["state"] == "paused" and probe.view()["writable"] == "0"
    client.send("SET", "x", 1)
    try:
        client.read()
        raise AssertionError("a write was acknowledged while paused")
    except TimeoutError:
        pass  # longer than one pause lasts
    client.socket.settimeout(2)
    probe.reach("lead", 2)
    assert client.read() == "OK"


def test_pause_ends_with_the_demotion(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    probe.reach("lead", 2, paused=True)
    probe.reach("hold", 2)
    assert refused(redis.client(), "SET", "x", 1) == "READONLY", "silence instead of an answer"


def test_sync_on_and_off_without_a_gap(world):
    (a, _), (pa, _) = world.pair()
    writer, position = Writer(), 0
    for i in range(8):
        time.sleep(0.3)  # so long it writes in each state
        _, at = pa.reach("lead", 2, sync=i % 2 == 0)
        assert at[1] >= position
        position = at[1]
        wanted = "1" if i % 2 == 0 else "0"
        assert a.client()("CONFIG", "GET", "min-replicas-to-write")[1] == wanted
    result = writer.stop()
    print("    longest write gap %.2f ms over %d writes" % (result["gap_ms"], len(result["acknowledged"])))
    assert "NOREPLICAS" not in result["errors"], result["errors"]


def test_sync_waits_for_a_secondary(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    probe.reach("lead", 2)
    serial = probe.duty("lead", 2, sync=True)
    assert redis.client()("SET", "x", 1) == "OK"
    world.redis(1)
    other = world.probe(1)
    other.reach("hold", 0)
    assert not probe.has_done(serial)
    other.reach("follow", 2)
    probe.done(serial)
    assert redis.client()("SET", "x", 2) == "OK"


def test_promoted_synchronous_acknowledges_nothing_alone(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    probe.reach("lead", 2, sync=True)
    assert refused(redis.client(), "SET", "x", 1) == "NOREPLICAS"
    assert probe.view()["writable"] == "0"


def test_stopped_master_is_drained_by_standing_still(world):
    (a, b), (_, pb) = world.pair()
    client = a.client()
    client("SET", "x", "last")
    pb.wait(offset_at_least("position", int(client.info("replication")["master_repl_offset"])))
    a.process.send_signal(signal.SIGSTOP)
    asked = now()
    when, _ = pb.reach("lead", 3)
    print("    promoted %.0f ms after the stop (the link is not broken)" % ((when - asked) * 1000))
    assert when - asked >= 0.09, "it has not waited for two beats"
    assert b.client()("GET", "x") == "last"
    a.process.send_signal(signal.SIGCONT)


def test_still_master_needs_no_wait(world):
    (a, _), (_, pb) = world.pair()
    moved = now()
    while now() - moved < 3 * BEAT_MS / 1000:
        time.sleep(0.01)
    a.process.send_signal(signal.SIGSTOP)
    asked = now()
    when, _ = pb.reach("lead", 3)
    print("    promoted %.2f ms after it was asked for" % ((when - asked) * 1000))
    assert when - asked < 2 * BEAT_MS / 1000
    a.process.send_signal(signal.SIGCONT)


def test_hung_redis_is_unreachable_and_not_dead(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    mark = probe.mark()
    redis.process.send_signal(signal.SIGSTOP)
    view = fields(probe.wait(" changed reachable=0", mark))
    assert view["dead"] == "0" and view["state"] == "hung" and "hangs" in view["trouble"], view
    serial = probe.duty("lead", 2)
    mark = probe.mark()
    redis.process.send_signal(signal.SIGCONT)
    probe.wait(" changed reachable=1 dead=0", mark)
    probe.done(serial)


def test_a_broken_link_is_believed_of_a_living_redis_alone(world):
    """What dies breaks its links first: that b has lost a tells that b is gone only if a answers after that."""
    (a, b), (pa, _) = world.pair()
    mark = pa.mark()
    a.process.send_signal(signal.SIGSTOP)
    b.client()("CLIENT", "KILL", "TYPE", "master")
    pa.wait(" changed reachable=0", mark)
    early = [line for line in pa.lines[mark:] if " reachable=1 " in line and " link=0 " in line]
    assert not early, early
    a.process.send_signal(signal.SIGCONT)
    pa.wait(" changed reachable=1 .* link=1 ", mark)
    mark = pa.mark()
    b.client()("REPLICAOF", "NO", "ONE")
    pa.wait(" changed reachable=1 .* link=0 ", mark)


def test_kill_clients(world):
    (a, _), (pa, _) = world.pair()
    writer, reader = a.client(), a.client()
    reader("SUBSCRIBE", "news")
    before = a.client().info("stats")["sync_full"]
    mark, started = pa.mark(), now()
    pa.command("kill")
    when = int(pa.wait(" cleared$", mark).split()[0]) / 1e6
    print("    cleared after %.2f ms" % ((when - started) * 1000))
    assert closed(writer) and closed(reader)
    assert pa.view()["link"] == "1" and a.client().info("stats")["sync_full"] == before
    a.kill()
    mark = pa.mark()
    pa.command("kill")
    pa.wait(" cleared$", mark)


def test_cleared_in_time_by_a_hung_redis(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    redis.process.send_signal(signal.SIGSTOP)
    mark, started = probe.mark(), now()
    probe.command("kill")
    when = int(probe.wait(" cleared$", mark).split()[0]) / 1e6
    assert when - started < 0.1


def secret(world, text):
    path = os.path.join(world.folder, "password")
    with open(path, "w") as file:
        file.write(text)
    return path


def test_password_and_acl_user(world):
    acl = "on >sesame resetkeys &* -@all +info +replicaof +config|set +client +psync +replconf +ping"
    arguments = ["--user", "tanist", *acl.split()]
    path = secret(world, "sesame\n")
    (a, b), (pa, pb) = world.pair(*arguments, user="tanist", password_file=path)
    a.client()("SET", "x", 1)
    switch(pa, pb, 3)
    assert b.client()("GET", "x") == "1"
    assert not any("sesame" in line for line in pa.lines + pb.lines)


def test_requirepass(world):
    path = secret(world, "sesame")
    (a, _), _ = world.pair("--requirepass", "sesame", auth=("AUTH", "sesame"), password_file=path)
    assert a.client(auth=("AUTH", "sesame"))("SET", "x", 1) == "OK"


def test_wrong_password(world):
    world.redis(0, "--requirepass", "sesame")
    path = secret(world, "open")
    probe = world.probe(0, password_file=path)
    line = probe.wait("broker.password_file is wrong")
    assert "open" not in fields(line)["trouble"] and fields(line)["reachable"] == "0"
    secret(world, "sesame\n")  # read again at each connect
    probe.reach("hold", 0)


def test_missing_password(world):
    world.redis(0, "--requirepass", "sesame")
    probe = world.probe(0)
    view = fields(probe.wait("wants a password: set broker.password_file"))
    assert view["reachable"] == "0"


def test_password_file_missing(world):
    world.redis(0)
    world.probe(0, password_file="/nonexistent").wait("/nonexistent: No such file")


def test_missing_permission(world):
    world.redis(0, "--user", "tanist", "on", "nopass", "-@all", "+info", "+client")
    probe = world.probe(0, user="tanist", password_file=secret(world, "any"))
    probe.duty("hold", 0)
    probe.wait(r'may not run (REPLICAOF|CONFIG SET): grant it')


def test_no_redis_is_not_dead_but_down(world):
    probe = world.probe(0)
    view = fields(probe.wait(" changed .*nothing listens there"))
    assert view["dead"] == "0" and view["reachable"] == "0" and view["state"] == "down"
    world.redis(0)
    probe.reach("hold", 0)


def test_no_redis_behind_the_port(world):
    listener = socket.create_server(("127.0.0.1", PORTS[0]))
    probe = world.probe(0)
    connection, _ = listener.accept()
    connection.sendall(b"SSH-2.0-x\r\n")
    probe.wait("is not Redis")
    listener.close()


def run(name, test):
    folder = tempfile.mkdtemp(prefix="tanist-redis-")
    world = World(folder)
    try:
        test(world)
        world.close()
    except Exception as error:  # one test's failure must not keep the others from running
        print("FAILED %s: %s: %s" % (name, type(error).__name__, error), flush=True)
        for end in reversed(world.stack):
            with contextlib.suppress(Exception):
                end()
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("passed %s" % name, flush=True)
    return True


def main():
    if sys.argv[1:] == ["--writer"]:
        run_writer()
        return 0
    enter_namespaces()
    tests = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    wanted = {n: t for n, t in tests.items() if not sys.argv[1:] or any(part in n for part in sys.argv[1:])}
    results = [run(name, test) for name, test in wanted.items()]
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
