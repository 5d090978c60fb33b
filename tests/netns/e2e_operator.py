# SPDX-License-Identifier: Apache-2.0
"""The operator's smaller commands: init, watch, report."""

import json
import subprocess

from testbed import BUILD, Cluster, expect, short, until

FLAGS = ("--cluster", "orders", "--node-a", "a=10.0.0.1:7400", "--node-b", "b=10.0.0.2:7400", "--witness",
         "w=10.0.0.9:7400", "--virtual-ip", "10.0.0.100/24", "--interface", "eth0")


def init(directory, *flags):
    return subprocess.run([BUILD / "tanist", "init", *flags, "--output", directory / "orders.conf", "--keys-directory",
                           directory / "keys"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@short
def test_init_writes_what_agents_take(directory):
    done = init(directory, *FLAGS)
    expect(f"done, and what is next: {done}", done.returncode == 0 and "tanist-witness" in done.stdout)
    keys = sorted(directory.glob("keys/*"))
    expect(f"three keys: {keys}", [key.name for key in keys] == ["orders.a.key", "orders.b.key", "orders.w.key"])
    expect("for nobody else", all(key.stat().st_mode & 0o777 == 0o600 for key in keys))
    written = (directory / "orders.conf").read_text(encoding="utf-8")
    for program in ("tanist-agent", "tanist-witness"):
        checked = subprocess.run([BUILD / program, "--check", "-c", directory / "orders.conf"], check=False)
        expect(f"{program} takes it", checked.returncode == 0)
    again = init(directory, *FLAGS)
    expect(f"nothing is overwritten: {again}", again.returncode == 4
           and (directory / "orders.conf").read_text(encoding="utf-8") == written)
    other = directory / "other"
    other.mkdir()
    for flags, word in ((FLAGS[:-4] + ("--virtual-ip", "10.0.0.100"), "virtual_ip"), (FLAGS[2:], "--cluster"),
                        (("--cluster", "orders", "--node-a", "a") + FLAGS[4:], "NAME=ADDRESS")):
        wrong = init(other, *flags)
        expect(f"{flags}: {wrong}", wrong.returncode == 2 and word in wrong.stderr)
        expect("and nothing is left of it", not list(other.glob("*.conf")) and not list(other.glob("keys/*")))


@short
def test_watch_and_report(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        done = master.ask("watch", "--every", "0.1", "--count", "3")
        expect(f"three looks: {done}", done.returncode == 0 and done.stdout.count("orders, as ") == 3)
        done = master.ask("--json", "watch", "--every", "0.1", "--count", "2")
        expect("as objects", [json.loads(line)["node"] for line in done.stdout.splitlines()] == [master.name] * 2)
        expect("a number", master.ask("watch", "--every", "often").returncode == 2)
        epoch = master.status()["epoch"]
        for wrong in (("--suspect", master.name), ("--suspect", "w", "--reason", "x"), ("--reason", "x")):
            expect(f"{wrong} is refused", master.ask("report", *wrong).returncode == 2)
        done = master.ask("report", "--suspect", master.name, "--reason", "no order since noon")
        expect(f"reported: {done}", done.returncode == 0)
        until("it is in the status", lambda: any("no order since noon" in text for text in master.status()["warnings"]))
        told = [json.loads(line) for line in master.ask("--json", "events").stdout.splitlines()]
        said = [event["voter"] for event in told if event["what"] == "suspected"]
        expect(f"and in the events: {said}", said == [master.name])
        expect("and decides nothing", (master.status()["role"], master.status()["epoch"]) == ("master", epoch))
