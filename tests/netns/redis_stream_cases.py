# SPDX-License-Identifier: Apache-2.0
"""The redis driver: what only the demoted Redis holds of the configured streams is kept before it is discarded."""
import json
import os
import subprocess
import time

from redis_bed import LEASE_MS, PORTS, ROOT, refused, until

STREAMS = 'streams = [ "orders", "pay*" ];'
TANIST = os.path.join(ROOT, "build", os.environ.get("VARIANT", "release"), "tanist")


def diverge(world, write, streams=STREAMS, common=20, after=lambda b: None):
    """a and b with a common part; then a alone is written to, b is promoted, and a is to follow. (a, b, pa, serial)"""
    a, b = world.redis(0), world.redis(1)
    pa, pb = world.configured(0, streams), world.configured(1, streams)
    for probe in (pa, pb):
        probe.reach("hold", 0)
    pa.reach("lead", 2)
    pb.reach("follow", 2)
    client = a.client()
    for number in range(common):
        client("XADD", "orders", "*", "number", number)
        client("XADD", "payments", "*", "number", number)
        client("XADD", "other", "*", "number", number)
    until("b has it", lambda: b.client()("XLEN", "other") == common)
    pb.reach("hold", 2)
    write(client)
    after(b)
    pa.duty("hold", 2)
    pb.reach("lead", 3)
    b.client()("XADD", "orders", "*", "number", "of the new master")
    serial = pa.duty("follow", 3)
    return a, b, pa, serial


def tanist(world, *words, data=None):
    done = subprocess.run([TANIST, "-c", os.path.join(world.folder, "orders.0.conf"), *words], capture_output=True, text=True,
                          check=False, input=data)
    return done


def listed(world):
    done = tanist(world, "--json", "orphans", "list", "--node", "a")
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_tail_is_kept_before_it_is_discarded(world):
    def write(client):
        for number in range(100):
            client("XADD", "orders", "*", "number", "lost %d" % number, "more", "\x01 x")
        client("XADD", "payments", "*", "amount", 7)
        client("XADD", "other", "*", "amount", 7)
    a, b, pa, serial = diverge(world, write)
    path = pa.wait(" orphaned ", timeout=10).split(" orphaned ")[1]
    pa.done(serial, 20)
    orders = [line for line in pa.lines if " orphaned " in line or " done %d " % serial in line]
    assert " orphaned " in orders[0], "it follows before the file is on the disk"
    assert a.client()("XLEN", "payments") == 20 and os.path.dirname(path) == os.path.join(world.folder, "orders.a.orphans")
    rows = listed(world)
    assert len(rows) == 1 and rows[0]["entries"] == 101 and not rows[0]["damaged"], rows
    shown = tanist(world, "orphans", "show", rows[0]["name"], "--node", "a").stdout
    assert shown.count("XADD") == 101 and "payments" in shown and "other" not in shown, shown[:300]
    replayed = ("orphans", "replay", rows[0]["name"], "--node", "a")
    pipe = ("--", "redis-cli", "-p", str(PORTS[1]), "--pipe")
    before = b.client()("XLEN", "orders")
    done = tanist(world, *replayed, *pipe)
    assert done.returncode == 1 and "--new-ids" in done.stderr, done  # the stream has gone on meanwhile
    done = tanist(world, *replayed, "--new-ids", *pipe)
    assert done.returncode == 0, done
    assert b.client()("XLEN", "orders") == before + 100 and b.client()("XLEN", "payments") == 21
    assert b.client()("XREVRANGE", "orders", "+", "-", "COUNT", 1)[0][1] == ["number", "lost 99", "more", "\x01 x"]
    assert tanist(world, "orphans", "discard", rows[0]["name"], "--node", "a", "--yes-i-understand", rows[0]["name"]).returncode == 0
    assert listed(world) == []


def test_ids_stay_where_the_stream_has_not_gone_on(world):
    a, b, pa, serial = diverge(world, lambda client: client("XADD", "payments", "9999999999999-5", "amount", 7))
    pa.done(serial, 20)
    name = listed(world)[0]["name"]
    done = tanist(world, "orphans", "replay", name, "--node", "a", "--", "redis-cli", "-p", str(PORTS[1]), "--pipe")
    assert done.returncode == 0, done
    assert b.client()("XREVRANGE", "payments", "+", "-", "COUNT", 1)[0][0] == "9999999999999-5"


def test_nothing_diverged_nothing_kept(world):
    """A master's data that was copied in full, but cannot be gone on with: restarted, it has another history."""
    a, b, pa, serial = diverge(world, lambda client: client("SET", "x", 1))
    pa.done(serial, 20)
    assert not [line for line in pa.lines if " orphaned " in line] and listed(world) == []


def test_what_can_go_on_is_not_looked_at(world):
    a, b = world.redis(0), world.redis(1)
    pa, pb = world.configured(0, STREAMS), world.configured(1, STREAMS)
    for probe in (pa, pb):
        probe.reach("hold", 0)
    pa.reach("lead", 2)
    pb.reach("follow", 2)
    a.client()("XADD", "orders", "*", "number", 1)
    for _ in range(3):
        pb.reach("hold", 2)
        pb.reach("follow", 2)
    assert "cmdstat_xrevrange" not in b.client().info("commandstats")


def test_entries_trimmed_by_the_master_are_not_kept(world):
    def go_on(redis):
        redis.client()("CONFIG", "SET", "replica-read-only", "no")
        redis.client()("XTRIM", "orders", "MAXLEN", 5)
    a, b, pa, serial = diverge(world, lambda client: client("XTRIM", "payments", "MAXLEN", 5), after=go_on)
    pa.done(serial, 20)
    assert listed(world) == [], "what b has trimmed, or only a, was taken for a tail"


def test_a_stream_that_the_master_lacks_is_kept_whole(world):
    def write(client):
        for number in range(200):
            client("XADD", "pay-new", "*", "number", number)
    a, b, pa, serial = diverge(world, write)
    pa.done(serial, 20)
    assert listed(world)[0]["entries"] == 200


def test_too_large_a_tail_is_said_to_be(world):
    def write(client):
        for number in range(40):
            client("XADD", "orders", "*", "number", "x" * 600000)
        client("XADD", "payments", "*", "amount", 7)
    a, b, pa, serial = diverge(world, write)
    pa.done(serial, 30)
    pa.wait(r'of stream "orders" and \d others not all', timeout=5)
    row = listed(world)[0]
    assert 20 < row["entries"] < 40 and row["bytes"] < 17 << 20, row
    shown = tanist(world, "orphans", "show", row["name"], "--node", "a").stdout
    assert shown.rstrip().splitlines()[-1].count("ECHO") == 1


def test_an_entry_that_no_answer_holds_is_left_out(world):
    def write(client):
        client("XADD", "payments", "*", "text", "x" * 2000000)
        client("XADD", "orders", "*", "number", "lost")
    a, b, pa, serial = diverge(world, write)
    pa.done(serial, 30)
    pa.wait(r'of stream "payments" and 0 others not all', timeout=5)
    assert listed(world)[0]["entries"] == 2, "the one of the other stream, and the note"


def test_not_followed_while_it_cannot_be_kept(world):
    with open(os.path.join(world.folder, "orders.a.orphans"), "w", encoding="ascii"):
        pass  # in the way of the directory
    a, b, pa, serial = diverge(world, lambda client: client("XADD", "orders", "*", "number", "lost"))
    pa.wait("not following before what only this Redis holds is kept", timeout=10)
    time.sleep(2 * LEASE_MS / 1000)  # nothing may happen in these
    assert not pa.has_done(serial) and a.client()("XREVRANGE", "orders", "+", "-", "COUNT", 1)[0][1] == ["number", "lost"]
    assert refused(a.client(), "XADD", "orders", "*", "x", 1) == "READONLY"
    os.unlink(os.path.join(world.folder, "orders.a.orphans"))
    pa.done(serial, 20)
    assert listed(world)[0]["entries"] == 1
