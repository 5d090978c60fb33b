# SPDX-License-Identifier: Apache-2.0
"""A fence device that is required (fence.agent.required, L11): nobody leads by election before the other node is off."""

import contextlib
import json
import os

import e2e_http
from e2e_client import Page, load
from e2e_redis import protected, writing
from testbed import Cluster, always, expect, short, until

# A device as those of fence-agents are: what it is to do comes on its standard input. "off" waits until somebody has
# pulled the plug (the test: a machine here is a namespace), and "status" tells what is true, but where it is to err.
DEVICE = """#!/bin/sh
while read -r line; do case $line in action=*) action=${line#action=};; plug=*) plug=${line#plug=};; esac; done
cd %(home)s
echo "$action $plug" >>asked
read -r mode <mode
case $action,$mode in
off,hang) exec sleep 1000 ;;
off,fail) echo "Unable to connect/login to fencing device" >&2; exit 1 ;;
off,lie) exit 0 ;;
off,*) until [ -e "off.$plug" ]; do sleep 0.02; done ;;
status,*) if [ -e "off.$plug" ]; then echo "Status: OFF"; exit 2; fi; echo "Status: ON"; exit 0 ;;
esac
"""


class Device:
    """The one device of both nodes."""

    def __init__(self, directory):
        self.home = directory / "device"
        self.home.mkdir()
        self.program = self.home / "fence_it"
        self.program.write_text(DEVICE % {"home": self.home}, encoding="ascii")
        self.program.chmod(0o755)
        self.set("work")

    def set(self, mode):
        new = self.home / "new"
        new.write_text(mode + "\n", encoding="ascii")
        os.replace(new, self.home / "mode")

    def asked(self, node):
        asked = self.home / "asked"
        return asked.read_text(encoding="ascii").count(f"off {node.name}\n") if asked.exists() else 0

    def pull(self, node):
        """The plug of a node: what the device waits for."""
        node.lose()
        (self.home / f"off.{node.name}").touch()

    @property
    def settings(self):
        return required(self.program) + e2e_http.MORE


def required(program, options=""):
    return f'fence = {{ agent = {{ command = [ "{program}" ]; options = {{ {options} }}; required = true; }}; }};'


def waits(node):
    return node.status().get("fence", {}).get("awaited") is True


def nobody_leads(node):
    """It is elected, and nothing of that shows outside."""
    status = node.status()
    expect(f"it has a lease: {status['lease']}", status["role"] == "master" and status["lease"]["valid"])
    expect("but is nobody's master", status["master"] is None)
    expect("the address is not here", not node.holds_virtual_ip())
    expect("nor is the fence open", status["fence"]["kernel"] != "armed")
    expect(f"it says why: {status['warnings']}",
           any("waits for the fence device" in text for text in status["warnings"]))
    told = node.ask("explain").stdout
    expect(f"so does explain: {told}", "L11" in told and "--confirm-down" in told)
    expect("and the screen", "NOBODY YET" in node.ask("status").stdout)
    page = Page(load(), node)
    expect("a broker on libtanist may not serve", page.serves() is None)
    page.close()
    rows = [json.loads(line) for line in node.ask("--json", "history").stdout.splitlines()]
    expect(f"history has no such reign: {rows}", status["reign"] not in [row["epoch"] for row in rows])
    expect("/master says no", e2e_http.code(node.cluster, node, "/master") == 503)
    refused = node.ask("switchover")
    expect(f"nothing to hand over: {refused}", refused.returncode == 4 and "fence device" in refused.stderr)


def follows(node):
    with node.client() as client:
        return dict(line.partition(":")[::2] for line in client.ask("INFO", "replication").split("\r\n"))["role"] == "slave"


@contextlib.contextmanager
def elected(directory, mode):
    """A pair whose master's agent hangs; the other node is elected, and waits for a device that does so."""
    device = Device(directory)
    with Cluster(directory, more=device.settings) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        until("the device can be used", lambda: other.status()["fence"]["device"] == "usable")
        device.set(mode)
        expect("no device is asked while both are there", device.asked(master) + device.asked(other) == 0)
        master.agent.pause()
        until("it waits", lambda: waits(other), 30)
        yield cluster, device, master, other
        seen = observer.finish()
        expect(f"never two at once: {seen}", seen["both_us"] == 0)


@short
def test_waits_until_the_device_says_off(directory):
    device = Device(directory)
    with protected(directory, more=device.settings) as (cluster, writer, master, other):
        cluster.switchover(master)
        cluster.wait_master(other)
        cluster.wait_pair()
        writing(writer)
        expect("neither a start nor an order asks the device", device.asked(master) + device.asked(other) == 0)
        master, other = other, master
        master.agent.pause()  # its machine and its Redis go on
        until("it waits", lambda: waits(other), 30)
        until("the device is asked", lambda: device.asked(master) == 1)
        nobody_leads(other)
        always("its Redis follows as before", lambda: follows(other) and waits(other), 2)
        device.pull(master)
        cluster.wait_master(other)
        expect("nothing is awaited", not waits(other))
        expect("it says by whom", "says that it is off" in other.log.read_text())


def test_a_device_that_lies(directory):
    with elected(directory, "lie") as (cluster, device, master, other):
        until("it was asked again", lambda: device.asked(master) > 2, 30)
        nobody_leads(other)
        expect("it says what is wrong", any("its status is on" in text for text in other.status()["warnings"]))
        expect("and what to do", "Repair the device (next try in" in other.log.read_text())
        device.pull(master)  # an operator repairs it
        cluster.wait_master(other, 60)


def test_a_device_that_fails(directory):
    """It stays broken; the operator goes there, and pulls the plug."""
    with elected(directory, "fail") as (cluster, device, master, other):
        until("it was asked again", lambda: device.asked(master) > 2, 30)
        nobody_leads(other)
        refused = other.ask("force-master", "--reason", "broken", "--fence")
        expect(f"it fails for him too: {refused}", refused.returncode in (1, 4) and waits(other))
        master.lose()
        done = other.ask("force-master", "--reason", "the device is broken", "--confirm-down", master.name)
        expect(f"done: {done}", done.returncode == 0 and "elected by a majority" in done.stderr)
        cluster.wait_master(other)
        status = other.status()
        expect(f"it was no forced reign: {status['forced']}", status["forced"] == [] and status["epoch"] < 1 << 32)
        asked = device.asked(master)
        always("the device is left alone", lambda: device.asked(master) == asked, 3)


def test_a_device_that_hangs(directory):
    with elected(directory, "hang") as (cluster, device, master, other):
        always("nobody leads", lambda: waits(other) and not other.holds_virtual_ip(), 5)
        nobody_leads(other)
        until("it is killed after a minute", lambda: "did not end within 60 s" in other.log.read_text(), 90)
        device.set("work")
        until("it is tried again", lambda: device.asked(master) == 2)
        device.pull(master)
        cluster.wait_master(other)


def test_the_other_node_comes_back(directory):
    """Who is heard, and runs nothing of a reign, need not be turned off; nor is he from then on."""
    with elected(directory, "fail") as (cluster, device, master, other):
        master.agent.resume()
        cluster.wait_master(other)
        expect("it says why", "nothing of a reign runs there" in other.log.read_text())
        cluster.wait_secondary(master)
        asked = device.asked(master)
        always("the device is left alone", lambda: device.asked(master) == asked, 3)


def test_an_agent_that_is_started_again_waits_on(directory):
    with elected(directory, "fail") as (cluster, device, master, other):
        epoch = other.status()["epoch"]
        other.agent.kill()
        other.start()
        until("it waits", lambda: waits(other), 30)
        nobody_leads(other)
        print("taken up again" if other.status()["epoch"] == epoch else "elected anew: its lease had run out")
        device.set("work")
        device.pull(master)
        cluster.wait_master(other, seconds=60)


def test_fence_dummy(directory):
    """The package's own: it keeps in a file whether the machine is on, and knows no machine."""
    plug = directory / "plug"
    plug.write_text("on", encoding="ascii")
    with Cluster(directory, more=required("/usr/sbin/fence_dummy", f'type = "file"; status_file = "{plug}";')) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        expect("it was not asked", plug.read_text(encoding="ascii") == "on")
        master.lose()
        cluster.wait_master(other, 60)
        expect("it was turned off", plug.read_text(encoding="ascii") == "off")
