# SPDX-License-Identifier: Apache-2.0
"""Datagrams of the voters, taken from the wire and put back on it, as they were or damaged."""

import select
import socket
import struct
import time

from testbed import PORT

ETH_P_ALL = 3
OUTGOING = 4


def tap(cluster, name):
    """A raw socket at the switch's port of this machine."""
    with cluster.wire.space.entered():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        raw.bind((cluster.wire.port(name), ETH_P_ALL))
    return raw


def is_beat(frame):
    """IPv4, UDP, to the voters' port, no options, not a fragment."""
    return len(frame) > 42 and frame[12:15] == b"\x08\x00\x45" and frame[23] == 17 and \
        struct.unpack("!H", frame[36:38])[0] == PORT


class Recorder:
    """Records every beat that each machine sends, as frames, until stopped."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.taps = {tap(cluster, member.name): member.name for member in cluster.members}
        for raw in self.taps:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.frames = []

    def record(self, seconds, until_true=lambda: False):
        """Records for so long, or until a condition is met."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until_true():
            for raw in select.select(list(self.taps), [], [], 0.05)[0]:
                self.take(raw)

    def take(self, raw):
        frame, address = raw.recvfrom(2048)
        if address[2] != OUTGOING and is_beat(frame):
            self.frames.append(frame)

    def stop(self):
        for raw in self.taps:
            raw.close()
        return self.frames


def target(cluster, frame):
    """The machine that a frame is for."""
    address = socket.inet_ntoa(frame[30:34])
    return next((member for member in cluster.members if member.address == address), None)


def play(cluster, frames, pause=0.0005):
    """Puts frames on the wire to those they are for; returns how many went out."""
    taps = {member: tap(cluster, member.name) for member in cluster.members if member.space}
    sent = 0
    for frame in frames:
        member = target(cluster, frame)
        if member in taps:
            taps[member].send(frame)
            sent += 1
            time.sleep(pause)  # a flood would be dropped by the receivers' buffers, unread
    for raw in taps.values():
        raw.close()
    return sent


def with_payload(frame, payload):
    """The same frame with another payload, lengths and checksums made right (UDP's checksum left out)."""
    header = bytearray(frame[14:34])
    header[2:4] = struct.pack("!H", 28 + len(payload))
    header[10:12] = b"\0\0"
    total = sum(struct.unpack("!10H", bytes(header)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    header[10:12] = struct.pack("!H", ~total & 0xffff)
    udp = frame[34:38] + struct.pack("!HH", 8 + len(payload), 0)
    return frame[:14] + bytes(header) + udp + payload
