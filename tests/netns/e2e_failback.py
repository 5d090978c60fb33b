# SPDX-License-Identifier: Apache-2.0
"""policy.failback = "auto": the preferred node gets the lead back, unless an operator froze the cluster."""

from e2e_events import lines
from testbed import Cluster, always, expect, short, until

AUTO = 'policy = { preferred = "b"; failback = "auto"; failback_after_ms = 500; };\n'


def leads(node):
    return node.status().get("role") == "master"


@short
def test_the_preferred_node_leads_again(directory):
    with Cluster(directory, more=AUTO) as cluster:
        cluster.start()
        cluster.wait_master(cluster.b)  # whoever won at the start
        cluster.b.agent.kill()
        cluster.wait_master(cluster.a)
        cluster.b.start()
        cluster.wait_master(cluster.b, 30)
        events = [event for event in lines(cluster.a, "events") if event["what"] == "failback"]
        expect(f"and it is told: {events}", [event["master"] for event in events][-1:] == ["b"])
        until("a follows", lambda: cluster.a.status().get("role") == "secondary")
        epoch = cluster.b.status()["epoch"]
        always("it stays there", lambda: leads(cluster.b) and cluster.b.status()["epoch"] == epoch, 2)


def test_frozen_it_stays_where_it_is(directory):
    with Cluster(directory, more=AUTO) as cluster:
        cluster.start()
        cluster.wait_master(cluster.b)
        cluster.b.agent.kill()
        cluster.wait_master(cluster.a)
        expect("frozen", cluster.a.ask("freeze").returncode == 0)
        cluster.b.start()
        cluster.wait_secondary(cluster.b)
        always("it stays", lambda: leads(cluster.a), 3)
        expect("thawed", cluster.a.ask("thaw").returncode == 0)
        cluster.wait_master(cluster.b, 30)


def test_held_down_it_stays_where_it_is(directory):
    with Cluster(directory, more=AUTO.replace("};", "hold_down_ms = 20000; };")) as cluster:
        cluster.start()
        cluster.wait_master(cluster.b)  # if a won at the start, b got the lead by an order: that is no failover
        cluster.b.agent.kill()
        cluster.wait_master(cluster.a)
        expect("one has", 0 < cluster.a.status()["held_down_ms"] <= 20000)
        expect("and it is a warning", any("policy.hold_down_ms" in text for text in cluster.a.status()["warnings"]))
        cluster.b.start()
        cluster.wait_secondary(cluster.b)
        always("no failback while it lasts", lambda: cluster.a.status()["held_down_ms"] is None or leads(cluster.a), 5)
        expect("an operator may", cluster.a.ask("switchover").returncode == 0)
        cluster.wait_master(cluster.b, 30)
