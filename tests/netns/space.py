# SPDX-License-Identifier: Apache-2.0
"""Namespaces of our own: this program runs itself again inside new ones, and makes network namespaces in there.

All of it goes with the first process inside (--kill-child, a new pid namespace), so that neither Ctrl-C nor a SIGKILL
leaves a process, an address or a mount behind.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys

INSIDE = "TANIST_TESTBED"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
AS_NOBODY = ["--user", "--map-root-user"]  # root in there, nobody outside
CANNOT = 77  # what test runners take for "could not be run here"
LIBC = ctypes.CDLL(None, use_errno=True)


class CommandFailed(Exception):
    pass


def run(*argv, stdin=None):
    """Runs a command that must succeed; returns what it printed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def command(real_root=False):
    """The namespaces' own; with real_root without one of users, for what the kernel gives to nobody else (BPF)."""
    return UNSHARE + ([] if real_root else AS_NOBODY)


def obstacle():
    """What keeps this machine from running the test bed, in words that say what to do; None if nothing does."""
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            return f"needs the program {program}: apt-get install {package}"
    probe = "mount -t tmpfs tmpfs /run && ip link add probe0 type veth peer name probe1 && " \
            "nft 'add table bridge probe { chain forward { type filter hook forward priority 0; }; }'"
    path = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    done = subprocess.run(command() + ["sh", "-c", probe], capture_output=True, text=True, check=False, env=path,
                          stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return None
    return (f"this kernel does not let us make user, network, mount and pid namespaces with veth and nf_tables in them"
            f" ({done.stderr.strip()}).\nAs root, allow it: sysctl -w user.max_user_namespaces=10000"
            f" kernel.unprivileged_userns_clone=1 (where there is such a key);"
            f" in a container: run it with --privileged; modules: veth, bridge, nf_tables")


def die_with_parent():
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


def launch(argv, outlive_us=False, real_root=False, **options):
    """Starts argv[0] (a Python program) with its arguments inside namespaces of its own; returns the Popen."""
    environment = dict(options.pop("env", os.environ), PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
                       **{INSIDE: "1"})
    return subprocess.Popen(command(real_root) + [sys.executable, "-B"] + argv, env=environment,
                            preexec_fn=None if outlive_us else die_with_parent, **options)


def inside():
    return os.environ.get(INSIDE) == "1"


def settle():
    """First thing inside: a private /run, where network namespaces and sockets live."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    os.mkdir("/run/netns")
    run("ip", "link", "set", "lo", "up")


class Space:
    """A named network namespace: one machine of the test bed, or the wire between them."""

    def __init__(self, name):
        self.name = name
        self.path = "/run/netns/" + name
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        return run("ip", "-n", self.name, *words)

    def remove(self):
        run("ip", "netns", "delete", self.name)

    @contextlib.contextmanager
    def entered(self):
        """What is made in here (a socket) belongs to this namespace, and goes on doing so afterwards."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.enter()
            yield
        finally:
            enter(home)
            os.close(home)

    def enter(self):
        there = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(there)
        finally:
            os.close(there)

    def start(self, argv, **options):
        """Starts a process here, in a session of its own: a Ctrl-C at the terminal is for us, not for it."""
        def prepare():
            self.enter()
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond a limit is to fail, as on a full disk
        return subprocess.Popen(argv, preexec_fn=prepare, start_new_session=True, **options)

    def run(self, *argv):
        return run("nsenter", "--net=" + self.path, *argv)

    def connect(self, address, port, seconds=1.0):
        with self.entered():
            return socket.create_connection((address, port), seconds)


def enter(descriptor):
    clone_newnet = 0x40000000
    if LIBC.setns(descriptor, clone_newnet) != 0:
        code = ctypes.get_errno()
        raise OSError(code, "setns: " + os.strerror(code))


class Wire:
    """The switch between all machines, where each pair and direction can be cut by itself or made to lose packets."""

    def __init__(self):
        self.space = Space("lan")
        self.space.ip("link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        self.space.ip("link", "set", "br0", "up")
        self.drops = {}  # (from, to): per cent
        self.without_port = None  # a TCP port that nobody reaches

    def port(self, name):
        return "to-" + name

    def attach(self, space, mac, address):
        port = self.port(space.name)
        run("ip", "link", "add", port, "netns", self.space.name, "type", "veth", "peer", "name", "eth0", "address", mac,
            "netns", space.name)
        self.space.ip("link", "set", port, "master", "br0", "up")
        space.ip("link", "set", "eth0", "up")
        space.ip("address", "add", address + "/24", "dev", "eth0")

    def pull(self, name):
        self.space.ip("link", "set", self.port(name), "down")

    def plug(self, name):
        self.space.ip("link", "set", self.port(name), "up")

    def detach(self, name):
        self.space.ip("link", "delete", self.port(name))  # at once: a namespace's own end comes some time after

    def drop(self, source, target, percent=100):
        """Loses that many packets of a hundred from source to target; 0 mends the way."""
        self.drops[source, target] = percent
        self.drops = {way: share for way, share in self.drops.items() if share}
        self.load()

    def mend(self):
        self.drops = {}
        self.load()

    def load(self):
        rules = [f'iifname "{self.port(source)}" oifname "{self.port(target)}" '
                 + (f"numgen random mod 100 < {share} " if share < 100 else "") + "counter drop"
                 for (source, target), share in self.drops.items()]
        if self.without_port:
            rules += [f"tcp {end} {self.without_port} iifname {{ to-a, to-b }} oifname {{ to-a, to-b }} counter drop"
                      for end in ("sport", "dport")]
        table = "\n".join(["add table bridge cut", "delete table bridge cut", "table bridge cut {", " chain forward {",
                           "  type filter hook forward priority 0"] + ["  " + rule for rule in rules] + [" }", "}", ""])
        run("nsenter", "--net=" + self.space.path, "nft", "-f", "-", stdin=table)
