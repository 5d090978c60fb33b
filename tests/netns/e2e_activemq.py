# SPDX-License-Identifier: Apache-2.0
"""ActiveMQ Classic on a shared store with a file lock, driven by etc/drivers/activemq: who has the lock serves, and one that
is stopped with the lock is killed. Played with the real broker where it is installed, and with support/lock_broker.py, which
holds the same lock."""

import contextlib
import os
import pathlib
import shutil
import signal

from testbed import ROOT, VIRTUAL_IP, Cluster, expect, until

PORT = 61616
JAR = pathlib.Path("/usr/share/activemq/bin/activemq.jar")
CONFIGURATION = """<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="orders" useJmx="false" dataDirectory="{base}/data">
    <persistenceAdapter>
      <kahaDB directory="{store}"><locker><shared-file-locker lockAcquireSleepInterval="200"/></locker></kahaDB>
    </persistenceAdapter>
    <transportConnectors><transportConnector name="openwire" uri="tcp://0.0.0.0:61616"/></transportConnectors>
  </broker>
</beans>
"""


class ActiveMQ(Cluster):
    """Two brokers over one store, which is the one disk that all namespaces share."""

    def __init__(self, directory, real):
        self.real, self.store = real, pathlib.Path(directory) / "store"
        more = (f'health = ( {{ name = "alive"; check = "broker"; every_ms = 500; timeout_ms = 5000; fall = 2; rise = 1; }} );\n'
                f"fence = {{ ports = [ {PORT} ]; }};\n")
        super().__init__(directory, driver="exec", more=more)
        for node in self.nodes:
            self.prepare(node)

    def base(self, node):
        return node.home / "activemq"

    def prepare(self, node):
        base = self.base(node)
        base.mkdir()
        (base / "activemq.xml").write_text(CONFIGURATION.format(base=base, store=self.store), encoding="utf-8")
        node.environment = os.environ | {"JAVA_OPTS": "-Xmx128m"}
        if not self.real:
            program = ROOT / "tests" / "support" / "lock_broker.py"
            node.environment["ACTIVEMQ"] = f"/usr/bin/env python3 {program} {self.store} {PORT}"

    def configuration(self, member):
        program = self.directory / "activemq"  # one command for both nodes, whose directories are on one disk
        program.write_text(f'#!/bin/sh\nexec {ROOT}/etc/drivers/activemq "$1" {self.directory}/$TANIST_NODE/activemq {PORT}\n',
                           encoding="utf-8")
        program.chmod(0o755)
        verbs = "\n".join(f'    {verb} = [ "{program}", "{verb}" ];'
                          for verb in ("monitor", "start", "promote", "demote", "fence", "stop"))
        broker = f'''broker = {{ driver = "exec"; replication = "shared"; verb_timeout_ms = 20000;
  commands = {{
{verbs}
  }};
}};'''
        return super().configuration(member).replace('broker = { driver = "exec"; };', broker)

    def start(self):
        for member in (self.w, self.b, self.a):
            member.start()
        return self.wait_master(seconds=120)

    def pid(self, node):
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.base(node) / "run" / "pid").read_text(encoding="ascii").split()[0])
        return 0

    def greets(self, who, address=VIRTUAL_IP):
        """Who connects there is greeted by a broker: it has the lock."""
        try:
            with who.connect(address, PORT, 1.0) as connection:
                return b"ActiveMQ" in connection.recv(64)
        except OSError:
            return False

    def wait_served(self, node, seconds):
        client = self.client()
        until(f"{node.name} serves on the virtual IP",
              lambda: node.holds_virtual_ip() and self.greets(client), seconds, every=0.1)

    def close(self):
        for node in self.nodes:
            with contextlib.suppress(ProcessLookupError):
                if self.pid(node):
                    os.kill(self.pid(node), signal.SIGKILL)


def runs(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.contextmanager
def served(directory, real):
    """A running pair: one serves, the other one waits for the lock."""
    with ActiveMQ(directory, real) as cluster:
        try:
            master = cluster.start()
            cluster.wait_served(master, 90)
            other = cluster.other(master)
            until("the other broker waits", lambda: runs(cluster.pid(other)), 60)
            yield cluster, master, other
        finally:
            cluster.close()


def a_stopped_lock_holder_is_killed(directory, real):
    with served(directory, real) as (cluster, master, other):
        holder = cluster.pid(master)
        os.kill(holder, signal.SIGSTOP)
        cluster.wait_served(other, 90)
        expect("the stopped one is gone, and the lock with it", not runs(holder))
        until("it waits for the lock again", lambda: runs(cluster.pid(master)) and cluster.pid(master) != holder, 60)
        expect("beside the new one", not cluster.greets(cluster.client(), master.address))


def lock_moves_by_plan_and_by_death(directory, real):
    with served(directory, real) as (cluster, master, other):
        cluster.wait_ready(master, 60)
        expect("a planned switchover", master.ask("switchover", "--timeout", "60", seconds=70).returncode == 0)
        cluster.wait_served(other, 90)
        until("the old one waits", lambda: runs(cluster.pid(master)), 60)
        os.kill(cluster.pid(other), signal.SIGKILL)
        until("somebody serves", lambda: cluster.greets(cluster.client()), 90, every=0.1)


def with_the_real_one(directory, test):
    if not JAR.exists() or not shutil.which("java"):
        print("SKIPPED: needs ActiveMQ: packaging/install-dependencies activemq")
        return
    test(directory, True)


def test_a_stopped_lock_holder_is_killed(directory):
    a_stopped_lock_holder_is_killed(directory, False)


def test_the_lock_moves(directory):
    lock_moves_by_plan_and_by_death(directory, False)


def test_a_stopped_activemq_is_killed(directory):
    with_the_real_one(directory, a_stopped_lock_holder_is_killed)


def test_the_lock_of_activemq_moves(directory):
    with_the_real_one(directory, lock_moves_by_plan_and_by_death)
