# SPDX-License-Identifier: Apache-2.0
"""claim.py INTERFACE ADDRESS: tells the neighbours that this machine has the address now (gratuitous ARP)."""

import socket
import sys

interface, address = sys.argv[1:]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
raw.bind((interface, 0x0806))
mac, ip = raw.getsockname()[4], socket.inet_aton(address)
for operation in (b"\0\1", b"\0\2"):
    raw.send(b"\xff" * 6 + mac + b"\x08\x06" + b"\0\1\x08\0\6\4" + operation + mac + ip + b"\xff" * 6 + ip)
