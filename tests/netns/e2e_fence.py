# SPDX-License-Identifier: Apache-2.0
"""The agent's kernel fence, and other programs on its machine that do as if they were alone."""

import contextlib

from space import CommandFailed, run
from testbed import Cluster, always, expect, fence, until

DEVICES = ("lo", "eth0")


def mechanism(node):
    return node.status()["fence"]["mechanism"]


def hooks(node):
    """What tc and nftables know of the fence."""
    return node.space.run("tc", "filter", "show", "dev", "eth0", "ingress") + node.space.run("nft", "list", "ruleset")


def flush(node):
    node.space.run("nft", "flush", "ruleset")
    for device in DEVICES:
        with contextlib.suppress(CommandFailed):  # there is none
            node.space.run("tc", "qdisc", "del", "dev", device, "clsact")


@contextlib.contextmanager
def pair(directory):
    with Cluster(directory) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        cluster.wait_secondary(cluster.other(master))
        yield cluster, observer, master, cluster.other(master)
        seen = observer.finish()
        expect(f"never two at once: {seen}", seen["both_us"] == 0)


@fence
def test_flushed_and_put_back(directory):
    with pair(directory) as (cluster, observer, master, other):
        epoch = master.status()["epoch"]
        for node in (master, other):  # also where it is closed
            flush(node)
            until(f"the fence of {node.name} is there", lambda n=node: "tanist" in hooks(n))
            if mechanism(node) == "bpf":  # with nf_tables, since Linux 6.9, nobody else can take it away
                until("it is said", lambda n=node: "had been removed by another program" in n.log.read_text())
        until("the master's is armed", lambda: master.status()["fence"]["kernel"] == "armed")
        observer.mark("after")
        always("the same master", lambda: master.status()["role"] == "master", 1)
        seen = observer.mark("over")
        expect(f"the address answers: {seen}", seen[master.name]["icmp"] > 100)
        expect("in the same epoch", cluster.wait_master(master).status()["epoch"] == epoch)


def put_in_the_way(node):
    """Another program's discipline at the fence's place; the agent, which puts its own back, may be quicker."""
    def try_it():
        with contextlib.suppress(CommandFailed):
            run("ip", "netns", "exec", node.name, "tc", "-force", "-batch", "-",
                stdin="qdisc del dev eth0 clsact\nqdisc add dev eth0 ingress\n")
        return "ingress" in node.space.run("tc", "qdisc", "show", "dev", "eth0")
    until("another's discipline is at the fence's place", try_it)


@fence
def test_cannot_be_put_back(directory):
    with pair(directory) as (cluster, _, master, other):
        if mechanism(master) != "bpf":
            print("only BPF's hooks can be taken by others here")
            return
        put_in_the_way(master)
        cluster.wait_master(other)
        expect("it says why", any("kernel fence could not be set" in text for text in master.status()["warnings"]))
        master.space.run("tc", "qdisc", "del", "dev", "eth0", "ingress")
        until("it is whole again", lambda: "tanist:orders" in hooks(master))
        until("and nothing is left to warn of",
              lambda: not any("kernel fence" in text for text in master.status()["warnings"]))


@fence
def test_nothing_left_after_a_clean_stop(directory):
    with pair(directory) as (cluster, _, master, other):
        for node in (other, master):
            expect(f"the agent of {node.name} ends", node.agent.stop(20) == 0)
            expect(f"nothing is left on {node.name}: {hooks(node)}", not hooks(node).strip())
            for device in DEVICES:
                shown = node.space.run("tc", "qdisc", "show", "dev", device)
                expect(f"no hook is left: {shown}", "clsact" not in shown)
            expect("nor the address", not node.holds_virtual_ip())
