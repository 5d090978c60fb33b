# SPDX-License-Identifier: Apache-2.0
"""The redis driver: what it makes of its duties, and what it sees, as far as that is Redis' own. What every driver owes is
in driver_cases.py, and played with this one too."""
import signal
import socket
import statistics
import time

from redis_bed import (BEAT_MS, Writer, closed, fields, now, offset_at_least, refused, switch)


def test_empty_is_0_0_and_data_is_not(world):
    redis = world.redis(0)
    probe = world.probe(0)
    assert probe.reach("hold", 0)[1] == (0, 0)
    other = world.redis(1)
    other.client()("SET", "x", 1)
    assert world.probe(1).reach("hold", 0)[1] == (0, 1)
    assert redis.client().info("replication")["role"] == "slave"


def test_hold_keeps_data_and_takes_no_writes(world):
    redis = world.redis(0)
    client, reader = redis.client(), redis.client()
    client("SET", "x", 1)
    reader("SUBSCRIBE", "news")
    probe = world.probe(0)
    probe.reach("hold", 0)
    assert closed(client) and closed(reader), "clients of a master that is held meet a reset"
    client = redis.client()
    assert refused(client, "SET", "x", 2) == "READONLY"
    assert client("GET", "x") == "1"
    assert probe.view()["state"] == "held"


def test_follow_waits_for_the_promotion(world):
    world.redis(0), world.redis(1)
    pa, pb = world.probe(0), world.probe(1)
    pa.reach("hold", 0), pb.reach("hold", 0)
    serial = pb.duty("follow", 2)
    pa.reach("lead", 2)
    started = now()
    when, _ = pb.done(serial)
    print("    attached %.0f ms after the promotion" % ((when - started) * 1000))
    assert when - started < 0.9, "Redis' own retry after a second was waited for"


def test_switchover_with_a_writer(world):
    (a, b), (pa, pb) = world.pair()
    start = [s.client().info("stats")["sync_full"] for s in (a, b)]
    gaps, lost, errors, epoch, old, new = [], 0, {}, 2, (a, pa), (b, pb)
    for _ in range(12):
        writer = Writer()
        time.sleep(0.15)  # so long it writes before
        epoch += 1
        switch(old[1], new[1], epoch)
        time.sleep(0.05)
        result = writer.stop()
        held = set(new[0].client()("LRANGE", "acknowledged", 0, -1))
        lost += sum(n not in held for n in result["acknowledged"])
        gaps.append(result["gap_ms"])
        for kind, count in result["errors"].items():
            errors[kind] = errors.get(kind, 0) + count
        old, new = new, old
    print("    write gap ms: median %.2f max %.2f of %d; lost %d; errors %s"
          % (statistics.median(gaps), max(gaps), len(gaps), lost, errors))
    end = [s.client().info("stats")["sync_full"] for s in (a, b)]
    assert lost == 0, "%d acknowledged writes are gone" % lost
    assert start == end, "a full resynchronisation where nothing diverged: %s -> %s" % (start, end)


def test_hold_and_follow_resumes(world):
    (a, b), (_, pb) = world.pair()
    client = a.client()
    before = client.info("stats")["sync_full"]
    for i in range(5):
        pb.reach("hold", 2)
        client("SET", "x", i)
        pb.reach("follow", 2)
    assert client.info("stats")["sync_full"] == before
    assert b.client()("GET", "x") == "4"


def test_kill_9_of_the_master(world):
    (a, b), (pa, pb) = world.pair()
    noticed, promoted, gaps, lost, epoch = [], [], [], 0, 2
    for _ in range(5):
        writer = Writer()
        time.sleep(0.15)
        mark, killed = pa.mark(), now()
        a.kill()
        seen = fields(pa.wait(" changed reachable=0 dead=1", mark))["when"]
        epoch += 1
        asked = now()
        when, _ = pb.reach("lead", epoch)
        noticed.append((seen - killed) * 1000)
        promoted.append((when - asked) * 1000)
        pa.duty("follow", epoch)
        result = writer.stop()
        held = set(b.client()("LRANGE", "acknowledged", 0, -1))
        gone = sum(n not in held for n in result["acknowledged"])
        lost += gone
        gaps.append(result["gap_ms"])
        a.start()
        mark = pa.mark()
        pa.wait(" done %d " % pa.serial)
        pb.wait(" changed .* link=1 .* peer=%d:" % epoch)
        switch(pb, pa, epoch + 1)
        epoch += 1
    print("    ms, medians: dead noticed %.2f, promoted %.2f, write gap %.2f; max gap %.2f; lost %d "
          "(Redis acknowledges asynchronously)"
          % (statistics.median(noticed), statistics.median(promoted), statistics.median(gaps), max(gaps), lost))


def test_lost_connection_is_no_death(world):
    (a, _), (pa, _) = world.pair()
    mark = pa.mark()
    client = a.client()
    client("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    pa.wait(" changed reachable=0", mark)
    pa.wait(" changed reachable=1 dead=0 writable=1", mark)
    assert not any(" dead=1" in line for line in pa.lines)
    assert client("SET", "x", 1) == "OK"


def test_pause_is_renewed(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    probe.reach("lead", 2)
    client = redis.client(timeout=12)
    probe.reach("lead", 2, paused=True)
    assert probe.view()["state"] == "paused" and probe.view()["writable"] == "0"
    client.send("SET", "x", 1)
    try:
        client.read()
        raise AssertionError("a write was acknowledged while paused")
    except TimeoutError:
        pass  # longer than one pause lasts
    client.socket.settimeout(2)
    probe.reach("lead", 2)
    assert client.read() == "OK"


def test_sync_on_and_off_without_a_gap(world):
    (a, _), (pa, _) = world.pair()
    writer, position = Writer(), 0
    for i in range(8):
        time.sleep(0.3)  # so long it writes in each state
        _, at = pa.reach("lead", 2, sync=i % 2 == 0)
        assert at[1] >= position
        position = at[1]
        wanted = "1" if i % 2 == 0 else "0"
        assert a.client()("CONFIG", "GET", "min-replicas-to-write")[1] == wanted
    result = writer.stop()
    print("    longest write gap %.2f ms over %d writes" % (result["gap_ms"], len(result["acknowledged"])))
    assert "NOREPLICAS" not in result["errors"], result["errors"]


def test_stopped_master_is_drained_by_standing_still(world):
    (a, b), (_, pb) = world.pair()
    client = a.client()
    client("SET", "x", "last")
    pb.wait(offset_at_least("position", int(client.info("replication")["master_repl_offset"])))
    a.process.send_signal(signal.SIGSTOP)
    asked = now()
    when, _ = pb.reach("lead", 3)
    print("    promoted %.0f ms after the stop (the link is not broken)" % ((when - asked) * 1000))
    assert when - asked >= 0.09, "it has not waited for two beats"
    assert b.client()("GET", "x") == "last"
    a.process.send_signal(signal.SIGCONT)


def test_still_master_needs_no_wait(world):
    (a, _), (_, pb) = world.pair()
    moved = now()
    while now() - moved < 3 * BEAT_MS / 1000:
        time.sleep(0.01)
    a.process.send_signal(signal.SIGSTOP)
    asked = now()
    when, _ = pb.reach("lead", 3)
    print("    promoted %.2f ms after it was asked for" % ((when - asked) * 1000))
    assert when - asked < 2 * BEAT_MS / 1000
    a.process.send_signal(signal.SIGCONT)


def test_hung_redis_is_unreachable_and_not_dead(world):
    redis = world.redis(0)
    probe = world.probe(0)
    probe.reach("hold", 0)
    mark = probe.mark()
    redis.process.send_signal(signal.SIGSTOP)
    view = fields(probe.wait(" changed reachable=0", mark))
    assert view["dead"] == "0" and view["state"] == "hung" and "hangs" in view["trouble"], view
    serial = probe.duty("lead", 2)
    mark = probe.mark()
    redis.process.send_signal(signal.SIGCONT)
    probe.wait(" changed reachable=1 dead=0", mark)
    probe.done(serial)


def test_a_broken_link_is_believed_of_a_living_redis_alone(world):
    """What dies breaks its links first: that b has lost a tells that b is gone only if a answers after that."""
    (a, b), (pa, _) = world.pair()
    mark = pa.mark()
    a.process.send_signal(signal.SIGSTOP)
    b.client()("CLIENT", "KILL", "TYPE", "master")
    pa.wait(" changed reachable=0", mark)
    early = [line for line in pa.lines[mark:] if " reachable=1 " in line and " link=0 " in line]
    assert not early, early
    a.process.send_signal(signal.SIGCONT)
    pa.wait(" changed reachable=1 .* link=1 ", mark)
    mark = pa.mark()
    b.client()("REPLICAOF", "NO", "ONE")
    pa.wait(" changed reachable=1 .* link=0 ", mark)


def test_kill_clients(world):
    (a, _), (pa, _) = world.pair()
    writer, reader = a.client(), a.client()
    reader("SUBSCRIBE", "news")
    before = a.client().info("stats")["sync_full"]
    mark, started = pa.mark(), now()
    pa.command("kill")
    when = int(pa.wait(" cleared$", mark).split()[0]) / 1e6
    print("    cleared after %.2f ms" % ((when - started) * 1000))
    assert closed(writer) and closed(reader)
    assert pa.view()["link"] == "1" and a.client().info("stats")["sync_full"] == before
    a.kill()
    mark = pa.mark()
    pa.command("kill")
    pa.wait(" cleared$", mark)
