# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL pair: who leads, what the record says, and that no acknowledged row is ever lost."""

import contextlib
import os
import signal

import postgres
from testbed import always, expect, until, verify

LEASE_MS = 1000


def needs_postgresql(test):
    """Marks a test that is skipped, with the reason, where PostgreSQL cannot be run."""
    def skipping(directory):
        obstacle = postgres.obstacle()
        if obstacle:
            print(f"SKIPPED: {obstacle}")
            return
        test(directory)
    skipping.__module__ = test.__module__
    return skipping


@contextlib.contextmanager
def protected(directory, **options):
    """A running pair in PAIR, written to through the virtual IP; in the end: no acknowledged row lost, never two."""
    with postgres.Postgres(directory, lease_ms=LEASE_MS, **options) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        with cluster.sql(master) as client:
            client.ask("CREATE TABLE queue (id bigserial PRIMARY KEY, n bigint UNIQUE)")
        cluster.wait_pair()
        log = directory / "acknowledged"
        writer = cluster.writer(log)
        writing(writer)
        yield cluster, writer, master, cluster.other(master)
        writing(writer)
        writer.finish()
        seen = observer.finish()
        expect(f"never two at once: {seen}", seen["both_us"] == 0)
        master = cluster.wait_master()
        cluster.wait_pair()
        for node in (master, cluster.other(master)):
            with cluster.sql(node) as client:
                wanted = verify.acknowledged(log)
                until(f"{node.name} has it all", lambda c=client: verify.compare(wanted, postgres.held(c)) == (0, 0, 0), 10)
        print(f"{len(wanted)} rows acknowledged, none lost at either node")


def writing(writer, count=30):
    """Waits for so many more acknowledgements."""
    before = writer.look()["acknowledged"]
    until("rows are acknowledged", lambda: writer.look()["acknowledged"] >= before + count, 40)


def phase(writer, name):
    """Ends a phase of the writer once it writes again; prints and returns what it was like."""
    writing(writer)
    gone = writer.mark(name)
    print(gone)
    return gone


def back_in_pair(cluster, master, other):
    status = cluster.wait_pair(60)
    expect("the same master", status["node"] == master.name)
    expect("the other follows", other.status()["role"] == "secondary")


def orphans(node):
    directory = node.state_directory / f"orders.{node.name}.orphans"
    return sorted(directory.glob("*")) if directory.exists() else []


@needs_postgresql
def test_switchover_both_ways(directory):
    with protected(directory) as (cluster, writer, master, other):
        for _ in range(2):
            before = master.status()["epoch"]
            cluster.wait_ready(master)
            writer.mark("switchover")
            cluster.switchover(master, ready=False)
            cluster.wait_master(other)
            phase(writer, "after")
            expect("the epoch rose", other.status()["epoch"] > before)
            back_in_pair(cluster, other, master)
            expect("nothing was cut off", not orphans(master))
            master, other = other, master


@needs_postgresql
def test_server_killed(directory):
    with protected(directory) as (cluster, writer, master, other):
        writer.mark("killed")
        cluster.kill(master)
        cluster.wait_master(other)
        phase(writer, "after")
        back_in_pair(cluster, other, master)


@needs_postgresql
def test_node_lost_and_back(directory):
    with protected(directory) as (cluster, writer, master, other):
        writer.mark("lost")
        cluster.lose(master)
        cluster.wait_master(other)
        phase(writer, "after")
        master.boot()
        master.start()
        back_in_pair(cluster, other, master)


@needs_postgresql
def test_link_between_the_nodes_cut(directory):
    with protected(directory) as (cluster, writer, master, other):
        before = master.status()["epoch"]
        cluster.cut(master, other)
        cluster.wait_mode("sole")
        writing(writer)
        expect("the same master and epoch", (cluster.master(), master.status()["epoch"]) == (master, before))
        cluster.mend(master, other)
        back_in_pair(cluster, master, other)


@needs_postgresql
def test_isolated_master_is_rewound(directory):
    """What it still takes behind its closed fence is acknowledged to nobody, kept in an orphan file, and rewound."""
    with protected(directory) as (cluster, writer, master, other):
        writer.mark("isolated")
        with cluster.sql(master) as local:
            cluster.isolate(master)
            local.send(b"Q", b"INSERT INTO queue (n) VALUES (-1)\0")
            cluster.wait_master(other)
            phase(writer, "after")
            cluster.wire.mend()
            with contextlib.suppress(Exception):
                local.answer()
                raise AssertionError("the stray row was acknowledged")
        back_in_pair(cluster, other, master)
        rows = cluster.ask(other, "SELECT count(*) FROM queue WHERE n = -1")
        expect("the stray row is nowhere", rows == [["0"]])
        expect("it is kept", len(orphans(master)) == 1)
        done = master.ask("-c", master.config, "orphans", "list", "--node", master.name)
        expect(f"and listed: {done.stdout}{done.stderr}", "entries" in done.stdout)


@needs_postgresql
def test_secondary_stalls(directory):
    with protected(directory) as (cluster, writer, master, other):
        pids = [cluster.pid(other)] + [int(p) for p in children(cluster.pid(other))]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        cluster.wait_mode("sole")
        writing(writer)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        back_in_pair(cluster, master, other)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return file.read().split()


@needs_postgresql
def test_held_until_a_master_is_known(directory):
    """L9: alone a server would be a writable master; it is kept read-only."""
    with protected(directory) as (cluster, writer, master, other):
        for member in cluster.members:
            member.agent.kill()
        master.start()

        def refuses():
            return cluster.ask(master, "SELECT pg_is_in_recovery()") == [["t"]]
        until("it is a standby", refuses, 30)
        always("it stays one", refuses, 2)
        for member in (cluster.w, other):
            member.start()
        cluster.wait_master(seconds=40)
        cluster.wait_pair(60)
