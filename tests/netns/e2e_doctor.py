# SPDX-License-Identifier: Apache-2.0
"""`tanist doctor` on live machines: all well, and each thing that may be wrong."""

import json
import os
import subprocess
import sys

from testbed import BUILD, PORT, VIRTUAL_IP, Cluster, expect, short, until

STRANGER = 77
HOLD_PORT = "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((%r, %d)); time.sleep(600)"


def doctor(member, *prefix, words=()):
    """What `tanist --json doctor` finds on that machine: the whole answer, its exit status, its lines by examination."""
    done = subprocess.run(["nsenter", "--net=" + member.space.path, *prefix, BUILD / "tanist", "-c", member.config,
                           "-s", member.socket, "--json", "doctor", *words], capture_output=True, text=True, timeout=60,
                          check=False, stdin=subprocess.DEVNULL)
    expect(f"an answer: {done}", done.returncode in (0, 1) and done.stdout)
    answer = json.loads(done.stdout)
    expect(f"exit status and answer agree: {done}", answer["ok"] == (done.returncode == 0) == (not answer["findings"]))
    return answer


def findings(member, examination, *prefix):
    return [f for f in doctor(member, *prefix, words=("--only", examination))["findings"] if f["examination"] == examination]


def finding(member, examination, *words, prefix=()):
    """The one finding of that examination that has all these words; None."""
    return next((f for f in findings(member, examination, *prefix) if all(word in f["text"] for word in words)), None)


def results(answer, examination):
    return {line["result"] for line in answer["examinations"] if line["examination"] == examination}


def test_all_well(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        for member in cluster.members:
            until(f"{member.name} is found well", lambda m=member: doctor(m)["ok"], 60)
            answer = doctor(member)
            expect(f"that it runs: {answer}", answer["running"] and answer["node"] == member.name)
            for examination in ("configuration", "agent", "paths", "fence", "capabilities", "keys", "ports", "virtual_ip",
                                "budget"):
                expect(f"{examination} was examined: {answer}", "ok" in results(answer, examination))
        text = subprocess.run(["nsenter", "--net=" + master.space.path, BUILD / "tanist", "-s", master.socket, "doctor"],
                              capture_output=True, text=True, timeout=60, check=False).stdout
        fence = master.status()["fence"]
        expect(f"what the fence in use does not cover: {text}", f"fence is by {fence['mechanism']}, armed" in text
               and all(word in text for word in " ".join(fence["notes"]).split()))
        expect(f"for people, by the running agent's file: {text}",
               "0 findings" in text and "was armed for 1000 ms" in text and str(master.config) in text)


def test_clocks(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        until("the clocks' rates are seen", lambda: results(doctor(master, words=("--only", "clocks")), "clocks") == {"ok"}, 90)


def test_one_way_cut(directory):
    with Cluster(directory) as cluster:
        cluster.start()
        cluster.wire.drop("b", "a")
        until("a hears nothing", lambda: finding(cluster.a, "paths", "b at", "nothing is heard"), 30)
        until("b is not heard", lambda: finding(cluster.b, "paths", "a at", "one way only", "not heard there"), 30)
        mend = finding(cluster.a, "paths", "b at")["mend"]
        expect(f"what to do: {mend}", f"ping -c 3 {cluster.b.address}" in mend)
        expect("the way to the witness is well", not finding(cluster.a, "paths", "w at"))


def test_loss(directory):
    with Cluster(directory) as cluster:
        cluster.start()
        cluster.wire.drop("b", "a", 30)
        until("a third is lost", lambda: finding(cluster.a, "paths", "b at", "lost on the way here"), 60)


def test_key_open_to_others(directory):
    with Cluster(directory) as cluster:
        key = cluster.a.home / "keys" / f"{cluster.name}.a.key"
        os.chmod(key, 0o644)
        found = finding(cluster.a, "keys", str(key))
        expect(f"the key is open: {found}", found and found["mend"] == f"chmod 0600 {key}")
        subprocess.run(found["mend"].split(), check=True)
        expect("the command has mended it", not findings(cluster.a, "keys"))
        key.rename(key.with_suffix(".away"))
        found = finding(cluster.a, "keys", str(key))
        expect(f"the key is missing: {found}", found and "tanist keygen --cluster orders --name a" in found["mend"])


@short
def test_without_an_agent(directory):
    """A port that another process took, a capability that is missing, nobody at the other end."""
    with Cluster(directory) as cluster:
        node = cluster.a
        answer = doctor(node)
        expect(f"no agent: {answer}", not answer["running"] and answer["node"] == "a")
        expect("what it could not examine", results(answer, "agent") == results(answer, "clocks") == {"unknown"})
        expect("what it could", "ok" in results(answer, "fence") and results(answer, "ports") == {"ok"})
        expect("nobody listens over there", finding(node, "paths", "b at", "no daemon listens"))
        holder = subprocess.Popen(["nsenter", "--net=" + node.space.path, sys.executable, "-c",
                                   HOLD_PORT % (node.address, PORT)])
        try:
            found = until("the port is taken", lambda: finding(node, "ports", f"{node.address}:{PORT}", "another process"))
            expect(f"by whom: {found}", f"pid {holder.pid}" in found["text"] and "ss -ulpn" in found["mend"])
        finally:
            holder.kill()
            holder.wait()
        for capability in ("net_raw", "net_admin"):
            found = finding(node, "capabilities", "lacks", f"CAP_{capability.upper()}",
                            prefix=("setpriv", f"--bounding-set=-{capability}"))
            expect(f"a capability is missing: {found}", found and "AmbientCapabilities=" in found["mend"])
        expect("nothing is missing else", not findings(node, "capabilities"))


def test_virtual_ip_of_a_stranger(directory):
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        until("no stranger yet", lambda: not findings(master, "virtual_ip") and not findings(other, "virtual_ip"), 30)
        stranger = cluster.client("s", STRANGER)
        stranger.ip("address", "add", VIRTUAL_IP + "/24", "dev", "eth0")
        for node in cluster.nodes:
            found = until(f"{node.name} finds it", lambda n=node: finding(n, "virtual_ip", "stranger"), 30)
            expect(f"which: {found}", f"02:00:00:00:00:{STRANGER:02x}" in found["text"] and found["mend"])


def test_virtual_ip_of_a_stranger_ipv6(directory):
    more = 'virtual_ip = ( { address = "fd00:7::100/64"; interface = "eth0"; } );'
    with Cluster(directory) as cluster:
        node = cluster.a
        text = cluster.configuration(node)
        begin = text.index("virtual_ip = ")
        node.config.write_text(text[:begin] + more + text[text.index("\n", begin):], encoding="utf-8")
        expect("no stranger yet", not findings(node, "virtual_ip"))
        stranger = cluster.client("s", STRANGER)
        stranger.ip("address", "add", "fd00:7::100/64", "dev", "eth0", "nodad")
        found = until("it is found", lambda: finding(node, "virtual_ip", "fd00:7::100/64", "stranger"), 30)
        expect(f"which: {found}", f"02:00:00:00:00:{STRANGER:02x}" in found["text"])


def test_time_budget(directory):
    with Cluster(directory, lease_ms=110, beat_ms=30) as cluster:
        node = cluster.a
        found = finding(node, "realtime", "lease of 110 ms", prefix=("setpriv", "--bounding-set=-sys_nice"))
        expect(f"a short lease needs to be on time: {found}", found and "CPUSchedulingPolicy=rr" in found["mend"])
        text = cluster.configuration(node)
        node.config.write_text(text.replace("beat_ms = 30", "beat_ms = 60"), encoding="utf-8")
        line = text[:text.index("timing = ")].count("\n") + 1
        found = doctor(node)["findings"][0]
        expect(f"three beats do not fit: {found}", found["examination"] == "configuration"
               and f"{node.config}:{line}:" in found["text"] and "tanist check" in found["mend"])
