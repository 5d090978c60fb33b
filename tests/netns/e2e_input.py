# SPDX-License-Identifier: Apache-2.0
"""Bad input: what is wrong is said with its place and with what would mend it, and nothing is guessed at."""

import os
import re
import resource
import subprocess

from e2e_agent import epoch, undisturbed, watched
from testbed import BUILD, Cluster, always, expect, short, until

# A change to the good configuration, and words that its refusal must have.
MISTAKES = (
    ("lease_ms = 1000", "leese_ms = 1000", "leese_ms"),
    ("lease_ms = 1000", "lease_ms = -5", "lease_ms"),
    ("lease_ms = 1000", "lease_ms = 99999999", "lease_ms"),
    ("lease_ms = 1000", 'lease_ms = "soon"', "lease_ms"),
    ("beat_ms = 100", "beat_ms = 900", "beat_ms"),
    ('driver = "none"', 'driver = "rabbit"', "driver"),
    ('driver = "none"', 'driver = "redis"; replication = "perhaps"', "replication"),
    ("10.0.0.1:7400", "10.0.0.1", "address"),
    ("10.0.0.1:7400", "10.0.0.300:7400", "10.0.0.300"),
    ("10.0.0.1:7400", "10.0.0.1:99999", "99999"),
    ("10.0.0.100/24", "10.0.0.100/64", "10.0.0.100/64"),
    ('interface = "eth0"', 'interface = "a-name-that-no-interface-can-have"', "interface"),
    ('name = "b"', 'name = "a"', '"a"'),
    ('cluster = "orders";', "", "cluster"),
    ('cluster = "orders";', 'cluster = "../orders";', "cluster"),
    ("timing = {", "timing = [", "syntax"),
    ("public_key = \"", "public_key = \"!", "public_key"),
    ("timing = {", "fence = { agent = { required = true; }; };\ntiming = {", "required"),
)


def check(config, program="tanist-agent"):
    return subprocess.run([BUILD / program, "--check", "-c", config], capture_output=True, text=True, check=False,
                          timeout=20)


@short
def test_configuration_errors_name_their_place(directory):
    with Cluster(directory) as cluster:
        good = cluster.a.config.read_text(encoding="utf-8")
        for program in ("tanist-agent", "tanist-witness"):
            done = check(cluster.a.config, program)
            expect(f"{program} takes the good one: {done}", done.returncode == 0)
        bad = directory / "bad.conf"
        for before, after, word in MISTAKES:
            expect(f"the good one has {before}", before in good)
            bad.write_text(good.replace(before, after, 1), encoding="utf-8")
            line = good[:good.index(before)].count("\n") + 1 if after else 1
            done = check(bad)
            print(f"{after!r}: {done.returncode}: {done.stderr.strip()}")
            expect(f"{after!r}: exit 2, not {done.returncode}: {done.stderr}", done.returncode == 2)
            found = re.search(re.escape(str(bad)) + r":(\d+): (.*)", done.stderr)
            expect(f"{after!r}: FILE:LINE: … in {done.stderr!r}", found)
            expect(f"{after!r}: {word!r} in {found.group(2)!r}", word in done.stderr)
            expect(f"{after!r}: line {line}, not {found.group(1)}", abs(int(found.group(1)) - line) <= 1)


@short
def test_no_configuration_at_all(directory):
    with Cluster(directory) as cluster:
        done = check(directory / "none.conf")
        expect(f"refused by its name: {done}", done.returncode == 2 and "none.conf" in done.stderr)
        done = subprocess.run([BUILD / "tanist", "check", cluster.a.config], capture_output=True, text=True,
                              check=False)
        expect(f"tanist check shows the budget: {done}", done.returncode == 0 and "ms" in done.stdout)


def refused(member, *words, status=None):
    """Starts this member's program, which must refuse to, saying all of these words."""
    member.start()
    result = member.agent.wait(10)
    log = member.log.read_text(encoding="utf-8", errors="replace")
    print(log)
    expect(f"{member.name} ended with {result}", result != 0 if status is None else result == status)
    for word in words:
        expect(f"{word!r} in the log:\n{log}", word in log)


@short
def test_keys_that_others_may_read(directory):
    with Cluster(directory) as cluster:
        for member in cluster.members:
            key = member.home / "keys" / f"orders.{member.name}.key"
            expect("keygen makes it 0600", key.stat().st_mode & 0o777 == 0o600)
            key.chmod(0o644)
            refused(member, str(key), "chmod", status=2)
            key.unlink()
            member.log.unlink()
            refused(member, str(key), "keygen", status=2)
            again = member.ask("keygen", "--cluster", "orders", "--name", member.name, "--directory", key.parent)
            expect(f"another: {again}", again.returncode == 0 and len(again.stdout.strip()) == 44)
            once_more = member.ask("keygen", "--cluster", "orders", "--name", member.name, "--directory", key.parent)
            expect(f"never overwritten: {once_more}", once_more.returncode == 4)


def ballots(member):
    found = [path for path in member.state_directory.iterdir() if path.is_file() and "ballot" in path.name]
    expect(f"one ballot in {list(member.state_directory.iterdir())}", len(found) == 1)
    return found[0]


@short
def test_damaged_ballot(directory):
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)
        other.agent.kill()
        ballot = ballots(other)
        size = ballot.stat().st_size
        ballot.write_bytes(os.urandom(size))
        refused(other, str(ballot), "reset-voter")
        expect("it is left as it was", ballot.stat().st_size == size)
        ballot.write_bytes(b"")
        refused(other, str(ballot), "reset-voter")
        ballot.unlink()
        other.start()
        until("without a ballot it is blank, and the others know",
              lambda: next(v for v in master.status()["voters"] if v["name"] == other.name)["blank"])
        undisturbed(cluster, master, number, 2)


@short
def test_foreign_state(directory):
    with watched(directory) as (cluster, _, master, other):
        other.agent.kill()
        own, foreign = ballots(other), ballots(master)
        kept = own.read_bytes()
        own.write_bytes(foreign.read_bytes())
        refused(other, str(own))
        own.write_bytes(kept)
        other.start()
        cluster.wait_secondary(other)


def test_state_of_another_cluster(directory):
    with Cluster(directory, name="invoices") as cluster:
        cluster.start()
        cluster.a.agent.kill()
        ballot = ballots(cluster.a)
        text = cluster.a.config.read_text(encoding="utf-8").replace('"invoices"', '"orders"')
        cluster.a.config.write_text(text, encoding="utf-8")
        (cluster.a.home / "keys" / "invoices.a.key").rename(cluster.a.home / "keys" / "orders.a.key")
        ballot.rename(ballot.with_name(ballot.name.replace("invoices", "orders")))
        refused(cluster.a, "orders")


def failing_disk(member, on):
    """No write to a file succeeds any more (EFBIG), as on a full or broken disk; sockets go on."""
    hard = resource.prlimit(member.agent.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(member.agent.pid, resource.RLIMIT_FSIZE, (0 if on else hard, hard))


@short
def test_disk_fails_under_the_witness(directory):
    """The vote is not given; with the disk mended it is."""
    with watched(directory) as (cluster, _, master, other):
        failing_disk(cluster.w, True)
        master.lose()
        always("no vote, no master", lambda: other.status().get("role") != "master", 4)
        if cluster.w.agent.alive():
            failing_disk(cluster.w, False)
        else:
            cluster.w.start()
        cluster.wait_master(other, 30)


@short
def test_disk_fails_under_a_node(directory):
    """It does not stand, and tells the operator; with the disk mended it does."""
    with watched(directory) as (cluster, _, master, other):
        failing_disk(other, True)
        master.lose()
        always("what is not on disk is not done", lambda: other.status().get("role") != "master", 4)
        if other.agent.alive():
            expect(f"the operator is told: {other.status()}", other.status()["warnings"])
            failing_disk(other, False)
        else:
            other.start()
        cluster.wait_master(other, 30)


@short
def test_disk_fails_under_the_master(directory):
    """It can write no record that it is alone: its lease runs out rather than that it acknowledges on its own word."""
    with Cluster(directory, driver="redis") as cluster:
        observer = cluster.observe()
        master = cluster.start()
        cluster.wait_pair()
        other = cluster.other(master)
        observer.mark("fails")
        failing_disk(master, True)
        cluster.cut(master, other)
        cluster.wait_master(other, 30)
        seen = observer.finish()
        expect(f"never two at once: {seen}", seen["both_us"] == 0)
        if master.agent.alive():
            expect(f"the operator is told: {master.status()}", master.status()["warnings"])


def test_no_room_for_a_first_ballot(directory):
    with Cluster(directory) as cluster:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", cluster.a.state_directory], check=True)
        (cluster.a.state_directory / "full").write_bytes(b"x" * 4096)
        refused(cluster.a, str(cluster.a.state_directory))
        subprocess.run(["umount", cluster.a.state_directory], check=True)


def test_no_agent_answers(directory):
    with Cluster(directory) as cluster:
        done = cluster.a.ask("status")
        expect(f"exit 3 and a word of why: {done}", done.returncode == 3 and done.stderr.strip())
        done = cluster.a.ask("stattus")
        expect(f"usage: {done}", done.returncode == 2)
