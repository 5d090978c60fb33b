# SPDX-License-Identifier: Apache-2.0
"""`tanist explain` of running programs: for each node, may it lead now, and which rule says no."""

import json
import re

from testbed import Cluster, expect, short, until


def explain(member):
    """The nodes by their names, as this member explains them; {} while it does not answer."""
    done = member.ask("--json", "explain")
    if done.returncode != 0:
        return {}
    answer = json.loads(done.stdout)
    cluster = answer["clusters"][0] if member.name == "w" else answer
    expect(f"of this cluster, by this voter: {cluster}",
           (cluster["cluster"], cluster["node"]) == (member.cluster.name, member.name))
    return {node["name"]: node for node in cluster["nodes"]}


def why(member, node):
    return explain(member).get(node.name, {}).get("why", "")


@short
def test_all_three_explain(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        until("the witness promised to the master",
              lambda: re.fullmatch(rf"V2: w promised to {master.name} for another \d+ ms", why(cluster.w, other)))
        mine = explain(master)
        expect(f"the master leads: {mine}", mine[master.name]["leads"] and mine[master.name]["may_lead"])
        expect(f"the other may not: {mine}", not mine[other.name]["may_lead"] and mine[other.name]["rule"] == "V2")
        theirs = explain(other)[other.name]
        expect(f"with its figures: {theirs}", theirs["promised_to"] == master.name and 0 < theirs["wait_ms"] <= 1000)
        for member in cluster.members:
            done = member.ask("explain")
            expect(f"for people, too: {done.stdout}", done.returncode == 0 and "what would change it" in done.stdout
                   and f"{master.name} leads: L4" in done.stdout and f"{other.name} may not lead: " in done.stdout)
        other.agent.kill()
        until("not heard since so many seconds",
              lambda: re.fullmatch(rf"section 3: {other.name} is not heard since \d+ s", why(master, other)))


def test_a_check_that_is_down_is_named(directory):
    marker = directory / "down"
    check = f'health = ( {{ name = "port"; check = "exec"; command = [ "/usr/bin/test", "!", "-e", "{marker}" ]; ' \
            'every_ms = 50; timeout_ms = 2000; fall = 1; rise = 1; } );\n'
    with Cluster(directory, more=check) as cluster:
        master = cluster.start()
        marker.touch()

        def named():
            return [n for n in cluster.nodes if re.fullmatch(r"health: check port down since \d+ s: .+", why(n, n))]
        until("who does not lead names the check", named)
        until("the witness knows it of both", lambda: all(
            explain(cluster.w)[n.name]["leads"] or explain(cluster.w)[n.name]["reason"] == "unhealthy"
            for n in cluster.nodes))


@short
def test_nobody_left_to_vote(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.w.agent.kill()
        master.agent.kill()
        until("nobody is left to vote", lambda: explain(other).get(other.name, {}).get("reason") == "unheard", 15)
        expect("and it says who", re.match(r"section 3: \w+ is not heard since ", why(other, other)))
