# SPDX-License-Identifier: Apache-2.0
"""What comes over the wire from people who mean harm, or from the past, changes nothing."""

import random

from datagrams import Recorder, play, with_payload
from e2e_agent import epoch, lease_kept, undisturbed, watched
from testbed import boottime_us, expect, short, until

PAYLOAD = 42  # where it begins in a frame without IP options


def damaged(frames, chance):
    """Truncated, of another version, forged by one bit, empty, too long, pure noise."""
    for frame in frames:
        payload = frame[PAYLOAD:]
        bit = chance.randrange(len(payload) * 8)
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        yield with_payload(frame, bytes(flipped))
        yield with_payload(frame, payload[:chance.randrange(len(payload))])
        yield with_payload(frame, bytes([payload[0] + 1]) + payload[1:])
        yield with_payload(frame, payload + b"\0" * chance.randrange(1, 64))
        yield with_payload(frame, chance.randbytes(len(payload)))


def recorded(cluster, seconds):
    recorder = Recorder(cluster)
    recorder.record(seconds)
    return recorder.stop()


def rejected(node):
    """How many datagrams this node has refused, for whatever reason, as its status tells."""
    counted = node.status()["rejected"]
    return sum(counted.values()) if isinstance(counted, dict) else counted


@short
def test_damaged_datagrams(directory):
    with watched(directory) as (cluster, _, master, other):
        number = epoch(master)
        frames = recorded(cluster, 1)
        expect(f"{len(frames)} beats were recorded", len(frames) > 20)
        before = {node.name: rejected(node) for node in cluster.nodes}
        sent = play(cluster, damaged(frames, random.Random(2)))
        expect(f"{sent} were sent", sent == 5 * len(frames))
        undisturbed(cluster, master, number, 2)
        for node in (master, other):
            until(f"{node.name} counts them", lambda n=node: rejected(n) >= before[n.name] + len(frames))


def test_played_back_at_once(directory):
    with watched(directory) as (cluster, _, master, _):
        number = epoch(master)
        frames = recorded(cluster, 2)
        play(cluster, frames + frames[::-1])
        undisturbed(cluster, master, number, 2)


@short
def test_played_back_after_restarts(directory):
    """A whole election and two reigns, recorded, and played to voters that have started again since."""
    with watched(directory) as (cluster, observer, master, other):
        recorder = Recorder(cluster)
        recorder.record(1)
        cluster.switchover(master)
        recorder.record(2)
        frames = recorder.stop()
        for member in cluster.members:
            member.agent.kill()
        for member in cluster.members:
            member.start()
        leader = cluster.wait_master()
        cluster.wait_secondary(cluster.other(leader))
        number = epoch(leader)
        sent = play(cluster, frames)
        expect(f"{sent} played back", sent > 50)
        undisturbed(cluster, leader, number, 2)


def test_played_back_in_place_of_a_lost_master(directory):
    """The beats of a master that is gone keep nobody from taking over, and do not bring it back."""
    with watched(directory) as (cluster, observer, master, other):
        frames = recorded(cluster, 3)
        observer.mark("lost")
        gone = boottime_us()
        master.lose()
        until("the other leads in spite of them", lambda: play(cluster, frames) and cluster.serving(other))
        lease_kept(observer, master, other, gone)
        number = epoch(other)
        play(cluster, frames)
        undisturbed(cluster, other, number, 1)
