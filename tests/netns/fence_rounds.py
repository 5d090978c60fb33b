# SPDX-License-Identifier: Apache-2.0
"""The end of a lease, again and again: in each round five machines hold an address each, and to each happens something
else. A client asks every 200 µs; nothing that is asked after the deadline which the kernel was given may be answered. When
the answers come is a figure: they may have been on their way, which on a busy machine takes its time.
"""
import contextlib
import random
import signal
import time

import fence_world
from fence_world import Asker, Node, Probe, now_us
from space import Wire

CASES = ("stopped", "killed", "cut", "alone", "short")
TOLD = {"stopped": "SIGSTOP", "killed": "SIGKILL", "cut": "link cut", "alone": "no more grants",
        "short": "lease made shorter"}
AFTER_S = 0.05  # how long after the deadline we go on asking


def lease_ms(mechanism):
    return 500 if mechanism == "netlink" else 200  # netlink is not for shorter ones


class Rounds:
    """Five nodes and a client on one wire."""

    def __init__(self, stack):
        self.stack, self.wire = stack, Wire()
        stack.callback(self.wire.space.remove)
        self.client = fence_world.machine(self, "client", fence_world.CLIENT_MAC, fence_world.CLIENT)
        self.nodes = {case: Node(self, case, 10 + i) for i, case in enumerate(CASES)}
        self.lease_ms = lease_ms(fence_world.MECHANISM)
        self.probes = {}

    def happen(self, case, node):
        """What ends the renewals; returns the deadline then in force."""
        probe = self.probes[case]
        deadline = probe.arm(self.lease_ms)
        if case == "stopped":
            probe.process.send_signal(signal.SIGSTOP)
        elif case == "killed":
            probe.kill()
        elif case == "cut":
            self.wire.pull(node.name)
        elif case == "short":
            deadline = probe.arm(self.lease_ms // 4)
        return deadline

    def wait_for(self, case, asker):
        """Until an answer came: on a busy machine the first lease may be over before there is a client."""
        for _ in range(100):
            self.probes[case].arm(self.lease_ms)
            if asker.mark()["heard"]:
                return
            time.sleep(0.05)
        raise AssertionError(f"{case}: no answer for seconds, armed")

    def play(self):
        """One round: {case: (µs from the last answer to the deadline, those from the last question that got one)}.

        A case is missing if a busy machine kept it from hearing an answer meanwhile."""
        with contextlib.ExitStack() as stack:
            self.probes = {case: Probe(self, cluster=case, vips=(node.vip,), lease_ms=self.lease_ms, node=node.space)
                           for case, node in self.nodes.items()}
            for probe in self.probes.values():
                stack.callback(probe.kill)
                probe.arm(self.lease_ms)
            askers = {case: Asker(self, node.vip) for case, node in self.nodes.items()}
            for asker in askers.values():
                stack.callback(asker.kill)
            for case, asker in askers.items():
                self.wait_for(case, asker)
            time.sleep(random.random() * 0.03)
            deadlines = {case: self.happen(case, node) for case, node in self.nodes.items()}
            while now_us() < max(deadlines.values()):
                time.sleep(0.005)
            self.wire.plug("cut")  # it must not answer then either
            time.sleep(AFTER_S)
            seen = {case: asker.stop() for case, asker in askers.items()}
        return {case: (deadlines[case] - phase["last_us"], deadlines[case] - phase["question_us"])
                for case, phase in seen.items() if phase["heard"]}
