# SPDX-License-Identifier: Apache-2.0
"""What an operator orders against the rules, or over them: force-master, freeze, thaw."""

import re

from e2e_agent import epoch, undisturbed, watched
from testbed import Cluster, always, expect, short, until

PATIENT = {"lease_ms": 4000, "beat_ms": 500}  # "heard" means three beats: a stall of the machine is shorter


def forced(member):
    return [(one["node"], one["epoch"]) for one in member.status().get("forced", [])]


def heard(node, other):
    """Does this node's agent count the other one as heard? Longer than it takes to become suspect."""
    return next(voter for voter in node.status()["voters"] if voter["name"] == other.name)["reachable"]


def force(node, other, *more):
    return node.ask("force-master", "--reason", "the rack burns", "--confirm-down", other.name, *more)


def refusals(node, other):
    """What is not said well is 2, what cannot be is 4, and neither does anything."""
    before = epoch(node)
    for code, word, arguments in ((2, "--reason", ("--confirm-down", other.name)),
                                  (2, "--confirm-down", ("--reason", "x")),
                                  (2, other.name, ("--reason", "x", "--confirm-down", node.name)),
                                  (2, other.name, ("--reason", "x", "--confirm-down", "nobody")),
                                  (4, "no fence device", ("--reason", "x", "--fence"))):
        done = node.ask("force-master", *arguments)
        expect(f"{arguments}: {done}", done.returncode == code and word in done.stderr)
    expect("nothing was done", node.status()["role"] != "master" and epoch(node) == before)


@short
def test_force_master(directory):
    with Cluster(directory, **PATIENT) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        until("the master is heard", lambda: heard(other, master))
        refused = force(other, master)
        expect(f"a node that is heard is not down: {refused}", refused.returncode == 4 and "is heard" in refused.stderr)
        master.lose()
        cluster.w.agent.kill()
        until("nobody leads, and the master is not heard",
              lambda: other.status()["role"] == "suspect" and not heard(other, master))
        refusals(other, master)
        done = force(other, master)
        expect(f"done: {done}", done.returncode == 0 and "If %s is not down" % master.name in done.stderr)
        expect("what may be lost is said", "at stake" in done.stderr)
        status = other.status()
        expect(f"it leads: {status}", status["role"] == "master" and status["lease"]["sole"])
        number = status["epoch"]
        expect("above all votes", number >> 32 == 1)
        expect("once is enough", force(other, master).returncode == 4)
        kept = status["forced"][0]
        expect(f"who, why, when: {kept}", kept["reason"] == "the rack burns" and "uid 0" in kept["by"]
               and kept["confirmed_down"] == master.name and re.match(r"\d{4}-\d\d-\d\dT.*\.\d{3}Z$", kept["time"]))
        expect("the warning has the reason", any("the rack burns" in warning for warning in status["warnings"]))

        cluster.w.start()
        until("the witness knows", lambda: forced(cluster.w) == [(other.name, number)])
        until("and who, why and when", lambda: cluster.w.status()["forced"][0] == kept)
        expect("the witness warns with the reason", any("the rack burns" in w for w in cluster.w.status()["warnings"]))
        other.agent.kill()
        other.start()
        until("it leads again", lambda: other.status().get("role") == "master")
        expect("a restart forgets nothing", other.status()["forced"][0]["reason"] == "the rack burns")
        expect("a majority alone does not end it", forced(cluster.w) == [(other.name, number)])
        master.boot()
        master.start()
        cluster.wait_secondary(master)
        for member in cluster.members:
            until(f"over on {member.name}", lambda m=member: m.status() and forced(m) == [])
        expect("and it was told", "is over" in other.log.read_text(encoding="utf-8"))


def test_both_forced(directory):
    with Cluster(directory, **PATIENT) as cluster:
        cluster.start()
        cluster.w.agent.kill()
        cluster.cut(cluster.a, cluster.b)
        until("nobody leads or hears the other", lambda: all(
            n.status()["role"] == "suspect" and not heard(n, cluster.other(n)) for n in cluster.nodes))
        for node in cluster.nodes:
            done = force(node, cluster.other(node))
            expect(f"forced: {done}", done.returncode == 0)
        winner = max(cluster.nodes, key=epoch)
        loser, number = cluster.other(winner), epoch(winner)
        cluster.wire.mend()
        cluster.wait_secondary(loser)
        undisturbed(cluster, winner, number, 2)
        for node in cluster.nodes:
            until("it is over", lambda n=node: forced(n) == [])
            text = node.log.read_text(encoding="utf-8")
            expect(f"{node.name}'s operator is told", f"both nodes were forced to lead: {winner.name}" in text)


@short
def test_freeze(directory):
    with watched(directory) as (cluster, _, master, other):
        done = cluster.w.ask("freeze")
        expect(f"by the witness: {done}", done.returncode == 0 and "serial 1" in done.stdout)
        for member in cluster.members:
            until(f"{member.name} is frozen", lambda m=member: m.status()["frozen"])
        expect("twice is refused", master.ask("freeze").returncode == 4)
        screen = other.ask("status").stdout
        expect(f"each status says how long: {screen}", "FROZEN" in screen and "for " in screen)
        by = cluster.w.status()["frozen_by"]
        expect(f"by whom: {by}", "uid 0" in by and by.endswith(" on w"))
        for member in cluster.members:
            until(f"{member.name} tells the same", lambda m=member: m.status().get("frozen_by") == by)

        cluster.switchover(master)  # an operator may
        cluster.wait_master(other)
        cluster.wait_secondary(master)
        master, other = other, master

        since = other.status()["frozen_since"]
        for member in cluster.members:
            member.agent.kill()
        for member in cluster.members:
            member.start()
        cluster.wait_master(master)
        cluster.wait_secondary(other)
        status = other.status()
        expect(f"frozen over restarts, since the same moment: {status}", status["frozen_since"] == since)
        master.agent.kill()
        always("nobody is promoted", lambda: other.status().get("role") != "master", 4)
        first = other.status()["frozen_ms"]
        until("it counts", lambda: other.status()["frozen_ms"] > first)
        thawed = other.ask("thaw")
        expect(f"thawed: {thawed}", thawed.returncode == 0 and master.name in thawed.stdout)
        cluster.wait_master(other)
        master.start()
        cluster.wait_secondary(master)
        until("who was away is thawed", lambda: not master.status()["frozen"])


DEVICE = """#!/bin/sh
while read -r line; do case $line in action=*) action=${line#action=};; nodename=*) node=${line#nodename=};; esac; done
test -e %(here)s/broken && { echo 'login with swordfish failed' >&2; exit 1; }
case $action in
off) kill -9 "$(cat %(here)s/"$node".pid)"; echo off >%(here)s/"$node".power ;;
status) test -e %(here)s/"$node".power && exit 2 ;;
esac
exit 0
"""


def test_force_master_by_a_fence_device(directory):
    device, broken = directory / "device", directory / "broken"
    device.write_text(DEVICE % {"here": directory}, encoding="utf-8")
    device.chmod(0o755)
    more = f'fence = {{ agent = {{ command = [ "{device}" ]; options = {{ password = "swordfish"; }}; }}; }};'
    with Cluster(directory, lease_ms=1000, more=more) as cluster:
        broken.touch()
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        until("a device that cannot be used is a warning", lambda: other.status()["fence"]["device"] == "unusable")
        expect("with what it said", any("login with *********" in warning for warning in other.status()["warnings"]))
        for node in cluster.nodes:
            (directory / f"{node.name}.pid").write_text(str(node.agent.pid), encoding="ascii")
        cluster.w.agent.kill()
        cluster.wire.drop(master.name, other.name)
        cluster.wire.drop(other.name, master.name)
        until("nobody is heard", lambda: other.status()["role"] == "suspect" and not heard(other, master))
        refused = other.ask("force-master", "--reason", "the rack burns", "--fence", seconds=60)
        expect(f"not without the device: {refused}", refused.returncode == 1 and "may still run" in refused.stderr)
        expect("nothing was done", other.status()["role"] == "suspect")
        broken.unlink()
        done = other.ask("force-master", "--reason", "the rack burns", "--fence", seconds=60)
        expect(f"done: {done}", done.returncode == 0)
        expect("the other one is off", (directory / f"{master.name}.power").exists())
        until("and its agent has ended", lambda: not master.agent.alive())
        cluster.wait_master(other)
        logs = "".join(node.log.read_text(encoding="utf-8") for node in cluster.nodes)
        expect("no secret is logged", "swordfish" not in logs and "is off by the fence device" in logs)


def test_an_order_to_an_agent_that_is_starting_is_carried_out(directory):
    """Its broker is waited for (L9) when the order comes; it is neither lost nor in the way of the next one."""
    with Cluster(directory, driver="library", **PATIENT) as cluster:
        cluster.start()
        node = cluster.b
        node.agent.kill()
        node.broker.pause()
        node.start()
        until("it answers, and does not take part yet", lambda: node.ask("freeze").returncode != 3, 10)
        status = node.status()
        expect(f"it is frozen, and tells by whom: {status['frozen_by']}", status["frozen"] and "uid 0" in (status["frozen_by"] or ""))
        done = node.ask("thaw")
        expect(f"and takes the next one: {done.stderr}", done.returncode == 0)
        node.broker.resume()
