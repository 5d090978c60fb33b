# SPDX-License-Identifier: Apache-2.0
"""Two clusters on the same machines: what becomes of one is nothing to the other."""

import contextlib
import json
import subprocess

from testbed import BUILD, NETWORK, PORT, VIRTUAL_IP, Cluster, Process, expect, fence, tcp_answers, until

SECOND, SECOND_IP = "orders-2", NETWORK + "101"
PORT_OF = {VIRTUAL_IP: 7001, SECOND_IP: 7002}


class SecondAgent:
    """The second cluster's daemon on a machine of the first."""

    def __init__(self, member):
        self.member, self.name = member, member.name
        self.config = member.home / (SECOND + ".conf")
        self.run_directory = member.run_directory / SECOND
        self.run_directory.mkdir()
        self.process = None

    @property
    def socket(self):
        return self.run_directory / ("witness.sock" if self.name == "w" else f"{SECOND}.{self.name}.sock")

    def start(self):
        program = "tanist-witness" if self.name == "w" else "tanist-agent"
        more = ["--run-directory", self.run_directory, "--state-directory", self.member.state_directory]
        self.process = Process(f"second agent of {self.name}", self.member.space,
                               [BUILD / program, "-c", self.config, *(more if self.name == "w" else ["-n", self.name]),
                                "--trace", self.member.home / "trace-2"], self.member.home / "second.log")

    def ask(self, *words):
        return subprocess.run([BUILD / "tanist", "-s", self.socket, *words], capture_output=True, text=True, timeout=30,
                              check=False, stdin=subprocess.DEVNULL)

    def status(self):
        done = self.ask("--json", "status")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def serves(self):
        status = self.status()
        return status.get("role") == "master" and status["virtual_ip"][0]["held"]


def second_cluster(cluster):
    """Same machines, same directories but for the control socket's; keys, port and virtual IP of its own."""
    agents = [SecondAgent(member) for member in cluster.members]
    keys = {}
    for member in cluster.members:
        keys[member.name] = subprocess.run([BUILD / "tanist", "keygen", "--cluster", SECOND, "--name", member.name,
                                            "--directory", member.home / "keys"], capture_output=True, text=True,
                                           check=True).stdout.strip()
    for agent in agents:
        text = agent.member.config.read_text(encoding="utf-8").replace(f'"{cluster.name}"', f'"{SECOND}"')
        text = text.replace(VIRTUAL_IP, SECOND_IP).replace(f":{PORT}", f":{PORT + 1}")
        text = text.replace(f'run_directory = "{agent.member.run_directory}"', f'run_directory = "{agent.run_directory}"')
        for name, key in keys.items():
            text = text.replace(cluster.keys[name], key)
        agent.config.write_text(text, encoding="utf-8")
        agent.start()
        cluster.helpers.append(agent.process)
    return agents[:2]


def answers(cluster, address):
    return tcp_answers(cluster.client(), address, PORT_OF[address])


@contextlib.contextmanager
def pair_of_clusters(directory):
    """Both have a master, on the same node; a silent server listens for each address on either."""
    with Cluster(directory) as cluster:
        master = cluster.start()
        agents = second_cluster(cluster)
        second = until("the second cluster has a master", lambda: next((a for a in agents if a.serves()), None), 30)
        if second.name != master.name:
            other = next(a for a in agents if a is not second)
            until("it could hand over", lambda: second.ask("switchover", "--dry-run").returncode == 0, 30)
            expect("it hands over", second.ask("switchover").returncode == 0)
            until("it has moved", other.serves)
            second = other
        for node in cluster.nodes:
            for address, port in PORT_OF.items():
                node.space.start(["python3", "-c", "import socket,time\n"
                                  f"s=socket.create_server(('0.0.0.0',{port}))\nwhile True: s.accept()[0].close()"])
        for address in PORT_OF:
            until(f"{address} answers", lambda a=address: answers(cluster, a))
        yield cluster, master, second


@fence
def test_one_hangs_and_is_stopped(directory):
    with pair_of_clusters(directory) as (cluster, master, second):
        before = second.status()
        master.agent.pause()
        other = cluster.other(master)
        cluster.wait_master(other)
        until("the first one's address answers over there", lambda: answers(cluster, VIRTUAL_IP))
        until("the second one's still", lambda: answers(cluster, SECOND_IP))
        after = second.status()
        expect(f"its master leads on: {before['epoch']}, {after['epoch']}",
               second.serves() and (after["epoch"], after["reign"]) == (before["epoch"], before["reign"]))
        master.agent.kill()
        master.start()  # it replaces what the killed one left, its own alone
        cluster.wait_secondary(master)
        expect("the first one's agent ends", master.agent.stop(20) == 0)
        until("the second one's address answers", lambda: answers(cluster, SECOND_IP))
        status = second.status()
        expect(f"its fence is armed: {status['fence']}", status["fence"]["kernel"] in ("armed", "open"))
        expect("and it has not been touched", "removed by another program" not in (master.home / "second.log").read_text())
