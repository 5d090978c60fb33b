# SPDX-License-Identifier: Apache-2.0
"""A pair without a broker: who is master, and who answers on the virtual IP, whatever is done to the voters."""

import contextlib
import shutil

from testbed import Cluster, Failed, always, boottime_us, expect, fence, short, until

LEASE_MS = 1000
FENCE_SLACK_US = 5000  # a reply is timed by its arrival at the observer


@contextlib.contextmanager
def watched(directory, **options):
    """A running cluster with observers from before its first packet; in the end: never two who answered at once."""
    with Cluster(directory, lease_ms=LEASE_MS, **options) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        cluster.wait_secondary(cluster.other(master))
        yield cluster, observer, master, cluster.other(master)
        seen = observer.finish()
        expect(f"never two at once: {seen}", seen["both_us"] == 0)


def epoch(node):
    return node.status()["epoch"]


def undisturbed(cluster, node, number, seconds):
    """For so long this node stays master in this epoch, and the other is none."""
    def same():
        status, other = node.status(), cluster.other(node).status()
        return status.get("role") == "master" and status["epoch"] == number and other.get("role") != "master"
    always(f"{node.name} stays master in epoch {number}", same, seconds)


def taken_over(observer, old, new, event_us):
    """After an event at event_us: when the old holder answered last and the new one first, in ms after it."""
    seen = until(f"{new.name} answers", lambda: (lambda s: s[new.name]["first_us"] and s)(observer.look()), 20)
    last = seen[old.name]["last_us"]
    gone_ms = (last - event_us) / 1000 if last else 0.0
    came_ms = (seen[new.name]["first_us"] - event_us) / 1000
    print(f"{old.name} answered for {gone_ms:.1f} ms, {new.name} after {came_ms:.1f} ms: {seen}")
    expect(f"never two at once: {seen}", seen["both_us"] == 0)
    expect(f"{old.name} was silent before {new.name} spoke", last < seen[new.name]["first_us"])
    return gone_ms, came_ms


def lease_kept(observer, old, new, event_us):
    """The old master, out of its agent's or its peers' reach, answered for its lease, and then the new one did."""
    gone_ms, came_ms = taken_over(observer, old, new, event_us)
    expect(f"silent at the lease's end: {gone_ms} ms", gone_ms * 1000 <= LEASE_MS * 1000 + FENCE_SLACK_US)
    expect(f"taken over in reasonable time: {came_ms} ms", came_ms < 3 * LEASE_MS)


@short
def test_start(directory):
    with watched(directory) as (cluster, observer, master, other):
        status = master.status()
        words = {key: status[key] for key in ("cluster", "node", "master", "role", "frozen")}
        expect(f"the schema's words: {words}",
               list(words.values()) == ["orders", master.name, master.name, "master", False])
        expect(f"epoch {status['epoch']} is {master.name}'s", status["epoch"] % 2 == (master is cluster.b))
        expect("the lease runs", status["lease"]["valid"] and 0 < status["lease"]["remaining_ms"] <= LEASE_MS)
        expect("the fence is armed", status["fence"]["kernel"] == "armed")
        expect("without a broker the record is PAIR", status["record"]["mode"] == "pair")
        until("both others are heard", lambda: all(v["reachable"] for v in master.status()["voters"]))
        expect("the other follows", (other.status()["role"], other.status()["master"]) == ("secondary", master.name))
        expect("only the master has the address", master.holds_virtual_ip() and not other.holds_virtual_ip())
        undisturbed(cluster, master, status["epoch"], 3)
        seen = observer.mark("over")
        expect(f"the master alone answered: {seen}", seen[master.name]["icmp"] > 1000 and seen[other.name]["arp"] == 0)


@short
def test_switchover(directory):
    with watched(directory) as (cluster, observer, master, other):
        before = epoch(master)
        refused = other.ask("switchover")
        expect(f"refused at the secondary: {refused}", refused.returncode == 4 and master.name in refused.stderr)
        cluster.wait_ready(master)
        observer.mark("switchover")
        began = boottime_us()
        cluster.switchover(master, ready=False)
        gone_ms, came_ms = taken_over(observer, master, other, began)
        expect("handed over, not waited for the lease", came_ms - gone_ms < LEASE_MS / 2)
        cluster.wait_master(other)
        cluster.wait_secondary(master)
        expect("the epoch rose", epoch(other) > before)
        undisturbed(cluster, other, epoch(other), 3)


@short
@fence
def test_node_lost_and_back(directory):
    with watched(directory) as (cluster, observer, master, other):
        before = epoch(master)
        observer.mark("lost")
        gone = master.lose()
        lease_kept(observer, master, other, gone)
        cluster.wait_master(other)
        expect("the epoch rose", epoch(other) > before)
        master.boot()
        master.start()
        cluster.wait_secondary(master)
        undisturbed(cluster, other, epoch(other), 2)


@short
@fence
def test_agent_killed(directory):
    with watched(directory) as (cluster, observer, master, other):
        observer.mark("killed")
        killed = boottime_us()
        master.agent.kill()
        lease_kept(observer, master, other, killed)
        cluster.wait_master(other)
        master.start()
        cluster.wait_secondary(master)
        expect("the leftover address is gone", not master.holds_virtual_ip())
        undisturbed(cluster, other, epoch(other), 2)


@short
@fence
def test_agent_stopped_and_continued(directory):
    with watched(directory) as (cluster, observer, master, other):
        observer.mark("stopped")
        stopped = master.agent.pause()
        lease_kept(observer, master, other, stopped)
        cluster.wait_master(other)
        observer.mark("continued")
        master.agent.resume()
        cluster.wait_secondary(master)
        until("the address is gone", lambda: not master.holds_virtual_ip())
        undisturbed(cluster, other, epoch(other), 2)
        seen = observer.mark("over")
        expect(f"who comes back answers nothing: {seen}", seen[master.name]["last_us"] == 0)


def test_agent_ends_cleanly(directory):
    with watched(directory) as (cluster, observer, master, other):
        observer.mark("sigterm")
        began = boottime_us()
        expect("a clean end", master.agent.stop() == 0)
        gone_ms, came_ms = taken_over(observer, master, other, began)
        expect("it handed over", came_ms - gone_ms < LEASE_MS / 2)
        expect("no address is left", not master.holds_virtual_ip())
        cluster.wait_master(other)


def test_link_between_the_nodes_cut(directory):
    with watched(directory) as (cluster, observer, master, other):
        number = epoch(master)
        cluster.cut(master, other)
        undisturbed(cluster, master, number, 5)
        cluster.mend(master, other)
        cluster.wait_secondary(other)
        undisturbed(cluster, master, number, 2)
        seen = observer.mark("over")
        expect(f"the other never answered: {seen}", seen[other.name]["last_us"] == 0)


def test_one_way_cuts(directory):
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)
        for source, target in ((master, other), (other, master), (cluster.w, master), (master, cluster.w),
                               (cluster.w, other), (other, cluster.w)):
            cluster.wire.drop(source.name, target.name)
            undisturbed(cluster, master, number, 2)
            cluster.wire.mend()
            cluster.wait_secondary(other)


def test_secondary_cut_off(directory):
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)
        cluster.isolate(other)
        undisturbed(cluster, master, number, 4)
        expect("it comes back with the epoch it left with", epoch(other) == number)
        cluster.wire.mend()
        cluster.wait_secondary(other)
        undisturbed(cluster, master, number, 2)


@short
@fence
def test_master_cut_off_from_both(directory):
    with watched(directory) as (cluster, observer, master, other):
        observer.mark("cut")
        cut = boottime_us()
        cluster.cut(master, other)
        cluster.cut(master, cluster.w)
        done = boottime_us()  # two rules one after the other: its last grant may be as late as this
        gone_ms, _ = taken_over(observer, master, other, cut)
        expect("silent at the lease's end", gone_ms * 1000 <= LEASE_MS * 1000 + (done - cut) + FENCE_SLACK_US)
        cluster.wait_master(other)
        number = epoch(other)
        cluster.wire.mend()
        cluster.wait_secondary(master)
        undisturbed(cluster, other, number, 3)


def test_loss_of_a_third_between_the_nodes(directory):
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)
        cluster.cut(master, other, percent=30)
        undisturbed(cluster, master, number, 10)


@short
def test_witness_restarted_while_it_holds_a_promise(directory):
    """Its promise is forgotten; the silence (V4) keeps it nevertheless."""
    with watched(directory) as (cluster, observer, master, other):
        cluster.cut(master, other)
        undisturbed(cluster, master, epoch(master), 1)
        observer.mark("restarted")
        cut = boottime_us()
        cluster.w.agent.kill()
        cluster.cut(master, cluster.w)
        cluster.w.start()
        lease_kept(observer, master, other, cut)
        cluster.wait_master(other)


def test_witness_lost_and_back(directory):
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)
        cluster.w.agent.kill()
        undisturbed(cluster, master, number, 3)
        cluster.w.start()
        until("the witness is heard again", lambda: all(v["reachable"] for v in master.status()["voters"]))
        undisturbed(cluster, master, number, 1)
        master.agent.kill()
        cluster.wait_master(other)


@short
def test_all_three_restarted(directory):
    with watched(directory) as (cluster, observer, master, _):
        before = epoch(master)
        observer.mark("all")
        for member in cluster.members:
            member.agent.kill()
        for member in cluster.members:
            member.start()
        master = cluster.wait_master()
        expect("a new reign has a new epoch, and who was back within its lease goes on (L10)", epoch(master) >= before)
        undisturbed(cluster, master, epoch(master), 2)


def test_both_nodes_started_at_the_same_instant(directory):
    with watched(directory) as (cluster, observer, _, _):
        for again in range(4):
            for node in cluster.nodes:
                node.agent.kill()
            observer.mark(f"start-{again}")
            for node in cluster.nodes:
                node.start()
            master = cluster.wait_master()
            cluster.wait_secondary(cluster.other(master))
            undisturbed(cluster, master, epoch(master), 1)
            seen = observer.mark("over")
            expect(f"never two at once: {seen}", seen["both_us"] == 0)


def test_secondary_started_again(directory):
    """A node that starts again beside a working master does not disturb it."""
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)
        for _ in range(3):
            other.agent.kill()
            other.start()
            cluster.wait_secondary(other)
            undisturbed(cluster, master, number, 1)


def stranger(cluster, node, change):
    """Starts this node's agent again as somebody whom the others do not know: `change` edits its machine first."""
    node.agent.kill()
    change()
    node.start()
    until("it runs", node.status)


@short
def test_wrong_key(directory):
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)

        def new_key():
            (other.home / "keys" / f"{cluster.name}.{other.name}.key").unlink()
            cluster.keys[other.name] = cluster.keygen(other)
            other.config.write_text(cluster.configuration(other), encoding="utf-8")
        stranger(cluster, other, new_key)
        undisturbed(cluster, master, number, 3)
        voters = {voter["name"]: voter["reachable"] for voter in master.status()["voters"]}
        expect(f"the stranger is not heard: {voters}", voters == {other.name: False, "w": True})
        master.agent.kill()
        always("nobody votes for a stranger", lambda: other.status().get("role") != "master", 3)


def test_wrong_cluster(directory):
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)

        def rename():
            keys = other.home / "keys"
            shutil.copy(keys / f"orders.{other.name}.key", keys / f"others.{other.name}.key")
            text = other.config.read_text(encoding="utf-8").replace('cluster = "orders"', 'cluster = "others"')
            other.config.write_text(text, encoding="utf-8")
            shutil.rmtree(other.state_directory)
            other.state_directory.mkdir()
            cluster.name = "others"  # for the socket's name
        with contextlib.suppress(Failed):
            stranger(cluster, other, rename)
        expect("it runs", other.status().get("cluster") == "others")
        cluster.name = "orders"
        until("it is not heard", lambda: not {v["name"]: v for v in master.status()["voters"]}[other.name]["reachable"])

        def same():
            status = master.status()
            return status.get("role") == "master" and status["epoch"] == number
        always("the master is not disturbed", same, 3)
        expect("the stranger is nobody", not other.holds_virtual_ip())
