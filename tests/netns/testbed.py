# SPDX-License-Identifier: Apache-2.0
"""A cluster in network namespaces: two nodes, a witness, clients, one switch between them, each a machine to be lost.

Nothing here sleeps for luck: until() waits for what is to happen, and its deadline only says when to give up.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

from space import Space, Wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / os.environ.get("VARIANT", "release")
NETWORK = "10.0.0."
PORT = 7400
REDIS_PORT = 6379
BROKER_PORT = 7777
VIRTUAL_IP = NETWORK + "100"
FENCE = os.environ.get("TANIST_FENCE", "")  # the mechanism that all agents are to use, "" for their own choice

sys.path.insert(0, str(ROOT / "tests" / "support"))
import resp  # noqa: E402  (they live beside the programs that they belong to)
import verify  # noqa: E402


class Failed(Exception):
    """What was promised did not happen."""


def until(what, condition, seconds=10.0, every=0.01):
    """Waits until condition() is true and returns its value; Failed if that takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:g} s for: {what}")
        time.sleep(every)


def expect(what, truth):
    if not truth:
        raise Failed(what)


def always(what, condition, seconds, every=0.02):
    """Watches for `seconds` that condition() stays true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        expect(what, condition())
        time.sleep(every)


def short(test):
    """Marks a test of `make check`."""
    test.short = True
    return test


def fence(test):
    """Marks a test of the kernel fence, to be played with each mechanism."""
    test.fence = True
    return test


def boottime_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def check_traces(files):
    """The finished tracecheck; the machines of a test bed have one clock."""
    if not files:
        return subprocess.CompletedProcess([], 0, "", "")
    return subprocess.run([BUILD / "tests" / "trace" / "tracecheck", "--one-clock", *files], capture_output=True,
                          text=True, errors="replace", check=False)


class Process:
    """A program on one machine, its output in a file, signalled by its own pid alone."""

    def __init__(self, name, space, argv, log, **options):
        self.name = name
        with open(log, "ab") as output:
            self.popen = space.start([str(word) for word in argv], stdout=options.pop("stdout", output), stderr=output,
                                     stdin=options.pop("stdin", subprocess.DEVNULL), **options)
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def pause(self):
        """SIGSTOP; returns when it has stopped, with the time (CLOCK_BOOTTIME, µs) at which it was sent."""
        sent = boottime_us()
        self.signal(signal.SIGSTOP)
        until(f"{self.name} stopped", lambda: self.state() == "T", 5, 0.0005)
        return sent

    def state(self):
        text = pathlib.Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        return text.rpartition(")")[2].split()[0]

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self, seconds=15):
        """SIGTERM, and the exit status; Failed if it does not end."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=15):
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {seconds} s") from None


class Member:
    """A voter's machine: a namespace, directories of its own, and what runs there."""

    def __init__(self, cluster, name, number):
        self.cluster, self.name = cluster, name
        self.address = NETWORK + str(number)
        self.mac = f"02:00:00:00:00:{number:02x}"
        self.home = cluster.directory / name
        self.state_directory = self.home / "state"
        self.run_directory = pathlib.Path("/run/tanist") / name
        for directory in (self.state_directory, self.run_directory, self.home / "keys"):
            directory.mkdir(parents=True)
        self.config = self.home / (cluster.name + ".conf")
        self.agent = self.redis = self.broker = self.space = None
        self.environment = None  # of its program; None: as here
        self.power_on()

    def power_on(self):
        self.space = Space(self.name)
        self.cluster.wire.attach(self.space, self.mac, self.address)

    @property
    def log(self):
        return self.home / "agent.log"

    @property
    def socket(self):
        return self.run_directory / ("witness.sock" if self.name == "w" else f"{self.cluster.name}.{self.name}.sock")

    def arguments(self):
        if self.name == "w":
            return [BUILD / "tanist-witness", "-c", self.config, "--run-directory", self.run_directory,
                    "--state-directory", self.state_directory]
        return [BUILD / "tanist-agent", "-c", self.config, "-n", self.name]

    def start(self):
        self.agent = Process(f"agent of {self.name}", self.space, self.arguments() + ["--trace", self.home / "trace"],
                             self.log, env=self.environment)

    def traces(self):
        """What was traced here of this cluster; a witness of several clusters has a file for each."""
        return [path for path in (self.home / "trace", self.home / f"trace.{self.cluster.name}") if path.exists()]

    def start_broker(self, *options):
        """The reference broker (tests/broker), which speaks to the agent through libtanist."""
        data = self.home / "broker"
        data.mkdir(exist_ok=True)
        options += self.cluster.broker_options + (("--async",) if self.cluster.max_lag else ())
        page = self.run_directory / f"{self.cluster.name}.{self.name}.state"
        self.broker = Process(f"broker of {self.name}", self.space,
                              [BUILD / "tests" / "broker" / "broker", page, data, f"0.0.0.0:{BROKER_PORT}", *options],
                              self.home / "broker.log")

    def start_redis(self):
        data = self.home / "redis"
        data.mkdir(exist_ok=True)
        settings = {"bind": "0.0.0.0", "port": REDIS_PORT, "protected-mode": "no", "dir": data, "save": '""',
                    "appendonly": "yes", "appendfsync": "everysec", "repl-diskless-sync-delay": 0,
                    "loglevel": "notice"} | self.cluster.redis_settings
        text = "".join(f"{key} {value}\n" for key, value in settings.items())
        (self.home / "redis.conf").write_text(text, encoding="utf-8")
        # Debian's redis-tools carries the whole server under the name of its checker; it goes by its name.
        program = shutil.which("redis-server") or "/usr/bin/redis-check-rdb"
        self.redis = Process(f"Redis of {self.name}", self.space, ["redis-server", self.home / "redis.conf"],
                             self.home / "redis.log", executable=program)
        until(f"Redis of {self.name} answers", self.redis_answers, 20)

    def redis_answers(self):
        try:
            with self.client("127.0.0.1") as client:
                return client.ask("PING") == "PONG"
        except (OSError, resp.Refused):
            return False

    def client(self, address="127.0.0.1"):
        return resp.Client(self.space.connect(address, REDIS_PORT))

    def lose(self):
        """The machine is gone at once: nothing it had in flight, not even a reset, leaves it. The time, µs."""
        self.cluster.wire.pull(self.name)
        gone = boottime_us()
        for process in (self.agent, self.redis, self.broker):
            if process:
                process.kill()
        self.agent = self.redis = self.broker = None
        self.cluster.wire.detach(self.name)
        self.space.remove()
        self.space = None
        shutil.rmtree(self.run_directory)
        return gone

    def boot(self):
        """The same machine starts again: its disk as it was, everything else new."""
        self.run_directory.mkdir()
        self.power_on()

    def ask(self, *words, seconds=10):
        """Runs `tanist` against this member's socket; returns the finished process."""
        return subprocess.run([BUILD / "tanist", "-s", self.socket, *words], capture_output=True, text=True,
                              timeout=seconds, check=False, stdin=subprocess.DEVNULL)

    def status(self):
        """The status as the schema has it ({} while nobody answers); of the witness: that of this cluster."""
        try:
            done = self.ask("--json", "status", seconds=3)
        except subprocess.TimeoutExpired:
            return {}
        if done.returncode != 0:
            return {}
        status = json.loads(done.stdout)
        return next(iter(status["clusters"]), {}) if self.name == "w" else status

    def holds_virtual_ip(self):
        return VIRTUAL_IP in self.space.ip("-4", "address", "show", "dev", "eth0")


class Cluster:
    """One cluster on one wire. Use it as a context: what it started has ended when it is left."""

    newest = None  # for the logs of a test that failed

    def __init__(self, directory, name="orders", driver="none", lease_ms=1000, beat_ms=100, more="",
                 broker="", max_lag=0, vip="", interface="eth0", broker_options=()):
        self.directory, self.name, self.driver = pathlib.Path(directory), name, driver
        self.lease_ms, self.beat_ms, self.more, self.broker = lease_ms, beat_ms, more, broker
        self.max_lag, self.vip, self.interface = max_lag, vip, interface
        self.broker_options = broker_options  # the reference broker's
        if FENCE and "fence" not in more:
            self.more += f'\nfence = {{ mechanism = "{FENCE}"; }};\n'
        self.redis_settings = {}  # of redis.conf, beside what Member.start_redis gives
        self.wire = Wire()
        self.a, self.b, self.w = (Member(self, *who) for who in (("a", 1), ("b", 2), ("w", 9)))
        self.nodes, self.members = (self.a, self.b), (self.a, self.b, self.w)
        self.clients = {}
        self.helpers = []
        self.keys = {member.name: self.keygen(member) for member in self.members}
        self.configure()
        Cluster.newest = self

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for process in self.helpers + [p for m in self.members for p in (m.agent, m.redis, m.broker) if p]:
            process.kill()
        checked = self.check_traces()
        print(checked.stdout + checked.stderr, end="", file=sys.stderr)
        if kind is None:
            expect("the traces show what the promises allow (see above)", checked.returncode == 0)

    def check_traces(self):
        """Replays what the daemons have traced, and looks for broken promises in it: tests/trace."""
        files = [path for member in self.members for path in member.traces()]
        return check_traces(files)

    def keygen(self, member):
        done = subprocess.run([BUILD / "tanist", "keygen", "--cluster", self.name, "--name", member.name, "--directory",
                               member.home / "keys"], capture_output=True, text=True, check=False)
        expect(f"tanist keygen: exit {done.returncode}: {done.stderr}", done.returncode == 0)
        return done.stdout.strip()

    def configuration(self, member):
        """The one configuration; only the directories, which the digest leaves out, are each machine's own."""
        node = "  {{ name = \"{0}\"; addresses = [ \"{1}:{2}\" ]; public_key = \"{3}\"; }}"
        voters = [node.format(m.name, m.address, PORT, self.keys[m.name]) for m in self.members]
        broker = f'broker = {{ driver = "{self.driver}"; }};'
        if self.driver == "redis":
            broker = f'''broker = {{ driver = "redis"; address = "127.0.0.1:{REDIS_PORT}"; replication = "sync"; {self.broker}
  peers = {{ a = "{self.a.address}:{REDIS_PORT}"; b = "{self.b.address}:{REDIS_PORT}"; }}; }};'''
        if self.driver == "library":
            replication = f'"async"; max_lag_bytes = {self.max_lag}' if self.max_lag else '"sync"'
            broker = f'''broker = {{ driver = "library"; address = "127.0.0.1:{BROKER_PORT}"; replication = {replication};
  peers = {{ a = "{self.a.address}:{BROKER_PORT}"; b = "{self.b.address}:{BROKER_PORT}"; }}; }};'''
        return f'''cluster = "{self.name}";
nodes = (
{voters[0]},
{voters[1]}
);
witness ={voters[2].replace("  ", " ", 1)};
timing = {{ lease_ms = {self.lease_ms}; beat_ms = {self.beat_ms}; }};
virtual_ip = ( {{ address = "{VIRTUAL_IP}/24"; interface = "{self.interface}"; {self.vip}}} );
{broker}
keys_directory = "{member.home}/keys";
state_directory = "{member.state_directory}";
run_directory = "{member.run_directory}";
{self.more}'''

    def configure(self):
        for member in self.members:
            member.config.write_text(self.configuration(member), encoding="utf-8")

    def client(self, name="c", number=50):
        """A machine of a client, made at first use."""
        if name not in self.clients:
            space = Space(name)
            self.wire.attach(space, f"02:00:00:00:00:{number:02x}", NETWORK + str(number))
            self.clients[name] = space
        return self.clients[name]

    def start(self):
        """Starts everything, waits until all three have formed and a master serves, and returns it.

        Who starts late meets a master, and counts for nothing until it has followed that for a lease (B1).
        """
        for node in self.nodes:
            if self.driver == "redis":
                node.start_redis()
            elif self.driver == "library":
                node.start_broker()
        for member in (self.w, self.b, self.a):
            member.start()
        for member in self.members:
            until(f"{member.name} is not blank", lambda m=member: m.status().get("blank") is False, 30)
        return self.wait_master()

    def other(self, node):
        return self.b if node is self.a else self.a

    def master(self):
        """The node that is master by its own word, with a lease or sole; None if there is none."""
        for node in self.nodes:
            status = node.status() if node.agent and node.agent.state() != "T" else {}
            if status.get("role") == "master" and status["lease"]["valid"]:
                return node
        return None

    def serving(self, node):
        status = node.status()
        return status.get("role") == "master" and all(address["held"] for address in status["virtual_ip"])

    def wait_master(self, node=None, seconds=15):
        """Waits until a node (the one given, else any) is master and holds the virtual IP; returns it."""
        name = node.name if node else "any node"
        return until(f"{name} is master and serves",
                     lambda: next((n for n in ([node] if node else self.nodes) if n.agent and self.serving(n)), None),
                     seconds)

    def wait_secondary(self, node, seconds=15):
        until(f"{node.name} is secondary", lambda: node.status().get("role") == "secondary", seconds)

    def wait_ready(self, master, seconds=20):
        """Waits until this master could hand over: that it has heard of a fit other node takes a beat or two."""
        until(f"{master.name} could hand over", lambda: master.ask("switchover", "--dry-run").returncode == 0, seconds)

    def switchover(self, master, ready=True):
        """Orders a switchover, once nothing is in its way, and sees that it is done."""
        if ready:
            self.wait_ready(master)
        done = master.ask("switchover", seconds=30)
        expect(f"switchover: {done}", done.returncode == 0)

    def wait_pair(self, seconds=30):
        """Waits until the master's record says PAIR, and its broker that both are in sync; returns its status."""
        return until("both nodes hold everything (record PAIR)", self.paired, seconds)

    def paired(self):
        master = self.master()
        status = master.status() if master else {}
        good = status.get("record", {}).get("mode") == "pair"
        return status if good and (self.driver == "none" or status["broker"]["in_sync"]) else None

    def wait_mode(self, mode, seconds=15):
        def reached():
            master = self.master()
            return master and master.status().get("record", {}).get("mode") == mode
        until(f"the record is {mode.upper()}", reached, seconds)

    def cut(self, one, other, percent=100):
        """Cuts the link between two machines, both ways (or lets it lose that many packets of a hundred)."""
        self.wire.drop(one.name, other.name, percent)
        self.wire.drop(other.name, one.name, percent)

    def mend(self, one, other):
        self.cut(one, other, 0)

    def isolate(self, node):
        """Nothing passes to or from this machine any more, but it runs on. Returns the time, µs."""
        everybody = [member.name for member in self.members] + list(self.clients)
        for name in everybody:
            if name != node.name:
                self.wire.drop(node.name, name)
                self.wire.drop(name, node.name)
        return boottime_us()

    def helper(self, name, program, *arguments):
        """Starts a test program (build/…/tests/support) on a client's machine, to be talked to over pipes."""
        process = Process(name, self.clients[name], [BUILD / "tests" / "support" / program, *arguments],
                          self.directory / f"{name}.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.helpers.append(process)
        return Talk(process)

    def observe(self, *options):
        """Starts the observers of the virtual IP, one nailed to each node's MAC."""
        self.client("o", 60)
        return self.helper("o", "observer", *options, "eth0", NETWORK + "60", VIRTUAL_IP, self.a.mac, self.b.mac)

    def write(self, log, *options, key="orders", name="c", number=50):
        """Starts a writer through the virtual IP; `log` is where acknowledgements go."""
        self.client(name, number)
        return self.helper(name, "writer", *options, VIRTUAL_IP, str(REDIS_PORT), key, log)

    def tails(self, lines=25):
        """The last lines of every log, for people."""
        parts = []
        for path in sorted(self.directory.glob("**/*.log")):
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()
            parts.append(f"--- {path.relative_to(self.directory)}\n" + "\n".join(text[-lines:]))
        return "\n".join(parts)


class Talk:
    """A test program that answers `look` and `mark NAME` with one line of JSON about the present phase."""

    def __init__(self, process):
        self.process, self.popen = process, process.popen

    def mark(self, name):
        """Ends the present phase and begins another; returns what the ended one was like."""
        return self.say("mark " + name)

    def look(self):
        return self.say("look")

    def say(self, line):
        self.popen.stdin.write((line + "\n").encode("ascii"))
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        expect(f"{self.process.name} ended by itself: see its log", line)
        return json.loads(line)

    def finish(self):
        """Closes its input and waits for its end; returns what the last phase was like."""
        last = self.mark("end")
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        expect(f"{self.process.name} failed: see its log", self.process.wait() == 0)
        return last


def tcp_answers(space, address, port, seconds=0.3):
    try:
        space.connect(address, port, seconds).close()
        return True
    except (OSError, socket.timeout):
        return False
