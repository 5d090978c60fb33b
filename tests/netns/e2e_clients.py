# SPDX-License-Identifier: Apache-2.0
"""Clients that only listen hear of a change of master: reset by plan, woken by the new master otherwise."""

import pathlib
import sys

from testbed import VIRTUAL_IP, Cluster, Process, expect, short, until

LISTENERS = pathlib.Path(__file__).resolve().parent / "listeners.py"
PORT = 7788


class Listeners:
    """A silent server on both nodes, and clients that wait on the virtual IP."""

    ADDRESS, ANY = VIRTUAL_IP, "0.0.0.0"

    def __init__(self, cluster, count):
        self.cluster, self.count = cluster, count
        for node in cluster.nodes:
            self.serve(node)
        self.log = cluster.directory / "listeners"
        waiting = Process("listeners", cluster.client(), self.argv("wait", self.ADDRESS, PORT, count), self.log)
        cluster.helpers.append(waiting)
        self.wait("open", count)

    @staticmethod
    def argv(*words):
        return [sys.executable, "-B", LISTENERS, *words]

    def serve(self, node):
        server = Process("server of " + node.name, node.space, self.argv("serve", self.ANY, PORT),
                         node.home / "server.log")
        self.cluster.helpers.append(server)

    def times(self, word):
        rows = (line.split() for line in self.log.read_text(encoding="ascii").splitlines())
        return [int(row[1]) for row in rows if len(row) == 2 and row[0] == word]

    def wait(self, word, count, seconds=20):
        until(f"{count} are {word}", lambda: len(self.times(word)) >= count, seconds)

    def wait_known(self, node):
        """The other node knows of them all: it can only wake those it was told of."""
        until(f"{node.name} knows the clients", lambda: node.status()["clients"]["other"] >= self.count, 30)


@short
def test_reset_by_plan(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        listeners = Listeners(cluster, 20)
        until("the master sees them", lambda: master.status()["clients"]["here"] == 20)
        done = master.ask("switchover")
        expect(f"switchover: {done.stderr}", done.returncode == 0)
        listeners.wait("again", 20)
        cluster.wait_master(cluster.other(master))


@short
def test_woken_when_the_node_is_lost(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        listeners = Listeners(cluster, 20)
        listeners.wait_known(other)
        master.lose()
        listeners.wait("again", 20)
        events = other.ask("--json", "events").stdout
        expect("it is told", '"clients-woken"' in events)
        print("us from the first to the last:", max(listeners.times("again")) - min(listeners.times("reset")))


def test_known_anew_after_restarts(directory):
    """Either agent may start again: the other node is told of all of them once more."""
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        listeners = Listeners(cluster, 150)  # more than a beat has room for
        listeners.wait_known(other)
        other.agent.kill()
        other.start()
        until("it is secondary again", lambda: other.status().get("role") == "secondary")
        listeners.wait_known(other)
        cluster.isolate(master)
        cluster.wait_master(other)
        listeners.wait("again", 150)
