# SPDX-License-Identifier: Apache-2.0
"""The operator's programs: told of every event, run before a broker changes its role, and never in the way."""

import json

from e2e_events import lines
from testbed import VIRTUAL_IP, Cluster, expect, short, until

# Writes what it was told into a file of its own, named by its number, and whether the virtual IP was there then.
SCRIPT = """#!/bin/sh
number=$(mktemp {out}/$TANIST_NODE.{kind}.XXXXXX) || exit 1
held=no
ip address show dev eth0 | grep -q " {address}/" && held=yes
{{ env | grep ^TANIST_; echo HELD=$held; echo INPUT="$(cat)"; }} >$number.new
mv $number.new $number
{more}
"""


def hook(directory, kind, more=""):
    out = directory / "told"
    out.mkdir(exist_ok=True)
    path = directory / f"{kind}.sh"
    path.write_text(SCRIPT.format(out=out, kind=kind, address=VIRTUAL_IP, more=more), encoding="utf-8")
    path.chmod(0o755)
    return f'{kind} = [ "{path}" ];'


def told(directory, node, kind):
    """What the hook of this kind was told on this node, in the order in which it ended."""
    found = []
    for path in (directory / "told").glob(f"{node.name}.{kind}.*"):
        text = path.read_text(encoding="utf-8") if path.suffix != ".new" else ""
        if "INPUT=" in text:
            variables = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            found.append((path.stat().st_mtime_ns, variables))
    return [variables for _, variables in sorted(found, key=lambda one: one[0])]


def hooks(*parts):
    return "hooks = { " + " ".join(parts) + " };\n"


@short
def test_hooks_are_told(directory):
    more = hooks(hook(directory, "event"), hook(directory, "before_promote"), hook(directory, "before_demote"))
    with Cluster(directory, more=more) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        before = until("before it became master", lambda: told(directory, master, "before_promote"))[-1]
        every = [before["TANIST_" + name] for name in ("CLUSTER", "NODE", "PEER", "ROLE", "MASTER")]
        expect(f"what every hook gets: {before}", every == ["orders", master.name, other.name, "master", master.name])
        expect(f"since when: {before}", before["TANIST_SINCE"] <= before["TANIST_SINCE"][:4] + "-12-31T23:59:59.999Z")
        expect(f"why: {before}", "(L3)" in before["TANIST_REASON"])
        expect("the address was not there yet", before["HELD"] == "no")
        expect("nobody was demoted", told(directory, other, "before_demote") == [])
        cluster.switchover(master)
        cluster.wait_master(other)
        before = until("before it was demoted", lambda: told(directory, master, "before_demote"))[-1]
        expect(f"the address was gone already: {before}", before["HELD"] == "no" and "(L8)" in before["TANIST_REASON"])
        until("before the other became master", lambda: told(directory, other, "before_promote"))

        def all_told():
            events = [json.loads(one["INPUT"]) for one in told(directory, master, "event")]
            known = [event["serial"] for event in lines(master, "events")]
            return sorted(event["serial"] for event in events) == known
        until("each event, once", all_told, 30)
        one = told(directory, master, "event")[-1]
        event = json.loads(one["INPUT"])
        expect(f"in words: {one}", (one["TANIST_EVENT"], one["TANIST_WHAT"], one["TANIST_REASON"])
               == (event["event"], event["what"], event["sentence"]))


def test_hooks_are_never_in_the_way(directory):
    """One that hangs, one that fails and one that is not there: the change comes within a lease, and it is told."""
    more = hooks(hook(directory, "before_promote", "exec sleep 1000"), hook(directory, "before_demote", "exit 7"),
                 'event = [ "/no/such/program" ];')
    with Cluster(directory, more=more) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        expect("it was asked", told(directory, master, "before_promote"))
        until("it says so", lambda: any("hook" in text for text in master.status()["warnings"]))
        log = master.log.read_text(encoding="utf-8")
        expect("what was not done in time", "not done in time" in log and "before_promote" in log)
        expect("and what is not there", "/no/such/program" in log)
        cluster.switchover(master)
        cluster.wait_master(other)
        until("exit 7 is told", lambda: "exit 7" in master.log.read_text(encoding="utf-8"))
        cluster.wait_secondary(master)
        expect("a clean end", other.agent.stop(20) == 0)
        cluster.wait_master(master)
