# SPDX-License-Identifier: Apache-2.0
"""L10: an agent that dies and is started again within its lease goes on, and nobody outside sees anything of it."""

import signal
import time

from e2e_broker import Traffic
from testbed import Cluster, always, boottime_us, expect, short, until, verify

LEASE_MS = 5000  # a loaded machine has the time to start an agent within it
GAP_US = 1500000  # far below it: the agent's absence is no gap


def crash(master):
    master.agent.kill()


def leave(master):
    master.agent.signal(signal.SIGUSR1)
    expect("it leaves at once, with 0", master.agent.wait(LEASE_MS / 1000) == 0)


def told(node, sentence):
    return node.log.read_text(encoding="utf-8").count(sentence)


def resumed(cluster, master, how):
    """Ends the master's agent so, starts it again, and waits until it serves: still the same reign."""
    before, count = master.status(), told(master, "goes on with the reign")
    address = master.space.ip("-4", "-o", "address", "show", "dev", "eth0").split()[3::]
    how(master)
    expect("the address stays", master.holds_virtual_ip())
    master.start()
    until(f"{master.name} goes on", lambda: told(master, "goes on with the reign") > count, LEASE_MS / 1000)
    cluster.wait_master(master)
    status = master.status()
    expect(f"the same reign: {before['reign']}, {status['reign']}", status["reign"] == before["reign"])
    expect("the same epoch", status["epoch"] == before["epoch"])
    expect(f"the address was never away: {address}", master.holds_virtual_ip())
    other = cluster.other(master).status()
    expect(f"the other follows still: {other['role']}", other["role"] == "secondary")
    always("and it leads on", lambda: master.status().get("lease", {}).get("valid"), 2)
    expect("in that reign", master.status()["epoch"] == before["epoch"])


@short
def test_crash_and_restart_under_a_writer(directory):
    with Cluster(directory, driver="redis", lease_ms=LEASE_MS) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        log = directory / "acknowledged"
        writer = cluster.write(log, "--wait")
        cluster.wait_pair()
        until("it writes", lambda: writer.look()["acknowledged"] > 50, 20)

        def facts():
            with master.client() as client:
                server, replication = client.ask("INFO", "server"), client.ask("INFO", "replication")
            words = dict(line.split(":", 1) for line in (server + replication).split("\r\n") if ":" in line)
            return [words[key] for key in ("run_id", "role", "master_replid", "connected_slaves")]

        before = facts()
        for how in (crash, leave):
            print("before", writer.mark("gone"))
            resumed(cluster, master, how)
            acknowledged = writer.look()["acknowledged"]
            until("it writes on", lambda n=acknowledged: writer.look()["acknowledged"] > n + 50, 20)
            gone = writer.mark("back")
            print(how.__name__, gone)
            expect(f"no gap: {gone}", gone["gap_us"] < GAP_US)
            expect(f"the broker was not touched: {before}", facts() == before)
            expect("PAIR still", cluster.wait_pair()["node"] == master.name)
        writer.finish()
        seen = observer.finish()
        expect(f"one answered all the time: {seen}", seen["both_us"] == 0)
        with master.client() as client:
            wanted, present = verify.acknowledged(log), verify.held(client, "orders")
        expect("lost, doubled, out of order", verify.compare(wanted, present) == (0, 0, 0))


def test_a_broker_of_its_own_and_its_traffic(directory):
    with Cluster(directory, driver="library", lease_ms=LEASE_MS) as cluster:
        master = cluster.start()
        cluster.wait_pair()
        traffic = Traffic(cluster, 1000000)
        traffic.wait_acked(500)
        for how in (crash, leave):
            resumed(cluster, master, how)
            traffic.wait_acked(traffic.acked() + 500)
        expect("its broker ran on", master.broker.alive())
        expect("all is delivered once, in order", traffic.end() > 1500)


def test_broker_that_died_meanwhile_leads_no_more_in_this_epoch(directory):
    with Cluster(directory, driver="redis", lease_ms=LEASE_MS) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_pair()
        epoch = master.status()["epoch"]
        crash(master)
        master.redis.kill()
        master.start_redis()
        master.start()
        until("the agent goes on", lambda: told(master, "goes on with the reign"), LEASE_MS / 1000)
        until("another epoch", lambda: any(n.status().get("reign", 0) > epoch and n.status()["lease"]["valid"]
                                           for n in (master, other)), 30)
        cluster.wait_pair()


def test_after_the_lease_it_is_secondary(directory):
    with Cluster(directory, lease_ms=1000) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        crash(master)
        cluster.wait_master(other)
        master.start()
        cluster.wait_secondary(master)
        expect("not by what was kept", told(master, "goes on with the reign") == 0)
        expect("the leftover address is gone", not master.holds_virtual_ip())


def test_what_was_kept_and_does_not_fit_is_not_taken_up(directory):
    with Cluster(directory, lease_ms=LEASE_MS) as cluster:
        master = cluster.start()
        cluster.wait_secondary(cluster.other(master))
        kept = master.run_directory / f"{cluster.name}.{master.name}.reign"
        expect("nobody else may write there", kept.stat().st_mode & 0o777 == 0o600)
        crash(master)
        data = bytearray(kept.read_bytes())
        for at in range(200, len(data)):
            data[at] ^= 0xff if at % 100 == 0 else 0
        kept.write_bytes(data)
        master.start()
        until("it answers", master.status, 20)
        expect("it starts as ever", told(master, "goes on with the reign") == 0)
        cluster.wait_master()


def test_second_agent_harms_nobody(directory):
    with Cluster(directory, lease_ms=1000) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        cluster.wait_secondary(cluster.other(master))
        first, epoch = master.agent, master.status()["epoch"]
        observer.mark("second")
        began = boottime_us()
        master.start()
        expect("the second one ends", master.agent.wait() == 1)
        master.agent = first
        always("the first leads on", lambda: master.status()["epoch"] == epoch and cluster.serving(master), 2)
        seen = observer.finish()
        expect(f"and answers: {seen}", seen[master.name]["last_us"] > began + 1500000 and seen["both_us"] == 0)


def test_own_stall_is_told_with_its_cause(directory):
    with Cluster(directory, lease_ms=LEASE_MS) as cluster:
        other = cluster.other(cluster.start())
        cluster.wait_secondary(other)
        before = other.status()["process"]["stalls"]
        other.agent.pause()
        time.sleep(0.5)  # the length of the stall
        other.agent.resume()
        until("it says so", lambda: "stopped (SIGSTOP)" in other.log.read_text(encoding="utf-8"))
        process = other.status()["process"]
        expect(f"counted: {process}", process["stalls"] > before and process["longest_stall_ms"] >= 400)
        expect("why it is not real-time is said", process["realtime"] or any("real-time" in n for n in process["notes"]))
