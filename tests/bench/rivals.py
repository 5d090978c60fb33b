# SPDX-License-Identifier: Apache-2.0
"""The same pair, wire and virtual IP in the care of keepalived and of Redis Sentinel, set up as their manuals say."""

import contextlib
import os
import pathlib
import shutil
import signal

from subject import Subject
from testbed import REDIS_PORT, VIRTUAL_IP, Cluster, Process, resp, until

CHECKER = "/usr/bin/redis-check-rdb"  # in Debian the whole server under another name
SENTINEL_PORT = 26379
CLAIM = pathlib.Path(__file__).resolve().with_name("claim.py")


class Unguarded(Cluster):
    """A cluster's machines, wire and brokers without Tanist's programs."""

    def keygen(self, member):
        return "none"


def executable(path, text):
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(0o755)
    return path


class Rival(Subject):
    def __init__(self, directory):
        super().__init__(Unguarded(directory, driver="redis"))

    def first(self, node):
        """Redis runs everywhere; this one leads."""
        for each in self.cluster.nodes:
            each.start_redis()
        self.follow(self.cluster.other(node), node)

    def follow(self, node, master):
        with node.client() as client:
            client.ask("REPLICAOF", master.address, REDIS_PORT)

    def info(self, node):
        try:
            with node.client() as client:
                return client.ask("INFO", "replication")
        except (OSError, resp.Refused):
            return ""

    def whole(self):
        for node in self.cluster.nodes:
            other = self.cluster.other(node)
            if not all(each.space and each.redis and each.redis.alive() and each.agent and each.agent.alive()
                       for each in (node, other)):
                return None
            if node.holds_virtual_ip() and not other.holds_virtual_ip() and "role:master" in self.info(node) \
                    and f"ip={other.address}" in self.info(node) and "state=online" in self.info(node) \
                    and "master_link_status:up" in self.info(other):
                return node
        return None


class Keepalived(Rival):
    """Two routers of one VRRP group, neither preferred; a loop watches the broker, another makes it lead or follow."""

    def __init__(self, directory, advert_s):
        super().__init__(directory)
        self.advert_s, self.loops = advert_s, {}

    @staticmethod
    def lacks():
        return None if shutil.which("keepalived", path="/usr/sbin:/usr/bin") else \
            "keepalived is not installed: packaging/install-dependencies bench"

    def configure(self, node, priority):
        """Keepalived starts no scripts where it may not set groups, as in here: two loops stand in for them."""
        other = self.cluster.other(node)
        executable(node.home / "watch", f"""
while sleep 1; do timeout 1 redis-cli ping >/dev/null 2>&1; echo $? >{node.home}/broken; done
""")
        executable(node.home / "obey", f"""
exec <>{node.home}/notes
while read -r kind name state priority; do
  case $state in
    MASTER) redis-cli replicaof no one ;;
    BACKUP|FAULT|STOP) redis-cli replicaof {other.address} {REDIS_PORT} ;;
  esac
done
""")
        os.mkfifo(node.home / "notes")
        (node.home / "keepalived.conf").write_text(self.configuration(node, other, priority), encoding="utf-8")

    def configuration(self, node, other, priority):
        return f'''global_defs {{
  router_id {node.name}
  vrrp_notify_fifo {node.home}/notes
}}
track_file broker {{
  file {node.home}/broken
  weight 0
  init_file 0
}}
vrrp_instance pair {{
  version 3
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id 51
  priority {priority}
  advert_int {self.advert_s}
  unicast_src_ip {node.address}
  unicast_peer {{
    {other.address}
  }}
  virtual_ipaddress {{
    {VIRTUAL_IP}/24 dev eth0
  }}
  track_file {{
    broker
  }}
}}
'''

    def start(self):
        for node, priority in zip(self.cluster.nodes, (100, 90)):
            self.configure(node, priority)
        self.first(self.cluster.a)
        self.start_agent(self.cluster.a)
        until("a holds the address", self.cluster.a.holds_virtual_ip, 20)
        self.start_agent(self.cluster.b)
        until("a whole pair", self.whole, 30)

    def start_agent(self, node):
        with contextlib.suppress(Exception):
            node.space.ip("address", "delete", VIRTUAL_IP + "/24", "dev", "eth0")  # one that was killed left it
        files = {kind: node.home / f"keepalived.{kind}.pid" for kind in "prc"}
        for file in files.values():
            file.unlink(missing_ok=True)
        node.agent = Process(f"keepalived of {node.name}", node.space,
                             ["keepalived", "--dont-fork", "--log-console", "--log-detail", "--vrrp", "-f",
                              node.home / "keepalived.conf"] + [word for kind, file in files.items()
                                                                for word in (f"-{kind}", file)], node.log)
        for name in ("watch", "obey"):
            if (node, name) not in self.loops:
                self.loops[node, name] = Process(f"{name} of {node.name}", node.space, [node.home / name], node.log)

    def switchover(self, master):
        master.agent.stop()

    def kill_agent(self, master):
        """Both its processes: the first would start the second again."""
        child = int((master.home / "keepalived.r.pid").read_text(encoding="ascii"))
        master.agent.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    def lose(self, master):
        self.cluster.wire.pull(master.name)
        for name in ("watch", "obey"):
            self.loops.pop((master, name)).kill()
        self.kill_agent(master)
        master.lose()


class Sentinel(Rival):
    """Three Sentinels, two of which decide; their client-reconfig-script moves the virtual IP."""

    def __init__(self, directory, down_after_ms):
        super().__init__(directory)
        self.down_after_ms = down_after_ms

    @staticmethod
    def lacks():
        return None if shutil.which("redis-sentinel") or pathlib.Path(CHECKER).exists() else \
            "Redis is not installed: packaging/install-dependencies demo"

    def configure(self, member):
        script = executable(member.home / "reconfigure", f'''
if [ "$6" = {member.address} ]; then
  ip address add {VIRTUAL_IP}/24 dev eth0 && exec python3 -S -E {CLAIM} eth0 {VIRTUAL_IP}
else
  ip address delete {VIRTUAL_IP}/24 dev eth0
fi
exit 0
''') if member.name != "w" else executable(member.home / "reconfigure", "exit 0\n")
        (member.home / "sentinel.conf").write_text(f'''port {SENTINEL_PORT}
bind {member.address} 127.0.0.1
protected-mode no
dir {member.home}
sentinel monitor orders {self.cluster.a.address} {REDIS_PORT} 2
sentinel down-after-milliseconds orders {self.down_after_ms}
sentinel failover-timeout orders 5000
sentinel client-reconfig-script orders {script}
''', encoding="utf-8")

    def start(self):
        self.first(self.cluster.a)
        self.cluster.a.space.ip("address", "add", VIRTUAL_IP + "/24", "dev", "eth0")
        for member in self.cluster.members:
            self.configure(member)
            self.start_agent(member)
        until("a whole pair, three Sentinels", self.whole, 40)

    def start_agent(self, node):
        node.agent = Process(f"Sentinel of {node.name}", node.space, ["redis-sentinel", node.home / "sentinel.conf"],
                             node.log, executable=shutil.which("redis-sentinel") or CHECKER)

    def ask(self, member, *words):
        try:
            with resp.Client(member.space.connect(member.address, SENTINEL_PORT)) as client:
                return client.ask("SENTINEL", *words)
        except (OSError, resp.Refused):
            return None

    def whole(self):
        """The Sentinels too: all know the master, each other and the replica, and none thinks it down."""
        node = super().whole()
        for member in self.cluster.members if node else ():
            told = self.ask(member, "MASTER", "orders")
            state = dict(zip(told[::2], told[1::2])) if told else {}
            if state.get("flags") != "master" or state.get("ip") != node.address or \
                    state.get("num-other-sentinels") != "2" or state.get("num-slaves") != "1":
                return None
            replica = (self.ask(member, "REPLICAS", "orders") or [[]])[0]
            if dict(zip(replica[::2], replica[1::2])).get("flags") != "slave":
                return None
        return node

    def takes_over(self, event):
        return event != "agent killed"  # the other Sentinels see a Redis that is well

    def switchover(self, master):
        self.ask(self.cluster.w, "FAILOVER", "orders")

    def mend(self, event, master):
        """Who comes back does not hold an address that it held before it was cut off: an operator sees to that."""
        for node in self.cluster.nodes:
            if node.space and master is node and event in ("isolated", "broker killed"):
                with contextlib.suppress(Exception):
                    node.space.ip("address", "delete", VIRTUAL_IP + "/24", "dev", "eth0")
        super().mend(event, master)
