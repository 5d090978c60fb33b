# SPDX-License-Identifier: Apache-2.0
"""The redis driver: what becomes of writes, as its own probe finds out, and the pause that withholds them."""
import contextlib
import os

from redis_bed import Refused, fields, now, refused, until


def leader(world, *arguments, user="", password_file="", **more):
    """A Redis that leads alone in epoch 2, and its driver."""
    redis = world.redis(0, *arguments)
    probe = world.probe(0, user=user, password_file=password_file, **more)
    probe.reach("hold", 0)
    probe.reach("lead", 2)
    return redis, probe


def finds(probe, pattern, mark):
    return fields(probe.wait(" changed .*" + pattern, mark, timeout=10))


def test_idle_master_is_probed_and_left_as_it_is(world):
    redis, probe = leader(world)
    client = redis.client()
    until("it is probed", lambda: int(client.info("commandstats").get("cmdstat_set", "calls=0,").split(",")[0][6:]) > 5)
    assert client("DBSIZE") == 0 and probe.view()["writable"] == "1"
    before, started = int(client.info("commandstats")["cmdstat_set"].split(",")[0][6:]), now()
    until("it is probed on", lambda: int(client.info("commandstats")["cmdstat_set"].split(",")[0][6:]) > before + 20, 30)
    assert now() - started > 2, "more often than the health check asks for"
    assert client("EXISTS", "tanist:probe") == 0


def test_snapshot_failed(world):
    redis, probe = leader(world)
    client, mark = redis.client(), probe.mark()
    client("SET", "x", 1)
    client("CONFIG", "SET", "save", "3600 1")
    os.mkdir(os.path.join(redis.folder, "dump.rdb"))  # in the way of the file
    client("BGSAVE")
    view = finds(probe, "unfit=1 .*MISCONF", mark)
    assert view["reachable"] == "1" and view["writable"] == "0" and "then BGSAVE" in view["trouble"], view
    os.rmdir(os.path.join(redis.folder, "dump.rdb"))
    mark = probe.mark()
    client("BGSAVE")
    assert finds(probe, "unfit=0 ", mark)["writable"] == "1"


def test_out_of_memory(world):
    redis, probe = leader(world)
    client, mark = redis.client(), probe.mark()
    client("CONFIG", "SET", "maxmemory", 1)
    view = finds(probe, "OOM", mark)
    assert (view["writable"], view["unfit"]) == ("0", "0") and "raise maxmemory" in view["trouble"], view
    mark = probe.mark()
    client("CONFIG", "SET", "maxmemory", 0)
    assert finds(probe, "writable=1 ", mark)["trouble"].startswith("broker.peers"), "nothing else is wrong"


def test_no_replicas_is_what_the_duty_asks_for(world):
    redis, probe = leader(world)
    probe.reach("hold", 2)
    probe.reach("lead", 4, sync=True)
    client = redis.client()
    until("its probe was refused", lambda: "errorstat_NOREPLICAS" in client.info("errorstats"))
    view = probe.view()
    assert (view["writable"], view["unfit"]) == ("0", "0") and "NOREPLICAS" not in view["trouble"], view


def test_more_replicas_wanted_than_there_are(world):
    (a, _), (pa, _) = world.pair()
    pa.reach("lead", 2, sync=True)
    mark = pa.mark()
    a.client()("CONFIG", "SET", "min-replicas-to-write", 2)
    view = finds(pa, "NOREPLICAS", mark)
    assert (view["writable"], view["unfit"]) == ("0", "0") and "leave it to the agent" in view["trouble"], view


def test_made_a_replica_by_somebody(world):
    redis, probe = leader(world)
    client, mark = redis.client(), probe.mark()
    client("REPLICAOF", "127.0.0.1", 1)
    finds(probe, "writable=0 ", mark)
    finds(probe, "writable=1 .* state=master", mark)
    assert refused(redis.client(), "SET", "x", 1) == "answered OK"


def test_paused_by_somebody(world):
    redis, probe = leader(world)
    client, mark = redis.client(), probe.mark()
    client("CLIENT", "PAUSE", 20000, "WRITE")
    view = finds(probe, "not to writes", mark)
    assert (view["reachable"], view["dead"], view["writable"]) == ("1", "0", "0"), view
    probe.reach("hold", 2)  # nothing waits for the pause
    assert refused(redis.client(), "SET", "x", 1) == "READONLY"


def test_user_that_may_not_write(world):
    acl = "on nopass resetkeys &* -@all +info +replicaof +config|set +client +psync +replconf +ping"
    path = os.path.join(world.folder, "password")
    with open(path, "w", encoding="ascii") as file:
        file.write("any")
    _, probe = leader(world, "--user", "tanist", *acl.split(), user="tanist", password_file=path)
    world.redis(1, "--user", "tanist", *acl.split())
    view = finds(probe, r"\+set ~tanist:probe", 0)
    assert (view["writable"], view["unfit"], view["reachable"]) == ("1", "0", "1"), view


def test_pause_outlives_its_agent(world):
    """It is the old master's own agent that holds it: once that is gone, its lease must have run out long before."""
    redis, probe = leader(world)
    probe.reach("lead", 2, paused=True)
    probe.process.kill()
    probe.process.wait()
    world.stack.remove(probe.close)
    client = redis.client(timeout=4)  # four leases
    client.send("SET", "x", 1)
    with contextlib.suppress(TimeoutError):
        raise AssertionError("acknowledged while paused: %r" % (client.read(),))


def test_nothing_waits_behind_a_probe(world):
    """A pause that comes while the probe's write is on its way: it is over when the duty says so, not when that is."""
    redis, probe = leader(world)
    for _ in range(20):
        probe.reach("lead", 2, paused=True, timeout=1)
        probe.reach("lead", 2, timeout=1)
        with contextlib.suppress(Refused):
            assert redis.client()("SET", "x", 1) == "OK"
