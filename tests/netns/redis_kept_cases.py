# SPDX-License-Identifier: Apache-2.0
"""The redis driver: a Redis that would not have, after a restart, what it confirms (full disks)."""
import contextlib
import os
import subprocess
import time

from redis_bed import Refused, fields, refused, until

AOF = ("--appendonly", "yes", "--appendfsync", "always")
# A copy that arrives is written to a file first; where even that has no room, nothing is ever attached. And a Redis that
# ends at the first write that fails would leave nothing to look at.
LOADED_DIRECTLY = ("--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-load", "on-empty-db",
                   "--replica-ignore-disk-write-errors", "yes")


def disk(world, port, megabytes=16):
    """A disk of its own for the Redis at this port."""
    folder = os.path.join(world.folder, str(port))
    os.makedirs(folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes, "tmpfs", folder], check=True)
    world.stack.append(lambda: subprocess.run(["umount", "-l", folder], check=True))
    return folder


def fill(folder):
    with contextlib.suppress(OSError), open(os.path.join(folder, "filler"), "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def empty(folder):
    os.unlink(os.path.join(folder, "filler"))


def confirmed(client, count):
    """Writes so many entries; returns how many of them the secondary confirmed."""
    return sum(bool(client("RPUSH", "orders", number)) and client("WAIT", 1, 3000) >= 1 for number in range(count))


def held(redis):
    """How many entries there are, once the file is loaded."""
    until("its file is loaded", lambda: refused(redis.client(), "EXISTS", "x") != "LOADING")
    return redis.client()("LLEN", "orders")


def test_confirmed_from_memory_is_gone_after_a_restart(world):
    """What the driver guards against, of Redis itself: WAIT counts a copy that is in no file."""
    folder = disk(world, 7002)
    a, b = world.redis(0, *LOADED_DIRECTLY), world.redis(1, *LOADED_DIRECTLY)
    client = a.client()
    confirmed(client, 10)
    fill(folder)
    b.client()("REPLICAOF", "127.0.0.1", 7001)
    until("it is attached", lambda: b.client().info("replication").get("master_link_status") == "up")
    assert confirmed(client, 100) == 100
    persistence = b.client().info("persistence")
    assert persistence["aof_last_bgrewrite_status"] == "err", persistence
    b.kill()
    empty(folder)
    b.start()
    assert held(b) < 110, "Redis keeps it now: the driver need not guard against it any more"


def test_copy_in_no_file_is_not_in_sync(world):
    """After a full resynchronisation onto a full disk it is attached and level, and would confirm: it must not count."""
    folder = disk(world, 7002)
    a, b = world.redis(0, *LOADED_DIRECTLY), world.redis(1, *LOADED_DIRECTLY)
    pa, pb = world.probe(0), world.probe(1)
    for probe in (pa, pb):
        probe.reach("hold", 0)
    pa.reach("lead", 2)
    client = a.client()
    confirmed(client, 10)
    fill(folder)
    serial = pb.duty("follow", 2)
    pb.wait("cannot write (the master's copy to )?its append-only file", timeout=10)
    pa.wait(" changed .* link=0 .*the other node's Redis does not keep", timeout=10)
    assert pa.view()["link"] == "0" and not pb.has_done(serial), pa.view()
    empty(folder)
    pb.done(serial, timeout=20)  # the driver has it try again, Redis itself would take up to an hour
    pa.wait(" changed .* link=1 ", timeout=10)
    b.kill()
    b.start()
    assert held(b) == 10, "it counted, but had nothing in its file"


def test_full_disk_of_an_attached_secondary(world):
    """everysec: Redis goes on with what it cannot write. It must not count from then on, or be gone."""
    folder = disk(world, 7002)
    (a, _), (pa, _) = world.pair("--appendonly", "yes", "--appendfsync", "everysec", "--replica-ignore-disk-write-errors", "yes")
    client = a.client()
    assert confirmed(client, 10) == 10
    mark = pa.mark()
    fill(folder)
    client("SET", "large", "x" * 100000)
    pa.wait(" changed .* link=0 ", mark, timeout=10)
    mark = pa.mark()
    empty(folder)
    pa.wait(" changed .* link=1 ", mark, timeout=10)


def test_full_disk_of_the_master_is_a_failure(world):
    folder = disk(world, 7001)
    (a, _), (pa, _) = world.pair("--appendonly", "yes", "--appendfsync", "everysec")
    client = a.client()
    mark = pa.mark()
    fill(folder)
    with contextlib.suppress(Refused):  # the one that finds it out is acknowledged, the next is refused
        for _ in range(3):
            client("SET", "large", "x" * 100000)
    view = fields(pa.wait(" unfit=1 ", mark, timeout=10))
    assert view["reachable"] == "1" and "free or mend the disk" in view["trouble"], view
    mark = pa.mark()
    empty(folder)
    pa.wait(" unfit=0 ", mark, timeout=10)


def test_an_ordinary_rewrite_changes_nothing(world):
    """Of a secondary that has its copy in its file: the file is continued meanwhile."""
    (a, b), (pa, _) = world.pair(*AOF)
    client = a.client()
    mark = pa.mark()
    for _ in range(3):
        b.client()("BGREWRITEAOF")
        until("it is rewritten", lambda: confirmed(client, 1) == 1 and
              b.client().info("persistence")["aof_rewrite_in_progress"] == "0")
        time.sleep(0.3)  # a few polls
    assert not [line for line in pa.lines[mark:] if " link=0 " in line]
