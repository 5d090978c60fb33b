# SPDX-License-Identifier: Apache-2.0
"""A real Redis pair: who leads, what the record says, and that no confirmed write is ever lost."""

import contextlib

from testbed import REDIS_PORT, Cluster, always, boottime_us, expect, resp, short, tcp_answers, until, verify

LEASE_MS = 1000


@contextlib.contextmanager
def protected(directory, make=Cluster, **options):
    """A running pair in PAIR, written to through the virtual IP; in the end: nothing confirmed is lost, never two."""
    with make(directory, driver="redis", lease_ms=LEASE_MS, **options) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        log = directory / "acknowledged"
        writer = cluster.write(log, "--wait")
        cluster.wait_pair()
        writing(writer)
        yield cluster, writer, master, cluster.other(master)
        writing(writer)
        writer.finish()
        seen = observer.finish()
        expect(f"never two at once: {seen}", seen["both_us"] == 0)
        with cluster.wait_master().client() as client:
            wanted, present = verify.acknowledged(log), verify.held(client, "orders")
        expect(f"of {len(wanted)}: lost, doubled, out of order", verify.compare(wanted, present) == (0, 0, 0))


def writing(writer, count=50):
    """Waits for so many more acknowledgements."""
    before = writer.look()["acknowledged"]
    until("writes are acknowledged", lambda: writer.look()["acknowledged"] >= before + count, 20)


def phase(writer, name):
    """Ends a phase of the writer once it writes again; prints and returns what it was like."""
    writing(writer)
    gone = writer.mark(name)
    print(gone)
    return gone


def number(node):
    return node.status()["epoch"]


def back_in_pair(cluster, master, other):
    status = cluster.wait_pair()
    expect("the same master", status["node"] == master.name)
    expect("the other follows", other.status()["role"] == "secondary")


@short
def test_switchover_both_ways(directory):
    with protected(directory) as (cluster, writer, master, other):
        for _ in range(2):
            before = number(master)
            cluster.wait_ready(master)
            writer.mark("switchover")
            cluster.switchover(master, ready=False)
            cluster.wait_master(other)
            gap = phase(writer, "after")["gap_us"]
            expect(f"a gap of {gap} us, not of a lease", gap < LEASE_MS * 1000 / 2)
            expect("the epoch rose", number(other) > before)
            back_in_pair(cluster, other, master)
            master, other = other, master


@short
def test_redis_killed(directory):
    with protected(directory) as (cluster, writer, master, other):
        writer.mark("killed")
        master.redis.kill()
        cluster.wait_master(other)
        gap = phase(writer, "after")["gap_us"]
        expect(f"a gap of {gap} us, not of a lease", gap < LEASE_MS * 1000 / 2)
        expect("who leads without the other says SOLE", other.status()["record"] ==
               dict(other.status()["record"], mode="sole", owner=other.name))
        until("the status says what is wrong", lambda: not master.status()["broker"]["healthy"])
        master.start_redis()
        back_in_pair(cluster, other, master)


@short
def test_node_lost_and_back(directory):
    with protected(directory) as (cluster, writer, master, other):
        writer.mark("lost")
        master.lose()
        cluster.wait_master(other)
        gap = phase(writer, "after")["gap_us"]
        expect(f"a gap of {gap} us", gap < 3 * LEASE_MS * 1000)
        master.boot()
        master.start_redis()
        master.start()
        back_in_pair(cluster, other, master)


def test_agent_stopped(directory):
    with protected(directory) as (cluster, writer, master, other):
        writer.mark("stopped")
        master.agent.pause()
        cluster.wait_master(other)
        phase(writer, "after")
        master.agent.resume()
        back_in_pair(cluster, other, master)


def test_agent_killed(directory):
    with protected(directory) as (cluster, writer, master, other):
        writer.mark("killed")
        master.agent.kill()
        cluster.wait_master(other)
        phase(writer, "after")
        expect("its fence keeps clients from the old master's own address",
               not tcp_answers(cluster.client(), master.address, REDIS_PORT))
        master.start()
        back_in_pair(cluster, other, master)


@short
def test_link_between_the_nodes_cut(directory):
    with protected(directory) as (cluster, writer, master, other):
        before = number(master)
        cluster.cut(master, other)
        cluster.wait_mode("sole")
        writing(writer)
        expect("the same master and epoch", (cluster.master(), number(master)) == (master, before))
        cluster.mend(master, other)
        back_in_pair(cluster, master, other)
        expect("the same epoch", number(master) == before)


def test_secondary_stalls(directory):
    with protected(directory) as (cluster, writer, master, other):
        other.redis.pause()
        cluster.wait_mode("sole")
        writing(writer)
        other.redis.resume()
        back_in_pair(cluster, master, other)


def test_sole_keeps_the_other_from_leading(directory):
    """S4: what the master acknowledged alone, the other lacks; so it must wait, not lead."""
    with protected(directory) as (cluster, writer, master, other):
        other.redis.kill()
        cluster.wait_mode("sole")
        writing(writer)
        master.lose()
        other.start_redis()
        always("the excluded node does not lead", lambda: other.status().get("role") != "master", 4)
        master.boot()
        master.start_redis()
        master.start()
        cluster.wait_master(master)
        back_in_pair(cluster, master, other)


def test_sole_owner_outlives_both_others(directory):
    """S5: nobody else can be elected, so no lease is needed."""
    with protected(directory) as (cluster, writer, master, other):
        other.lose()
        cluster.wait_mode("sole")
        cluster.w.agent.kill()
        before = number(master)
        always("it serves alone", lambda: cluster.master() is master and number(master) == before, 4)
        writing(writer)
        cluster.w.start()
        other.boot()
        other.start_redis()
        other.start()
        back_in_pair(cluster, master, other)


def test_all_restarted_with_their_data(directory):
    with protected(directory) as (cluster, writer, _, _):
        for member in cluster.members:
            member.agent.kill()
        for member in cluster.members:
            member.start()
        cluster.wait_master()
        cluster.wait_pair()


def test_loss_of_a_third_between_the_nodes(directory):
    with protected(directory) as (cluster, writer, master, other):
        before = number(master)
        cluster.cut(master, other, percent=30)
        always("no failover", lambda: (cluster.master(), number(master)) == (master, before), 8)
        cluster.mend(master, other)
        back_in_pair(cluster, master, other)


def test_lone_redis_is_read_only(directory):
    """L9: until a master is known a Redis takes no writes, though alone it would be a writable master."""
    with protected(directory) as (cluster, writer, master, other):
        for member in cluster.members:
            member.agent.kill()
        other.start()
        until("it runs", other.status)

        def refuses():
            try:
                with other.client() as client:
                    client.ask("SET", "stray", 1)
                return False
            except resp.Refused as refusal:
                return "READONLY" in str(refusal)
        until("it refuses writes", refuses)
        always("it refuses writes", refuses, 2)
        for member in (cluster.w, master):
            member.start()
        cluster.wait_master()
        cluster.wait_pair()


def test_switchover_is_refused_without_a_fit_other(directory):
    with protected(directory) as (cluster, writer, master, other):
        other.redis.kill()
        cluster.wait_mode("sole")
        done = master.ask("switchover", seconds=30)
        expect(f"refused with a reason: {done}", done.returncode == 4 and done.stderr.strip())
        writer.mark("refused")
        gap = phase(writer, "after")["gap_us"]
        expect(f"nobody noticed: {gap} us", gap < 300000)
        other.start_redis()
        back_in_pair(cluster, master, other)


@short
def test_short_lease(directory):
    """lease 300 ms, beat 30 ms: quicker, and no less safe."""
    with Cluster(directory, driver="redis", lease_ms=300, beat_ms=30) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        cluster.wait_pair()
        other = cluster.other(master)
        observer.mark("lost")
        gone = boottime_us()
        master.lose()
        cluster.wait_master(other)
        until("the observer has its first answer", lambda: observer.look()[other.name]["first_us"])
        seen = observer.finish()
        came_ms = (seen[other.name]["first_us"] - gone) / 1000
        print(f"{other.name} answered after {came_ms} ms")
        expect(f"never two at once: {seen}", seen["both_us"] == 0)
        expect(f"taken over: {came_ms} ms", 0 < came_ms < 1500)
