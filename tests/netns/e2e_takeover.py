# SPDX-License-Identifier: Apache-2.0
"""Around a take-over: who answers for the virtual IP, links that go down, addresses that somebody deletes."""

import json

from testbed import VIRTUAL_IP, Cluster, expect, short, until

REFUSE = 'conflict = "refuse"; '


def answered_by(node):
    return node.status()["virtual_ip"][0].get("answered_by", {})


def happened(node, what):
    lines = node.ask("--json", "events").stdout.splitlines()
    return any(json.loads(line).get("what") == what for line in lines)


def stranger(cluster):
    """A third machine that has the virtual IP too, and answers for it."""
    space = cluster.client("x", 77)
    space.ip("address", "add", VIRTUAL_IP + "/32", "dev", "eth0")
    return space


@short
def test_the_other_node_sees_who_answers(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        until("it sees the master answer", lambda: answered_by(other).get("node") == master.name)
        expect("with its MAC", answered_by(other)["mac"] == master.mac)
        cluster.wait_ready(master)
        done = master.ask("switchover")
        expect(f"switchover: {done.stderr}", done.returncode == 0)
        cluster.wait_master(other)
        until("and the other way round", lambda: answered_by(master).get("node") == other.name)


def test_a_stranger_is_told(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        until("it sees the master answer", lambda: answered_by(other).get("node") == master.name)
        space = stranger(cluster)
        announce(space)
        until("the secondary tells of it", lambda: happened(other, "stranger"))
        until("the master is contested", lambda: happened(master, "contested"))
        expect("a warning", any("neither node" in warning for warning in other.status()["warnings"]))


@short
def test_a_refused_conflict_stops_the_take_over(directory):
    with Cluster(directory, vip=REFUSE) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        until("it sees the master answer", lambda: answered_by(other).get("node") == master.name)
        cluster.wait_ready(master)
        space = stranger(cluster)
        announce(space)
        until("the secondary tells of it", lambda: happened(other, "stranger"))
        master.lose()
        until("it asks to be voted for", lambda: other.status()["role"] == "suspect", 20)
        until("and is not fit", lambda: any("does not lead" in w for w in other.status()["warnings"]), 20)
        space.ip("link", "set", "eth0", "down")
        cluster.wait_master(other, 30)


def test_a_deleted_address_is_back_at_once(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        master.space.ip("address", "delete", VIRTUAL_IP + "/24", "dev", "eth0")
        until("it is back", master.holds_virtual_ip)
        until("and told", lambda: happened(master, "restored"))


def test_a_link_that_is_down_hands_over(directory):
    """The virtual IP's link, where the beats have another: the node lives, but clients do not reach it."""
    with Cluster(directory, interface="serve0") as cluster:
        for node in cluster.nodes:
            node.space.ip("link", "add", "serve0", "type", "veth", "peer", "name", "serve1")
            node.space.ip("link", "set", "serve0", "up")
            node.space.ip("link", "set", "serve1", "up")
        master = cluster.start()
        cluster.wait_ready(master)
        master.space.ip("link", "set", "serve1", "down")  # the cable is out
        cluster.wait_master(cluster.other(master))
        until("it is told", lambda: happened(master, "link-down"))
        expect("its status says so", master.status()["virtual_ip"][0]["link"] == "down")


def announce(space):
    """An ARP reply to all, as a machine sends that takes an address without asking."""
    code = ("import socket,struct,fcntl\n"
            "s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind(('eth0',0))\n"
            "m=fcntl.ioctl(s,0x8927,struct.pack('256s',b'eth0'))[18:24]\n"
            f"i=socket.inet_aton('{VIRTUAL_IP}')\n"
            "s.send(b'\\xff'*6+m+b'\\x08\\x06'+struct.pack('!HHBBH',1,0x800,6,4,2)+m+i+m+i)\n")
    space.run("python3", "-c", code)
