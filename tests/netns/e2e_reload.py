# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: what can change in place does; a bad file leaves the former configuration in force and says so."""

import json
import signal
import subprocess

from testbed import BUILD, Cluster, expect, short, until

CHECKS = '''health = ( {{ name = "alive"; check = "broker"; }},
  {{ name = "extra"; check = "exec"; command = [ "/bin/true" ]; every_ms = {0}; timeout_ms = 5000; rise = 1; }} );
'''


def rewrite(member, text):
    """Gives the member a new configuration and has it read; others see nothing of it."""
    member.config.write_text(text, encoding="utf-8")
    member.agent.signal(signal.SIGHUP)


def warned(member, *words):
    return any(all(word in warning for word in words) for warning in member.status().get("warnings", []))


def checks(member):
    return {check["name"]: check["state"] for check in member.status()["broker"]["checks"]}


def told(member, what):
    """How often an event of the daemon's was told."""
    return member.ask("events").stdout.count(what)


def line_of(text, part):
    return text[:text.index(part)].count("\n") + 1


@short
def test_the_agent_takes_what_can_change(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        before = master.status()
        former = cluster.configuration(master)
        rewrite(master, former + CHECKS.format(100))
        until("the new check is up", lambda: checks(master).get("extra") == "up")
        wrong = former + CHECKS.format(200) + "nonsense = 900;"
        rewrite(master, wrong)
        until("a mistake is told with its line", lambda: warned(
            master, "not reloaded, the former one stays in force", f"{master.config}:{line_of(wrong, 'nonsense')}:"))
        expect("the check of before is still there", "extra" in checks(master))
        log = master.log.read_text(encoding="utf-8", errors="replace")
        expect("the log tells it too", f"the former one stays in force: {master.config}:" in log)
        changed = former.replace("beat_ms = 100;", "beat_ms = 50;").replace("lease_ms = 1000;", "lease_ms = 1500;")
        rewrite(master, changed)
        until("what needs a restart is named", lambda: warned(
            master, "needs a restart of the agent: timing.lease_ms, timing.beat_ms"))
        rewrite(master, former)
        until("a good one ends the warning", lambda: not warned(master, "not reloaded") and "extra" not in checks(master))
        expect("each was an event", told(master, "read again and is in force") == 2 and told(master, "not reloaded") == 2)
        after = master.status()
        expect(f"it led all the while: {after}", (after["role"], after["reign"]) == ("master", before["reign"]))


GROUPED = '''health = ( {{ name = "alive"; check = "broker"; }},
  {{ name = "good"; check = "exec"; command = [ "/bin/true" ]; every_ms = 100; }},
  {{ name = "bad"; check = "exec"; command = [ "/bin/false" ]; every_ms = 100; }} );
groups = ( {{ name = "both"; checks = [ "good", "bad" ]; need = "{0}"; }} );
'''


def test_a_group_of_checks_counts_as_one(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        former = cluster.configuration(master)

        def group():
            broker = master.status()["broker"]
            return [(g["name"], g["state"]) for g in broker["groups"]], broker["healthy"]
        rewrite(master, former + GROUPED.format("all"))
        until("one of the two is down, and the group is up", lambda: group() == ([("both", "up")], True)
              and checks(master)["bad"] == "down")
        expect("it leads", master.status()["role"] == "master")
        rewrite(master, former + GROUPED.format("any"))
        until("either is enough now", lambda: group() == ([("both", "down")], False))
        until("the other node leads", lambda: cluster.master() is cluster.other(master))


def test_the_witness_takes_new_clusters(directory):
    with Cluster(directory) as cluster:
        witness = cluster.w
        etc = witness.home / "etc"
        etc.mkdir()
        witness.config = etc / "orders.conf"
        cluster.configure()
        arguments = [str(word) for word in witness.arguments()]
        arguments[arguments.index(str(witness.config))] = str(etc)
        witness.arguments = lambda: arguments
        master = cluster.start()
        epoch = witness.status()["epoch"]
        text = cluster.configuration(witness)

        def served():
            done = witness.ask("--json", "status")
            return sorted(c["cluster"] for c in json.loads(done.stdout)["clusters"])
        second = etc / "second.conf"
        second.write_text(text.replace('cluster = "orders"', 'cluster = "second"'), encoding="utf-8")
        witness.agent.signal(signal.SIGHUP)
        until("without its key the new cluster is refused, and the old one served", lambda: warned(
            witness, "not reloaded", "second"))
        expect("one cluster as before", served() == ["orders"])
        done = subprocess.run(
            [BUILD / "tanist", "keygen", "--cluster", "second", "--name", "w", "--directory", witness.home / "keys"],
            capture_output=True, text=True, check=True)
        second.write_text(text.replace('cluster = "orders"', 'cluster = "second"').replace(
            cluster.keys["w"], done.stdout.strip()), encoding="utf-8")
        witness.agent.signal(signal.SIGHUP)
        until("the new cluster is served", lambda: served() == ["orders", "second"])
        expect("nothing to warn of", not warned(witness, "not reloaded"))
        rewrite(witness, text.replace("lease_ms = 1000;", "lease_ms = 1500;"))
        until("what needs a restart is named", lambda: warned(witness, "needs a restart of the witness: timing.lease_ms"))
        rewrite(witness, text.replace("timing = {", "timing = { nonsense = 1;"))
        until("a mistake is told with its line", lambda: warned(
            witness, f"{witness.config}:{line_of(text, 'timing = {')}", "nonsense"))
        second.unlink()
        rewrite(witness, text.replace("timing = {", "timing = { witness_grace_ms = 1234;"))
        until("the second is served no more", lambda: served() == ["orders"])
        expect("it votes on", not warned(witness, "not reloaded") and witness.status()["epoch"] == epoch)
        cluster.switchover(master)
