# SPDX-License-Identifier: Apache-2.0
"""All over IPv6: beats, virtual IP, the fence, who answers, and the clients that only listen."""

from e2e_clients import PORT, Listeners
from e2e_takeover import REFUSE, answered_by, happened
from testbed import NETWORK, VIRTUAL_IP, Cluster, always, expect, fence, short, tcp_answers, until

NETWORK_6 = "fd00::"
VIRTUAL_IP_6 = NETWORK_6 + "100"


def take_six(space, address):
    space.ip("-6", "address", "add", address + "/64", "dev", "eth0", "nodad")


class SixCluster(Cluster):
    """As the other one, with fd00::N for 10.0.0.N throughout."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for member in self.members:
            member.space.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_dad=0")
            take_six(member.space, member.address.replace(NETWORK, NETWORK_6))

    def configuration(self, member):
        text = super().configuration(member).replace(VIRTUAL_IP + "/24", VIRTUAL_IP_6 + "/64")
        for one in self.members:
            text = text.replace(f'"{one.address}:', f'"[{one.address.replace(NETWORK, NETWORK_6)}]:')
        return text

    def client(self, name="c", number=50):
        known = name in self.clients
        space = super().client(name, number)
        if not known:
            take_six(space, NETWORK_6 + str(number))
        return space


class SixListeners(Listeners):
    ADDRESS, ANY = VIRTUAL_IP_6, "::"


def holds(node):
    return VIRTUAL_IP_6 + "/" in node.space.ip("-6", "address", "show", "dev", "eth0")


def answers_as(cluster, node):
    """Does this node answer on the virtual IP? Its frames are nailed to its MAC, from a client of their own."""
    space = cluster.client("n", 51)
    space.ip("-6", "neighbour", "replace", VIRTUAL_IP_6, "lladdr", node.mac, "dev", "eth0")
    return tcp_answers(space, VIRTUAL_IP_6, PORT)


def discovered(cluster, name="d", number=52):
    """The MAC that neighbour discovery finds for the virtual IP; "" if nobody answers."""
    space = cluster.client(name, number)
    space.ip("-6", "neighbour", "flush", "to", VIRTUAL_IP_6, "dev", "eth0")
    tcp_answers(space, VIRTUAL_IP_6, PORT)
    words = space.ip("-6", "neighbour", "show", "to", VIRTUAL_IP_6, "dev", "eth0").split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


@short
@fence
def test_a_hung_master(directory):
    """SIGSTOP: its address stays, and its kernel lets neither a packet nor an advertisement pass."""
    with SixCluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        listeners = SixListeners(cluster, 20)
        until("the other node sees who answers", lambda: answered_by(other).get("node") == master.name)
        expect(f"with its MAC: {answered_by(other)}", answered_by(other)["mac"] == master.mac)
        until("the master answers", lambda: answers_as(cluster, master))
        expect("alone", not answers_as(cluster, other))
        until("discovery finds it", lambda: discovered(cluster) == master.mac)
        listeners.wait_known(other)
        master.agent.pause()
        cluster.wait_master(other)
        expect("it holds the address", holds(other))
        expect("so does the hung one, still", holds(master))
        always("which answers no more", lambda: not answers_as(cluster, master), 0.5)
        until("discovery finds the new master", lambda: discovered(cluster) == other.mac)
        listeners.wait("again", 20)
        expect("they were woken", happened(other, "clients-woken"))
        until("and the new one answers", lambda: answers_as(cluster, other))


def test_reset_by_plan(directory):
    with SixCluster(directory) as cluster:
        master = cluster.start()
        listeners = SixListeners(cluster, 20)
        until("the master sees them", lambda: master.status()["clients"]["here"] == 20)
        cluster.switchover(master)
        listeners.wait("again", 20)
        cluster.wait_master(cluster.other(master))
        until("the address is gone there", lambda: not holds(master))
        until("it sees who answers", lambda: answered_by(master).get("node") == cluster.other(master).name)


def test_a_stranger_is_told(directory):
    """A third machine that takes the address: unasked, as a solicitation finds it."""
    with SixCluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        until("it sees the master answer", lambda: answered_by(other).get("node") == master.name)
        take_six(cluster.client("x", 77), VIRTUAL_IP_6)
        until("the master is contested, or the secondary tells",
              lambda: happened(master, "contested") or happened(other, "stranger"), 60)


def test_a_refused_conflict_stops_the_take_over(directory):
    with SixCluster(directory, vip=REFUSE) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        until("it sees the master answer", lambda: answered_by(other).get("node") == master.name)
        cluster.wait_ready(master)
        space = cluster.client("x", 77)
        take_six(space, VIRTUAL_IP_6)
        master.lose()
        until("it asks to be voted for", lambda: other.status()["role"] == "suspect", 20)
        until("and is not fit", lambda: any("does not lead" in w for w in other.status()["warnings"]), 20)
        space.ip("link", "set", "eth0", "down")
        cluster.wait_master(other, 30)


def test_a_deleted_address_is_back_at_once(directory):
    with SixCluster(directory) as cluster:
        master = cluster.start()
        master.space.ip("-6", "address", "delete", VIRTUAL_IP_6 + "/64", "dev", "eth0")
        until("it is back", lambda: holds(master))
        until("and told", lambda: happened(master, "restored"))
