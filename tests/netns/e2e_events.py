# SPDX-License-Identifier: Apache-2.0
"""`tanist events` and `tanist history` of running programs: what is told on all three, and that it stays told."""

import json
import re

from e2e_input import failing_disk
from e2e_orders import PATIENT, force, heard
from testbed import BUILD, Cluster, Process, always, expect, short, until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
KINDS = {"role", "epoch", "lease", "record", "path", "broker", "address", "fence", "order", "voter", "daemon"}


def lines(member, *words):
    """What it prints, an object a line; [] while it does not answer."""
    done = member.ask("--json", *words)
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []


def history(member):
    return lines(member, "history")


def reign(member, epoch):
    return next((one for one in history(member) if one["epoch"] == epoch), {})


def has(events, **wanted):
    return any(all(event.get(key) == value for key, value in wanted.items()) for event in events)


def check_form(member):
    """What every event promises, whatever it is."""
    events = lines(member, "events")
    expect(f"{member.name} tells something", events)
    serials = [event["serial"] for event in events]
    expect("the serials rise by one", serials == list(range(serials[0], serials[0] + len(serials))))
    log = member.log.read_text(encoding="utf-8")
    for event in events:
        expect(f"{event}: of this voter", (event["cluster"], event["node"]) == ("orders", member.name))
        expect(f"{event}: a time and a kind", TIME.match(event["time"]) and event["event"] in KINDS and event["what"])
        expect(f"{event}: the log has the same sentence", event["event"] == "daemon" or event["sentence"] in log)
    return events


def ended(member, epoch):
    return until(f"{member.name} knows that epoch {epoch} has ended",
                 lambda: (lambda one: one if one.get("to") else None)(reign(member, epoch)))


def led(cluster, epoch, node, *how):
    """All three know that this node led in this epoch, and how it came to it."""
    for member in cluster.members:
        one = until(f"{member.name} knows of epoch {epoch}", lambda m=member: reign(m, epoch))
        expect(f"{member.name}: {one}", one["master"] == node.name and one["how"] in how and TIME.match(one["from"]))


def overlap(member):
    """No reign begins before the one before it has ended, and the epochs rise."""
    reigns = history(member)
    for before, after in zip(reigns, reigns[1:]):
        expect(f"{member.name}: {before} before {after}",
               before["epoch"] < after["epoch"] and before["to"] and before["to"] <= after["from"])


def restart(cluster, member):
    member.agent.kill()
    member.start()
    until(f"{member.name} answers", member.status)


@short
def test_a_switchover_is_told_on_all_three(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        first = master.status()["reign"]
        led(cluster, first, master, "elected", "led-on")  # two may have stood at the start
        cluster.switchover(master)
        cluster.wait_master(other)
        second = other.status()["reign"]
        led(cluster, second, other, "handover", "led-on")
        for member in cluster.members:
            one = ended(member, first)
            expect(f"{member.name} knows why: {one}", one["end"] == "handover" and one["why"].startswith("L8"))
            expect(f"{one}: so long", one["duration_ms"] >= 0 and one["from"] <= one["to"])
            check_form(member)
            overlap(member)
        until("the path is told: it must have stood for a while",
              lambda: has(lines(master, "events"), event="path", what="up", voter="w"))
        events = check_form(master)
        for wanted in ({"event": "daemon", "what": "started"},
                       {"event": "lease", "what": "held"}, {"event": "lease", "what": "ended"},
                       {"event": "address", "what": "added"}, {"event": "address", "what": "dropped"},
                       {"event": "fence", "what": "armed"}, {"event": "record", "what": "committed"},
                       {"event": "order", "what": "given", "order": "switchover"},
                       {"event": "order", "what": "completed", "order": "switchover"},
                       {"event": "broker", "what": "duty", "duty": "lead", "epoch": first},
                       {"event": "role", "what": "changed", "from": "master", "to": "secondary", "rule": "L8"}):
            expect(f"{wanted} in the events of the first master", has(events, **wanted))
        by = next(event["by"] for event in events if event["what"] == "given")
        expect(f"and by whom: {by}", "uid 0" in by)
        expect("the other's role", has(lines(other, "events"), event="role", to="master", epoch=second))
        seen = lines(cluster.w, "events")
        expect("the witness saw both", all(has(seen, event="epoch", what="led", epoch=number, master=node.name)
                                           for number, node in ((first, master), (second, other))))
        before = {member.name: (len(lines(member, "events")), history(member)[0]) for member in cluster.members}
        for member in cluster.members:
            restart(cluster, member)
            events, reigns = lines(member, "events"), history(member)
            expect(f"{member.name} has forgotten nothing", len(events) > before[member.name][0]
                   and {**reigns[0], "serial": 0} == {**before[member.name][1], "serial": 0})
            check_form(member)


def test_a_failover_is_told_on_all_three(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        first = master.status()["reign"]
        led(cluster, first, master, "elected", "led-on")  # two may have stood at the start
        master.lose()
        cluster.wait_master(other)
        second = other.status()["reign"]
        for member in (other, cluster.w):
            one = ended(member, first)
            expect(f"{member.name}: {one}", one["end"] == "unheard" and other.name in one["why"])
        master.boot()
        master.start()
        cluster.wait_secondary(master)
        led(cluster, second, other, "elected", "led-on")
        one = ended(master, first)
        expect(f"its own end it did not see: {one}", one["end"] == "restarted")
        for member in cluster.members:
            overlap(member)
        seen = lines(cluster.w, "events")
        expect("the path went down", has(seen, event="path", what="down", voter=master.name))


def test_a_forced_failover_is_told_on_all_three(directory):
    with Cluster(directory, **PATIENT) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        master.lose()
        cluster.w.agent.kill()
        until("nobody leads, and the master is not heard",
              lambda: other.status()["role"] == "suspect" and not heard(other, master))
        expect("forced", force(other, master).returncode == 0)
        number = other.status()["reign"]
        cluster.w.start()
        master.boot()
        master.start()
        cluster.wait_secondary(master)
        led(cluster, number, other, "forced")
        for member in cluster.members:
            restart(cluster, member)
            one = until(f"{member.name} still knows why", lambda m=member: reign(m, number).get("forced"))
            expect(f"{member.name}: {one}", one["reason"] == "the rack burns" and "uid 0" in one["by"]
                   and one["confirmed_down"] == master.name and TIME.match(one["time"]))
            cluster.wait_master()
        expect("in words", "the rack burns" in cluster.w.ask("history").stdout)


def test_the_lease_of_a_master_that_is_cut_off(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        first = master.status()["reign"]
        cluster.isolate(master)
        one = ended(master, first)
        expect(f"it says so itself: {one}", one["end"] == "lease" and one["why"].startswith("L5"))
        cluster.wait_master(other)
        until("and which path was lost", lambda: has(lines(master, "events"), event="path", what="down", voter="w"))


@short
def test_follow_and_since(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        cluster.wait_secondary(cluster.other(master))
        for words in (("--since", "yesterday"), ("--last", "0"), ("--since",), ("--sense", "1h")):
            done = master.ask("events", *words)
            expect(f"{words}: {done}", done.returncode == 2 and "usage" in done.stderr)
        everything = lines(master, "events")
        expect("all since an hour ago", len(lines(master, "events", "--since", "1h")) >= len(everything))
        expect("none since the next century", lines(master, "events", "--since", "2100-01-01") == [])
        middle = everything[len(everything) // 2]
        since = lines(master, "events", "--since", middle["time"])
        expect("from that moment on", since[0]["time"] == middle["time"] and since[0]["serial"] <= middle["serial"])
        two = [event["serial"] for event in lines(master, "events", "--last", "2")]
        expect(f"the last two: {two}", len(two) == 2 and two[-1] >= everything[-1]["serial"])
        expect("for people", re.match(r"\S+Z  \w+ +\S", master.ask("events", "--last", "1").stdout))
        out = directory / "followed"
        with open(out, "wb") as file:
            follower = Process("tanist events --follow", master.space,
                               [BUILD / "tanist", "-s", master.socket, "--json", "events", "--follow", "--last", "1"],
                               directory / "follow.log", stdout=file)
        until("it has begun", lambda: out.read_text(encoding="utf-8").count("\n") >= 1)
        expect("frozen", master.ask("freeze").returncode == 0)
        until("it is told while it waits", lambda: '"what":"frozen"' in out.read_text(encoding="utf-8"))
        serials = [json.loads(line)["serial"] for line in out.read_text(encoding="utf-8").splitlines()]
        expect(f"none twice, none left out: {serials}", serials == list(range(serials[0], serials[0] + len(serials))))
        expect("it goes on", follower.alive())
        master.agent.kill()
        expect("without an agent it ends", follower.wait() in (1, 3))


@short
def test_without_a_disk_it_goes_on(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        failing_disk(other, True)
        cluster.cut(other, cluster.w)
        until("told, though not kept", lambda: has(lines(other, "events"), event="path", voter="w", what="down"))
        until("and it says so", lambda: any("events cannot be kept" in w for w in other.status()["warnings"]))
        always("it still follows", lambda: other.status()["role"] in ("secondary", "suspect"), 0.5)
        failing_disk(other, False)
        cluster.mend(other, cluster.w)
        until("kept again", lambda: has(lines(other, "events"), event="path", voter="w", what="up")
              and not any("events cannot be kept" in w for w in other.status()["warnings"]))
        serials = [event["serial"] for event in lines(other, "events")]
        restart(cluster, other)
        after = [event["serial"] for event in lines(other, "events")]
        expect("what was owed was written", after[:len(serials)] == serials)


def test_damaged_files(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        kept = len(lines(other, "events"))
        other.agent.kill()
        for name in ("events", "history"):
            file = other.state_directory / f"orders.{other.name}.{name}"
            expect("it is small", file.stat().st_size < 65536)
            expect("it is not for everybody", not file.stat().st_mode & 0o007)
            with open(file, "ab") as more:
                more.write(b'\0\0\0\nnoise\n{"serial":99999999999999999999,"x"\n{"serial":')
        other.start()
        cluster.wait_secondary(other)
        expect("the rest is there", len(lines(other, "events")) > kept and history(other))
        expect("and it was said", "damaged" in other.log.read_text(encoding="utf-8"))
        other.agent.kill()
        for name in ("events", "history"):
            file = other.state_directory / f"orders.{other.name}.{name}"
            file.unlink()
            file.mkdir()
        other.start()
        cluster.wait_secondary(other)
        until("unreadable: it says so",
              lambda: len([text for text in other.status()["warnings"] if "cannot be kept" in text]) == 2)
        expect("and knows what has been since", lines(other, "events"))
        done = other.ask("history")
        expect(f"the history is answered: {done}", done.returncode == 0)
