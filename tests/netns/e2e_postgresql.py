# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL pair: who leads, what the record says, and that no acknowledged row is ever lost."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import postgres
from testbed import always, expect, until, verify

LEASE_MS = 1000
FAULTS_SECONDS = 60


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
    until("the other follows", lambda: other.status().get("role") == "secondary" and cluster.paired(), 60)


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


HALFWAY = """#!/bin/sh
# Once: does what pg_rewind does first, takes away what the other server does not have, and a file that is to come anew.
if mkdir "{folder}" 2>/dev/null; then
  rm -f "{data}"/tanist.*
  mv "{data}/postgresql.conf" "{folder}"
  echo $$ > "{folder}/pid.new" && mv "{folder}/pid.new" "{folder}/pid"
  exec sleep 120
fi
[ ! -e "{folder}/postgresql.conf" ] || mv "{folder}/postgresql.conf" "{data}"
exec "{program}.real" "$@"
"""


@needs_postgresql
def test_rewind_is_gone_on_with_after_a_crash(directory):
    """No server is started on data that are rewound by halves, though pg_rewind takes away what it finds too much."""
    with protected(directory) as (cluster, writer, master, other):
        folder, program = directory / "halfway", cluster.programs / "pg_rewind"
        program.rename(f"{program}.real")
        program.write_text(HALFWAY.format(folder=folder, data=cluster.data(master), program=program), encoding="ascii")
        program.chmod(0o755)
        with cluster.sql(master) as local:
            cluster.isolate(master)
            local.send(b"Q", b"INSERT INTO queue (n) VALUES (-1)\0")
            cluster.wait_master(other)
            writing(writer)
            cluster.wire.mend()
            until("it is being rewound", (folder / "pid").exists, 60)
        master.agent.kill()
        os.kill(int((folder / "pid").read_text(encoding="ascii")), signal.SIGKILL)
        master.start()
        back_in_pair(cluster, other, master)
        expect("the stray row is nowhere", cluster.ask(other, "SELECT count(*) FROM queue WHERE n = -1") == [["0"]])


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
def test_agent_restarted_within_the_lease(directory):
    """L10: neither the server nor a client's connection notices."""
    with protected(directory) as (cluster, writer, master, other):
        pid, start = cluster.pid(master), "SELECT pg_postmaster_start_time(), pg_backend_pid()"
        with cluster.sql(master) as client:
            before = client.ask(start)
            master.agent.signal(signal.SIGUSR1)
            master.agent.wait()
            master.start()
            cluster.wait_master(master)
            writing(writer)
            expect("the same server, and the same connection", (cluster.pid(master), client.ask(start)) == (pid, before))
        back_in_pair(cluster, master, other)


@needs_postgresql
def test_secondary_is_adopted_as_it_is(directory):
    """A server that an agent has started stays, under the next agent; one that somebody else has started does not."""
    with protected(directory) as (cluster, writer, master, other):
        pid = cluster.pid(other)
        other.agent.kill()
        other.start()
        back_in_pair(cluster, master, other)
        expect("the same server", cluster.pid(other) == pid)
        other.agent.kill()
        cluster.kill(other)
        cluster.start_by_hand(other)
        pid = cluster.pid(other)
        other.start()
        back_in_pair(cluster, master, other)
        expect("another server", cluster.pid(other) != pid)


@needs_postgresql
def test_run_as_a_master_by_somebody_else(directory):
    """It wrote on a timeline that is the master's: no history shows that, so it is not followed with."""
    with protected(directory) as (cluster, writer, master, other):
        cluster.wait_ready(master)
        cluster.switchover(master, ready=False)
        master, other = cluster.wait_master(other), master  # that one has been a master by right
        back_in_pair(cluster, master, other)
        other.agent.kill()
        cluster.kill(other)
        (cluster.data(other) / "standby.signal").unlink()
        cluster.start_by_hand(other)
        expect("it is a master of its own", cluster.ask(other, "SELECT pg_is_in_recovery()") == [["f"]])
        other.start()
        until("status says so", lambda: any("by somebody else" in warning for warning in warnings(other)), 30)
        expect("it takes no writes", cluster.ask(other, "SELECT pg_is_in_recovery()") in (None, [["t"]]))
        make_anew(cluster, master, other)
        back_in_pair(cluster, master, other)


def make_anew(cluster, master, other):
    """As status says, with the agent stopped."""
    other.agent.kill()
    if cluster.pid(other):
        cluster.kill(other)
    shutil.rmtree(cluster.data(other))
    subprocess.run([cluster.programs / "pg_basebackup", "-h", master.address, "-U", "postgres", "-D", cluster.data(other)],
                   check=True, preexec_fn=other.space.enter)
    other.start()


@needs_postgresql
def test_another_database_is_refused(directory):
    """A server whose data are of another origin is left alone, and status says what to do."""
    with protected(directory) as (cluster, writer, master, other):
        other.agent.kill()
        cluster.kill(other)
        shutil.move(cluster.data(other), directory / "kept")
        postgres.make_database(cluster.programs, cluster.data(other))
        other.start()
        until("status says so", lambda: any("another database" in warning and "pg_basebackup" in warning
                                            for warning in warnings(other)), 30)
        always("it is not made a secondary", lambda: not master.status()["broker"]["in_sync"], 2)
        make_anew(cluster, master, other)
        back_in_pair(cluster, master, other)


def warnings(node):
    status = node.status()
    return [str(text) for text in status.get("warnings", [])] + [str(status.get("broker", {}).get("note", ""))]


@needs_postgresql
def test_full_disk(directory):
    """Who has no room for its log must not lead; with room it may again."""
    with protected(directory) as (cluster, writer, master, other):
        ballast = cluster.data(other).parent / "ballast"
        room = os.statvfs(ballast.parent)
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - (20 << 20))
        until("status says so", lambda: any("full" in warning for warning in warnings(other)), 30)
        until("it is not fit", lambda: not other.status()["broker"]["healthy"], 30)
        until("it is not handed over to", lambda: master.ask("switchover", "--dry-run").returncode == 4, 30)
        ballast.unlink()
        until("it is fit", lambda: other.status()["broker"]["healthy"], 30)
        back_in_pair(cluster, master, other)


@needs_postgresql
def test_password_from_a_file(directory):
    """The agents, replication and pg_rewind log in with it, and it is nowhere to be read."""
    secret = directory / "password"
    secret.write_text("n:o\\t told'\n", encoding="ascii")
    secret.chmod(0o600)
    with postgres.Postgres(directory, lease_ms=LEASE_MS, password=secret) as cluster:
        master = cluster.start()
        cluster.wait_pair()
        with cluster.sql(master) as client:
            client.ask("CREATE TABLE queue (id bigserial PRIMARY KEY, n bigint)")
            cluster.isolate(master)
            client.send(b"Q", b"INSERT INTO queue (n) VALUES (-1)\0")
            other = cluster.other(master)
            cluster.wait_master(other, 40)
            cluster.wire.mend()
            with contextlib.suppress(OSError, postgres.pgwire.Refused):
                client.answer()
        back_in_pair(cluster, other, master)
        expect("it was rewound", len(orphans(master)) == 1)
        told = [path for path in directory.glob("**/*.log") if "told'" in path.read_text(errors="replace")]
        expect(f"the password is in {told}", not told)


@needs_postgresql
def test_faults_at_random(directory):
    """What is acknowledged stays, whatever comes in a row."""
    seed = int(os.environ.get("SEED", "0")) or time.time_ns() % 100000
    print(f"SEED={seed}")
    draw = random.Random(seed)
    with protected(directory) as (cluster, writer, _, _):
        end = time.monotonic() + FAULTS_SECONDS
        while time.monotonic() < end:
            master = cluster.wait_master(seconds=60)
            fault = draw.choice((fault_kill, fault_kill_secondary, fault_cut, fault_isolate, fault_switchover,
                                 fault_agent_killed, fault_stop_server))
            print(fault.__name__, "at", master.name, flush=True)
            fault(cluster, master, cluster.other(master), draw)
            cluster.wire.mend()
            cluster.wait_master(seconds=60)
            writing(writer, 5)
            if draw.random() < 0.7:
                cluster.wait_pair(90)


def fault_kill(cluster, master, other, draw):
    cluster.kill(master)
    time.sleep(draw.random())


def fault_kill_secondary(cluster, master, other, draw):
    with contextlib.suppress(OSError, TypeError):
        cluster.kill(other)
    time.sleep(draw.random())


def fault_cut(cluster, master, other, draw):
    cluster.cut(master, other)
    time.sleep(2 * draw.random())


def fault_isolate(cluster, master, other, draw):
    cluster.isolate(master)
    time.sleep(3 * draw.random())


def fault_switchover(cluster, master, other, draw):
    master.ask("switchover", seconds=30)


def fault_agent_killed(cluster, master, other, draw):
    node = draw.choice((master, other))
    node.agent.kill()
    time.sleep(2 * draw.random())
    node.start()


def fault_stop_server(cluster, master, other, draw):
    pid = cluster.pid(draw.choice((master, other)))
    pids = [pid] + [int(child) for child in children(pid)] if pid else []
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for each in pids:
            with contextlib.suppress(OSError):
                os.kill(each, number)
        time.sleep(2 * draw.random() if number == signal.SIGSTOP else 0)


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
