# SPDX-License-Identifier: Apache-2.0
"""What can be measured at failover: a pair of Redis with a virtual IP, under somebody's care."""

from testbed import Cluster, expect


class Subject:
    """A pair on the wire of a Cluster. The base class knows what does not depend on who cares for it."""

    writer_options = ()

    def __init__(self, cluster):
        self.cluster = cluster

    def __enter__(self):
        self.cluster.__enter__()
        return self

    def __exit__(self, *what):
        self.cluster.__exit__(*what)

    def start(self):
        """Starts all that cares for the pair."""
        raise NotImplementedError

    def whole(self):
        """The master, if both nodes are in service and the other has all data; else None."""
        raise NotImplementedError

    def takes_over(self, event):
        """Is the other node to answer after this?"""
        return bool(event)

    def strike(self, event, master):
        {"node lost": self.lose, "broker killed": lambda node: node.redis.kill(), "switchover": self.switchover,
         "agent killed": self.kill_agent, "isolated": self.isolate}[event](master)

    def lose(self, master):
        master.lose()

    def isolate(self, master):
        """Neither the other node nor the witness hears it; clients still do."""
        self.cluster.cut(master, self.cluster.other(master))
        self.cluster.cut(master, self.cluster.w)

    def switchover(self, master):
        raise NotImplementedError

    def kill_agent(self, master):
        master.agent.kill()

    def mend(self, event, master):
        """After `event` at `master` (None: wherever something is missing)."""
        self.cluster.wire.mend()
        for node in self.cluster.nodes:
            if not node.space:
                node.boot()
            if not (node.redis and node.redis.alive()):
                node.start_redis()
            if not (node.agent and node.agent.alive()):
                self.start_agent(node)

    def start_agent(self, node):
        node.start()


class Tanist(Subject):
    writer_options = ("--wait",)

    def __init__(self, directory, lease_ms, beat_ms):
        super().__init__(Cluster(directory, driver="redis", lease_ms=lease_ms, beat_ms=beat_ms,
                                 broker="join_hold_ms = 500;"))

    def start(self):
        self.cluster.start()

    def whole(self):
        status = self.cluster.paired()
        return next((node for node in self.cluster.nodes if status and node.name == status["node"]), None)

    def switchover(self, master):
        done = master.ask("switchover", seconds=30)
        expect(f"switchover: {done}", done.returncode == 0)
